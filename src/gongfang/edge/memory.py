"""`MemoryEdge`: an edge that serves nobody, for tests and for trying the platform without Envoy.

It checks what the real one checks, and can be told to misbehave: `away` (nothing is confirmed until it is back),
`rejects` (hosts whose apps it refuses), `busy` (requests that endpoints are said to be answering).
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from gongfang.domain.clock import Clock, utc_now
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.edge import snapshot
from gongfang.edge.interface import EdgeApp, EdgeCertificate, EdgeEndpoint, EdgeStatus


class MemoryEdge:
    """See `interface.Edge`. `wanted`: as last asked for; `served`: as last confirmed, what a real one would show."""

    def __init__(self, *, away: bool = False, rejects: Sequence[str] = (), clock: Clock = utc_now) -> None:
        self.rejects = set(rejects)
        self.busy: dict[EdgeEndpoint, int] = {}
        self.wanted: dict[str, EdgeApp] = {}
        self.served: dict[str, EdgeApp] = {}
        self.certificates: dict[str, EdgeCertificate] = {}
        self._clock = clock
        self._present = asyncio.Event()
        self._last_ack_at: datetime | None = None
        self._last_rejection: str | None = None
        if not away:
            self._present.set()

    @property
    def away(self) -> bool:
        return not self._present.is_set()

    @away.setter
    def away(self, value: bool) -> None:
        if value:
            self._present.clear()
            return
        self._present.set()
        for app_id in self.served.keys() - self.wanted.keys():
            del self.served[app_id]
        for app in self.wanted.values():
            self._serve(app)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def replace_all(self, apps: Sequence[EdgeApp]) -> None:
        self.wanted, faults = snapshot.settle(apps)
        for fault in faults:
            self._last_rejection = str(fault)
        if not self.away:
            self.away = False

    async def replace_certificates(self, certificates: Mapping[str, EdgeCertificate]) -> None:
        self.certificates = dict(certificates)

    async def certify(self, certificates: Mapping[str, EdgeCertificate | None], *, timeout_s: float = 5.0) -> None:
        for host, certificate in certificates.items():
            if certificate is None:
                self.certificates.pop(host, None)
            else:
                self.certificates[host] = certificate
        await self._present_within(", ".join(certificates), timeout_s)

    async def apply(self, app: EdgeApp, *, timeout_s: float | None = 5.0) -> None:
        owners = {host: other.app_id for other in self.wanted.values() for host in other.hosts}
        snapshot.check(app, owners)
        self.wanted[app.app_id] = app
        await self._confirmed(app, timeout_s)
        if not self._serve(app):
            raise Rejected("edge_rejected", app=app.name or app.app_id, detail="refused as it was told to.")

    async def remove(self, app_id: str, *, timeout_s: float | None = 5.0) -> None:
        app = self.wanted.pop(app_id, None)
        if app is not None:
            await self._confirmed(app, timeout_s)
            if app_id not in self.wanted:
                self.served.pop(app_id, None)

    def wants(self, app: EdgeApp) -> bool:
        return self.wanted.get(app.app_id) == app

    def serves(self, app: EdgeApp) -> bool:
        return not self.away and self.wanted.get(app.app_id) == app == self.served.get(app.app_id)

    async def in_flight(self, app_id: str, endpoints: Sequence[EdgeEndpoint]) -> dict[EdgeEndpoint, int]:
        return {endpoint: self.busy.get(endpoint, 0) for endpoint in endpoints}

    def status(self) -> EdgeStatus:
        return EdgeStatus(not self.away, not self.away, len(self.wanted), self._last_ack_at, self._last_rejection)

    def _serve(self, app: EdgeApp) -> bool:
        self._last_ack_at = self._clock()
        if self.rejects.isdisjoint(app.hosts):
            if self.wanted.get(app.app_id) == app:
                self.served[app.app_id] = app
            return True
        self._last_rejection = f"{app.name or app.app_id}: refused as it was told to."
        return False

    async def _confirmed(self, app: EdgeApp, timeout_s: float | None) -> None:
        await self._present_within(app.name or app.app_id, timeout_s)

    async def _present_within(self, what: str, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._present.wait()
        except TimeoutError:
            raise Unavailable("edge_away", app=what, seconds=timeout_s or 0) from None
