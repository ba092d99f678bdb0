"""Workloads that nobody asked for any more: found by comparing the runtime's records with the rows, and removed.

They come from a control plane that died between two writes, or from a database that was put back to an earlier state.
Only what this runtime itself started is looked at, by id. A server that apps are bound to is known by its hosted row,
which names its workload.
"""

import asyncio

import structlog

from gongfang.domain.errors import Unavailable
from gongfang.domain.values import Build, Instance, Task
from gongfang.runtimes.interface import Phase, Runtime, WorkloadKind
from gongfang.state import Database, Wake
from gongfang.state.housekeeping import known_ids
from gongfang.state.service_queries import hosted_workloads

log = structlog.get_logger()

GRACE_S = 5.0
_NOUNS: dict[WorkloadKind, type[Instance | Build | Task]] = {
    WorkloadKind.instance: Instance,
    WorkloadKind.build: Build,
    WorkloadKind.task: Task,
}


async def remove_orphans(database: Database, runtime: Runtime) -> list[str]:
    """Stops and forgets workloads without a row; answers their ids. Safe at any time: the runtime is asked first, and a
    row is made before its workload and goes after it, so one that has a workload now and no row afterwards has none."""
    workloads = [w for w in await runtime.list() if w.kind in (*_NOUNS, WorkloadKind.service, None)]
    left = {w.workload_id: w.kind for w in workloads}
    for kind, noun in _NOUNS.items():
        # Of one whose record could not be read nobody knows of which kind it was.
        ids = [workload_id for workload_id, own in left.items() if own in (kind, None)]
        async with database.reading() as tx:
            for known in await known_ids(tx, noun, ids):
                del left[known]
    if any(kind in (WorkloadKind.service, None) for kind in left.values()):
        async with database.reading() as tx:
            for known in left.keys() & await hosted_workloads(tx):
                del left[known]
    removed = list(left)
    for workload_id in removed:
        log.warning("removing orphan", workload=workload_id)
        await runtime.stop(workload_id, grace_s=GRACE_S)
        await runtime.remove(workload_id)
    return removed


async def keep_removing_orphans(database: Database, runtime: Runtime, every_s: float) -> None:
    """Until cancelled. A database that is away is asked again next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await remove_orphans(database, runtime)
        except Unavailable as error:
            log.warning("orphans not looked for", reason=str(error))


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
        elif seen.kind is WorkloadKind.service and "hosted" in seen.labels:
            database.hub.publish([Wake("hosted", seen.labels["hosted"])])
        elif seen.kind in kinds:
            database.hub.publish([Wake(kinds[seen.kind], workload_id)])
