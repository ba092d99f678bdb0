"""Clears away what is no longer needed: finds it, tells of it, removes it. `plans/retention` says what and why.

    rows        an app at a time, in one transaction with the app's row held, so that nobody makes something of
                what is about to go; decided anew inside it
    files       stored files that no row names (mark and sweep), older than a grace period
    folders     unpacked droplets, build caches, what broken-off uploads left

Rows go before files. Killed between, files are left that nothing names, and the next run finds them. Each part is on
its own: where one fails (a full disk: the database can't write), the others still make room. While a backup is made no
file is removed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog

from gongfang.blobs.interface import BlobStore
from gongfang.builders.archives import remove_tree
from gongfang.builders.droplets import DropletCache, tree_size
from gongfang.domain.clock import Clock, lived
from gongfang.domain.errors import GongfangError, Reason, Rejected, Unavailable
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, Build, Droplet, Instance, Package, Release, Task
from gongfang.reconcile.plans import retention as r
from gongfang.runtimes.interface import Runtime
from gongfang.state import ANSWERS_KEPT, Database, Reading, Writing
from gongfang.state import housekeeping as ask

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GcSettings:
    """`cache`: the folder of build caches, `trash`: one on the same file system. `short_*`: used in place of the
    others when the disk gets full."""

    cache: Path
    trash: Path
    policy: r.Policy = field(default_factory=r.Policy)
    operations: timedelta = timedelta(days=90)
    blob_grace: timedelta = timedelta(hours=1)
    droplet_idle: timedelta = timedelta(days=7)
    cache_idle: timedelta = timedelta(days=30)
    cache_limit: int = 10 << 30
    short_idle: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class GcItem:
    """One thing that is removed, or would be. `size`: bytes on disk that this frees."""

    kind: str
    id: str
    why: str
    size: int = 0
    app_id: str | None = None
    app: str | None = None


@dataclass(frozen=True, slots=True)
class GcReport:
    """`problems`: what was left out, and why."""

    dry_run: bool
    at: datetime
    items: tuple[GcItem, ...]
    problems: tuple[Reason, ...]

    @property
    def freed(self) -> int:
        return sum(item.size for item in self.items)


@dataclass(frozen=True, slots=True)
class GcActor:
    """Who asked for it; nobody where the platform does it by itself."""

    id: str | None = None
    name: str | None = None
    source: str | None = None
    request_id: str | None = None


class Blobs(BlobStore, Protocol):
    """A store that has a spool beside it."""

    def sweep_spool(self) -> None: ...


class Collector:
    """One run at a time. `clearing`: whether files may be removed just now (not while a backup is made)."""

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        blobs: Blobs,
        droplets: DropletCache,
        clock: Clock,
        settings: GcSettings,
        clearing: Callable[[], AbstractContextManager[bool]],
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._blobs = blobs
        self._droplets = droplets
        self._clock = clock
        self._lived = lived(clock)
        self._settings = settings
        self._clearing = clearing
        self._one = asyncio.Lock()

    async def run(self, *, dry_run: bool = False, short: bool = False, actor: GcActor | None = None) -> GcReport:
        """`short`: the disk gets full; what can be made again goes sooner."""
        async with self._one:
            run = _Run(self._clock(), dry_run)
            settings = self._settings
            if short:
                idle = settings.short_idle
                settings = replace(settings, droplet_idle=idle, cache_idle=idle, blob_grace=idle)
            with self._clearing() as may_clear:
                if not may_clear:
                    run.problems.append(Reason("gc_backup_under_way", {}))
                await self._attempt("trash", self._trash(run, settings), run)
                await self._attempt("unpacked", self._unpacked(run, settings), run)
                await self._attempt("histories", self._histories(run, settings), run)
                await self._attempt("old rows", self._old_rows(run, settings), run)
                if may_clear:
                    await self._attempt("files", self._files(run, settings), run)
                await self._attempt("caches", self._caches(run, settings), run)
            report = GcReport(dry_run, run.now, tuple(run.items), tuple(run.problems))
            if not dry_run:
                await self._tell(report, actor or GcActor(), short=short)
            return report

    async def _attempt(self, name: str, part: Coroutine[Any, Any, None], run: "_Run") -> None:
        try:
            await part
        except (GongfangError, OSError) as error:
            reason = error.reason if isinstance(error, GongfangError) else Reason("gc_failed", {"what": str(error)})
            log.warning("gc: a part failed", part=name, reason=str(error))
            run.problems.append(reason)

    async def _tell(self, report: GcReport, actor: GcActor, *, short: bool) -> None:
        counts = dict(Counter(item.kind for item in report.items))
        data = {"items": counts, "freed": report.freed, "short": short, "problems": [p.code for p in report.problems]}
        try:
            async with self._database.writing() as tx:
                await tx.event(
                    "platform:gc",
                    at=self._clock(),
                    actor_id=actor.id,
                    actor_name=actor.name or "platform",
                    source=actor.source,
                    request_id=actor.request_id,
                    data=data,
                )
        except Unavailable as error:
            log.warning("gc: not written down", reason=str(error), **data)

    # --- rows --------------------------------------------------------------------------------------------------------

    async def _histories(self, run: "_Run", settings: GcSettings) -> None:
        policy = settings.policy
        async with self._database.reading() as tx:
            ids = await ask.long_histories(tx, releases=policy.releases, packages=policy.packages, builds=policy.builds)
        for app_id in ids:
            if run.dry_run:
                async with self._database.reading() as tx:
                    app = await tx.one(App, app_id)
                    verdicts = await self._verdicts(tx, app, policy) if app is not None else []
            else:
                app, verdicts = await self._shorten(app_id, policy)
            if app is not None:
                run.note_history(app, verdicts)

    async def _verdicts(self, tx: Reading, app: App, policy: r.Policy) -> list[r.Verdict]:
        if app.destroying:
            return []
        history = r.History(
            app=app,
            releases=await tx.find(Release, app_id=app.id),
            packages=await tx.find(Package, app_id=app.id),
            builds=await tx.find(Build, app_id=app.id),
            droplets=await tx.find(Droplet, app_id=app.id),
            instances=await tx.find(Instance, app_id=app.id),
            tasks=await tx.find(Task, app_id=app.id),
            operations=await tx.active_operations(app.id),
        )
        return r.plan_history(history, policy)

    async def _shorten(self, app_id: str, policy: r.Policy) -> tuple[App | None, list[r.Verdict]]:
        """Operations, releases and packages are made with the app's row held: so what is decided here stays true."""
        async with self._database.writing() as tx:
            app = await tx.lock(App, app_id)
            if app is None:
                return None, []
            verdicts = await self._verdicts(tx, app, policy)
            await self._delete(tx, verdicts)
        for verdict in verdicts:
            if verdict.kind == "build":
                try:
                    await self._runtime.remove(verdict.id)  # its log
                except Rejected:  # it is still being stopped; without a row it is an orphan
                    log.info("gc: a build's sandbox is left to the sweep", build=verdict.id)
        return app, verdicts

    async def _delete(self, tx: Writing, verdicts: list[r.Verdict]) -> None:
        nouns = {"release": Release, "droplet": Droplet, "build": Build, "package": Package}
        for kind, noun in nouns.items():
            ids = [v.id for v in verdicts if v.kind == kind]
            if not ids:
                continue
            if noun is Droplet:
                for build in await tx.find(Build, droplet_id=ids):
                    await tx.update(Build, build.id, droplet_id=None)  # it has to be built again
            await tx.delete(noun, id=ids)

    async def _old_rows(self, run: "_Run", settings: GcSettings) -> None:
        now = self._lived()
        operations, answers = now - settings.operations, now - ANSWERS_KEPT
        if run.dry_run:
            async with self._database.reading() as tx:
                run.note_count("operations", await ask.old_operations(tx, operations), "gc_old")
                run.note_count("answers", await ask.old_answers(tx, answers), "gc_old")
        else:
            async with self._database.writing() as tx:
                run.note_count("operations", await ask.forget_operations(tx, operations), "gc_old")
                run.note_count("answers", await tx.purge_idempotency(answers), "gc_old")

    # --- files and folders -------------------------------------------------------------------------------------------

    async def _files(self, run: "_Run", settings: GcSettings) -> None:
        stored = await self._blobs.list()  # first: what is stored after this is not looked at
        async with self._database.reading() as tx:
            referred = await ask.blobs_referred(tx)
        if run.dry_run:
            referred -= run.leaving(referred, await self._names(run, referred))
        found = [r.StoredBlob(each.sha256, each.size, each.at) for each in stored]
        freed: dict[str, int] = {}
        for blob in r.plan_blobs(found, referred, run.now, settings.blob_grace):
            size = blob.size
            if not run.dry_run:
                size = await self._blobs.delete_unused(blob.sha256, run.now - settings.blob_grace)
            if size and blob.sha256 in run.digests:
                freed[blob.sha256] = size
            elif size:
                run.items.append(GcItem("blob", blob.sha256, "gc_unreferred", size))
        run.size_history(freed)

    async def _names(self, run: "_Run", referred: frozenset[str]) -> Counter[str]:
        """How many rows name each of the digests that rows about to go name."""
        counts: Counter[str] = Counter()
        wanted = sorted(run.digests & referred)
        async with self._database.reading() as tx:
            for noun in (Package, Droplet):
                for each in await tx.find(noun, sha256=wanted) if wanted else []:
                    counts[each.sha256] += 1
        return counts

    async def _unpacked(self, run: "_Run", settings: GcSettings) -> None:
        async with self._database.reading() as tx:
            in_use = await ask.droplets_in_use(tx)
        folders = [
            r.Folder(name, 0, datetime.fromtimestamp(used, UTC)) for name, used in self._droplets.unpacked().items()
        ]
        for folder in r.plan_droplets(folders, in_use, run.now, settings.droplet_idle):
            if run.dry_run:
                size = await asyncio.to_thread(tree_size, self._droplets.folder / folder.name)
            else:
                since = (run.now - settings.droplet_idle).timestamp()
                size = await self._droplets.evict_unused(folder.name, since)
            if size or run.dry_run:
                run.items.append(GcItem("unpacked", folder.name, "gc_idle", size))

    async def _caches(self, run: "_Run", settings: GcSettings) -> None:
        folders = await asyncio.to_thread(_folders, settings.cache)
        async with self._database.reading() as tx:
            building = await ask.apps_building(tx)
        planned = r.plan_caches(folders, building, run.now, settings.cache_idle, settings.cache_limit)
        for folder, why in planned:
            if run.dry_run or await self._drop_cache(folder.name, settings):
                run.items.append(GcItem("cache", folder.name, why, folder.size, app_id=folder.name))

    async def _drop_cache(self, app_id: str, settings: GcSettings) -> bool:
        """Builds are asked for with the app's row held: none begins while its cache is moved away."""
        settings.trash.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = settings.trash / new_id("tr")
        async with self._database.writing() as tx:
            if await tx.lock(App, app_id) is not None and app_id in await ask.apps_building(tx):
                return False
            try:
                (settings.cache / app_id).rename(aside)
            except FileNotFoundError:
                return False
        await asyncio.to_thread(remove_tree, aside)
        return True

    async def _trash(self, run: "_Run", settings: GcSettings) -> None:
        """What earlier runs were removing when they were killed, and what uploads have left."""
        if run.dry_run:
            return
        await asyncio.to_thread(self._blobs.sweep_spool)
        if settings.trash.is_dir():
            for path in list(settings.trash.iterdir()):
                await asyncio.to_thread(remove_tree, path)


class _Run:
    """What one run has found so far."""

    def __init__(self, now: datetime, dry_run: bool) -> None:
        self.now = now
        self.dry_run = dry_run
        self.items: list[GcItem] = []
        self.problems: list[Reason] = []
        self._names: Counter[str] = Counter()  # digest: rows about to go (or gone) that name it
        self._of_item: dict[int, str] = {}

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(self._names)

    def note_history(self, app: App, verdicts: list[r.Verdict]) -> None:
        for verdict in verdicts:
            if verdict.sha256 is not None:
                self._names[verdict.sha256] += 1
                self._of_item[len(self.items)] = verdict.sha256
            self.items.append(GcItem(verdict.kind, verdict.id, verdict.why, 0, app.id, app.name))

    def note_count(self, kind: str, count: int, why: str) -> None:
        if count:
            self.items.append(GcItem(kind, str(count), why))

    def leaving(self, referred: frozenset[str], counts: Counter[str]) -> frozenset[str]:
        """Digests that no row would name any more once all these rows were gone."""
        return frozenset(d for d in self._names if d in referred and counts[d] <= self._names[d])

    def size_history(self, freed: dict[str, int]) -> None:
        """Each stored file that goes counts once, at the first row that named it."""
        for index, digest in self._of_item.items():
            self.items[index] = replace(self.items[index], size=freed.pop(digest, 0))


def _folders(top: Path) -> list[r.Folder]:
    found: list[r.Folder] = []
    if top.is_dir():
        for path in top.iterdir():
            try:
                used = max((path.stat().st_mtime, *(p.stat().st_mtime for p in path.iterdir())))
            except OSError:
                continue
            found.append(r.Folder(path.name, tree_size(path), datetime.fromtimestamp(used, UTC)))
    return found
