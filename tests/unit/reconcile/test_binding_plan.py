"""The plan for one binding, as a pure function; and when an app has what it was bound to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.brokers import interface as b
from gongfang.domain.errors import Reason
from gongfang.domain.services import BindingState, BrokerCall, CallKind, ServiceBinding, ServiceState
from gongfang.domain.values import AppType, DesiredState, Instance, InstanceState, OperationKind, OperationStatus
from gongfang.reconcile.plans import bindings as plans
from gongfang.reconcile.plans.bindings import (
    AskBinding,
    BindingOutcome,
    BindingPicture,
    FetchOwn,
    SendBinding,
    SettleBinding,
    decide_binding,
    failed_roll,
    rolled,
)
from gongfang.reconcile.plans.picture import Picture, converged
from tests.unit.reconcile.test_app_plan import START, app, operation, release, running
from tests.unit.reconcile.test_service_plan import ANSWERS, BROKER, OFFERING, PLANS, instance

READY = InstanceState.ready


def binding(**changes: Any) -> ServiceBinding:
    values: dict[str, Any] = {
        **{"id": "bnd_1", "service_instance_id": "sin_1", "app_id": "app_1", "tenant_id": "t"},
        **{"organization_id": "o", "space_id": "s", "name": "db", "variables": {}, "variables_given": False},
        **{"parameters": None, "predecessor_id": None, "deleting": False, "created_at": START, "created_by": None},
    }
    return ServiceBinding(**(values | changes))


def picture(row: ServiceBinding, **more: Any) -> BindingPicture:
    service = instance(state=ServiceState.ready, plan_seen="small")
    values = {"instance": service, "offering": OFFERING, "plan": PLANS["small"], "broker": BROKER}
    return BindingPicture(row, more.pop("now", START), **(values | more))


def op(kind: OperationKind, **changes: Any) -> Any:
    return replace(operation(kind, started_at=START, deadline=START + timedelta(minutes=15)), **changes)


# --- has the app what it was bound to --------------------------------------------------------------------------------


def test_there_is_nothing_to_wait_for_where_nothing_runs() -> None:
    p = running(2).picture
    assert rolled(replace(p, app=replace(p.app, desired=DesiredState.stopped), bound="new"))
    assert rolled(replace(p, app=replace(p.app, type=AppType.task), bound="new"))
    assert rolled(replace(p, target=None, bound="new"))
    assert rolled(Picture(app(), START))


def test_an_app_has_it_once_every_instance_has() -> None:
    w = running(3)
    assert rolled(w.picture)
    w.picture = replace(w.picture, bound="new")
    assert not rolled(w.picture)
    w.settle(seconds=0.5)
    assert not rolled(w.picture)
    w.settle(seconds=30)
    assert rolled(w.picture) and converged(w.picture)


INSTANCES = st.lists(
    st.builds(
        lambda n, state, bound, epoch: Instance(f"i{n}", "app_1", "rel_1", epoch, "web", n, state, START, bound=bound),
        st.integers(0, 3),
        st.sampled_from(list(InstanceState)),
        st.sampled_from(["", "x"]),
        st.sampled_from([0, 1]),
    ),
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(INSTANCES, st.sampled_from(["", "x"]), st.integers(0, 3))
def test_it_is_never_said_before_the_app_itself_would(instances: list[Instance], bound: str, scale: int) -> None:
    one = release(1)
    p = Picture(
        app(scale={"web": scale}, target_release_id=one.id),
        START,
        target=one,
        commands={"web": "run"},
        instances=tuple(instances),
        releases={one.id: one},
        bound=bound,
    )
    assert rolled(p) == converged(p)
    if rolled(p):
        staying = [i for i in instances if not i.state.ended and not i.state.leaving]
        assert all(i.bound == bound and i.state is READY for i in staying) and len(staying) == scale


def crashed(n: int, **changes: Any) -> Instance:
    ended = {"state": InstanceState.crashed, "ended_at": START + timedelta(seconds=n), "bound": "new"}
    base = Instance(f"c{n}", "app_1", "rel_1", 0, "web", 0, InstanceState.crashed, START)
    return replace(base, **(ended | {"reason": Reason("exit_code", {"code": 1})} | changes))


def test_it_is_taken_back_after_two_crashes_or_a_start_that_takes_too_long() -> None:
    p = replace(running(1).picture, bound="new")

    def after(*more: Instance) -> Any:
        return failed_roll(replace(p, instances=(*p.instances, *more)), START)

    assert after(crashed(1)) is None
    assert after(crashed(1), crashed(2, last_output="boom")) == (Reason("exit_code", {"code": 1}), "boom")
    assert after(crashed(1, reason=Reason("start_timeout", {}))) is not None
    assert after(crashed(1, bound=""), crashed(2)) is None, "others crashed with what was before"
    assert after(crashed(-9), crashed(-8)) is None, "that was before it was asked for"
    assert after(crashed(1, release_id="rel_0"), crashed(2)) is None
    rolling = replace(p, operations=(operation(OperationKind.deploy),), instances=(crashed(1), crashed(2)))
    assert failed_roll(rolling, START) is None, "whose fault it is can't be told"


# --- what next -------------------------------------------------------------------------------------------------------


def test_it_waits_for_a_service_that_is_being_made_or_changed() -> None:
    for state in (ServiceState.creating, ServiceState.updating):
        p = picture(binding(), instance=instance(state=state), operation=op(OperationKind.bind))
        decision = decide_binding(p)
        assert decision.action is None and decision.step == "step_wait_service"
        assert decision.wake_at == START + timedelta(minutes=15)
        late = decide_binding(replace(p, now=START + timedelta(minutes=15))).action
        assert isinstance(late, SettleBinding) and late.outcome.remove and not late.outcome.orphan
    for state, code in ((ServiceState.failed, "service_failed"), (ServiceState.broken, "service_unusable")):
        action = decide_binding(picture(binding(), instance=instance(state=state))).action
        assert isinstance(action, SettleBinding) and action.outcome.end is not None
        assert action.outcome.end[1] is not None and action.outcome.end[1].code == code


def test_a_service_of_ones_own_asks_nobody() -> None:
    own = {"offering": None, "plan": None, "broker": None}
    assert decide_binding(picture(binding(), **own)).action == FetchOwn()
    gone = decide_binding(picture(binding(deleting=True), **own)).action
    assert isinstance(gone, SettleBinding) and gone.outcome.remove


def test_it_ends_when_the_app_has_it() -> None:
    ready = binding(state=BindingState.ready, sent=True)
    has = picture(ready, operation=op(OperationKind.bind), app=running(1).picture)
    done = decide_binding(has).action
    assert isinstance(done, SettleBinding) and done.outcome.end == (OperationStatus.succeeded, None)
    has_not = replace(has, app=replace(running(1).picture, bound="new"))
    assert decide_binding(has_not).step == "step_roll_app"
    late = decide_binding(replace(has_not, now=START + timedelta(minutes=15))).action
    assert isinstance(late, SettleBinding) and late.outcome.changes["deleting"]


def test_a_rotation_takes_over_only_when_the_app_has_it() -> None:
    ready = binding(state=BindingState.ready, sent=True, predecessor_id="bnd_0")
    p = picture(ready, operation=op(OperationKind.rotate), app=replace(running(1).picture, bound="new"))
    assert decide_binding(p).action is None
    done = decide_binding(replace(p, app=running(1).picture)).action
    assert isinstance(done, SettleBinding) and done.outcome.take_over


def test_an_app_that_goes_does_not_wait_for_ever() -> None:
    call = BrokerCall(CallKind.unbind, START, START + timedelta(minutes=15), next_at=START + timedelta(seconds=90))
    going = replace(running(1).picture, app=app(destroying=True))
    p = picture(binding(sent=True, call=call, deleting=True), app=going)
    assert decide_binding(p).wake_at == START + timedelta(seconds=plans.UNBIND_PATIENCE_S)
    late = decide_binding(replace(p, now=START + timedelta(seconds=61))).action
    assert isinstance(late, SettleBinding) and late.outcome.orphan and late.outcome.remove
    stays = decide_binding(replace(p, app=running(1).picture, now=START + timedelta(seconds=61)))
    assert stays.action is None and stays.wake_at == call.next_at


def _walk(row: ServiceBinding | None, operation_: Any, answers: list[Any], dies: set[int]) -> tuple[Any, ...]:
    """Carries decisions out, the control plane ending at some steps; row, ends, and what is left at the broker."""
    now, there, orphan, steps = START, False, False, 0
    ends: list[OperationStatus] = []
    if row is not None and row.state is BindingState.ready:
        there = True

    def write(outcome: BindingOutcome) -> None:
        nonlocal row, operation_, orphan
        assert row is not None
        orphan = orphan or outcome.orphan
        if outcome.remove:
            row = None
        elif outcome.bound is not None:
            row = replace(row, state=BindingState.ready, call=None)
        else:
            row = replace(row, **outcome.changes)
        if outcome.end is not None and operation_ is not None:
            ends.append(outcome.end[0])
            operation_ = None

    while row is not None and now < START + timedelta(days=30):
        p = picture(row, now=now, operation=operation_)
        decision, steps = decide_binding(p), steps + 1
        match decision.action:
            case SendBinding(kind, until):
                resent = row.call is not None and row.call.kind is kind
                call = replace(row.call, next_at=None) if row.call and resent else BrokerCall(kind, now, until)
                row = replace(row, call=call, sent=True)
                bind = kind is CallKind.bind
                answer = answers.pop(0) if answers else b.Done(b.Bound({}) if bind else b.Gone())
                if isinstance(answer, b.Done):
                    answer = b.Done(b.Bound({}) if bind else b.Gone())
                answer = b.Accepted("op") if isinstance(answer, b.Polled) else answer
                there = bind if isinstance(answer, b.Done) else there or isinstance(answer, b.Unsure)
                if steps not in dies:
                    write(plans.concluded_binding(replace(p, binding=row), kind, answer, resent=resent))
            case AskBinding():
                assert row.call is not None
                answer = answers.pop(0) if answers else b.Polled("succeeded")
                answer = b.Polled("in progress") if isinstance(answer, b.Done | b.Accepted) else answer
                gone = isinstance(answer, b.Polled) and answer.state == "gone"
                if row.call.kind is CallKind.unbind and gone:
                    there = False
                elif isinstance(answer, b.Polled) and answer.state == "succeeded":
                    there = row.call.kind is CallKind.bind
                outcome = plans.polled_binding(p, answer)
                if steps not in dies:
                    write(plans.fetched_binding(p, b.Bound({})) if outcome.fetch else outcome)
            case SettleBinding(outcome):
                write(outcome)
            case None:
                if decision.wake_at is None:
                    break
                assert decision.wake_at > now
                now = decision.wake_at
            case _:
                raise AssertionError(decision)
    return row, ends, there, orphan


@settings(max_examples=300, deadline=None)
@given(st.lists(ANSWERS, max_size=12), st.sets(st.integers(1, 12)))
def test_binding_ends_one_way_or_the_other(answers: list[Any], dies: set[int]) -> None:
    row, ends, there, orphan = _walk(binding(), op(OperationKind.bind), list(answers), dies)
    assert len(ends) == 1
    if row is not None:
        assert row.state is BindingState.ready and ends == [OperationStatus.succeeded] and not orphan
    else:
        assert ends == [OperationStatus.failed]
        assert orphan or not there


@settings(max_examples=300, deadline=None)
@given(st.lists(ANSWERS, max_size=12), st.sets(st.integers(1, 12)))
def test_unbinding_is_never_forgotten(answers: list[Any], dies: set[int]) -> None:
    made = binding(state=BindingState.ready, sent=True, deleting=True)
    row, ends, there, _ = _walk(made, op(OperationKind.unbind), list(answers), dies)
    assert row is None and not there
    assert len(ends) <= 1 and OperationStatus.succeeded not in ends  # that comes when the app runs without it
