"""Sends one message to one webhook, and says what came of it: never an error, whatever is at the other end.

Where a name leads is decided when the connection is made: all its addresses are looked up and checked, and the
connection goes to an address that was checked, so a name that leads elsewhere a moment later (DNS rebinding) gains
nothing. Refused are all addresses that aren't of the public internet: this machine, private and link-local networks,
clouds' metadata. An administrator may allow them (`private`), as plants without internet must.

Redirects aren't followed, proxies of the environment aren't used, cookies aren't kept. Of the answer's body the first
characters are kept. Everything together may take `TIMEOUT_S`.
"""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from gongfang import __version__
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.webhooks import EXCERPT, Sent, Webhook, headers, refused_address

TIMEOUT_S = 15.0
_TRIED = 4  # addresses of one name
_READ = 4 * EXCERPT  # bytes: characters take up to four

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(Exception):
    """The name leads to none but refused addresses."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, as the machine finds them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _plain_backend() -> Any:
    return httpcore2.AnyIOBackend()


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were looked at, and to nothing by name."""

    def __init__(self, resolve: Resolve, *, private: bool) -> None:
        self._inner: httpcore2.AsyncNetworkBackend = _plain_backend()
        self._resolve = resolve
        self._private = private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        found = await self._resolve(host, port)
        allowed = [address for address in found if self._private or not refused_address(address)]
        if not allowed:
            raise AddressRefused(host)
        for address in allowed[:_TRIED]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if address == allowed[:_TRIED][-1]:
                    raise
        raise AddressRefused(host)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise AddressRefused(path)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
            network_backend=_Checked(resolve, private=private),
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


_KINDS = (
    (ConnectionRefusedError, "webhook_refused"),
    (BrokenPipeError, "webhook_broken_off"),
    (ConnectionResetError, "webhook_broken_off"),
    (httpcore2.RemoteProtocolError, "webhook_broken_off"),
    (httpcore2.ReadError, "webhook_broken_off"),
)
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


def _why(error: Exception, url: str) -> Reason:
    """The words of a failure: of what lies deepest of its causes, what is commonest, else what the machine says."""
    causes: list[BaseException] = []
    todo: list[BaseException] = [error]
    while todo and len(causes) < 20:
        each = todo.pop()
        causes.append(each)
        todo += [e for e in (each.__cause__, each.__context__) if e is not None and e not in causes]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Reason("webhook_certificate", {"what": cause.verify_message})
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return Reason("webhook_no_tls", {"what": cause.reason or _words(cause)})
        if isinstance(cause, socket.gaierror):
            return Reason("webhook_name_unknown", {"host": urlsplit(url).hostname or url})
        if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
            return Reason("webhook_no_route", {})
    for kind, code in _KINDS:
        if any(isinstance(cause, kind) for cause in causes):
            return Reason(code, {})
    return Reason("webhook_unreachable", {"what": _words(error)})


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return "".join(c for c in text if c.isprintable())[:200]
