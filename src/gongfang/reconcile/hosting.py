"""The built-in broker's own side: servers as the rows wish them, one key (a hosted instance's id) at a time.

All talk with servers is here; the broker (`reconcile/builtin.py`) only writes rows. What is to be done is decided by
`plans/hosting.py`; here it is done, and written down. Each write is one transaction that wakes whoever waits for it:
the platform's own reconcilers where the server is the platform's (`owner` ""), so that nothing polls slowly.

Where a server's things lie: `FOLDER/HST_ID/data` (its own, shown as /data), `FOLDER/HST_ID/conf` (shown as /conf). A
folder without a row is left alone: a database that was put back to an earlier state must not cost data.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import structlog

from gongfang.brokers.kinds.interface import Change, Seed, Server, ServiceKind, Site
from gongfang.builders.archives import remove_tree
from gongfang.domain.clock import Clock
from gongfang.domain.errors import GongfangError, Reason, Rejected, Unavailable
from gongfang.domain.hosting import HostedBinding, HostedInstance, HostedState
from gongfang.domain.ids import new_id
from gongfang.reconcile.exits import LAST_BYTES, last_lines
from gongfang.reconcile.hosted_figures import ServiceFigures, figures_of
from gongfang.reconcile.hosted_rows import HostedRows, seen_of, wanted
from gongfang.reconcile.plans import hosting as plan
from gongfang.runtimes.interface import (
    Limits,
    Mount,
    Network,
    NetworkKind,
    Observation,
    Phase,
    Runtime,
    Usage,
    WorkloadKind,
    WorkloadSpec,
)
from gongfang.state import Database
from gongfang.toolbox.interface import Tool

log = structlog.get_logger()

EnsureTool = Callable[[str], Awaitable[Tool]]

MB = 1024 * 1024
ROUNDS = 50  # of one look: a picture that never comes to rest is looked at again later
PROBING_S = 2.0  # of one look, after which others get their turn
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25
_GENERATION = "generation"  # the label that says what a workload was started for
_BROKEN_AGAIN_S = 300.0


@dataclass
class _Known:
    """What this control plane remembers of a server that runs. Losing it does no harm."""

    fault: Reason | None = None
    misses: int = 0
    trouble: str = "-"
    tries: int = 0  # of a change that failed while it ran
    usage: tuple[float, Usage] | None = None
    figures: ServiceFigures | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    picture: plan.HostedPicture
    kind: ServiceKind
    observed: Observation

    @property
    def row(self) -> HostedInstance:
        return self.picture.row


class HostedReconciler:
    """A handler for `KeyedWorkers`. `folder`: where servers' data lie; `ensure`: fetches a tool of the toolbox."""

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        ensure: EnsureTool,
        kinds: Sequence[ServiceKind],
        clock: Clock,
        folder: Path,
    ) -> None:
        self._database = database
        self._rows = HostedRows(database, clock)
        self._runtime = runtime
        self._ensure = ensure
        self._kinds = {kind.name: kind for kind in kinds}
        self._clock = clock
        self._folder = folder
        self._known: dict[str, _Known] = {}
        self._names: dict[str, str] = {}  # the platform's service instance → server

    async def unfinished(self) -> list[str]:
        """All of them: one that runs is asked whether it answers."""
        async with self._database.reading() as tx:
            return [row.id for row in await tx.find(HostedInstance)]

    def figures(self, instance_id: str) -> ServiceFigures | None:
        """Of the server of a service instance of this platform, while it runs."""
        known = self._known.get(self._names.get(instance_id, ""))
        return known.figures if known is not None else None

    async def __call__(self, key: str) -> float | None:
        for _ in range(ROUNDS):
            seen = await self._look(key)
            if seen is None:
                await self._forgotten(key)
                return None
            decision = plan.decide_hosted(seen.picture)
            for act in decision.acts:
                if not await self._do(seen, act):
                    return _later(decision.wake_at, self._clock())
            if not decision.acts:
                await self._figure(seen)
                return _later(decision.wake_at, self._clock())
        return 1.0

    # --- seeing ------------------------------------------------------------------------------------------------------

    async def _look(self, key: str) -> _Seen | None:
        async with self._database.reading() as tx:
            row = await tx.one(HostedInstance, key)
            bindings = await tx.find(HostedBinding, hosted_id=key) if row is not None else []
        if row is None:
            return None
        known = self._known.setdefault(key, _Known())
        if not row.owner:
            self._names[row.instance_id] = key
        kind = self._kinds[row.service]
        observed = Observation("", Phase.unknown)
        if row.workload_id is not None:
            observed = await self._runtime.observe(row.workload_id)
        label = observed.labels.get(_GENERATION, "")
        picture = plan.HostedPicture(
            row=row,
            bindings=tuple(bindings),
            phase=observed.phase,
            data_there=await asyncio.to_thread(_holds_something, self._data(row)),
            change=_change(kind, row),
            now=self._clock(),
            exit=observed.exit,
            told=observed.told,
            launched=int(label) if label.isdecimal() else None,
            fault=known.fault,
            misses=known.misses,
            trouble=known.trouble,
        )
        return _Seen(picture, kind, observed)

    def _data(self, row: HostedInstance) -> Path:
        return self._folder / row.id / "data"

    def _server(self, seen: _Seen) -> Server:
        row = seen.row
        return Server(
            row.host or "127.0.0.1",
            row.port,
            wanted(seen.kind, row),
            orjson.loads(row.admin_secret),
            self._folder / row.id / "conf",
        )

    # --- doing -------------------------------------------------------------------------------------------------------

    async def _do(self, seen: _Seen, act: plan.Act) -> bool:
        """Whether it is worth to look again at once."""
        match act:
            case plan.Launch(fresh):
                await self._launch(seen, fresh=fresh)
            case plan.Adopt():
                await self._rows.adopted(seen.row, seen.kind, seen.observed)
            case plan.Probe():
                return await self._probe(seen)
            case plan.Reconfigure():
                await self._reconfigure(seen)
            case plan.Settle():
                await self._settle(seen.row)
            case plan.Stop(fault):
                self._known[seen.row.id].fault = fault
                await self._runtime.stop(str(seen.row.workload_id), grace_s=self._grace(seen))
            case plan.RecordEnd():
                await self._record_end(seen, act)
            case plan.Break(reason, due):
                await self._rows.broken(seen.row, reason, due)
            case plan.Tell(binding):
                await self._tell(seen, binding)
            case plan.Revoke(binding):
                await self._revoke(seen, binding)
            case plan.Destroy():
                await self._destroy(seen.row)
        return True

    def _grace(self, seen: _Seen) -> float:
        return seen.kind.launch(self._site(seen, fresh=False)).grace_s

    def _site(self, seen: _Seen, *, fresh: bool) -> Site:
        row = seen.row
        own = self._runtime.capabilities().enforces("own_network")
        return Site(
            hosted_id=row.id,
            port=row.port,
            listen="0.0.0.0" if own and len(seen.kind.ports) > 1 else "127.0.0.1",  # noqa: S104  (a network of its own)
            wanted=wanted(seen.kind, row),
            admin=orjson.loads(row.admin_secret),
            fresh=fresh,
            bindings=tuple(_seed(b) for b in seen.picture.bindings if not b.deleting),
        )

    async def _launch(self, seen: _Seen, *, fresh: bool) -> None:
        row, kind, state = seen.row, seen.kind, seen.row.state
        try:
            tools = [await self._ensure(name) for name in kind.tools]
            version = tools[0].version if tools else None
            if row.initialized and row.version and version and _major(row.version) != _major(version):
                raise Rejected("service_other_major", had=row.version, has=version)
            launch = kind.launch(self._site(seen, fresh=fresh))
            await asyncio.to_thread(self._folders, row, launch.conf)
        except Rejected as error:
            await self._rows.broken(row, error.reason, self._again_at())
            return
        if seen.picture.never:
            state = HostedState.creating
        elif not seen.picture.settled:
            state = HostedState.updating
        elif state is HostedState.broken:
            state = HostedState.crashed
        if row.workload_id is None or state is not row.state:
            changes: dict[str, Any] = {"workload_id": row.workload_id or new_id("srv"), "state": state}
            if state is not row.state and state is HostedState.updating:
                changes["restarts"] = 0
            row = await self._rows.launching(row, {**changes, "version": version})
        size = kind.size(row.plan)
        mounts = [Mount(self._data(row), "/data", writable=True, own=True, lock=True)]
        if launch.conf:
            mounts.append(Mount(self._folder / row.id / "conf", "/conf"))
        spec = WorkloadSpec(
            id=str(row.workload_id),
            kind=WorkloadKind.service,
            command=launch.command,
            environment=launch.environment,
            workdir="/data",
            mounts=tuple(mounts),
            tools=kind.tools,
            limits=Limits(
                memory_bytes=size.memory_mb * MB,
                cpu_cores=size.cpu,
                processes=launch.processes,
                disk_bytes=size.storage_mb * MB,
            ),
            wants_port=True,
            port=row.port,
            files=launch.files,
            network=Network(NetworkKind.own, internet=False),
            labels={"hosted": row.id, "service": row.service, _GENERATION: str(row.generation)},
        )
        self._known[row.id] = _Known()
        try:
            await self._runtime.start(spec)
        except Rejected as error:
            if error.code == "path_in_use":  # by one that has not ended yet
                raise Unavailable("path_in_use", path=str(self._data(row))) from None
            await self._rows.broken(row, error.reason, self._again_at())

    def _again_at(self) -> datetime:
        return self._clock() + timedelta(seconds=_BROKEN_AGAIN_S)

    def _folders(self, row: HostedInstance, conf: Mapping[str, bytes]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = self._folder / row.id
        (own / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
        if conf:
            folder = own / "conf"
            folder.mkdir(exist_ok=True, mode=0o755)
            for name, content in conf.items():
                new = folder / f"{name}.new"
                new.write_bytes(content)
                new.chmod(0o644)  # the server is another user; nobody else passes the folders above
                new.replace(folder / name)

    async def _probe(self, seen: _Seen) -> bool:
        """Waits a moment for its first answer; then it is made what it should be, before anybody is told of it."""
        row, kind, server = seen.row, seen.kind, self._server(seen)
        known = self._known[row.id]
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + PROBING_S, _FIRST_PAUSE_S
        try:
            while True:
                try:
                    await kind.ready(server)
                    break
                except Unavailable as error:
                    known.trouble = _what(error)
                    if (await self._runtime.observe(str(row.workload_id))).phase is not Phase.running:
                        return True
                    if loop.time() > until:
                        return False
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE_S)
            await kind.prepare(server)
            for binding in seen.picture.bindings:
                if binding.deleting:
                    await self._revoke(seen, binding)
        except Unavailable as error:
            known.trouble = _what(error)
            return False
        except Rejected as error:
            await self._rows.broken(row, error.reason, self._again_at())
            return True
        await self._settle(seen.row)
        return True

    async def _settle(self, row: HostedInstance) -> None:
        self._known[row.id].misses = 0
        await self._rows.settled(row)

    async def _reconfigure(self, seen: _Seen) -> None:
        known = self._known[seen.row.id]
        try:
            await seen.kind.reconfigure(self._server(seen), wanted(seen.kind, seen.row))
        except GongfangError as error:
            known.tries += 1
            if isinstance(error, Unavailable) and known.tries < plan.TRIES:
                raise
            known.tries = 0
            await self._rows.taken_back(seen.row, error.reason)
            return
        known.tries = 0
        await self._settle(seen.row)

    async def _record_end(self, seen: _Seen, act: plan.RecordEnd) -> None:
        workload_id = str(seen.row.workload_id)
        output = await self._runtime.read_log(workload_id, offset=-LAST_BYTES, limit=LAST_BYTES)
        size = seen.kind.size(seen.row.plan)
        await self._rows.ended(seen.picture, act, size, seen.observed.ended_at, last_lines(output.data))
        self._known[seen.row.id] = _Known()
        await self._runtime.remove(workload_id)

    async def _tell(self, seen: _Seen, binding: HostedBinding) -> None:
        failed: Reason | None = None
        try:
            await seen.kind.bind(self._server(seen), _seed(binding))
        except Rejected as error:
            failed = error.reason
        await self._rows.told(seen.row, binding, failed)

    async def _revoke(self, seen: _Seen, binding: HostedBinding) -> None:
        await seen.kind.unbind(self._server(seen), _seed(binding))
        await self._rows.revoked(seen.row, binding)

    async def _destroy(self, row: HostedInstance) -> None:
        """The data go before the row: what is cut off here is done again, and nothing is left that nobody knows."""
        if row.workload_id is not None:
            await self._runtime.remove(row.workload_id)
        await asyncio.to_thread(remove_tree, self._folder / row.id)
        await self._rows.destroyed(row)

    async def _forgotten(self, key: str) -> None:
        self._known.pop(key, None)
        for name in [name for name, hosted in self._names.items() if hosted == key]:
            del self._names[name]

    async def _figure(self, seen: _Seen) -> None:
        """Whether it still answers, and what it takes."""
        row, kind = seen.row, seen.kind
        if seen.picture.phase is not Phase.running or row.ready_at is None or row.workload_id is None:
            return
        known, size = self._known[row.id], kind.size(row.plan)
        try:
            told = await kind.figures(self._server(seen))
        except GongfangError as error:
            known.misses += 1
            known.trouble = _what(error)
            return
        known.misses = 0
        usage = await self._runtime.usage(row.workload_id)
        at = asyncio.get_running_loop().time()
        known.figures = figures_of(told, size, at, usage, known.usage)
        known.usage = None if usage is None else (at, usage)


# --- values ----------------------------------------------------------------------------------------------------------


def _change(kind: ServiceKind, row: HostedInstance) -> Change:
    before = seen_of(kind, row)
    if before is None or row.observed_generation == row.generation:
        return Change.none
    try:
        return kind.change(before, wanted(kind, row))
    except Rejected:  # the broker refuses these; a row that says so all the same is obeyed
        return Change.restart


def _seed(binding: HostedBinding) -> Seed:
    return Seed(binding.binding_id, orjson.loads(binding.seed_secret), binding.parameters)


def _what(error: GongfangError) -> str:
    return str(error.facts.get("what", error.code))


def _major(version: str) -> str:
    return version.partition(".")[0]


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False


def _later(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max(0.0, (at - now).total_seconds())
