"""Sends one message to one webhook, and says what came of it: never an error, whatever is at the other end.

Refused are all addresses that aren't of the public internet (`gongfang.outbound`): this machine, private and link-local
networks, clouds' metadata. An administrator may allow them (`private`), as plants without internet must.

Redirects aren't followed, proxies of the environment aren't used, cookies aren't kept. Of the answer's body the first
characters are kept. Everything together may take `TIMEOUT_S`.
"""

import asyncio
import ssl
import time

import httpcore2

from gongfang import __version__
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.webhooks import EXCERPT, Sent, Webhook, headers
from gongfang.outbound import AddressRefused, CheckedBackend, Fault, Resolve, anything, public_only, resolve, why

TIMEOUT_S = 15.0
_READ = 4 * EXCERPT  # bytes: characters take up to four


class WebhookSender:
    """Made once; connections are kept for a few seconds for what comes next. `timeout_s`: for all of one message."""

    def __init__(
        self, clock: Clock, *, private: bool, resolve: Resolve = resolve, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        # As many connections as there are webhooks: one that is slow takes none from another.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=100,
            keepalive_expiry=5.0,
            network_backend=CheckedBackend(resolve, anything if private else public_only),
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def send(self, webhook: Webhook, message_id: str, body: bytes) -> Sent:
        began = time.monotonic()

        def took() -> int:
            return round((time.monotonic() - began) * 1000)

        sent = {
            **headers(webhook, message_id, self._clock(), body),
            "user-agent": f"gongfang/{__version__}",
            "accept-encoding": "identity",
        }
        try:
            async with asyncio.timeout(self._timeout_s):
                status, excerpt = await self._post(webhook.url, sent, body)
        except (TimeoutError, httpcore2.TimeoutException):
            return Sent(None, took(), Reason("webhook_timed_out", {"seconds": round(self._timeout_s)}))
        except AddressRefused as error:
            return Sent(None, took(), Reason("webhook_address_refused", {"host": str(error)}))
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError, ValueError) as error:
            return Sent(None, took(), _why(error, webhook.url))
        return Sent(status, took(), response=excerpt)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        async with self._pool.stream("POST", url, headers=list(headers.items()), content=body) as response:
            begun = b""
            async for chunk in response.aiter_stream():
                begun += chunk
                if len(begun) >= _READ:
                    break
            text = begun[:_READ].decode("utf-8", "replace")
            return response.status, "".join(c for c in text if c.isprintable() or c in "\n\t")[:EXCERPT]


_CODES: dict[Fault, str] = {
    "refused": "webhook_refused",
    "broken_off": "webhook_broken_off",
    "certificate": "webhook_certificate",
    "no_tls": "webhook_no_tls",
    "name_unknown": "webhook_name_unknown",
    "no_route": "webhook_no_route",
    "unreachable": "webhook_unreachable",
}


def _why(error: Exception, url: str) -> Reason:
    fault, facts = why(error, url)
    return Reason(_CODES[fault], facts)
