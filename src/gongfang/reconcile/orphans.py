"""Workloads that nobody asked for any more: found by comparing the runtime's records with the rows, and removed.

They come from a control plane that died between two writes, or from a database that was put back to an earlier state.
Only what this runtime itself started is looked at, by id.
"""

import structlog

from gongfang.domain.errors import Unavailable
from gongfang.domain.values import Build, Instance, Task
from gongfang.runtimes.interface import Phase, Runtime, WorkloadKind
from gongfang.state import Database, Wake

log = structlog.get_logger()

GRACE_S = 5.0
_NOUNS: dict[WorkloadKind, type[Instance | Build | Task]] = {
    WorkloadKind.instance: Instance,
    WorkloadKind.build: Build,
    WorkloadKind.task: Task,
}


async def remove_orphans(database: Database, runtime: Runtime) -> list[str]:
    """Stops and forgets workloads without a row; answers their ids. The runtime is asked first: a row is made before
    its workload, so one that has a workload now and no row afterwards has none at all."""
    workloads = [w for w in await runtime.list() if w.kind in _NOUNS]
    removed: list[str] = []
    for kind, noun in _NOUNS.items():
        ids = [w.workload_id for w in workloads if w.kind is kind]
        async with database.reading() as tx:
            known = {value.id for value in await tx.find(noun, id=ids)} if ids else set[str]()
        removed += [i for i in ids if i not in known]
    for workload_id in removed:
        log.warning("removing orphan", workload=workload_id)
        await runtime.stop(workload_id, grace_s=GRACE_S)
        await runtime.remove(workload_id)
    return removed


async def relay_ends(database: Database, runtime: Runtime) -> None:
    """Wakes whoever waits for a workload, as the runtime tells of its end. Until cancelled."""
    kinds = {WorkloadKind.build: "build", WorkloadKind.task: "task"}
    async for workload_id in runtime.ends():
        try:
            seen = await runtime.observe(workload_id)
        except Unavailable:  # the next sweep sees it
            continue
        if seen.phase is Phase.unknown or seen.kind is None:
            continue
        if seen.kind is WorkloadKind.instance and "app" in seen.labels:
            database.hub.publish([Wake("app", seen.labels["app"])])
        elif seen.kind in kinds:
            database.hub.publish([Wake(kinds[seen.kind], workload_id)])
