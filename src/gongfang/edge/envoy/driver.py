"""`EnvoyEdge`: keeps one Envoy in step with the wanted apps, and tells what Envoy has confirmed.

It owns the table of wanted resources; the discovery server sends from it whatever differs from what Envoy has. Envoy
itself runs as a workload that `main` starts; it may come, go and come back at any time, and so may this process.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import structlog

from gongfang.domain.clock import Clock, utc_now
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.edge import snapshot
from gongfang.edge.envoy.admin import Admin
from gongfang.edge.envoy.ads import AdsServer
from gongfang.edge.envoy.certificates import Certificates
from gongfang.edge.envoy.config import EnvoyConfig, https_listener, listener
from gongfang.edge.envoy.delta import Session
from gongfang.edge.interface import EdgeApp, EdgeCertificate, EdgeEndpoint, EdgeStatus
from gongfang.edge.resources import Key, Kind, Resource

# Envoy confirms from its main thread; its workers take the change in a moment later, at their next turn.
WORKERS_S = 0.1
# A listener is refused where its port is still another's: Envoy does not try again by itself.
LISTENER_RETRY_S = 1.0
# Envoy binds its port before it confirms the listener, alone, but listens a moment later and does not tell.
LISTENS_POLL_S = (0.002, 0.1)

_log = structlog.get_logger("edge")


class EnvoyEdge:
    """See `interface.Edge`. All calls belong to one event loop."""

    def __init__(self, config: EnvoyConfig, *, clock: Clock = utc_now) -> None:
        self._config = config
        self._clock = clock
        self._apps: dict[str, EdgeApp] = {}
        self._owners: dict[str, str] = {}  # host: app id
        self._wanted: dict[Kind, dict[str, Resource]] = {kind: {} for kind in Kind}
        self._ads = AdsServer(self._wanted, self._heard)
        self._admin = Admin(config.admin_socket)
        self._waiting: defaultdict[Key, set[asyncio.Future[None]]] = defaultdict(set)
        self._confirmed_at: dict[str, float] = {}  # app id: loop time of its last confirmed change
        self._retry: asyncio.TimerHandle | None = None
        self._session: Session | None = None
        self._live = asyncio.Event()  # the Envoy that is connected listens
        self._watch_live: asyncio.Task[None] | None = None
        self._last_ack_at: datetime | None = None
        self._last_rejection: str | None = None
        https = https_listener(config)
        listeners = [listener(config), *([https] if https is not None else [])]
        self._listeners = [made.key for made in listeners]
        self._wanted[Kind.listener].update({made.key.name: made for made in listeners})
        self._certificates = Certificates(config, self._wanted[Kind.secret])

    # --- interface.Edge ----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._ads.open(self._config.xds_socket)

    async def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        await self._ads.close()
        if self._watch_live is not None:
            self._watch_live.cancel()
            await asyncio.gather(self._watch_live, return_exceptions=True)
        await self._admin.close()

    async def replace_all(self, apps: Sequence[EdgeApp]) -> None:
        accepted, faults = snapshot.settle(apps)
        for fault in faults:
            self._last_rejection = str(fault)
            _log.warning("edge_host_left_out", code=fault.code, **fault.facts)
        self._owners = {host: app_id for app_id, app in accepted.items() for host in app.hosts}
        changed: set[Key] = set()
        # Those that go, first: a host may move between apps.
        for app_id in self._apps.keys() - accepted.keys():
            changed.update(self._put(self._apps.pop(app_id), None))
            self._confirmed_at.pop(app_id, None)
        before, self._apps = self._apps, accepted
        for app_id in list(accepted):
            # Another call may have changed it while this one made way.
            changed.update(self._put(before.get(app_id), self._apps.get(app_id)))
            await asyncio.sleep(0)  # thousands of apps must not hold up everything else
        self._ads.changed(changed)
        self._ads.begin()

    async def replace_certificates(self, certificates: Mapping[str, EdgeCertificate]) -> None:
        self._ads.changed(self._certificates.replace(certificates))

    async def certify(self, certificates: Mapping[str, EdgeCertificate | None], *, timeout_s: float = 5.0) -> None:
        hosts = self._certificates.put(certificates)
        if self._config.tls_port is None:
            return
        self._ads.changed([Key(Kind.secret, host) for host in hosts])
        try:
            async with asyncio.timeout(timeout_s):
                await self._live.wait()
                for host in hosts:
                    await self._held(Key(Kind.secret, host))
                await self._certificates.seen([host for host in hosts if certificates[host] is not None], self._held)
        except TimeoutError:
            raise Unavailable("edge_away", app=", ".join(hosts[:3]), seconds=timeout_s) from None

    async def _held(self, key: Key) -> None:
        """Returns where Envoy has what is wanted of a secret, or has not asked for it: it will when it needs it."""
        await self._settled(key, key.name, if_asked=True)

    async def apply(self, app: EdgeApp, *, timeout_s: float | None = 5.0) -> None:
        snapshot.check(app, self._owners)
        before = self._apps.get(app.app_id)
        self._disown(before)
        self._apps[app.app_id] = app
        self._owners.update(dict.fromkeys(app.hosts, app.app_id))
        keys = self._put(before, app)
        self._ads.changed(keys)
        await self._confirm(app, keys, timeout_s)

    async def remove(self, app_id: str, *, timeout_s: float | None = 5.0) -> None:
        app = self._apps.pop(app_id, None)
        if app is None:
            return
        self._disown(app)
        keys = self._put(app, None)
        self._ads.changed(keys)
        await self._confirm(app, keys, timeout_s)
        if app_id not in self._apps:
            self._confirmed_at.pop(app_id, None)

    def wants(self, app: EdgeApp) -> bool:
        return self._apps.get(app.app_id) == app

    def serves(self, app: EdgeApp) -> bool:
        session = self._ads.session
        if session is None or not self._live.is_set() or not self.wants(app):
            return False
        return all(session.settled(key) for key in snapshot.keys(app))

    async def in_flight(self, app_id: str, endpoints: Sequence[EdgeEndpoint]) -> dict[EdgeEndpoint, int]:
        """See `interface.Edge`. Waits until a change confirmed just now has reached all of Envoy's threads, so that an
        endpoint that drains and is seen at 0 stays at 0. Raises `Unavailable("edge_unreadable")`."""
        since = asyncio.get_running_loop().time() - self._confirmed_at.get(app_id, 0.0)
        if since < WORKERS_S:
            await asyncio.sleep(WORKERS_S - since)
        active = await self._admin.active_requests(f"^{re.escape(snapshot.cluster_name(app_id))}$")
        return {endpoint: active.get((endpoint.host, endpoint.port), 0) for endpoint in endpoints}

    def status(self) -> EdgeStatus:
        session = self._ads.session
        return EdgeStatus(
            connected=session is not None,
            acknowledged=session is not None and session.quiet() and self._live.is_set(),
            apps=len(self._apps),
            last_ack_at=self._last_ack_at,
            last_rejection=self._last_rejection,
        )

    # --- the table ---------------------------------------------------------------------------------------------------

    def _disown(self, app: EdgeApp | None) -> None:
        if app is None:
            return
        for host in app.hosts:
            if self._owners.get(host) == app.app_id:
                del self._owners[host]

    def _put(self, before: EdgeApp | None, app: EdgeApp | None) -> list[Key]:
        """Puts an app's resources in the table. Returns all keys of it, old and new, in the order in which Envoy
        confirms them: what is added from the cluster up, then what is taken away from the scopes down."""
        made = snapshot.resources(app) if app is not None else {}
        gone = [key for key in (snapshot.keys(before) if before is not None else ()) if key not in made]
        for key in gone:
            if key.kind is not Kind.scope or self._owners.get(key.name) is None:
                self._wanted[key.kind].pop(key.name, None)
        for key, resource in made.items():
            self._wanted[key.kind][key.name] = resource
        order = list(Kind)
        return [
            *sorted(made, key=lambda key: order.index(key.kind)),
            *sorted(gone, key=lambda key: -order.index(key.kind)),
        ]

    # --- what Envoy says ---------------------------------------------------------------------------------------------

    def _heard(self, keys: Sequence[Key]) -> None:
        session = self._ads.session
        if session is not self._session:
            self._connected(session)
        if keys:
            self._last_ack_at = self._clock()
        for key in keys:
            words = session.refusal(key) if session is not None else None
            if words is not None:
                self._note_refusal(key, words)
        self._wake(keys if keys else list(self._waiting))

    def _connected(self, session: Session | None) -> None:
        self._session = session
        self._live.clear()
        if self._watch_live is not None:
            self._watch_live.cancel()
        self._watch_live = asyncio.create_task(self._until_live(session)) if session is not None else None

    async def _until_live(self, session: Session) -> None:
        for key in self._listeners:
            await self._settled(key, "the edge's own listener", refusals=False)
        for port in (self._config.listen_port, self._config.tls_port):
            pause, longest = LISTENS_POLL_S
            while port is not None and not await _listens(self._config.listen_host, port):
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
        if session is self._session:
            self._live.set()
            await self._certificates.warm()

    def _note_refusal(self, key: Key, words: str) -> None:
        self._last_rejection = f"{key.name}: {words}"
        _log.warning("edge_refused", kind=key.kind.name, name=key.name, detail=words)
        if key.kind is Kind.listener:
            self._retry = asyncio.get_running_loop().call_later(LISTENER_RETRY_S, self._ads.retry, key)

    def _wake(self, keys: Iterable[Key]) -> None:
        for key in keys:
            for waiter in self._waiting.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)

    async def _confirm(self, app: EdgeApp, keys: Sequence[Key], timeout_s: float | None) -> None:
        name = app.name or app.app_id
        try:
            async with asyncio.timeout(timeout_s):
                for key in keys:
                    await self._settled(key, name)
                await self._live.wait()
        except TimeoutError:
            raise Unavailable("edge_away", app=name, seconds=timeout_s or 0) from None
        self._confirmed_at[app.app_id] = asyncio.get_running_loop().time()

    async def _settled(self, key: Key, app: str, *, refusals: bool = True, if_asked: bool = False) -> None:
        """Returns when Envoy has confirmed whatever is wanted of a key by then. `refusals`: raised, else waited out.
        `if_asked`: also where Envoy does not ask for it, or no more."""
        loop = asyncio.get_running_loop()
        while True:
            session = self._ads.session
            if session is not None:
                if session.settled(key) or (if_asked and not session.asked(key)):
                    return
                words = session.refusal(key)
                if words is not None and refusals:
                    raise Rejected("edge_rejected", app=app, detail=words)
            waiter = loop.create_future()
            self._waiting[key].add(waiter)
            try:
                await waiter
            finally:
                waiters = self._waiting.get(key)
                if waiters is not None:
                    waiters.discard(waiter)
                    if not waiters:
                        del self._waiting[key]


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.transport.abort()
    return True
