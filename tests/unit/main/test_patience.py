"""Waiting goes on as long as something gets further than ever, and no longer."""

from gongfang.main.patience import Patience


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_as_long_as_anything_gets_further_it_goes_on() -> None:
    clock = Clock()
    patience = Patience(60, clock)
    for step in range(20):
        clock.time += 50
        assert patience.goes_on(step // 2, (step + 1) // 2)


def test_what_stands_still_is_not_waited_for() -> None:
    clock = Clock()
    patience = Patience(60, clock)
    assert patience.goes_on(3, 5)
    clock.time = 59
    assert patience.goes_on(3, 5)
    clock.time = 60
    assert not patience.goes_on(3, 5)


def test_what_begins_again_and_again_is_not_progress() -> None:
    clock = Clock()
    patience = Patience(60, clock)
    going = []
    for step in range(30):
        going.append(patience.goes_on(step % 4))
        clock.time += 10
    assert all(going[:4])
    assert not any(going[10:])


def test_without_any_progress_it_ends_as_well() -> None:
    clock = Clock()
    patience = Patience(60, clock)
    clock.time = 61
    assert patience.goes_on(0), "first heard of now"
    clock.time = 122
    assert not patience.goes_on(0)
