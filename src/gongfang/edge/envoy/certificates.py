"""Which host has which certificate at the edge, and that it is really shown.

Envoy asks for a certificate at the first handshake that names its host. So that no host's first visitor has to come
while the control plane is there, the control plane makes one handshake for each itself: when it is given, and when an
Envoy has come (back). That is also how a certificate is *seen* to be served.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping

import structlog

from gongfang.domain.errors import GongfangError
from gongfang.edge.envoy import tls
from gongfang.edge.envoy.config import EnvoyConfig
from gongfang.edge.interface import EdgeCertificate
from gongfang.edge.resources import Key, Kind, Resource

AT_ONCE = 4
HANDSHAKE_S = 5.0
POLL_S = (0.005, 0.1)

_log = structlog.get_logger("edge")


class Certificates:
    """`wanted`: the driver's table of secrets, filled here."""

    def __init__(self, config: EnvoyConfig, wanted: dict[str, Resource]) -> None:
        self._config = config
        self._wanted = wanted
        self._leaves: dict[str, bytes] = {}  # host: the leaf in DER, to know it again

    def replace(self, certificates: Mapping[str, EdgeCertificate]) -> list[Key]:
        """All there are; answers the keys of those that changed."""
        gone = dict.fromkeys(self._wanted.keys() - certificates.keys())
        return [Key(Kind.secret, host) for host in self.put({**gone, **certificates})]

    def put(self, certificates: Mapping[str, EdgeCertificate | None]) -> list[str]:
        for host, certificate in certificates.items():
            if certificate is None:
                self._wanted.pop(host, None)
                self._leaves.pop(host, None)
            else:
                self._wanted[host] = tls.secret(host, certificate)
                end = certificate.chain.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
                self._leaves[host] = ssl.PEM_cert_to_DER_cert(certificate.chain[:end].strip())
        return list(certificates)

    async def seen(self, hosts: list[str], held: Callable[[Key], Awaitable[None]]) -> None:
        """Returns when a handshake for each host shows what is wanted of it; `held` raises where Envoy refused it."""
        for host in hosts:
            pause, longest = POLL_S
            while True:
                shown = await self._shown_or_refused(host, held)
                if host not in self._leaves or shown == self._leaves[host]:
                    break
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    async def warm(self) -> None:
        """One handshake a host, so that Envoy holds every certificate when the control plane goes."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(host: str) -> None:
            async with slots:
                with contextlib.suppress(GongfangError):
                    await self._shown(host)

        if self._config.tls_port is not None and self._leaves:
            await asyncio.gather(*(one(host) for host in list(self._leaves)))
            _log.info("certificates at the edge", hosts=len(self._leaves))

    async def _shown_or_refused(self, host: str, held: Callable[[Key], Awaitable[None]]) -> bytes | None:
        """A refused certificate leaves the handshake hanging: Envoy's refusal ends it."""
        handshake = asyncio.create_task(self._shown(host))
        try:
            while not handshake.done():
                await asyncio.wait([handshake], timeout=POLL_S[1])
                await held(Key(Kind.secret, host))
            return await handshake
        finally:
            handshake.cancel()

    async def _shown(self, host: str) -> bytes | None:
        """The certificate that a client is shown for a host; None where the handshake is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # whether it is trusted is the clients' business; which one it is, ours
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _, writer = await asyncio.open_connection(
                    self._config.listen_host, self._config.tls_port, ssl=context, server_hostname=host
                )
        except (OSError, TimeoutError, ssl.SSLError):
            return None
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return shown
