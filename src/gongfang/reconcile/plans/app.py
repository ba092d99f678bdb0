"""The plan for one app: its operations, its release and its instances.

The rules, each a function of `operations` or `instances`:

- The newest wish wins. An operation makes its release (building first where it has to), and the release becomes the
  target; instances follow the target.
- Surge first: a new instance is ready *and the edge has acknowledged it* before an old one is drained; there are
  never fewer ready ones than wanted on account of a change.
- A release that does not become healthy is abandoned: two crashes, or one start that takes too long. The release
  before it, with its whole configuration, is wanted again; it never stopped serving.
- A crashed instance comes back with back-off, for ever: nobody has to remember to start it.
- Draining ends when the edge counts no request in flight, or after `drain_s`.
"""

from dataclasses import replace
from datetime import timedelta

from gongfang.domain.errors import Reason
from gongfang.domain.values import AppState, InstanceState, OperationKind, OperationStatus
from gongfang.reconcile.plans import actions as a
from gongfang.reconcile.plans.instances import converge, leave, record_ends, retire
from gongfang.reconcile.plans.operations import plan_operations
from gongfang.reconcile.plans.picture import Draft, Ended, Picture, enter_step

__all__ = ["Ended", "Picture", "plan_app"]

UNBOUND_LOOK_S = 1.0
_ROLLING = (
    OperationKind.start,
    OperationKind.deploy,
    OperationKind.configure,
    OperationKind.rollback,
    OperationKind.restart,
)


def plan_app(picture: Picture) -> a.Plan:
    """What is to be done now. Carrying it out and planning again reaches an empty plan."""
    draft = Draft()
    record_ends(picture, draft)
    if not draft.actions:
        if picture.app.destroying:
            _destroy(picture, draft)
        else:
            plan_operations(picture, draft)
    if not all(isinstance(action, a.EnterStep) for action in draft.actions):
        # These change what the rest looks at: carried out first, then planned again.
        return a.Plan(tuple(draft.actions), _observed(_after(picture, draft)), draft.wake_at)
    leave(picture, draft)
    for process in picture.processes():
        converge(picture, process, draft)
    retire(picture, draft)
    return a.Plan(tuple(draft.actions), _observed(picture), draft.wake_at)


def _destroy(p: Picture, draft: Draft) -> None:
    operation = next((o for o in reversed(p.operations) if o.kind is OperationKind.destroy), None)
    if operation is not None and operation.status is OperationStatus.pending:
        draft.add(a.BeginOperation(operation))
    elif not p.live and p.bindings:
        # A row that went with the app would be a user left in somebody's database.
        if operation is not None:
            enter_step(operation, "step_unbind", draft)
        draft.wake(p.now + timedelta(seconds=UNBOUND_LOOK_S))
    elif not p.live:
        draft.add(a.RemoveApp(operation))
    elif operation is not None:
        enter_step(operation, "step_stop", draft)


def _after(p: Picture, draft: Draft) -> Picture:
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
