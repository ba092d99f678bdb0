"""Long searches for cycles are not done twice over the same objects, and nothing is kept for ever."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from gongfang.main.cycles import LONG_S, WHOLE_EVERY_S, Cycles


class Clock:
    """`cpu` goes on by `step` each time it is read."""

    def __init__(self) -> None:
        self.time = 0.0
        self.spent = 0.0
        self.step = 0.0

    def cpu(self) -> float:
        self.spent += self.step
        return self.spent

    def now(self) -> float:
        return self.time


class Ring:
    """Holds itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    cycles = Cycles(cpu=clock.cpu, now=clock.now)
    gc.callbacks.append(cycles)
    try:
        yield clock
    finally:
        gc.callbacks.remove(cycles)
        gc.unfreeze()


def test_what_a_long_search_left_is_not_searched_again(clock: Clock) -> None:
    clock.step = LONG_S
    gc.collect()
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    assert len(gc.get_objects()) < frozen


def test_a_short_search_freezes_nothing(clock: Clock) -> None:
    clock.step = LONG_S / 100
    gc.collect()
    assert gc.get_freeze_count() == 0


def test_only_full_searches_count(clock: Clock) -> None:
    clock.step = LONG_S
    gc.collect(0)
    gc.collect(1)
    assert gc.get_freeze_count() == 0


def test_what_is_held_by_nobody_goes_at_once_though_frozen(clock: Clock) -> None:
    class Plain:
        pass

    plain = Plain()
    gone = weakref.ref(plain)
    clock.step = LONG_S
    gc.collect()
    del plain
    assert gone() is None


def test_a_frozen_cycle_is_found_a_day_later(clock: Clock) -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    clock.step = LONG_S
    gc.collect()
    del ring
    gc.collect()
    assert gone() is not None, "frozen with the rest"
    clock.time = WHOLE_EVERY_S
    gc.collect()
    assert gone() is None
    assert gc.get_freeze_count() > 1000, "what is left is frozen again"


def test_a_cycle_that_came_later_is_found_by_the_next_search(clock: Clock) -> None:
    clock.step = LONG_S
    gc.collect()
    gone = weakref.ref(Ring())
    gc.collect()
    assert gone() is None
