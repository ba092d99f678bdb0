"""Writes what the app reconciler decides: each method one transaction, with its event, and the news of it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog

from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.ids import new_id
from gongfang.domain.values import (
    App,
    AppState,
    Build,
    BuildState,
    DesiredState,
    Domain,
    DomainStatus,
    Droplet,
    Instance,
    InstanceState,
    Operation,
    OperationStatus,
    ProcessConfig,
    Release,
    Step,
    Task,
    TaskState,
)
from gongfang.reconcile.exits import exit_reason
from gongfang.reconcile.plans import actions as a
from gongfang.reconcile.steps import ended_steps
from gongfang.runtimes.interface import Endpoint
from gongfang.state import Database, Writing

log = structlog.get_logger()

_EVENT_OF = {
    OperationStatus.succeeded: "succeeded",
    OperationStatus.failed: "failed",
    OperationStatus.cancelled: "cancelled",
}


class AppWriter:
    """The only writer of an app's observed state, of its releases, and of its instances' rows (but readiness).

    A transaction that touches both locks the app before its operations, as those of `operations` do: no deadlocks.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def _observe(self, tx: Writing, app: App, seen: a.Observed) -> None:
        await tx.update(App, app.id, state=seen.state, reason=seen.reason, observed_generation=seen.generation)
        if app.state is not seen.state:
            data = {"from": app.state, "to": seen.state}
            before, after = {"state": app.state}, {"state": seen.state}
            await self.event(tx, "app:state:changed", app, data=data, before=before, after=after)
        tx.wake("app-state", app.id)

    async def event(
        self,
        tx: Writing,
        tag: str,
        app: App,
        *,
        object_id: str | None = None,
        data: dict[str, Any] | None = None,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """An event in the platform's own name."""
        await tx.event(
            tag,
            at=self._clock(),
            tenant_id=app.tenant_id,
            organization_id=app.organization_id,
            space_id=app.space_id,
            app_id=app.id,
            object_id=object_id or app.id,
            object_name=app.name if object_id is None else None,
            data=data,
            before=before,
            after=after,
        )

    async def activate_domains(self, domains: Sequence[Domain]) -> None:
        """The edge serves them: seen, not hoped."""
        if not domains:
            return
        async with self._database.writing() as tx:
            for domain in domains:
                now = await tx.lock(Domain, domain.id)
                if now is not None and now.app_id == domain.app_id and now.domain == domain.domain:
                    await tx.update(Domain, domain.id, status=DomainStatus.active)

    # --- instances ---------------------------------------------------------------------------------------------------

    async def add_instance(self, app: App, action: a.StartInstance, bound: str) -> Instance:
        instance = Instance(
            id=new_id("ins"),
            app_id=app.id,
            release_id=action.release.id,
            epoch=app.epoch,
            process=action.process,
            index=action.index,
            state=InstanceState.starting,
            created_at=self._clock(),
            restarts=action.restarts,
            bound=bound,
        )
        async with self._database.writing() as tx:
            await tx.insert(instance)
            if action.restarts:
                data = {"process": action.process, "index": action.index, "restarts": action.restarts}
                await self.event(tx, "app:instance:restart", app, object_id=instance.id, data=data)
        return instance

    async def launched(
        self, instance: Instance, endpoint: Endpoint | None, started_at: datetime | None
    ) -> Instance | None:
        async with self._database.writing() as tx:
            return await tx.update(
                Instance,
                instance.id,
                started_at=started_at or self._clock(),
                host=endpoint.host if endpoint else None,
                port=endpoint.port if endpoint else None,
            )

    async def bound(self, instance: Instance, digest: str) -> None:
        """It is about to be started with other bindings than there were when its row was made."""
        async with self._database.writing() as tx:
            await tx.update(Instance, instance.id, bound=digest)

    async def launch_failed(self, app: App, instance: Instance, what: str) -> None:
        reason = Reason("launch_failed", {"what": what})
        now = self._clock()
        async with self._database.writing() as tx:
            await tx.update(
                Instance, instance.id, state=InstanceState.crashed, started_at=now, ended_at=now, reason=reason
            )
            await self.event(tx, "app:instance:crashed", app, object_id=instance.id, data={"reason": reason.to_json()})

    async def stopping(self, instance: Instance, fault: object) -> None:
        async with self._database.writing() as tx:
            now = await tx.lock(Instance, instance.id)
            if now is not None and not now.state.ended:
                await tx.update(
                    Instance,
                    instance.id,
                    state=InstanceState.stopping,
                    leaving_at=now.leaving_at or self._clock(),
                    reason=fault or now.reason,
                )

    async def record_end(
        self,
        app: App,
        end: a.RecordEnd,
        limits: ProcessConfig,
        output: str,
    ) -> None:
        """How it ended. One that was told to, by whomever, has `exited`; any other has crashed, for a reason."""
        instance = end.instance
        async with self._database.writing() as tx:
            now = await tx.lock(Instance, instance.id)
            if now is None or now.state.ended:
                return
            exit_info = end.exit
            told = now.reason is None and (now.state.leaving or end.told)
            state = InstanceState.exited if told else InstanceState.crashed
            fault = now.reason if now.state is InstanceState.stopping else None
            reason = (
                None if told else fault or exit_reason(exit_info, memory_mb=limits.memory_mb, disk_mb=limits.disk_mb)
            )
            await tx.update(
                Instance,
                instance.id,
                state=state,
                exit=exit_info,
                ended_at=end.ended_at or self._clock(),
                reason=reason,
                last_output=None if told else output,
            )
            if reason is not None:
                data = {
                    "process": now.process,
                    "index": now.index,
                    "reason": reason.to_json(),
                    "exit": asdict(exit_info),
                }
                before, after = {"state": now.state}, {"state": state}
                await self.event(
                    tx, "app:instance:crashed", app, object_id=instance.id, data=data, before=before, after=after
                )

    async def forget_instance(self, instance: Instance) -> None:
        async with self._database.writing() as tx:
            await tx.delete(Instance, id=instance.id)

    # --- operations and releases -------------------------------------------------------------------------------------

    async def write(self, app: App, actions: Sequence[a.RowAction], seen: a.Observed | None = None) -> None:
        """What is seen of the app, where that is new, and then actions that change rows only, in one transaction."""
        if seen is not None and (app.state, app.reason, app.observed_generation) == (
            seen.state,
            seen.reason,
            seen.generation,
        ):
            seen = None
        if seen is None and not actions:
            return
        async with self._database.writing() as tx:
            await tx.lock(App, app.id)
            if seen is not None:
                await self._observe(tx, app, seen)
            for action in actions:
                await self._write(tx, app, action)

    async def _write(self, tx: Writing, app: App, action: a.RowAction) -> None:
        match action:
            case a.BeginOperation(operation):
                await self._begin(tx, operation)
            case a.EnterStep(operation, name, facts):
                await self._step(tx, operation, name, facts)
            case a.RequestBuild(operation, package_id):
                await self._build(tx, app, operation, package_id)
            case a.MakeRelease():
                await self._release(tx, app, action)
            case a.MarkHealthy(release):
                await tx.update(Release, release.id, healthy_at=release.healthy_at or self._clock(), failed=None)
                await tx.update(App, app.id, current_release_id=release.id)
            case a.DrainInstance(instance):
                await self._drain(tx, instance)
            case a.Abandon():
                await self._abandon(tx, app, action)
            case a.FinishOperation(operation):
                await self._finish(tx, app, operation, OperationStatus.succeeded, None, None)
            case a.RunTask(operation, release):
                await self._task(tx, operation, release)
            case a.CancelBuild(build):
                await self._cancel_build(tx, build.id)
            case a.StopApp():
                await tx.update(App, app.id, desired=DesiredState.stopped)

    async def _begin(self, tx: Writing, operation: Operation) -> None:
        now = await tx.lock(Operation, operation.id)
        if now is not None and now.status is OperationStatus.pending:
            await self._change(tx, now, status=OperationStatus.running, started_at=self._clock())
            await tx.update(App, now.app_id or "", reason=None)

    async def _change(self, tx: Writing, operation: Operation, **changes: Any) -> None:
        await tx.update(Operation, operation.id, sequence=operation.sequence + 1, **changes)
        tx.wake("operation", operation.id)

    async def _step(self, tx: Writing, operation: Operation, name: str, facts: Any) -> None:
        now = await tx.lock(Operation, operation.id)
        if now is None or now.status.ended or (now.steps and now.steps[-1].name == name):
            return
        at = self._clock()
        await self._change(tx, now, steps=[*ended_steps(now.steps, at), Step(name, at, None, dict(facts))])

    async def _build(self, tx: Writing, app: App, operation: Operation, package_id: str) -> None:
        """The build of this package for this runtime that has succeeded or is under way, or a new one."""
        now = await tx.lock(Operation, operation.id)
        if now is None or now.status.ended or now.build_id is not None:
            return
        known = await tx.find(
            Build, app_id=app.id, package_id=package_id, runtime=app.runtime, state=("pending", "running", "succeeded")
        )
        usable = [b for b in known if b.state is not BuildState.succeeded or b.droplet_id]
        if usable:
            build = usable[-1]
        else:
            build = Build(
                id=new_id("bld"),
                app_id=app.id,
                package_id=package_id,
                runtime=app.runtime,
                state=BuildState.pending,
                created_at=self._clock(),
            )
            await tx.insert(build)
        await self._change(tx, now, build_id=build.id)
        tx.wake("build", build.id)

    async def _release(self, tx: Writing, app: App, action: a.MakeRelease) -> None:
        """The configuration is read in the same transaction, so that a change of it is in this release or the next."""
        current = await tx.one(App, app.id)
        operation = await tx.lock(Operation, action.operation.id)
        if operation is None or operation.status.ended or operation.release_id or current is None:
            return
        release = Release(
            id=new_id("rel"),
            app_id=app.id,
            number=await tx.last_number(Release, "number", app_id=app.id) + 1,
            droplet_id=action.droplet_id,
            package_id=action.package_id,
            package_seq=action.package_seq,
            config=current.config,
            cause=action.cause,
            from_release=action.from_release,
            created_at=self._clock(),
            created_by=operation.created_by,
        )
        await tx.insert(release)
        await tx.update(App, app.id, target_release_id=release.id)
        await self._change(tx, operation, release_id=release.id)
        data = {"number": release.number, "cause": release.cause, "package": release.package_id}
        await self.event(tx, "app:release:create", app, object_id=release.id, data=data)

    async def _drain(self, tx: Writing, instance: Instance) -> None:
        now = await tx.lock(Instance, instance.id)
        if now is not None and not now.state.ended and not now.state.leaving:
            await tx.update(Instance, instance.id, state=InstanceState.draining, leaving_at=self._clock(), reason=None)

    async def _abandon(self, tx: Writing, app: App, action: a.Abandon) -> None:
        current = await tx.one(App, app.id)
        operation = await tx.lock(Operation, action.operation.id)
        if current is None or operation is None or operation.status.ended:
            return  # somebody has wished for something newer meanwhile: that is what counts
        changes: dict[str, Any] = {}
        if action.restore is not None:
            changes["target_release_id"] = action.restore.id
            if not action.stop_app:  # what was set for a stopped app's next start stays set
                changes["config"] = action.restore.config
        elif action.failed_release is not None and current.target_release_id == action.failed_release.id:
            changes["target_release_id"] = None
        if action.stop_app:
            changes["desired"] = DesiredState.stopped
        if action.epoch is not None:
            changes["epoch"] = action.epoch
        if action.scale is not None:
            changes["scale"] = action.scale
        if changes:
            await tx.update(App, app.id, **changes)
        if action.failed_release is not None:
            await tx.update(Release, action.failed_release.id, failed=action.reason)
        if action.status is OperationStatus.failed and action.stop_app:
            await tx.update(App, app.id, reason=action.reason, state=AppState.stopped)
        if operation.build_id:
            await self._cancel_build(tx, operation.build_id)
        if (task_id := operation.params.get("task_id")) is not None:
            await tx.update(Task, task_id, cancel_requested=True)
            tx.wake("task", task_id)
        await self._finish(tx, app, action.operation, action.status, action.reason, action.output)

    async def _cancel_build(self, tx: Writing, build_id: str) -> None:
        build = await tx.lock(Build, build_id)
        if build is not None and build.state in (BuildState.pending, BuildState.running):
            reason = Reason("build_cancelled", {})
            await tx.update(Build, build_id, state=BuildState.cancelled, finished_at=self._clock(), reason=reason)
            tx.wake("build", build_id)

    async def _finish(
        self,
        tx: Writing,
        app: App,
        operation: Operation,
        status: OperationStatus,
        reason: Reason | None,
        output: str | None,
    ) -> None:
        now = await tx.lock(Operation, operation.id)
        if now is None or now.status.ended:
            return
        at = self._clock()
        release_id = now.release_id or (app.target_release_id if status is OperationStatus.succeeded else None)
        await self._change(
            tx,
            now,
            status=status,
            finished_at=at,
            steps=ended_steps(now.steps, at),
            reason=reason,
            output=output,
            release_id=release_id,
        )
        data: dict[str, Any] = {"operation": now.id, "kind": now.kind, "by": now.created_by}
        if reason is not None:
            data["reason"] = reason.to_json()
        tag, before, after = f"app:{now.kind.value}:{_EVENT_OF[status]}", {"status": now.status}, {"status": status}
        await self.event(tx, tag, app, object_id=now.id, data=data, before=before, after=after)

    async def _task(self, tx: Writing, operation: Operation, release: Release) -> None:
        now = await tx.lock(Operation, operation.id)
        droplet = await tx.one(Droplet, release.droplet_id)
        if now is None or now.status.ended or "task_id" in now.params or droplet is None:
            return
        config = release.config.process("task")
        task = Task(
            id=new_id("task"),
            app_id=release.app_id,
            release_id=release.id,
            command=config.command or droplet.processes.get("task") or next(iter(droplet.processes.values()), ""),
            memory_mb=config.memory_mb,
            timeout_s=max(1.0, (now.deadline - self._clock()).total_seconds()),
            state=TaskState.pending,
            created_at=self._clock(),
            created_by=now.created_by,
        )
        await tx.insert(task)
        await self._change(tx, now, params={**now.params, "task_id": task.id})
        tx.wake("task", task.id)
