"""The steady clock: no jump is told before it is accepted."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.clock import JUMP, SteadyClock, lived

START = datetime(2026, 1, 1, tzinfo=UTC)


class Machine:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.wall, self.uptime = START, 100.0

    def run(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.uptime += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.uptime)


def test_it_tells_the_machines_time() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.run(3600)
    assert clock() == machine.wall
    assert clock.jump() is None


def test_small_corrections_are_followed_at_once_however_many() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(100):
        machine.run(1)
        machine.wall += timedelta(seconds=1.5)
        assert clock() == machine.wall
        assert clock.jump() is None


@given(st.timedeltas(timedelta(days=-20000), timedelta(days=20000)).filter(lambda by: abs(by) > JUMP))
def test_a_jump_is_told_and_then_accepted(by: timedelta) -> None:
    machine = Machine()
    machine.wall = datetime(2060, 1, 1, tzinfo=UTC)
    clock = machine.clock()
    before = clock()
    machine.run(5)
    machine.wall += by
    assert clock() == before + timedelta(seconds=5)
    machine.run(5)
    assert clock() == before + timedelta(seconds=10)
    assert clock.jump() == by
    clock.accept(by)
    assert clock() == machine.wall
    assert clock.jump() is None


def test_a_suspended_machine_has_jumped() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += timedelta(hours=9)  # the monotonic clock does not run meanwhile
    assert clock.jump() == timedelta(hours=9)


def test_a_clock_that_is_put_ahead_makes_nothing_old() -> None:
    machine = Machine()
    clock = lived(lambda: machine.wall, lambda: machine.uptime)
    machine.run(60)
    assert clock() == machine.wall
    machine.wall += timedelta(days=3000)
    assert clock() == START + timedelta(seconds=60)
    machine.wall = START - timedelta(days=1)
    assert clock() == machine.wall
