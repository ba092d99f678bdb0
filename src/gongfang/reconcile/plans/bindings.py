"""The plan for one binding: what is asked of the broker, and when the app has what it was bound to. Pure.

A binding that is ready counts for its app at once (`state.service_queries`), which is replaced instance by instance;
one that is being undone counts no more, from the moment it is wished. So the app's own reconciler needs no order from
here: this plan only waits for it, and takes a binding back with which the app does not run.

Hard cases. The app is stopped, empty, or a task: there is nothing to wait for. A release is being brought in at the
same time: whose fault a crash is can't be told, so its operation is waited for. The app does not run without what it
is unbound from: unbound it is all the same. The app is being destroyed while the broker is away: it does not wait for
ever, an orphan row does the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gongfang.brokers.interface import Accepted, Answer, Bound, Done, Failure, Polled, Refused, Unsure
from gongfang.domain.errors import Reason
from gongfang.domain.services import (
    BUILTIN,
    BindingState,
    BrokerCall,
    CallKind,
    Offering,
    ServiceBinding,
    ServiceBroker,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import AppType, InstanceState, Operation, OperationKind, OperationStatus
from gongfang.reconcile.plans.operations import MAX_CRASHES
from gongfang.reconcile.plans.picture import Picture, converged
from gongfang.reconcile.plans.services import (
    BUILTIN_POLL_S,
    CONCURRENCY_S,
    FIRST_AGAIN_S,
    FIRST_POLL_S,
    LONGEST_AGAIN_S,
    LONGEST_POLL_S,
    refusal,
)

GIVE_UP_S = 900.0
UNBIND_PATIENCE_S = 60.0
ROLL_LOOK_S = 0.5
_ROLLING = frozenset(
    {
        *(OperationKind.start, OperationKind.deploy, OperationKind.configure),
        *(OperationKind.rollback, OperationKind.restart),
    }
)


@dataclass(frozen=True, slots=True)
class BindingPicture:
    """`operation`: the binding's own active one. `app`: its app's rows as the app's plan sees them; None: a key for
    people, or the app is gone. `plan`: the one that the broker has."""

    binding: ServiceBinding
    now: datetime
    operation: Operation | None = None
    instance: ServiceInstance | None = None
    offering: Offering | None = None
    plan: ServicePlan | None = None
    broker: ServiceBroker | None = None
    app: Picture | None = None

    @property
    def builtin(self) -> bool:
        return self.broker is not None and self.broker.id == BUILTIN

    @property
    def undone_with_app(self) -> bool:
        return self.app is not None and self.app.app.destroying

    @property
    def undone(self) -> bool:
        return self.binding.deleting or self.undone_with_app


@dataclass(frozen=True, slots=True)
class BindingOutcome:
    """`bound`: what the broker gave; the reconciler chooses variables and writes it. `fetch`: accepted and done, to be
    fetched. `orphan`: what may be left at the broker is noted. `remove`: the row goes. `take_over`: the predecessor is
    undone."""

    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    bound: Bound | None = None
    fetch: bool = False
    end: tuple[OperationStatus, Reason | None] | None = None
    output: str | None = None
    orphan: bool = False
    remove: bool = False
    take_over: bool = False


@dataclass(frozen=True, slots=True)
class SendBinding:
    kind: CallKind
    until: datetime


@dataclass(frozen=True, slots=True)
class AskBinding:
    """Poll, and fetch what has succeeded."""


@dataclass(frozen=True, slots=True)
class FetchOwn:
    """A user-provided service's credentials are its own."""


@dataclass(frozen=True, slots=True)
class SettleBinding:
    outcome: BindingOutcome


BindingAction = SendBinding | AskBinding | FetchOwn | SettleBinding


@dataclass(frozen=True, slots=True)
class BindingDecision:
    action: BindingAction | None = None
    wake_at: datetime | None = None
    step: str | None = None


_SUCCEEDED = (OperationStatus.succeeded, None)


def _failed(reason: Reason) -> tuple[OperationStatus, Reason | None]:
    return OperationStatus.failed, reason


# --- has the app what it was bound to --------------------------------------------------------------------------------


def rolled(p: Picture) -> bool:
    """Whether nothing of the app runs with other bindings than those that count, and all that is wanted runs."""
    if not p.started or p.target is None or p.app.type is AppType.task:
        return True
    return converged(replace(p, edge_current=True))


def failed_roll(p: Picture, since: datetime) -> tuple[Reason, str | None] | None:
    """Why the app does not run with the bindings that count, with its last output; None: it may still."""
    if any(o.kind in _ROLLING for o in p.operations):
        return None
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


def after_unbinding(operation: Operation, app: Picture | None, now: datetime) -> bool:
    """The binding is gone: whether its operation ends now, too. It has succeeded, whatever the app makes of it."""
    if app is None or rolled(app) or now >= operation.deadline:
        return True
    return failed_roll(app, operation.started_at or operation.created_at) is not None


# --- what next -------------------------------------------------------------------------------------------------------


def decide_binding(p: BindingPicture) -> BindingDecision:
    if p.undone:
        return _undo(p)
    if p.operation is not None and p.operation.cancel_requested:
        reason = Reason("cancelled_by_request", {})
        outcome = BindingOutcome(_take_back(reason), end=(OperationStatus.cancelled, reason))
        return BindingDecision(SettleBinding(outcome))
    if p.binding.state is BindingState.failed:
        return BindingDecision(SettleBinding(BindingOutcome({"deleting": True})))
    if p.binding.state is BindingState.ready:
        return _roll(p)
    return _bind(p)


def _take_back(reason: Reason) -> dict[str, Any]:
    return {"deleting": True, "state": BindingState.deleting, "reason": reason}


def _bind(p: BindingPicture) -> BindingDecision:  # noqa: PLR0911  (one answer a case)
    i, call = p.instance, p.binding.call
    if i is None or i.deleting or i.state is ServiceState.failed:
        return _give_up(p, Reason("service_failed", {"service": i.name if i else "-"}))
    if call is None:
        waiting = _waiting(p, i)
        if waiting is not None:
            return waiting
        if p.offering is None:
            return BindingDecision(FetchOwn())
        if p.broker is None or p.plan is None:
            return _give_up(p, Reason("service_plan_gone", {}))
        return BindingDecision(SendBinding(CallKind.bind, _until(p)), step="step_credentials")
    last = p.operation.deadline if p.operation is not None else call.until
    if p.now >= last:
        return _give_up(p, p.binding.reason or Reason("deadline_passed", {}))
    due = _due(p, call)
    if due is not None:
        return BindingDecision(wake_at=min(due, last))
    return BindingDecision(AskBinding() if call.accepted else SendBinding(CallKind.bind, call.until))


def _waiting(p: BindingPicture, i: ServiceInstance) -> BindingDecision | None:
    """The service is not there yet, or is being changed: its own plan wakes this one."""
    if i.state is ServiceState.broken:
        return _give_up(p, Reason("service_unusable", {"service": i.name}))
    if i.state is ServiceState.ready and i.call is None:
        return None
    if p.now >= _until(p):
        return _give_up(p, Reason("deadline_passed", {}))
    return BindingDecision(wake_at=_until(p), step="step_wait_service")


def _give_up(p: BindingPicture, reason: Reason) -> BindingDecision:
    outcome = BindingOutcome(end=_failed(reason), orphan=p.binding.sent, remove=True)
    return BindingDecision(SettleBinding(outcome))


def _until(p: BindingPicture) -> datetime:
    if p.operation is not None:
        return p.operation.deadline
    return max(p.binding.created_at, p.now - timedelta(seconds=GIVE_UP_S)) + timedelta(seconds=GIVE_UP_S)


def _due(p: BindingPicture, call: BrokerCall) -> datetime | None:
    if call.next_at is None or call.next_at <= p.now or (p.builtin and call.accepted):
        return None
    if (call.next_at - p.now).total_seconds() > LONGEST_AGAIN_S:  # of before the clock was put back
        return None
    return call.next_at


def _roll(p: BindingPicture) -> BindingDecision:
    """Credentials are there. The operation ends when the app has them."""
    operation = p.operation
    if operation is None or operation.kind is OperationKind.unbind:
        return BindingDecision()
    finished = BindingOutcome(end=_SUCCEEDED, take_over=p.binding.predecessor_id is not None)
    if p.app is None or rolled(p.app):
        return BindingDecision(SettleBinding(finished))
    failure = failed_roll(p.app, operation.started_at or operation.created_at)
    if failure is None and p.now >= operation.deadline:
        failure = Reason("deadline_passed", {}), None
    if failure is not None:
        reason, output = failure
        outcome = BindingOutcome(_take_back(reason), end=_failed(reason), output=output)
        return BindingDecision(SettleBinding(outcome))
    return BindingDecision(wake_at=p.now + timedelta(seconds=ROLL_LOOK_S), step="step_roll_app")


def _undo(p: BindingPicture) -> BindingDecision:
    binding, call = p.binding, p.binding.call
    gone = BindingDecision(SettleBinding(BindingOutcome(remove=True)))
    if not binding.sent or p.offering is None or p.broker is None or p.plan is None:
        return gone
    if call is None or call.kind is not CallKind.unbind:
        return BindingDecision(SendBinding(CallKind.unbind, _until(p)), step="step_revoke")
    patience = call.began_at + timedelta(seconds=UNBIND_PATIENCE_S)
    hurried = p.undone_with_app
    if hurried and abs((p.now - call.began_at).total_seconds()) >= UNBIND_PATIENCE_S:
        return BindingDecision(SettleBinding(BindingOutcome(orphan=True, remove=True)))
    overdue = p.operation is not None and p.now >= p.operation.deadline
    if overdue:  # the operation is over, undoing it is not
        again = replace(call, attempts=0, next_at=p.now + timedelta(seconds=FIRST_AGAIN_S))
        reason = binding.reason or Reason("deadline_passed", {})
        return BindingDecision(SettleBinding(BindingOutcome({"call": again}, end=_failed(reason))))
    due = _due(p, call)
    if due is not None:
        moments = [due, *([patience] if hurried else []), *([p.operation.deadline] if p.operation else [])]
        return BindingDecision(wake_at=min(moments))
    return BindingDecision(AskBinding() if call.accepted else SendBinding(CallKind.unbind, call.until))


# --- what follows from an answer -------------------------------------------------------------------------------------


def concluded_binding(  # noqa: PLR0911  (one answer a case)
    p: BindingPicture, kind: CallKind, answer: Answer, *, resent: bool
) -> BindingOutcome:
    """`p`: as it was when the request left, but for `call`, which is the one that was written down for it. `resent`: it
    may have been sent before, too."""
    call = p.binding.call
    assert call is not None
    match answer:
        case Done(body):
            if kind is CallKind.unbind:
                return BindingOutcome(remove=True)
            if isinstance(body, Bound):
                return BindingOutcome(bound=body)
            return _dropped(Reason("broker_failed", {"what": "-"}), orphan=True)
        case Accepted(operation, _, retry_after):
            taken = replace(call, accepted=True, operation=operation, attempts=0)
            return BindingOutcome({"call": _later(p, taken, retry_after), "reason": None})
        case Refused():
            return _refused(p, kind, call, answer, resent=resent)
        case Unsure(reason, mitigate, retry_after):
            if kind is CallKind.bind and mitigate:
                return _dropped(reason, orphan=True)
            return BindingOutcome({"call": _later(p, call, retry_after), "reason": reason})
        case _:
            return BindingOutcome({"call": _later(p, call, answer.retry_after), "reason": answer.reason})


def _dropped(reason: Reason, *, orphan: bool) -> BindingOutcome:
    return BindingOutcome(end=_failed(reason), orphan=orphan, remove=True)


def _refused(p: BindingPicture, kind: CallKind, call: BrokerCall, answer: Refused, *, resent: bool) -> BindingOutcome:
    reason = refusal(answer)
    if answer.concurrency:
        return BindingOutcome({"call": _later(p, call, answer.retry_after or CONCURRENCY_S), "reason": reason})
    if kind is CallKind.bind:
        return _dropped(reason, orphan=resent)  # what the same request has done before, nobody knows
    # Refused to undo it: nobody uses it any more, and it is asked again, ever more seldom.
    again = replace(call, attempts=0, next_at=p.now + timedelta(seconds=FIRST_AGAIN_S))
    return BindingOutcome({"call": again, "reason": reason}, end=_failed(reason))


def polled_binding(p: BindingPicture, answer: Polled | Failure) -> BindingOutcome:
    call = p.binding.call
    assert call is not None
    if not isinstance(answer, Polled):
        reason = refusal(answer) if isinstance(answer, Refused) else answer.reason
        return BindingOutcome({"call": _later(p, call, answer.retry_after), "reason": reason})
    if call.kind is CallKind.unbind:
        if answer.state in ("succeeded", "gone"):
            return BindingOutcome(remove=True)
        if answer.state == "failed":
            reason = Reason("broker_failed", {"what": answer.description or "-"})
            later = p.now + timedelta(seconds=FIRST_AGAIN_S)
            again = replace(call, accepted=False, operation=None, attempts=0, next_at=later)
            return BindingOutcome({"call": again, "reason": reason}, end=_failed(reason))
    elif answer.state == "succeeded":
        return BindingOutcome(fetch=True)
    elif answer.state == "failed":
        return _dropped(Reason("broker_failed", {"what": answer.description or "-"}), orphan=True)
    return BindingOutcome({"call": _later(p, call, answer.retry_after)})


def fetched_binding(p: BindingPicture, answer: Bound | Failure) -> BindingOutcome:
    """Of a bind that has succeeded."""
    if isinstance(answer, Bound):
        return BindingOutcome(bound=answer)
    return polled_binding(p, answer)


def _later(p: BindingPicture, call: BrokerCall, asked: float | None) -> BrokerCall:
    if p.builtin and call.accepted:
        wait = BUILTIN_POLL_S
    elif asked is not None:
        wait = min(max(asked, 1.0), 300.0)
    elif call.kind is CallKind.unbind and p.operation is None and not p.undone_with_app:
        wait = min(FIRST_AGAIN_S * 2.0 ** min(call.attempts, 10), LONGEST_AGAIN_S)
    else:
        wait = min(FIRST_POLL_S * 1.5 ** min(call.attempts, 20), LONGEST_POLL_S)
    return replace(call, attempts=call.attempts + 1, next_at=p.now + timedelta(seconds=wait))


def changed_in_place(binding: ServiceBinding, bound: Bound, credentials: str) -> dict[str, Any]:
    """Of a binding that is ready: what a broker says of it now is something else (its server has moved, say). Empty:
    nothing. `credentials`: those of `bound` as they would be kept."""
    if binding.credentials == credentials and binding.endpoints == bound.endpoints:
        return {}
    return {"credentials": credentials, "endpoints": bound.endpoints, "revision": binding.revision + 1}
