"""The operations of one app: from the first step of each to its end, whichever it is.

The newest wish wins: an operation makes its release (building first where it has to), and the release becomes the
target; `instances` follows the target. A release that does not become healthy is abandoned.
"""

from gongfang.domain.errors import Reason
from gongfang.domain.values import (
    AppType,
    BuildState,
    InstanceState,
    Operation,
    OperationKind,
    OperationStatus,
    Release,
    TaskState,
)
from gongfang.reconcile.plans import actions as a
from gongfang.reconcile.plans.picture import Draft, Picture, converged, enter_step

MAX_CRASHES = 2  # of a release that is being brought in


def plan_operations(p: Picture, draft: Draft) -> None:
    _settle(p, draft)
    for operation in p.operations:
        if operation.status is OperationStatus.pending:
            draft.add(a.BeginOperation(operation))
        elif operation.cancel_requested:
            draft.add(_abandon(p, operation, OperationStatus.cancelled, Reason("cancelled_by_request", {})))
        elif p.now >= operation.deadline:
            draft.add(_abandon(p, operation, OperationStatus.failed, Reason("deadline_passed", {})))
        else:
            draft.wake(operation.deadline)
            _advance(p, operation, draft)


def _settle(p: Picture, draft: Draft) -> None:
    """What follows from operations that newer ones have ended: a build that nobody waits for is cancelled; a release
    that got healthy is the one to come back to, though its own operation did not see it."""
    if all(o.build_id is not None or not _builds(o) for o in p.operations):
        awaited = {o.build_id for o in p.operations}
        under_way = (b for b in p.builds.values() if b.state in (BuildState.pending, BuildState.running))
        draft.add(*(a.CancelBuild(b) for b in under_way if b.id not in awaited))
    new = p.target is not None and p.target.id != p.app.current_release_id
    served = any(i.state is InstanceState.ready and p.is_new(i) for i in p.live)
    if p.target is not None and new and served and p.started and converged(p):
        draft.add(a.MarkHealthy(p.target))


def _builds(operation: Operation) -> bool:
    params = operation.params
    return operation.release_id is None and "package_id" in params and not params.get("droplet_id")


def _advance(p: Picture, operation: Operation, draft: Draft) -> None:
    match operation.kind:
        case OperationKind.stop:
            if not p.live:
                draft.add(a.FinishOperation(operation))
            else:
                enter_step(operation, "step_stop", draft)
        case OperationKind.scale:
            failure = _failure(p, operation)
            if failure is not None:
                draft.add(_abandon(p, operation, OperationStatus.failed, *failure))
            elif converged(p):
                draft.add(a.FinishOperation(operation))
            else:
                enter_step(operation, "step_scale", draft)
        case OperationKind.destroy:
            pass
        case _:
            _roll(p, operation, draft)


def _roll(p: Picture, operation: Operation, draft: Draft) -> None:
    """Build, release, bring in."""
    if operation.release_id is None and "package_id" in operation.params:
        droplet = operation.params.get("droplet_id") or _built(p, operation, draft)
        if droplet is not None:
            enter_step(operation, "step_release", draft)
            draft.add(
                a.MakeRelease(
                    operation,
                    droplet_id=droplet,
                    package_id=operation.params["package_id"],
                    package_seq=operation.params["package_seq"],
                    cause=operation.kind.value,
                    from_release=operation.params.get("from_release"),
                )
            )
        return
    if p.target is None:
        draft.add(_abandon(p, operation, OperationStatus.failed, Reason("nothing_to_run", {})))
        return
    if p.app.type is AppType.task:
        _run_once(p, operation, p.target, draft)
        return
    failure = _failure(p, operation)
    if failure is not None:
        draft.add(_abandon(p, operation, OperationStatus.failed, *failure))
    elif converged(p):
        marked = a.MarkHealthy(p.target) in draft.actions
        if not marked and (p.target.healthy_at is None or p.app.current_release_id != p.target.id):
            draft.add(a.MarkHealthy(p.target))
        draft.add(a.FinishOperation(operation))
    else:
        enter_step(operation, "step_roll_out", draft, release=p.target.number)


def _built(p: Picture, operation: Operation, draft: Draft) -> str | None:
    """The droplet, once its build has succeeded; asks for the build where there is none."""
    build = p.builds.get(operation.build_id) if operation.build_id else None
    if build is None:
        enter_step(operation, "step_build", draft)
        draft.add(a.RequestBuild(operation, operation.params["package_id"]))
        return None
    match build.state:
        case BuildState.succeeded:
            return build.droplet_id
        case BuildState.failed | BuildState.cancelled:
            reason = build.reason or Reason("build_cancelled", {})
            output = p.build_outputs.get(build.id)
            draft.add(_abandon(p, operation, OperationStatus.failed, reason, output))
        case _:
            enter_step(operation, "step_build", draft)
    return None


def _run_once(p: Picture, operation: Operation, target: Release, draft: Draft) -> None:
    """A task app: its release runs to its end, once."""
    task = p.tasks.get(str(operation.params.get("task_id", "")))
    if task is None:
        enter_step(operation, "step_task", draft)
        draft.add(a.RunTask(operation, target))
    elif task.state is TaskState.succeeded:
        draft.add(a.MarkHealthy(target), a.StopApp(), a.FinishOperation(operation))  # its end last: all else is done
    elif task.state in (TaskState.failed, TaskState.cancelled):
        reason = task.reason or Reason("task_failed", {})
        draft.add(_abandon(p, operation, OperationStatus.failed, reason))


def _failure(p: Picture, operation: Operation) -> tuple[Reason, str | None] | None:
    """Why what the operation brings in will not do, with its last output; None while it may still."""
    if operation.started_at is None or p.target is None:
        return None
    since = operation.started_at
    crashed = [
        i
        for i in p.instances
        if i.state is InstanceState.crashed and p.is_new(i) and i.ended_at is not None and i.ended_at >= since
    ]
    if not crashed:
        return None
    last = max(crashed, key=lambda i: (i.ended_at or p.now, i.id))
    too_long = any(i.reason is not None and i.reason.code == "start_timeout" for i in crashed)
    if too_long or len(crashed) >= MAX_CRASHES:
        return last.reason or Reason("instance_crashed", {}), last.last_output
    return None


def _abandon(
    p: Picture, operation: Operation, status: OperationStatus, reason: Reason, output: str | None = None
) -> a.Abandon:
    """Puts back the whole former release, its configuration included; a first start that fails ends stopped."""
    if operation.kind is OperationKind.scale:
        before = operation.params.get("before")
        return a.Abandon(operation, status, reason, output, None, None, False, None, before)
    if operation.kind is OperationKind.stop:
        return a.Abandon(operation, status, reason, output, None, None, False, None, None)
    made = p.releases.get(operation.release_id) if operation.release_id else None
    serving = [i for i in p.live if i.state is InstanceState.ready]
    was_serving = p.current is not None and any(i.release_id == p.current.id for i in serving)
    epochs = [i.epoch for i in serving if p.current is not None and i.release_id == p.current.id]
    if any(o.kind is OperationKind.restart and o.id != operation.id for o in p.operations):
        epochs = []  # whose restart would be undone
    return a.Abandon(
        operation=operation,
        status=status,
        reason=reason,
        output=output,
        restore=p.current,
        failed_release=made if made is not None and made.healthy_at is None else None,
        stop_app=p.current is None
        or p.app.type is AppType.task
        or (operation.kind is OperationKind.start and not was_serving),
        epoch=max(epochs) if epochs else None,
        scale=None,
    )
