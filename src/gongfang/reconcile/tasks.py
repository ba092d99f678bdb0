"""The task reconciler: one-off commands, run once. The workload's id is the task's; a second start is none."""

from typing import Any

from gongfang.domain.attachments import attachment
from gongfang.domain.clock import Clock
from gongfang.domain.errors import GongfangError, Reason, Unavailable
from gongfang.domain.values import DEFAULT_DISK_MB, App, Domain, Droplet, ExitInfo, Release, Task, TaskState
from gongfang.reconcile.egress import Egress, start_in
from gongfang.reconcile.exits import task_reason
from gongfang.reconcile.workloads import PlatformFacts, task_spec
from gongfang.runtimes.interface import Phase, Runtime
from gongfang.state import Database, Writing
from gongfang.state.service_queries import bound_services

CANCEL_GRACE_S = 5.0
KEPT_TASKS = 20  # ended tasks of an app that are kept with their output


class TaskReconciler:
    """A handler for `KeyedWorkers`, the key being a task's id."""

    def __init__(
        self, database: Database, runtime: Runtime, clock: Clock, facts: PlatformFacts, egress: Egress | None = None
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._clock = clock
        self._facts = facts
        self._egress = egress

    async def unfinished(self) -> list[str]:
        async with self._database.reading() as tx:
            return [t.id for t in await tx.find(Task, state=("pending", "running"))]

    async def __call__(self, task_id: str) -> float | None:
        async with self._database.reading() as tx:
            task = await tx.one(Task, task_id)
        if task is None:  # its app was destroyed, perhaps while it was being started
            await self._runtime.stop(task_id, grace_s=CANCEL_GRACE_S)
            await self._runtime.remove(task_id)
            return None
        if task.state not in (TaskState.pending, TaskState.running):
            return None
        seen = await self._runtime.observe(task.id)
        if seen.phase is Phase.ended:
            reason = task_reason(
                seen.exit or ExitInfo(None, lost=True),
                timed_out=seen.timed_out,
                memory_mb=task.memory_mb,
                disk_mb=DEFAULT_DISK_MB,
                timeout_s=task.timeout_s,
            )
            await self._end(task, reason, seen.exit)
        elif seen.phase is Phase.unknown and task.started_at is not None:
            await self._end(task, Reason("exit_lost", {}), ExitInfo(None, lost=True))
        elif task.cancel_requested:
            await self._cancel(task, running=seen.phase is Phase.running)
        elif seen.phase is Phase.unknown:
            await self._start(task)
        elif task.state is TaskState.pending:
            await self._note(task, state=TaskState.running, started_at=seen.started_at or self._clock())
        return None

    async def _start(self, task: Task) -> None:
        async with self._database.reading() as tx:
            app = await tx.one(App, task.app_id)
            release = await tx.one(Release, task.release_id)
            droplet = await tx.one(Droplet, release.droplet_id) if release else None
            domains = await tx.find(Domain, app_id=task.app_id, limit=1)
            attached = attachment(await bound_services(tx, task.app_id))
        if app is None or release is None or droplet is None:
            await self._end(task, Reason("nothing_to_run", {}), None)
            return
        domain = domains[0].domain if domains else None
        spec = task_spec(app, release, droplet, task, self._facts, domain, attached)
        try:
            await start_in(self._runtime, self._egress, app.space_id, spec)
        except Unavailable:
            raise
        except GongfangError as error:
            await self._end(task, Reason("launch_failed", {"what": str(error)}), None)
            return
        await self._note(task, state=TaskState.running, started_at=self._clock())

    async def _cancel(self, task: Task, *, running: bool) -> None:
        if running:
            await self._runtime.stop(task.id, grace_s=CANCEL_GRACE_S)
        seen = await self._runtime.observe(task.id)
        await self._end(task, Reason("task_cancelled", {}), seen.exit)

    async def _note(self, task: Task, **changes: Any) -> None:
        async with self._database.writing() as tx:
            await tx.update(Task, task.id, **changes)
            tx.wake("task", task.id)

    async def _tell(self, tx: Writing, task: Task, state: TaskState, reason: Reason | None) -> None:
        app = await tx.one(App, task.app_id)
        if app is not None:
            await tx.event(
                f"app:task:{state.value}",
                at=self._clock(),
                tenant_id=app.tenant_id,
                organization_id=app.organization_id,
                space_id=app.space_id,
                app_id=app.id,
                object_id=task.id,
                before={"state": task.state.value},
                after={"state": state.value},
                data={"by": task.created_by, "reason": reason.to_json() if reason else None},
            )

    async def _end(self, task: Task, reason: Reason | None, exit_info: ExitInfo | None) -> None:
        state = TaskState.failed if reason else TaskState.succeeded
        if reason is not None and reason.code == "task_cancelled":
            state = TaskState.cancelled
        async with self._database.writing() as tx:
            await tx.update(Task, task.id, state=state, reason=reason, exit=exit_info, finished_at=self._clock())
            tx.wake("task", task.id)
            tx.wake("app", task.app_id)
            await self._tell(tx, task, state, reason)
            ended = await tx.find(Task, app_id=task.app_id, state=("succeeded", "failed", "cancelled"), descending=True)
        for old in ended[KEPT_TASKS:]:
            await self._runtime.remove(old.id)
            async with self._database.writing() as tx:
                await tx.delete(Task, id=old.id)
