"""The plan for one service instance, as a pure function: whatever a broker answers, and wherever the control plane
ends, it comes to an end, and rules hold throughout."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.brokers import interface as b
from gongfang.domain.errors import Reason
from gongfang.domain.services import BrokerCall, CallKind, Offering, ServiceBroker, ServiceInstance, ServicePlan
from gongfang.domain.services import ServiceState as State
from gongfang.domain.values import Operation, OperationKind, OperationStatus
from gongfang.reconcile.plans import services as plans
from gongfang.reconcile.plans.services import Ask, Outcome, Send, ServicePicture, Settle, decide

START = datetime(2026, 1, 1, tzinfo=UTC)
WHY = Reason("broker_failed", {"what": "x"})


def instance(**changes: Any) -> ServiceInstance:
    values: dict[str, Any] = {
        **{"id": "sin_1", "tenant_id": "t", "organization_id": "o", "space_id": "s", "name": "db"},
        **{"offering_id": "off", "plan_id": "small", "parameters": "{}", "credentials": None, "tags": ()},
        **{"generation": 1, "deleting": False, "created_at": START, "updated_at": START, "created_by": None},
    }
    return ServiceInstance(**(values | changes))


def operation(kind: OperationKind, now: datetime = START) -> Operation:
    return Operation(
        **{"id": f"op_{kind}", "kind": kind, "app_id": None, "app_name": None, "tenant_id": None},
        **{"organization_id": None, "space_id": None, "status": OperationStatus.pending, "params": {}, "steps": ()},
        **{"created_at": now, "deadline": now + timedelta(minutes=30), "created_by": None},
        service_instance_id="sin_1",
    )


def plan(name: str, **changes: Any) -> ServicePlan:
    made = ServicePlan(name, "off", name, name, "", 0, True, None, False, None, {}, None, None, None, {})
    return replace(made, **changes)


OFFERING = Offering("off", "brk", "cat", "pretend", "", (), (), True, True, True, False, True, {})
BROKER = ServiceBroker("brk", None, None, "b", "https://b", None, None, False, START, None)
PLANS = {"small": plan("small"), "large": plan("large")}


def picture(row: ServiceInstance, now: datetime = START, **more: Any) -> ServicePicture:
    seen = PLANS.get(row.plan_seen or "")
    return ServicePicture(row, now, offering=OFFERING, plan=PLANS[row.plan_id or ""], seen=seen, broker=BROKER, **more)


def called(kind: CallKind, **changes: Any) -> ServiceInstance:
    call = BrokerCall(kind, START, START + timedelta(minutes=30))
    return instance(call=replace(call, **changes), sent=True)


@dataclass
class World:
    """Carries decisions out on one row. `answers`: what the broker says next, then that all is done. `dies`: at which
    of its steps the control plane ends, before it wrote down what came of it."""

    row: ServiceInstance | None
    operation: Operation | None
    answers: list[Any] = field(default_factory=list)
    dies: set[int] = field(default_factory=set)
    now: datetime = START
    sent: list[CallKind] = field(default_factory=list)
    there: bool | None = False  # at the broker; None: nobody knows
    orphan: bool = False
    ends: list[OperationStatus] = field(default_factory=list)
    steps: int = 0

    def run(self, most: timedelta = timedelta(days=3)) -> None:
        until = self.now + most
        while self.row is not None and self.now < until:
            p = picture(self.row, self.now, operation=self.operation, orphaned=self.orphan)
            decision = decide(p)
            self.steps += 1
            match decision.action:
                case Send(kind, deadline):
                    self.send(p, kind, deadline)
                case Ask():
                    self.poll(p)
                case Settle(outcome):
                    self.write(outcome)
                case None:
                    if decision.wake_at is None:
                        return
                    assert decision.wake_at > self.now, "it would go round without time passing"
                    self.now = decision.wake_at
        assert self.row is None, "it never comes to an end"

    def send(self, p: ServicePicture, kind: CallKind, deadline: datetime) -> None:
        row = p.instance
        resent = row.call is not None and row.call.kind is kind
        call = replace(row.call, next_at=None) if row.call and resent else BrokerCall(kind, self.now, deadline)
        self.row = replace(row, call=call, sent=True, state=plans.BUSY[kind])
        self.sent.append(kind)
        answer = self.answers.pop(0) if self.answers else b.Done(b.Provisioned())
        if isinstance(answer, b.Polled):
            answer = b.Accepted("op")
        if isinstance(answer, b.Done | b.Accepted | b.Unsure):
            surely = isinstance(answer, b.Done)
            if kind is CallKind.provision:
                self.there = True if surely else None
            elif kind is CallKind.deprovision:
                self.there = False if surely else None
        if self.steps in self.dies:
            return
        self.write(plans.concluded(replace(p, instance=self.row), kind, answer, resent=resent))

    def poll(self, p: ServicePicture) -> None:
        answer = self.answers.pop(0) if self.answers else b.Polled("succeeded")
        if isinstance(answer, b.Done | b.Accepted):
            answer = b.Polled("in progress", "working")
        assert p.instance.call is not None
        deleting = p.instance.call.kind is CallKind.deprovision
        if isinstance(answer, b.Polled) and (answer.state == "succeeded" or (answer.state == "gone" and deleting)):
            self.there = not deleting
        if self.steps in self.dies:
            return
        self.write(plans.polled(p, answer))

    def write(self, outcome: Outcome) -> None:
        assert self.row is not None
        self.orphan = self.orphan or outcome.orphan
        if outcome.remove:
            assert self.there is False or self.orphan, "nobody would take it away"
            self.row = None
        else:
            self.row = replace(self.row, **outcome.changes)
        if outcome.end is not None and self.operation is not None:
            self.ends.append(outcome.end[0])
            self.operation = None


REFUSALS = st.sampled_from([400, 409, 422]).map(lambda status: b.Refused(status, None, "no"))
ANSWERS = st.one_of(
    REFUSALS,
    st.just(b.Refused(422, b.CONCURRENCY, "busy")),
    st.booleans().map(lambda mitigate: b.Unsure(WHY, mitigate)),
    st.just(b.NotSent(WHY)),
    st.just(b.Accepted("op")),
    st.just(b.Done(b.Provisioned())),
    st.sampled_from(["in progress", "succeeded", "failed", "gone"]).map(b.Polled),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ANSWERS, max_size=12), st.sets(st.integers(1, 12)))
def test_a_creation_ends_one_way_or_the_other_and_is_deleted(answers: list[Any], dies: set[int]) -> None:
    w = World(instance(), operation(OperationKind.create_service), list(answers), dies)
    w.run()
    assert w.row is not None and len(w.ends) == 1
    assert w.row.state in (State.ready, State.failed) and w.row.call is None
    assert (w.row.state is State.ready) == (w.ends[0] is OperationStatus.succeeded)
    if w.row.state is State.failed and not w.orphan:
        assert w.there is False
    assert CallKind.deprovision not in w.sent
    w.there = None if w.row.sent else False
    w.row, w.operation = replace(w.row, deleting=True), operation(OperationKind.delete_service, w.now)
    w.answers = []
    w.run()
    assert w.row is None


@settings(max_examples=300, deadline=None)
@given(st.lists(ANSWERS, max_size=12), st.sets(st.integers(1, 12)))
def test_a_change_ends_as_wished_or_as_before(answers: list[Any], dies: set[int]) -> None:
    row = instance(plan_id="large", plan_seen="small", parameters_seen="{}", sent=True, generation=2, state=State.ready)
    w = World(row, operation(OperationKind.configure_service), list(answers), dies, there=True)
    w.run()
    assert w.row is not None and len(w.ends) == 1 and not w.orphan
    assert w.row.plan_id == w.row.plan_seen and w.row.observed_generation == 2
    assert (w.row.plan_id == "large") == (w.ends[0] is OperationStatus.succeeded)
    assert set(w.sent) <= {CallKind.update}


@settings(max_examples=300, deadline=None)
@given(st.lists(ANSWERS, max_size=12), st.sets(st.integers(1, 12)))
def test_a_deletion_ends_gone_or_refused(answers: list[Any], dies: set[int]) -> None:
    row = instance(plan_seen="small", parameters_seen="{}", sent=True, observed_generation=1, state=State.ready)
    w = World(replace(row, deleting=True), operation(OperationKind.delete_service), list(answers), dies, there=True)
    w.run(timedelta(days=30))
    assert set(w.sent) == {CallKind.deprovision}
    if w.row is not None:
        assert (w.row.state, w.row.deleting) == (State.broken, False)
        assert any(isinstance(x, b.Refused) for x in answers)
    else:
        assert w.there is False, answers


def test_what_never_left_is_deleted_without_asking() -> None:
    w = World(instance(deleting=True), operation(OperationKind.delete_service))
    w.run()
    assert w.row is None and not w.sent and w.ends == [OperationStatus.succeeded]


def test_a_deletion_waits_for_bindings_and_halts_a_creation() -> None:
    row = replace(called(CallKind.provision, accepted=True, operation="op"), deleting=True)
    bound = decide(picture(row, bindings=1, operation=operation(OperationKind.delete_service)))
    assert bound.action is None and bound.step == "step_unbind"
    free = decide(picture(row))
    assert isinstance(free.action, Send) and free.action.kind is CallKind.deprovision


def test_a_plan_may_shorten_the_wait() -> None:
    short = replace(picture(instance()), plan=plan("small", maximum_polling_s=5))
    decision = decide(short)
    assert isinstance(decision.action, Send) and decision.action.until == START + timedelta(seconds=5)


def test_a_broker_may_say_when_to_ask_again() -> None:
    p = picture(called(CallKind.provision, accepted=True))
    for asked, waited in ((7.0, 7), (0.0, 1), (100_000.0, 300)):
        call = plans.polled(p, b.Polled("in progress", retry_after=asked)).changes["call"]
        assert call.next_at == START + timedelta(seconds=waited)


def test_a_clock_that_was_put_back_makes_nobody_wait_for_it() -> None:
    row = called(CallKind.provision, accepted=True, next_at=START)
    assert isinstance(decide(picture(row, START - timedelta(days=365))).action, Ask)


def test_our_own_broker_may_be_asked_at_any_time() -> None:
    row = called(CallKind.provision, accepted=True, next_at=START + timedelta(seconds=5))
    assert decide(picture(row)).action is None
    own = replace(picture(row), broker=replace(BROKER, id="builtin"))
    assert isinstance(decide(own).action, Ask)


def test_a_plan_that_is_gone_is_not_asked_for() -> None:
    decision = decide(replace(picture(instance()), plan=None))
    assert isinstance(decision.action, Settle)
    assert decision.action.outcome.end == (OperationStatus.failed, Reason("service_plan_gone", {}))
    assert not decision.action.outcome.orphan


def test_cancelling_takes_a_creation_away_and_a_change_back() -> None:
    ask = replace(operation(OperationKind.create_service), cancel_requested=True)
    create = decide(picture(called(CallKind.provision), operation=ask)).action
    assert isinstance(create, Settle) and create.outcome.changes["deleting"]
    row = instance(plan_id="large", plan_seen="small", parameters_seen="{}", state=State.ready, generation=2)
    ask = replace(ask, kind=OperationKind.configure_service)
    change = decide(picture(row, operation=ask)).action
    assert isinstance(change, Settle) and change.outcome.changes["plan_id"] == "small"
