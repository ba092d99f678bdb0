"""The control plane: every part made, joined and run in one process, and taken down in the reverse order."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from gongfang import __version__
from gongfang.api.app import create_api
from gongfang.api.server import BoundedHttp
from gongfang.api.services import ApiServices, PlatformPart, PlatformState
from gongfang.blobs import ObjectBlobs
from gongfang.builders import DropletCache, host_config
from gongfang.domain.clock import SteadyClock
from gongfang.domain.errors import Conflict, GongfangError, Reason, Unavailable
from gongfang.domain.messages import words
from gongfang.domain.values import App, Instance, InstanceState
from gongfang.edge.envoy import EnvoyEdge
from gongfang.main.api_tls import ApiTls
from gongfang.main.embedded import database_url, envoy, envoy_config, postgres
from gongfang.main.home import Home
from gongfang.main.housekeeping import Housekeeping
from gongfang.main.network import follow_upstreams, names_server, network_settings
from gongfang.main.patience import Patience
from gongfang.main.services import ServiceParts
from gongfang.main.terminal import language
from gongfang.operations.access import bootstrap, mint_admin_token
from gongfang.reconcile.apps import AppReconciler
from gongfang.reconcile.builds import BuildReconciler, BuildSettings
from gongfang.reconcile.clock import watch_clock
from gongfang.reconcile.disk import DiskWatch
from gongfang.reconcile.egress import Egress
from gongfang.reconcile.https import ExpiryWatch, HttpsReconciler
from gongfang.reconcile.loop import KeyedWorkers
from gongfang.reconcile.orphans import relay_ends, remove_orphans
from gongfang.reconcile.retention import keep_events
from gongfang.reconcile.sender import WebhookSender
from gongfang.reconcile.servers import ServerKeeper
from gongfang.reconcile.tasks import TaskReconciler
from gongfang.reconcile.webhooks import Webhooks
from gongfang.reconcile.workloads import PlatformFacts
from gongfang.runtimes.interface import Mount, Runtime
from gongfang.runtimes.local import LocalRuntime
from gongfang.settings import Settings
from gongfang.state import Database, Hub, Keyring, migrate, reachable
from gongfang.toolbox import WheelToolbox

log = structlog.get_logger()

BEGIN_AGAIN_S = 1.0
STILL_S = 60.0  # without anything going on, a start is given up
LOOK_S = 10.0

Say = Callable[[str, Mapping[str, str | int | float]], None]


class _Server(uvicorn.Server):
    """Leaves signals to `process`."""

    @contextmanager
    def capture_signals(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        yield


class Platform:
    """`say`: told what is being done (message code + facts), for whoever waits for the start. `runs_on`: given the
    local runtime, the one that everything runs on."""

    def __init__(
        self, settings: Settings, home: Home, say: Say, runs_on: Callable[[Runtime], Runtime] = lambda local: local
    ) -> None:
        self._settings = settings
        self._home = home
        self._say = say
        self._runs_on = runs_on
        self._hub = Hub()
        self._clock = SteadyClock()
        self._closing = asyncio.Event()
        self._toolbox = WheelToolbox()
        self._workers: list[KeyedWorkers] = []
        self._keepers: dict[str, ServerKeeper] = {}
        self._background: list[asyncio.Task[Any]] = []

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Starts everything, calls `ready`, and runs until `stop` is set. Apps, Envoy and PostgreSQL run on."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._say_what_is_missing()
            log.info("control plane ready", home=str(self._home.root))
            stack.callback(log.info, "control plane stops; apps, edge and database run on")
            ready()
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait([waiting, *self._background], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            for task in self._background:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    def _say_what_is_missing(self) -> None:
        """What this machine can't enforce is said at every start, as `status` says it."""
        missing = [g for g in self._runtime.capabilities().guarantees if not g.enforced]
        if missing:
            self._say("not_enforced", {})
        for guarantee in missing:
            self._say("not_enforced_one", {"what": words(guarantee.why, guarantee.facts, language())})

    async def _open(self, stack: AsyncExitStack) -> None:
        settings, home = self._settings, self._home
        self._api_tls = ApiTls.of(settings.api_tls_cert, settings.api_tls_key)
        api_socket = _listen(settings.api_host, settings.api_port, "GONGFANG_API_PORT")
        stack.callback(api_socket.close)
        for tool in ("bwrap", "envoy", *(() if settings.database_url else ("postgres",))):
            await self._fetch(tool)
        droplets_folder = home.root / "droplets"
        disk = self._disk = DiskWatch(home.root, settings.disk_warn, settings.disk_refuse)
        self._blobs = ObjectBlobs(home.root / "spool", folder=home.root / "blobs", keep_free=disk.marks.refuse)
        self._droplets = DropletCache(droplets_folder, fetch=self._blobs.fetch, put=self._blobs.put_file)
        local = LocalRuntime(
            home.runtime,
            tool=self._toolbox.ensure,
            droplet=self._droplets.path,
            port_range=settings.port_range,
            service_port_range=settings.service_port_range,
            clock=self._clock,
            network=network_settings(settings),
        )
        self._runtime = self._runs_on(local)
        await self._runtime.open()
        stack.push_async_callback(self._runtime.close)
        self._gateway = local.gateway
        stack.push_async_callback(self._end_background)
        url = await self._database()
        keyring = Keyring.load(home.keys)
        self._database_ = Database(url, keyring, self._hub)
        stack.push_async_callback(self._database_.close)
        self._housekeeping = Housekeeping(
            settings, home, disk, self._database_, keyring, self._runtime, self._blobs, self._droplets
        )
        await self._tokens()
        self._sender = WebhookSender(self._clock, private=settings.webhook_private)
        stack.push_async_callback(self._sender.close)
        self._edge = await self._open_edge()
        stack.push_async_callback(self._edge.close)
        await self._names()
        apps = await self._reconcilers()
        self._housekeeping.begin(self._spawn_for_ever)
        stack.push_async_callback(apps.close)
        stack.push_async_callback(self._end_background)
        server = self._api()
        if self._api_tls is not None:
            self._spawn_for_ever(self._api_tls.watch, "api-tls")
        self._spawn(server.serve(sockets=[api_socket]), "api")
        stack.push_async_callback(self._shut, server)
        await self._until_ready()
        await self._until_looked_at()
        home.write_platform(settings)

    async def _fetch(self, tool: str) -> None:
        if self._toolbox.find(tool) is None:
            self._say("fetching_tool", {"tool": tool})
        await self._toolbox.ensure(tool)

    def _spawn(self, work: Any, name: str) -> None:
        self._background.append(asyncio.create_task(work, name=name))

    def _spawn_for_ever(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Work that never ends. An error that it should have dealt with is logged, and it is begun again: nobody may be
        there to start a control plane that ended."""

        async def again() -> None:
            while True:
                try:
                    await work()
                    log.error("background work ended", work=name)
                except Exception:
                    log.exception("background work failed", work=name)
                await asyncio.sleep(BEGIN_AGAIN_S)

        self._spawn(again(), name)

    async def _end_background(self) -> None:
        tasks, self._background = self._background, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, keeper: ServerKeeper) -> None:
        self._keepers[keeper.server.name] = keeper
        await keeper.start()
        self._spawn_for_ever(keeper.keep, f"keep:{keeper.server.name}")

    async def _database(self) -> str:
        if self._settings.database_url is not None:
            url = str(self._settings.database_url).split("://", 1)[1]
            url = f"postgresql+asyncpg://{url}"
        else:
            tool = await self._toolbox.ensure("postgres")
            server = postgres(self._home, tool.executables)
            await self._keep(ServerKeeper(self._runtime, server, self._starting("PostgreSQL")))
            url = database_url(self._home)
        await self._reach(url)
        await migrate(url)
        return url

    def _starting(self, part: str) -> Callable[[], None]:
        return lambda: self._say("starting_part", {"part": part})

    @staticmethod
    async def _reach(url: str) -> None:
        try:
            await reachable(url)
        except Unavailable as error:
            raise Unavailable("database_unreachable", what=str(error.__cause__ or error)) from None

    async def _tokens(self) -> None:
        """The administrator's first token, and another where its file was lost."""
        token = await bootstrap(self._database_, self._clock, "Asia/Shanghai")
        if token is None and not self._home.admin_token.exists():
            token = await mint_admin_token(self._database_, self._clock)
        if token is not None:
            self._home.write_secret(self._home.admin_token, token)

    async def _open_edge(self) -> EnvoyEdge:
        settings = self._settings
        ports = settings.edge_port, settings.https_port
        config = envoy_config(self._home, settings.edge_host, *ports, self._gateway)
        tool = await self._toolbox.ensure("envoy")
        edge = EnvoyEdge(config)
        await edge.open()
        server = envoy(config, tool.executables["envoy"], os.cpu_count() or 2)
        running = [w for w in await self._runtime.list() if w.labels.get("server") == "envoy" and w.exit is None]
        if not any(w.labels.get("fingerprint") == server.fingerprint for w in running):
            _listen(settings.edge_host, settings.edge_port, "GONGFANG_EDGE_PORT", probe=not running).close()
        if settings.https_port is not None and not running:
            _listen(settings.edge_host, settings.https_port, "GONGFANG_EDGE_TLS_PORT").close()
        await self._keep(ServerKeeper(self._runtime, server, self._starting("Envoy")))
        return edge

    async def _names(self) -> None:
        """What apps look names up with. Without it they run, so it holds nothing up; `keep` tries on."""
        if self._gateway is None:
            return
        server = names_server(self._home, self._gateway, self._settings.base_domain)
        try:
            await self._keep(ServerKeeper(self._runtime, server))
        except GongfangError as error:
            log.warning("apps have no names yet", reason=str(error))
            self._spawn_for_ever(self._keepers[server.name].keep, f"keep:{server.name}")
        self._spawn_for_ever(lambda: follow_upstreams(self._home), "upstreams")

    async def _reconcilers(self) -> AppReconciler:
        settings, home, database, runtime = self._settings, self._home, self._database_, self._runtime
        facts = PlatformFacts(settings.base_domain, self._edge_url, settings.https_port)
        configuration = host_config(os.environ, Path.home())
        egress = Egress(database, runtime, configuration.environment)
        apps = self._apps = AppReconciler(database, runtime, self._edge, self._clock, facts, egress)
        https = HttpsReconciler(
            database, self._edge, self._clock, settings.base_domain, enabled=settings.https_port is not None
        )
        self._expiry = expiry = ExpiryWatch(database, self._clock)
        # Before the apps: what is missing when the edge is first answered is taken away.
        await self._edge.replace_certificates(await https.at_start())
        await self._edge.replace_all(await apps.edge_apps())
        await remove_orphans(database, runtime)
        builds = BuildReconciler(
            database,
            runtime,
            self._blobs,
            self._droplets,
            self._clock,
            BuildSettings(
                folder=home.root / "builds",
                cache=home.root / "cache",
                memory_mb=settings.build_memory_mb,
                disk_mb=settings.build_disk_mb,
                timeout_s=settings.build_timeout_s,
                concurrency=settings.build_concurrency,
                environment=configuration.environment,
                mounts=tuple(Mount(shown.source, shown.target) for shown in configuration.shown),
                kept=settings.keep_builds,
                room=self._disk.room,
            ),
            egress,
        )
        tasks = TaskReconciler(database, runtime, self._clock, facts, egress)
        ports = settings.service_port_range
        services = self._services = ServiceParts(
            database, runtime, self._toolbox.ensure, self._clock, home.root / "services", ports
        )
        await services.offer()
        # Before the first sweep: an end is seen by it, or told.
        self._spawn_for_ever(lambda: relay_ends(database, runtime), "ends")
        self._spawn_for_ever(lambda: watch_clock(database, self._clock), "clock")
        for kind, handler, keys in (
            ("app", apps, apps.to_look_at),
            ("build", builds, builds.unfinished),
            ("task", tasks, tasks.unfinished),
            ("https", https, https.to_look_at),
            ("certificate", expiry, expiry.all),
            ("egress", egress, egress.spaces),
            *services.workers,
        ):
            # A wildcard may bring thousands of domains at once: they leave the database to others, too.
            at_once = 4 if kind in ("https", "certificate") else 16
            workers = KeyedWorkers(kind, handler, keys, self._hub, sweep_s=settings.sweep_s, concurrency=at_once)
            self._workers.append(workers)
            self._spawn_for_ever(workers.run, f"workers:{kind}")
        self._send_events()
        return apps

    def _send_events(self) -> None:
        """Webhooks, each in a turn of its own however many there are, and the end of old events."""
        settings, database = self._settings, self._database_
        hooks = Webhooks(database, self._clock, self._sender.send)
        workers = KeyedWorkers("webhook", hooks, hooks.enabled, self._hub, sweep_s=settings.sweep_s, concurrency=10_000)
        self._workers.append(workers)
        self._spawn_for_ever(workers.run, "workers:webhook")
        self._spawn_for_ever(hooks.relay, "webhooks")
        self._spawn_for_ever(lambda: keep_events(database, self._clock, settings.event_retention_days), "retention")

    # --- the API, and what it says of the platform -------------------------------------------------------------------

    def _edge_url(self, host: str) -> str:
        port = self._settings.edge_port
        return f"http://{host}" + ("" if port == 80 else f":{port}") + "/"

    def _https_url(self, host: str) -> str:
        port = self._settings.https_port
        return f"https://{host}" + ("" if port in (None, 443) else f":{port}") + "/"

    def _api(self) -> _Server:
        services = ApiServices(
            database=self._database_,
            clock=self._clock,
            blobs=self._blobs,
            runtime=self._runtime,
            base_domain=self._settings.base_domain,
            edge_url=self._edge_url,
            platform=self._state,
            ready=self._ready,
            upload_limit=self._settings.upload_limit,
            send_webhook=self._sender.send,
            webhook_private=self._settings.webhook_private,
            trusted_proxies=self._settings.trusted_proxies,
            room=self._disk.room,
            gc=self._housekeeping.gc,
            rotate_keys=self._housekeeping.rotate_keys,
            icp=self._settings.icp,
            https_url=self._https_url if self._settings.https_port is not None else None,
            quota_defaults=self._settings.quota_defaults,
            service_figures=self._services.hosting.figures,
            broker=self._services.broker,
            closing=self._closing,
        )
        self._application = create_api(services)
        config = uvicorn.Config(
            self._application,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            timeout_keep_alive=75,
            server_header=False,
            proxy_headers=False,  # whose word about a client's address counts is the API's to say
            ssl_context_factory=self._api_tls.for_server if self._api_tls is not None else None,
            http=BoundedHttp,
        )
        return _Server(config)

    async def _shut(self, server: _Server) -> None:
        """Ends streams and waiting calls, then the server, within its grace period."""
        self._closing.set()
        server.should_exit = True
        await asyncio.gather(*(t for t in self._background if t.get_name() == "api"), return_exceptions=True)
        await self._application.state.refusals.flush()

    async def _ready(self) -> Mapping[str, tuple[bool, Reason | None]]:
        """Ready means: database reachable, edge has acknowledged its configuration, reconciler swept recently."""
        checks: dict[str, tuple[bool, Reason | None]] = {}
        try:
            await self._database_.ping()
            checks["database"] = (True, None)
        except GongfangError as error:
            checks["database"] = (False, error.reason)
        status = self._edge.status()
        edge_ok = status.connected and status.acknowledged
        checks["edge"] = (edge_ok, None if edge_ok else Reason("edge_waiting", {}))
        latest = asyncio.get_running_loop().time() - (self._settings.sweep_s * 3 + 10)
        swept = all(w.last_sweep is not None and w.last_sweep > latest for w in self._workers)
        checks["reconciler"] = (swept, None if swept else Reason("sweep_waiting", {}))
        return checks

    async def _until_ready(self) -> None:
        """However long that takes, as long as it goes on: with many apps on a busy machine, minutes."""
        patience = Patience(STILL_S)
        while True:
            waiting = [reason for ok, reason in (await self._ready()).values() if not ok]
            if not waiting:
                return
            heard = self._edge.status().last_ack_at
            if not patience.goes_on(-len(waiting), self._apps.looked_through, heard.timestamp() if heard else 0):
                reason = waiting[0] or Reason("internal", {})
                raise Unavailable(reason.code, retry_after=1, **reason.facts)
            await asyncio.sleep(0.02)

    async def _until_looked_at(self) -> None:
        """Until each app was looked at once: before, its row may say that it runs, as it did before a `down`. Bounded,
        since one app's turn may be long."""
        latest = asyncio.get_running_loop().time() + LOOK_S
        apps = [workers for workers in self._workers if workers.kind == "app"]
        while True:
            if all(w.looked_once for w in apps) or asyncio.get_running_loop().time() > latest:
                return
            await asyncio.sleep(0.02)

    async def _state(self) -> PlatformState:
        checks = await self._ready()
        async with self._database_.reading() as tx:
            apps = await tx.count(App)
            instances = await tx.count(Instance, state=[s.value for s in InstanceState if not s.ended])
        parts = [
            PlatformPart("control", "ok" if checks["reconciler"][0] else "starting", checks["reconciler"][1]),
            self._part("database", "postgres", checks["database"]),
            self._part("edge", "envoy", checks["edge"]),
            self._housekeeping.part(),
        ]
        if (ending := await self._expiry.ending()) is not None:
            parts.append(PlatformPart("certificates", "degraded" if ending.reason else "ok", ending.reason))
        return PlatformState(
            version=__version__,
            parts=tuple(parts),
            guarantees=self._runtime.capabilities().guarantees,
            apps=apps,
            instances=instances,
        )

    def _part(self, name: str, server: str, check: tuple[bool, Reason | None]) -> PlatformPart:
        keeper = self._keepers.get(server)
        if keeper is not None and keeper.state == "down":
            reason = Reason("server_not_ready", {"server": server, "output": keeper.detail})
            return PlatformPart(name, "down", reason)
        return PlatformPart(name, "ok" if check[0] else "degraded", check[1])


def _listen(host: str, port: int, variable: str, *, probe: bool = True) -> socket.socket:
    """A bound socket. Raises `Conflict("port_taken")` naming the setting that changes it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    if probe:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            bound.close()
            raise Conflict("port_taken", host=host, port=port, variable=variable) from error
    return bound
