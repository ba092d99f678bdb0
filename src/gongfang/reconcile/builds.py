"""The build reconciler: package → droplet, in a folder of its own, so that it can be taken up where it was left.

    $HOME/builds/ID/package     the upload, as a file
    $HOME/builds/ID/app         unpacked; `/app` in the sandbox; at the end the droplet
    $HOME/builds/ID/plan.json   written when everything before the sandbox is done

If the control plane dies, what follows depends on what is there: no plan, begin again; a plan and a workload that
runs, wait for it; a workload that has ended, go on behind it. The workload's id is the build's, so it runs once.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from gongfang.blobs.interface import BlobStore
from gongfang.builders import BuildPlan, Tree, builder_of, detect_builder, processes_for, workload_script
from gongfang.builders.archives import remove_tree, unpack_package
from gongfang.builders.droplets import DropletCache
from gongfang.domain.clock import Clock
from gongfang.domain.errors import GongfangError, Reason, Rejected, Unavailable
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, Build, BuildState, Droplet, ExitInfo, Package, RuntimeName
from gongfang.reconcile.egress import Egress, start_in
from gongfang.reconcile.exits import build_reason
from gongfang.runtimes.interface import Limits, Mount, Phase, Runtime, WorkloadKind, WorkloadSpec
from gongfang.state import Database

log = structlog.get_logger()

MB = 1024 * 1024
LOST_AGAIN = 2  # times that a build whose sandbox disappeared is begun anew
KEPT_BUILDS = 10  # ended builds of an app whose logs are kept


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """`environment` and `mounts`: what of the machine's own configuration (mirrors, certificates) builds may see.

    `kept`: logs of ended builds of an app. `room`: raises `Unavailable("disk_full")` where the disk gets full.
    """

    folder: Path
    cache: Path
    memory_mb: int
    disk_mb: int
    timeout_s: float
    concurrency: int
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    kept: int = KEPT_BUILDS
    room: Callable[[], None] = lambda: None


class BuildReconciler:
    """A handler for `KeyedWorkers`, the key being a build's id, or that of an app that is gone."""

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        blobs: BlobStore,
        droplets: DropletCache,
        clock: Clock,
        settings: BuildSettings,
        egress: Egress | None = None,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._blobs = blobs
        self._droplets = droplets
        self._clock = clock
        self._settings = settings
        self._egress = egress
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def unfinished(self) -> list[str]:
        """Ids of builds to look at: those not ended, and folders that were left behind; of apps, whose caches were."""
        # The folders first: what is made after them has its row by then, and so isn't taken for left behind.
        folders, caches = _names(self._settings.folder), _names(self._settings.cache)
        async with self._database.reading() as tx:
            builds = await tx.find(Build, state=("pending", "running"))
            apps = await tx.app_ids()
        return sorted({*(b.id for b in builds), *folders, *(caches - set(apps))})

    async def __call__(self, build_id: str) -> float | None:
        if await self._to_do(build_id) is None:
            await self._clean(build_id)
            return None
        # Read again when its turn has come, and heard from before that: no cancellation is missed.
        async with self._slots:
            with self._database.hub.changes("build", build_id) as changed:
                found = await self._to_do(build_id)
                if found is not None:
                    work = asyncio.create_task(self._build(*found))
                    await self._until_done_or_cancelled(build_id, work, changed)
        return 0.0

    async def _to_do(self, build_id: str) -> tuple[Build, App, Package] | None:
        """What an unfinished build needs; None where it is over, or gone."""
        async with self._database.reading() as tx:
            build = await tx.one(Build, build_id)
            if build is None or build.state not in _UNFINISHED:
                return None
            app = await tx.one(App, build.app_id)
            package = await tx.one(Package, build.package_id)
        return (build, app, package) if app is not None and package is not None else None

    async def _until_done_or_cancelled(self, build_id: str, work: asyncio.Task[None], changed: asyncio.Event) -> None:
        """A build may be cancelled from outside (its row says so) while it runs."""
        try:
            while not work.done():
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                changed.clear()
                if not work.done() and await self._cancelled(build_id):
                    break
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
        if not work.cancelled():
            work.result()

    async def _cancelled(self, build_id: str) -> bool:
        try:
            async with self._database.reading() as tx:
                build = await tx.one(Build, build_id)
        except Unavailable:  # no reason to give up what is half done
            return False
        return build is None or build.state not in _UNFINISHED

    async def _build(self, build: Build, app: App, package: Package) -> None:
        folder = self._settings.folder / build.id
        try:
            tries = 0
            while True:
                plan = await self._prepare(build, package, folder)
                reason = await self._run(build, app, plan, folder)
                tries += 1
                if reason is None or reason.code != "build_lost" or tries > LOST_AGAIN:
                    break
                # A reboot, or a control plane that died while the sandbox was made: nobody's fault, begun anew.
                await asyncio.to_thread((folder / "plan.json").unlink, missing_ok=True)
            if reason is None:
                await self._succeed(build, app, plan, Tree(folder / "app", package.filename))
            else:
                await self._fail(build, reason)
        except Unavailable:
            raise
        except GongfangError as error:
            await self._fail(build, error.reason)

    async def _prepare(self, build: Build, package: Package, folder: Path) -> BuildPlan:
        kept = await asyncio.to_thread(_read_plan, folder)
        if kept is not None and (folder / "app").exists():
            return kept
        try:
            self._settings.room()
        except Unavailable as error:
            raise Rejected(
                error.code, details=(), **error.facts
            ) from error  # said now, rather than at the operation's deadline
        # Begun anew, its workload too: what ran (if anything did) has lost its folder.
        await self._runtime.stop(build.id, grace_s=1.0)
        await self._runtime.remove(build.id)
        await self._note(build, state=BuildState.running, started_at=build.started_at or self._clock())
        if folder.exists():
            await asyncio.to_thread(remove_tree, folder)
        root = folder / "app"
        root.mkdir(parents=True)
        archive = folder / "package"
        await self._blobs.fetch(package.sha256, archive)
        await unpack_package(archive, root, filename=package.filename)
        archive.unlink()
        tree = Tree(root, package.filename)
        plan = await asyncio.to_thread(lambda: detect_builder(tree, build.runtime).plan(tree))
        if plan.script:  # else it is written with the end, which comes at once
            await self._note(build, detected=plan.detected[:255])
        await asyncio.to_thread(_write_plan, folder, plan)
        return plan

    async def _note(self, build: Build, **changes: Any) -> None:
        async with self._database.writing() as tx:
            now = await tx.lock(Build, build.id)
            if now is not None and now.state in _UNFINISHED:
                await tx.update(Build, build.id, **changes)
            tx.wake("build", build.id)

    async def _run(self, build: Build, app: App, plan: BuildPlan, folder: Path) -> Reason | None:
        """The plan's script in the sandbox; why it failed, or None. An empty script starts nothing."""
        if not plan.script:
            return None
        settings = self._settings
        cache = settings.cache / app.id
        cache.mkdir(parents=True, exist_ok=True)
        spec = WorkloadSpec(
            id=build.id,
            kind=WorkloadKind.build,
            command=workload_script(plan),
            environment={**settings.environment, **plan.environment},
            workdir="/app",
            mounts=(
                Mount(folder / "app", "/app", writable=True, own=True),
                Mount(cache, "/cache", writable=True, own=True, lock=True),
                *settings.mounts,
            ),
            tools=tuple(dict.fromkeys((*plan.tools, *plan.launch_tools))),
            limits=Limits(
                memory_bytes=settings.memory_mb * MB,
                disk_bytes=settings.disk_mb * MB,
                processes=2048,
                wall_s=settings.timeout_s,
                cpu_weight=10,
            ),
            labels={"app": app.id},
        )
        await start_in(self._runtime, self._egress, app.space_id, spec)
        seen = await self._runtime.wait(build.id)
        if seen.phase is Phase.unknown:
            return Reason("build_lost", {})
        if seen.exit is not None and seen.exit.disk_full:  # perhaps by the cache: kept, it would end the next build too
            await asyncio.to_thread(remove_tree, cache)
        return build_reason(
            seen.exit or ExitInfo(None, lost=True),
            timed_out=seen.timed_out,
            memory_mb=settings.memory_mb,
            disk_mb=settings.disk_mb,
            timeout_s=settings.timeout_s,
        )

    async def _succeed(self, build: Build, app: App, plan: BuildPlan, tree: Tree) -> None:
        launch = await asyncio.to_thread(lambda: builder_of(plan.runtime).launch(tree))
        processes = processes_for(app.type, launch, tree)
        if launch.missing is not None and not any(c.command for c in app.config.processes.values()):
            await self._fail(build, launch.missing)
            return
        packed = await self._droplets.make(tree.root)
        droplet = Droplet(
            id=new_id("drp"),
            app_id=build.app_id,
            build_id=build.id,
            sha256=packed.sha256,
            size=packed.size,
            runtime=plan.runtime,
            processes=processes,
            environment=launch.environment,
            tools=plan.launch_tools,
            created_at=self._clock(),
        )
        async with self._database.writing() as tx:
            now = await tx.lock(Build, build.id)
            if now is None or now.state not in _UNFINISHED:
                return
            await tx.insert(droplet)
            await tx.update(
                Build,
                build.id,
                state=BuildState.succeeded,
                finished_at=self._clock(),
                droplet_id=droplet.id,
                detected=plan.detected[:255],
            )
            tx.wake("app", build.app_id)
            tx.wake("build", build.id)

    async def _fail(self, build: Build, reason: Reason) -> None:
        async with self._database.writing() as tx:
            now = await tx.lock(Build, build.id)
            if now is None or now.state not in _UNFINISHED:
                return
            await tx.update(Build, build.id, state=BuildState.failed, finished_at=self._clock(), reason=reason)
            tx.wake("app", build.app_id)
            tx.wake("build", build.id)

    async def _clean(self, build_id: str) -> None:
        """Of a build that is over (or gone): nothing runs, its folder goes, its log stays while its row does. Of an
        app that is gone, whose id the key is then: its cache goes."""
        await self._runtime.stop(build_id, grace_s=1.0)
        for folder in (self._settings.folder / build_id, self._settings.cache / build_id):
            if folder.exists():
                await asyncio.to_thread(remove_tree, folder)
        async with self._database.reading() as tx:
            build = await tx.one(Build, build_id)
            ended = await tx.find(Build, app_id=build.app_id, descending=True) if build else []
        if build is None:
            await self._runtime.remove(build_id)
        for old in [b for b in ended if b.state not in _UNFINISHED][self._settings.kept :]:
            await self._runtime.remove(old.id)


_UNFINISHED = (BuildState.pending, BuildState.running)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _read_plan(folder: Path) -> BuildPlan | None:
    path = folder / "plan.json"
    if not path.exists():
        return None
    data = orjson.loads(path.read_bytes())
    data["runtime"] = RuntimeName(data["runtime"])
    data["tools"] = tuple(data["tools"])
    data["launch_tools"] = tuple(data["launch_tools"])
    return BuildPlan(**data)


def _write_plan(folder: Path, plan: BuildPlan) -> None:
    partial = folder / "plan.json.partial"
    partial.write_bytes(orjson.dumps(asdict(plan)))
    partial.rename(folder / "plan.json")
