"""The end of an app: every workload's record, every row, and the app itself. Doing it twice is doing it once."""

from typing import Any

from gongfang.domain.clock import Clock
from gongfang.domain.values import (
    App,
    Build,
    Domain,
    DomainStatus,
    Instance,
    Operation,
    OperationStatus,
    Task,
)
from gongfang.reconcile.steps import ended_steps
from gongfang.runtimes.interface import Runtime
from gongfang.state import Database

REMOVAL_GRACE_S = 2.0


async def remove_app(database: Database, runtime: Runtime, clock: Clock, app: App, operation: Operation | None) -> None:
    """Stops what builds and tasks still run, removes all workload records, then the rows, in this order."""
    async with database.reading() as tx:
        instances = [i.id for i in await tx.find(Instance, app_id=app.id)]
        builds = [b.id for b in await tx.find(Build, app_id=app.id)]
        tasks = [t.id for t in await tx.find(Task, app_id=app.id)]
    for workload in (*instances, *builds, *tasks):
        await runtime.stop(workload, grace_s=REMOVAL_GRACE_S)
        await runtime.remove(workload)
    async with database.writing() as tx:
        await tx.lock(App, app.id)  # before its operations are read: none is added that nobody would end
        # Their workers may be starting one of them just now; finding its row gone, they end it.
        for kind, ids in (("build", builds), ("task", tasks)):
            for key in ids:
                tx.wake(kind, key)
        for domain in await tx.find(Domain, app_id=app.id):
            if domain.default:
                await tx.delete(Domain, id=domain.id)
                tx.wake("https", domain.id)
            else:
                await tx.update(Domain, domain.id, app_id=None, status=DomainStatus.detached)
        for active in await tx.active_operations(app.id):
            at = clock()
            done = operation is not None and active.id == operation.id
            await tx.update(
                Operation,
                active.id,
                status=OperationStatus.succeeded if done else OperationStatus.cancelled,
                finished_at=at,
                steps=ended_steps(active.steps, at),
                sequence=active.sequence + 1,
            )
            tx.wake("operation", active.id)
        await tx.delete(App, id=app.id)
        tx.wake("build", app.id)  # its build cache
        data: dict[str, Any] = {"name": app.name, "operation": operation.id if operation else None}
        await tx.event(
            "app:destroy:succeeded",
            at=clock(),
            tenant_id=app.tenant_id,
            organization_id=app.organization_id,
            space_id=app.space_id,
            app_id=app.id,
            object_id=app.id,
            data=data,
        )
