"""What the plan makes of times of the future: the clock was put back while nobody was there to move them along."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.domain.values import ExitInfo, InstanceState, OperationStatus
from tests.unit.reconcile.test_app_plan import CRASHED, READY, deploy, replace, running

JUMPS = st.sampled_from([-40 * 365 * 86400.0, -86400.0, -3600.0, -90.0, -3.0, 3.0, 90.0])


def put_on(w, seconds: float) -> None:
    w.picture = replace(w.picture, now=w.picture.now + timedelta(seconds=seconds))


@given(jump=JUMPS, after=st.floats(0, 6))
@settings(max_examples=40, deadline=None)
def test_a_deploy_ends_though_the_clock_jumps_in_the_middle(jump: float, after: float) -> None:
    w = running(3)
    deploy(w)
    w.settle(after)
    put_on(w, jump)
    w.settle(120)
    assert w.last.status is OperationStatus.succeeded
    assert [i.state for i in w.live()] == [READY] * 3
    assert {i.release_id for i in w.live()} == {"rel_2"}
    assert w.least_ready >= 3


@given(jump=JUMPS)
@settings(max_examples=20, deadline=None)
def test_a_crashed_instance_comes_back_though_its_end_lies_in_the_future(jump: float) -> None:
    w = running(1)
    (instance,) = w.live()
    w.change(instance, state=CRASHED, ended_at=w.picture.now, exit=ExitInfo(1), restarts=5)
    put_on(w, jump)
    w.settle(20)
    assert [i.state for i in w.live()] == [READY]


def test_its_back_off_holds_after_that() -> None:
    """Only the one crash of the future is passed over; those after it wait as ever."""
    w = running(1)
    w.behaviour["rel_1"] = "crash"
    (instance,) = w.live()
    w.change(instance, state=CRASHED, ended_at=w.picture.now, exit=ExitInfo(1))
    put_on(w, -86400)
    w.settle(60)
    assert 3 < w.count < 12


def test_one_that_drains_since_the_future_is_stopped() -> None:
    w = running(1)
    (instance,) = w.live()
    w.change(instance, state=InstanceState.draining, leaving_at=w.picture.now)
    put_on(w, -86400)
    w.settle(5)
    assert instance.id not in {i.id for i in w.live()}
