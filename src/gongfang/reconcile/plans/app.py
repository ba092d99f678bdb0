"""The plan for one app: its operations, its release and its instances.

The rules, each a function below:

- The newest wish wins. An operation makes its release (building first where it has to), and the release becomes the
  target; instances follow the target.
- Surge first: a new instance is ready *and the edge has acknowledged it* before an old one is drained; there are
  never fewer ready ones than wanted on account of a change.
- A release that does not become healthy is abandoned: two crashes, or one start that takes too long. The release
  before it, with its whole configuration, is wanted again; it never stopped serving.
- A crashed instance comes back with back-off, for ever: nobody has to remember to start it.
- Draining ends when the edge counts no request in flight, or after `drain_s`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil

from gongfang.domain.errors import Reason
from gongfang.domain.values import (
    App,
    AppState,
    AppType,
    Build,
    BuildState,
    DesiredState,
    ExitInfo,
    Instance,
    InstanceState,
    Operation,
    OperationKind,
    OperationStatus,
    Release,
    Task,
    TaskState,
)
from gongfang.reconcile.plans import actions as a

MAX_CRASHES = 2  # of a release that is being brought in
STEADY_S = 60.0  # an instance that was ready this long has paid off its crashes
FIRST_RESTART_S = 0.2
LONGEST_RESTART_S = 300.0
SETTLE_S = 0.1  # between the edge's word that nothing is sent any more and the count of what is in flight
DRAIN_LOOK_S = 0.1
KEPT_ENDED = 5  # ended instances of a process type that are kept with their logs

_K = OperationKind
_ROLLING = (_K.start, _K.deploy, _K.configure, _K.rollback, _K.restart)


@dataclass(frozen=True, slots=True)
class Ended:
    """A workload that the runtime says has ended."""

    exit: ExitInfo
    at: datetime | None
    told: bool = False  # somebody had it stopped: `gongfang down`, say


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the plan looks at.

    `operations`: the active ones, oldest first. `builds`: theirs, and others under way. `commands`: process types of
    the target's droplet. `ended`: by instance id. `in_flight`: of draining ones, None where the edge can't say.
    `probed`: what the last failed probe of a starting one saw.
    `edge_current`: the edge has acknowledged the instances as they are in `instances`.
    """

    app: App
    now: datetime
    operations: tuple[Operation, ...] = ()
    builds: Mapping[str, Build] = field(default_factory=dict[str, Build])
    build_outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    target: Release | None = None
    current: Release | None = None
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    instances: tuple[Instance, ...] = ()
    releases: Mapping[str, Release] = field(default_factory=dict[str, Release])
    ended: Mapping[str, Ended] = field(default_factory=dict[str, Ended])
    in_flight: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    probed: Mapping[str, str] = field(default_factory=dict[str, str])
    edge_current: bool = True

    @property
    def started(self) -> bool:
        return self.app.desired is DesiredState.started and not self.app.destroying

    @property
    def live(self) -> tuple[Instance, ...]:
        """Those that have not ended, as far as is known now."""
        return tuple(i for i in self.instances if not i.state.ended and i.id not in self.ended)

    def wanted(self, process: str) -> int:
        if not self.started or self.target is None or self.app.type is AppType.task:
            return 0
        if self.held:
            return 0
        known = process in self.commands or self.target.config.process(process).command is not None
        return self.app.scale.get(process, 0) if known else 0

    def processes(self) -> list[str]:
        return sorted({*self.app.scale, *(i.process for i in self.live)})

    def is_new(self, instance: Instance) -> bool:
        return self.target is not None and instance.release_id == self.target.id and instance.epoch == self.app.epoch

    @property
    def held(self) -> bool:
        """A stopped app is being started with something newer: what it ran before is not started meanwhile."""
        return any(o.kind is _K.start and "package_id" in o.params and o.release_id is None for o in self.operations)


class _Draft:
    """Actions as they are decided on, and the earliest moment to look again."""

    def __init__(self) -> None:
        self.actions: list[a.Action] = []
        self.wake_at: datetime | None = None

    def add(self, *actions: a.Action) -> None:
        self.actions.extend(actions)

    def wake(self, at: datetime) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)


def plan_app(picture: Picture) -> a.Plan:
    """What is to be done now. Carrying it out and planning again reaches an empty plan."""
    draft = _Draft()
    _record_ends(picture, draft)
    if not draft.actions:
        if picture.app.destroying:
            _destroy(picture, draft)
        else:
            _operations(picture, draft)
    if not all(isinstance(action, a.EnterStep) for action in draft.actions):
        # These change what the rest looks at: carried out first, then planned again.
        return a.Plan(tuple(draft.actions), _observed(_after(picture, draft)), draft.wake_at)
    _leave(picture, draft)
    for process in picture.processes():
        _converge(picture, process, draft)
    _retire(picture, draft)
    return a.Plan(tuple(draft.actions), _observed(picture), draft.wake_at)


# --- operations ------------------------------------------------------------------------------------------------------


def _operations(p: Picture, draft: _Draft) -> None:
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


def _settle(p: Picture, draft: _Draft) -> None:
    """What follows from operations that newer ones have ended: a build that nobody waits for is cancelled; a release
    that got healthy is the one to come back to, though its own operation did not see it."""
    if all(o.build_id is not None or not _builds(o) for o in p.operations):
        awaited = {o.build_id for o in p.operations}
        under_way = (b for b in p.builds.values() if b.state in (BuildState.pending, BuildState.running))
        draft.add(*(a.CancelBuild(b) for b in under_way if b.id not in awaited))
    new = p.target is not None and p.target.id != p.app.current_release_id
    served = any(i.state is InstanceState.ready and p.is_new(i) for i in p.live)
    if p.target is not None and new and served and p.started and _converged(p):
        draft.add(a.MarkHealthy(p.target))


def _builds(operation: Operation) -> bool:
    params = operation.params
    return operation.release_id is None and "package_id" in params and not params.get("droplet_id")


def _advance(p: Picture, operation: Operation, draft: _Draft) -> None:
    match operation.kind:
        case OperationKind.stop:
            if not p.live:
                draft.add(a.FinishOperation(operation))
            else:
                _step(operation, "step_stop", draft)
        case OperationKind.scale:
            failure = _failure(p, operation)
            if failure is not None:
                draft.add(_abandon(p, operation, OperationStatus.failed, *failure))
            elif _converged(p):
                draft.add(a.FinishOperation(operation))
            else:
                _step(operation, "step_scale", draft)
        case OperationKind.destroy:
            pass
        case _:
            _roll(p, operation, draft)


def _step(operation: Operation, name: str, draft: _Draft, **facts: str | int | float) -> None:
    last = operation.steps[-1] if operation.steps else None
    if last is None or last.name != name or last.finished_at is not None:
        draft.add(a.EnterStep(operation, name, facts))


def _roll(p: Picture, operation: Operation, draft: _Draft) -> None:
    """Build, release, bring in."""
    if operation.release_id is None and "package_id" in operation.params:
        droplet = operation.params.get("droplet_id") or _built(p, operation, draft)
        if droplet is not None:
            _step(operation, "step_release", draft)
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
    elif _converged(p):
        marked = a.MarkHealthy(p.target) in draft.actions
        if not marked and (p.target.healthy_at is None or p.app.current_release_id != p.target.id):
            draft.add(a.MarkHealthy(p.target))
        draft.add(a.FinishOperation(operation))
    else:
        _step(operation, "step_roll_out", draft, release=p.target.number)


def _built(p: Picture, operation: Operation, draft: _Draft) -> str | None:
    """The droplet, once its build has succeeded; asks for the build where there is none."""
    build = p.builds.get(operation.build_id) if operation.build_id else None
    if build is None:
        _step(operation, "step_build", draft)
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
            _step(operation, "step_build", draft)
    return None


def _run_once(p: Picture, operation: Operation, target: Release, draft: _Draft) -> None:
    """A task app: its release runs to its end, once."""
    task = p.tasks.get(str(operation.params.get("task_id", "")))
    if task is None:
        _step(operation, "step_task", draft)
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
    if any(o.kind is _K.restart and o.id != operation.id for o in p.operations):
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


def _converged(p: Picture) -> bool:
    """Every wanted instance of the target is ready and known to the edge, and no other takes requests."""
    if not p.edge_current:
        return False
    for process in p.processes():
        staying = [i for i in p.live if i.process == process and not i.state.leaving]
        ready = [i for i in staying if i.state is InstanceState.ready and p.is_new(i)]
        if len(ready) != p.wanted(process) or len(staying) != len(ready):
            return False
    return True


# --- instances -------------------------------------------------------------------------------------------------------


def _record_ends(p: Picture, draft: _Draft) -> None:
    for instance in p.instances:
        ended = p.ended.get(instance.id)
        if ended is not None and not instance.state.ended:
            draft.add(a.RecordEnd(instance, ended.exit, ended.at, ended.told))


def _leave(p: Picture, draft: _Draft) -> None:
    """Draining ones are stopped when nothing is in flight; stopping ones are made sure of; slow starts end."""
    for instance in p.live:
        release = p.releases.get(instance.release_id)
        config = release.config.process(instance.process) if release else None
        grace = config.stop_timeout_s if config else 10.0
        if instance.state is InstanceState.draining:
            drain = config.drain_s if config else 0.0
            if _drained(p, instance, drain):
                draft.add(a.StopInstance(instance, grace))
            else:
                draft.wake(p.now + timedelta(seconds=DRAIN_LOOK_S))
        elif instance.state is InstanceState.stopping:
            draft.add(a.StopInstance(instance, grace, instance.reason))
        elif instance.started_at is None:
            draft.add(a.LaunchInstance(instance))
        elif instance.state is InstanceState.starting and config is not None:
            latest = instance.started_at + timedelta(seconds=config.start_timeout_s)
            if p.now >= latest:
                facts = {"seconds": config.start_timeout_s, "process": instance.process}
                what = p.probed.get(instance.id, "-")
                fault = Reason("start_timeout", {**facts, "what": what})
                draft.add(a.StopInstance(instance, min(grace, 2.0), fault))
            else:
                draft.wake(latest)


def _drained(p: Picture, instance: Instance, drain_s: float) -> bool:
    if instance.port is None or instance.leaving_at is None:
        return True
    waited = (p.now - instance.leaving_at).total_seconds()
    if waited >= drain_s:
        return True
    count = p.in_flight.get(instance.id)
    return p.edge_current and count == 0 and waited >= SETTLE_S


def _converge(p: Picture, process: str, draft: _Draft) -> None:
    staying = [i for i in p.live if i.process == process and not i.state.leaving]
    wanted = p.wanted(process)
    new = sorted((i for i in staying if p.is_new(i)), key=lambda i: i.index)
    old = [i for i in staying if not p.is_new(i)]
    if p.target is None or not p.started:
        draft.add(*(a.DrainInstance(i) for i in staying))
        return
    _add(p, process, wanted, new, old, draft)
    excess = _excess(new, wanted)
    draft.add(*(a.DrainInstance(i) for i in excess))
    draft.add(*(a.DrainInstance(i) for i in _dispensable(p, new, old, wanted)))


def _add(
    p: Picture, process: str, wanted: int, new: Sequence[Instance], old: Sequence[Instance], draft: _Draft
) -> None:
    """Starts what is missing, at most a quarter (at least one) beyond what is wanted at a time."""
    assert p.target is not None
    missing = wanted - len(new)
    if missing <= 0:
        return
    room = max(wanted, len(old)) + max(1, ceil(wanted / 4)) - len(new) - len(old) if old else missing
    taken = {i.index for i in new}
    free = [index for index in range(wanted) if index not in taken]
    for index in free[: max(0, min(missing, room))]:
        restarts, due = _restart(p, process, index)
        if due is None or due <= p.now:
            draft.add(a.StartInstance(p.target, process, index, restarts))
        else:
            draft.wake(due)


def _restart(p: Picture, process: str, index: int) -> tuple[int, datetime | None]:
    """How often this place has crashed in a row, and when it may be tried again."""
    here = [
        i
        for i in p.instances
        if i.process == process and i.index == index and i.state is InstanceState.crashed and p.is_new(i)
    ]
    if not here:
        return 0, None
    last = max(here, key=lambda i: (i.ended_at or p.now, i.id))
    ended = last.ended_at or p.now
    if last.ready_at is not None and (ended - last.ready_at).total_seconds() >= STEADY_S:
        return 0, None
    delay = min(FIRST_RESTART_S * 2.0 ** min(last.restarts, 20), LONGEST_RESTART_S)
    return last.restarts + 1, ended + timedelta(seconds=delay)


def _excess(new: Sequence[Instance], wanted: int) -> Iterable[Instance]:
    """Those beyond what is wanted: such as are not ready first, then the highest places."""
    by_worth = sorted(new, key=lambda i: (i.state is InstanceState.ready, -i.index))
    return by_worth[: max(0, len(new) - wanted)]


def _dispensable(p: Picture, new: Sequence[Instance], old: Sequence[Instance], wanted: int) -> Iterable[Instance]:
    """Old ones that may go: those that serve nothing, and as many ready ones as new ones have taken over from."""
    idle = [i for i in old if i.state is not InstanceState.ready]
    serving = sorted((i for i in old if i.state is InstanceState.ready), key=lambda i: (i.created_at, i.id))
    ready_new = sum(1 for i in new if i.state is InstanceState.ready) if p.edge_current else 0
    surplus = len(serving) + min(ready_new, wanted) - wanted
    return [*idle, *serving[: max(0, surplus)]]


def _retire(p: Picture, draft: _Draft) -> None:
    """Forgets ended instances beyond the newest few of each process type.

    The last of each wanted place stays as long as the place is wanted: its crashes in a row are counted there.
    """
    by_process: dict[str, list[Instance]] = {}
    for instance in p.instances:
        if instance.state.ended:
            by_process.setdefault(instance.process, []).append(instance)
    for process, ended in by_process.items():
        newest = sorted(ended, key=lambda i: (i.ended_at or p.now, i.id), reverse=True)
        last_of_place = {i.index: i.id for i in reversed(newest) if i.index < p.wanted(process)}
        kept = {i.id for i in newest[:KEPT_ENDED]} | set(last_of_place.values())
        draft.add(*(a.ForgetInstance(i) for i in newest if i.id not in kept))


# --- the end, and what is said of it ---------------------------------------------------------------------------------


def _destroy(p: Picture, draft: _Draft) -> None:
    operation = next((o for o in reversed(p.operations) if o.kind is OperationKind.destroy), None)
    if operation is not None and operation.status is OperationStatus.pending:
        draft.add(a.BeginOperation(operation))
    elif not p.live:
        draft.add(a.RemoveApp(operation))
    elif operation is not None:
        _step(operation, "step_stop", draft)


def _after(p: Picture, draft: _Draft) -> Picture:
    """The picture without the operations that these actions end: what is seen of an app tells of its end as well."""
    ending = {x.operation.id for x in draft.actions if isinstance(x, a.FinishOperation)}
    return replace(p, operations=tuple(o for o in p.operations if o.id not in ending)) if ending else p


def _observed(p: Picture) -> a.Observed:
    state, reason = _state(p)
    return a.Observed(state, reason, p.app.generation)


def _state(p: Picture) -> tuple[AppState, Reason | None]:
    if p.app.destroying:
        return AppState.destroying, None
    if not p.started:
        return (AppState.stopping if p.live else AppState.stopped), p.app.reason
    busy = any(o.kind in _ROLLING or o.kind is OperationKind.scale for o in p.operations)
    wanted = sum(p.wanted(process) for process in p.processes())
    ready = sum(1 for i in p.live if i.state is InstanceState.ready)
    if busy:
        return (AppState.updating if ready else AppState.starting), None
    if ready >= wanted:
        return AppState.running, None
    unready = [i for i in p.live if i.state is InstanceState.unready and p.is_new(i)]
    crashed = [i for i in p.instances if i.state is InstanceState.crashed and p.is_new(i)]
    last = max(crashed, key=lambda i: (i.ended_at or p.now, i.id)) if crashed else None
    reason = unready[0].reason if unready else last.reason if last else None
    if ready or unready:
        return AppState.degraded, reason
    return (AppState.crashed, reason) if last else (AppState.starting, None)
