"""The plan for one service instance: what is asked of its broker next, and what follows from the answer. Pure.

The request is written down before it leaves (`BrokerCall`), so whoever comes after a crash sends it again: brokers
answer the same request with the same answer. The rules:

- One call at a time. Only a deletion does not wait for the call under way: a creation is halted by it.
- Anything but a clear answer is asked again until `call.until`. Then a creation is given up and what may have come of
  it is an orphan; a change is given up and the service is as it was; a deletion goes on for ever, only its operation
  ends.
- A refusal has changed nothing. A refused change puts the wish back; a refused deletion leaves a `broken` service,
  which can be asked to go again.
- A clock that was put back does not make anybody wait for it to catch up: moments are compared by their distance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gongfang.brokers.interface import Accepted, Answer, Done, Failure, Polled, Provisioned, Refused, Unsure, Updated
from gongfang.domain.errors import Reason
from gongfang.domain.services import (
    BUILTIN,
    BrokerCall,
    CallKind,
    Offering,
    ServiceBroker,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import Operation, OperationKind, OperationStatus

GIVE_UP_S = 1800.0
FIRST_POLL_S = 1.0
LONGEST_POLL_S = 30.0
BUILTIN_POLL_S = 5.0  # it tells of the end itself
CONCURRENCY_S = 5.0
FIRST_AGAIN_S = 60.0  # a deletion that nobody waits for any more
LONGEST_AGAIN_S = 3600.0

KINDS = (OperationKind.create_service, OperationKind.configure_service, OperationKind.delete_service)


@dataclass(frozen=True, slots=True)
class ServicePicture:
    """`operation`: the active one that is the instance's own. `plan`: the wanted one, `seen`: the one that the broker
    has confirmed. `orphaned`: an orphan row takes away what may be left of it. `bindings`: all there are."""

    instance: ServiceInstance
    now: datetime
    operation: Operation | None = None
    offering: Offering | None = None
    plan: ServicePlan | None = None
    seen: ServicePlan | None = None
    broker: ServiceBroker | None = None
    bindings: int = 0
    orphaned: bool = False

    @property
    def builtin(self) -> bool:
        return self.broker is not None and self.broker.id == BUILTIN


@dataclass(frozen=True, slots=True)
class Outcome:
    """Changes of the row, the operation's end, whether an orphan is noted, and whether the row goes."""

    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    end: tuple[OperationStatus, Reason | None] | None = None
    orphan: bool = False
    remove: bool = False
    step: tuple[str, Mapping[str, str | int | float]] | None = None


@dataclass(frozen=True, slots=True)
class Send:
    kind: CallKind
    until: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """Poll."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Nobody has to be asked for this."""

    outcome: Outcome


Action = Send | Ask | Settle


@dataclass(frozen=True, slots=True)
class Decision:
    """`begin`: the operation is begun, at this step. `action` None: nothing now; `wake_at`: look again then."""

    action: Action | None = None
    wake_at: datetime | None = None
    step: str | None = None


def decide(p: ServicePicture) -> Decision:  # noqa: PLR0911  (one answer a case)
    if p.instance.deleting:
        return _delete(p)
    if p.operation is not None and p.operation.cancel_requested and (cancelled := _cancelled(p)) is not None:
        return Decision(Settle(cancelled))
    if p.instance.call is not None:
        return _go_on(p, p.instance.call)
    if p.instance.state in (ServiceState.failed, ServiceState.broken) and not _wished(p):
        return _at_rest(p)
    if p.offering is None:
        return _at_rest(p) if _settled(p) else Decision(Settle(Outcome(_ready(p), _SUCCEEDED)))
    if p.instance.plan_seen is None:
        return _send(p, CallKind.provision)
    if _differs(p):
        return _send(p, CallKind.update)
    return _at_rest(p) if _settled(p) else Decision(Settle(Outcome(_ready(p), _SUCCEEDED)))


_SUCCEEDED = (OperationStatus.succeeded, None)


def _failed(reason: Reason) -> tuple[OperationStatus, Reason | None]:
    return OperationStatus.failed, reason


def _settled(p: ServicePicture) -> bool:
    i = p.instance
    return i.state is ServiceState.ready and i.observed_generation == i.generation


def _wished(p: ServicePicture) -> bool:
    """Whether somebody has wished for something since it failed. What never came to be is not tried again."""
    i = p.instance
    return i.state is ServiceState.broken and i.observed_generation != i.generation


def _differs(p: ServicePicture) -> bool:
    i = p.instance
    return i.plan_id != i.plan_seen or i.parameters != i.parameters_seen


def _at_rest(p: ServicePicture) -> Decision:
    """An operation that is still there has nothing left to wait for: its end was lost, or there was nothing to do."""
    if p.operation is None:
        return Decision()
    i = p.instance
    if i.state in (ServiceState.failed, ServiceState.broken):
        return Decision(Settle(Outcome({}, _failed(i.reason or Reason("deadline_passed", {})))))
    return Decision(Settle(Outcome({}, _SUCCEEDED)))


def _cancelled(p: ServicePicture) -> Outcome | None:
    """None: too late for that."""
    assert p.operation is not None
    end = OperationStatus.cancelled, Reason("cancelled_by_request", {})
    if p.operation.kind is OperationKind.create_service:
        return Outcome({"deleting": True, "state": ServiceState.deleting}, end)
    if p.operation.kind is OperationKind.configure_service and p.instance.call is None:
        return Outcome(_as_before(p), end)
    return None


def _ready(p: ServicePicture, **more: Any) -> dict[str, Any]:
    i = p.instance
    return {
        "state": ServiceState.ready,
        "reason": None,
        "observed_generation": i.generation,
        "plan_seen": i.plan_id,
        "parameters_seen": i.parameters,
        "call": None,
    } | more


def _as_before(p: ServicePicture, reason: Reason | None = None, *, usable: bool = True) -> dict[str, Any]:
    """The wish is what the broker has."""
    i = p.instance
    return {
        "state": ServiceState.ready if usable else ServiceState.broken,
        "reason": reason,
        "observed_generation": i.generation,
        "plan_id": i.plan_seen,
        "parameters": i.parameters_seen or "{}",
        "call": None,
    }


# --- a call ----------------------------------------------------------------------------------------------------------


def _send(p: ServicePicture, kind: CallKind) -> Decision:
    if p.offering is None or p.broker is None or p.plan is None:
        return Decision(Settle(_given_up(p, kind, Reason("service_plan_gone", {}))))
    return Decision(Send(kind, _until(p)), step="step_broker_asked")


def _until(p: ServicePicture) -> datetime:
    until = p.operation.deadline if p.operation is not None else p.now + timedelta(seconds=GIVE_UP_S)
    if p.plan is not None and p.plan.maximum_polling_s:
        until = min(until, p.now + timedelta(seconds=p.plan.maximum_polling_s))
    return until


def _go_on(p: ServicePicture, call: BrokerCall) -> Decision:
    last = _last_moment(p, call)
    if p.now >= last:
        reason = p.instance.reason or Reason("deadline_passed", {})
        return Decision(Settle(_given_up(p, call.kind, reason)))
    due = _due(p, call)
    if due is not None:
        return Decision(wake_at=min(due, last))
    if call.accepted:
        return Decision(Ask())
    return Decision(Send(call.kind, call.until), step="step_broker_asked")


def _last_moment(p: ServicePicture, call: BrokerCall) -> datetime:
    """When it is given up. The operation's deadline counts first: it is moved along when the clock is put on."""
    if p.operation is None or (p.plan is not None and p.plan.maximum_polling_s):
        return call.until
    return p.operation.deadline


def _due(p: ServicePicture, call: BrokerCall) -> datetime | None:
    """When it may be asked again; None: now. Our own broker may be asked at any time what has become of a call."""
    if call.next_at is None or call.next_at <= p.now or (p.builtin and call.accepted):
        return None
    if (call.next_at - p.now).total_seconds() > LONGEST_AGAIN_S:  # of before the clock was put back
        return None
    return call.next_at


def _later(
    p: ServicePicture, call: BrokerCall, asked: float | None = None, *, first: float = FIRST_POLL_S
) -> BrokerCall:
    """The call, to be looked at again after a while that grows."""
    if p.builtin and call.accepted:
        wait = BUILTIN_POLL_S
    elif asked is not None:
        wait = min(max(asked, 1.0), 300.0)
    elif call.kind is CallKind.deprovision and p.operation is None:
        wait = min(FIRST_AGAIN_S * 2.0 ** min(call.attempts, 10), LONGEST_AGAIN_S)
    else:
        wait = min(FIRST_POLL_S * 1.5 ** min(call.attempts, 20), LONGEST_POLL_S)
    return replace(call, attempts=call.attempts + 1, next_at=p.now + timedelta(seconds=wait))


def _given_up(p: ServicePicture, kind: CallKind, reason: Reason) -> Outcome:
    if kind is CallKind.provision:
        return _never(p, reason, orphan=p.instance.sent)
    return Outcome(_as_before(p, reason), _failed(reason))


def _never(p: ServicePicture, reason: Reason, *, orphan: bool) -> Outcome:
    """A creation has failed. Where nothing can be there, nobody has to be asked when it is deleted."""
    changes: dict[str, Any] = {
        "state": ServiceState.failed,
        "reason": reason,
        "observed_generation": p.instance.generation,
        "call": None,
        "sent": orphan,
    }
    return Outcome(changes, _failed(reason), orphan=orphan)


# --- deletion --------------------------------------------------------------------------------------------------------


def _delete(p: ServicePicture) -> Decision:  # noqa: PLR0911  (one answer a case)
    i = p.instance
    if p.bindings:
        return _overdue(p) or Decision(wake_at=p.operation.deadline if p.operation else None, step="step_unbind")
    if p.offering is None or not i.sent or (i.state is ServiceState.failed and p.orphaned):
        return Decision(Settle(Outcome({}, _SUCCEEDED, remove=True)))
    if p.broker is None or (p.plan is None and p.seen is None):
        return Decision(Settle(Outcome({}, _SUCCEEDED, remove=True)))
    call = i.call
    if call is None or call.kind is not CallKind.deprovision:
        return Decision(Send(CallKind.deprovision, _until(p)), step="step_broker_asked")
    if (overdue := _overdue(p)) is not None:
        return overdue
    due = _due(p, call)
    if due is not None:
        return Decision(wake_at=min(due, p.operation.deadline) if p.operation else due)
    if call.accepted:
        return Decision(Ask())
    return Decision(Send(CallKind.deprovision, call.until), step="step_broker_asked")


def _overdue(p: ServicePicture) -> Decision | None:
    """The operation is over, the deletion is not: it is tried again for ever, ever more seldom."""
    if p.operation is None or p.now < p.operation.deadline:
        return None
    reason = p.instance.reason or Reason("deadline_passed", {})
    changes: dict[str, Any] = {}
    if p.instance.call is not None:
        call = replace(p.instance.call, attempts=0, next_at=p.now + timedelta(seconds=FIRST_AGAIN_S))
        changes = {"call": call}
    return Decision(Settle(Outcome(changes, _failed(reason))))


# --- what follows from an answer -------------------------------------------------------------------------------------


def concluded(p: ServicePicture, kind: CallKind, answer: Answer, *, resent: bool) -> Outcome:
    """`p`: as it was when the request left, but for `call`, which is the one that was written down for it. `resent`: it
    may have been sent before, too."""
    call = p.instance.call
    assert call is not None
    match answer:
        case Done(body):
            return _done(p, kind, body.dashboard_url if isinstance(body, Provisioned | Updated) else None)
        case Accepted(operation, dashboard_url, retry_after):
            taken = replace(call, accepted=True, operation=operation, attempts=0)
            changes: dict[str, Any] = {"call": _later(p, taken, retry_after), "state": BUSY[kind], "reason": None}
            if dashboard_url is not None:
                changes["dashboard_url"] = dashboard_url
            return Outcome(changes)
        case Refused():
            return _refused(p, kind, call, answer, resent=resent)
        case Unsure(reason, mitigate, retry_after):
            if kind is CallKind.provision and mitigate:
                return _never(p, reason, orphan=True)
            return Outcome({"call": _later(p, call, retry_after), "state": BUSY[kind], "reason": reason})
        case _:
            changes = {"call": _later(p, call, answer.retry_after), "state": BUSY[kind], "reason": answer.reason}
            if not resent and kind is CallKind.provision:
                changes["sent"] = False
            return Outcome(changes)


BUSY = {
    CallKind.provision: ServiceState.creating,
    CallKind.update: ServiceState.updating,
    CallKind.deprovision: ServiceState.deleting,
}


def _done(p: ServicePicture, kind: CallKind, dashboard_url: str | None) -> Outcome:
    if kind is CallKind.deprovision:
        return Outcome({}, _SUCCEEDED, remove=True)
    if p.instance.deleting:  # asked for in the meantime; the operation that ends here is not this call's
        return Outcome({"call": None})
    more: dict[str, Any] = {"dashboard_url": dashboard_url} if dashboard_url is not None else {}
    if p.plan is not None:
        more["maintenance_seen"] = p.plan.maintenance_version
    return Outcome(_ready(p, **more), _SUCCEEDED)


def _refused(p: ServicePicture, kind: CallKind, call: BrokerCall, answer: Refused, *, resent: bool) -> Outcome:
    """A refusal has done nothing; what the same request has done before, nobody knows."""
    reason = refusal(answer)
    if answer.concurrency:
        again = _later(p, call, answer.retry_after or CONCURRENCY_S)
        return Outcome({"call": again, "state": BUSY[kind], "reason": reason})
    match kind:
        case CallKind.provision:
            return _never(p, reason, orphan=resent)
        case CallKind.deprovision:
            changes: dict[str, Any] = {
                "state": ServiceState.broken,
                "reason": reason,
                "deleting": False,
                "observed_generation": p.instance.generation,
                "call": None,
            }
            return Outcome(changes, _failed(reason))
        case _:
            return Outcome(_as_before(p, reason, usable=answer.usable is not False), _failed(reason))


def refusal(answer: Refused) -> Reason:
    """In the broker's words, or in ours where it has none."""
    return Reason("broker_refused", {"what": answer.description or answer.error or str(answer.status)})


def polled(p: ServicePicture, answer: Polled | Failure) -> Outcome:
    call = p.instance.call
    assert call is not None
    if not isinstance(answer, Polled):
        reason = refusal(answer) if isinstance(answer, Refused) else answer.reason
        return Outcome({"call": _later(p, call, answer.retry_after), "reason": reason})
    if answer.state == "succeeded" or (answer.state == "gone" and call.kind is CallKind.deprovision):
        return _done(p, call.kind, None)
    if answer.state == "failed":
        return _poll_failed(p, call, answer)
    step = ("step_broker_works", {"what": answer.description}) if answer.description else None
    return Outcome({"call": _later(p, call, answer.retry_after)}, step=step)


def _poll_failed(p: ServicePicture, call: BrokerCall, answer: Polled) -> Outcome:
    reason = Reason("broker_failed", {"what": answer.description or "-"})
    if call.kind is CallKind.provision:
        return _never(p, reason, orphan=True)
    if call.kind is CallKind.update:
        return Outcome(_as_before(p, reason, usable=answer.usable is not False), _failed(reason))
    again = replace(call, accepted=False, operation=None, attempts=0, next_at=p.now + timedelta(seconds=FIRST_AGAIN_S))
    return Outcome({"call": again, "reason": reason}, _failed(reason))
