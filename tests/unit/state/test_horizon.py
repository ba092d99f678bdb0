"""Up to where events are settled, against every order in which transactions may take numbers and end."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.state.eventlog import Horizon


def test_nobody_writes() -> None:
    horizon = Horizon()
    assert horizon.observe(0, frozenset()) == 0
    assert horizon.observe(7, frozenset()) == 7 and not horizon.waits


def test_a_low_number_holds_up_what_is_above_it() -> None:
    horizon = Horizon()
    assert horizon.observe(5, frozenset("a")) == 0 and horizon.waits
    assert horizon.observe(9, frozenset("ab")) == 0
    assert horizon.observe(9, frozenset("b")) == 5  # a is gone: all that had a number up to 5 is
    assert horizon.observe(12, frozenset("c")) == 9
    assert horizon.observe(12, frozenset()) == 12 and not horizon.waits


@given(st.lists(st.tuples(st.sampled_from(["lock", "number", "end", "look"]), st.integers(0, 4)), max_size=80))
@settings(max_examples=300)
def test_nothing_below_the_horizon_is_open(steps: list[tuple[str, int]]) -> None:
    """A writer locks, takes numbers, ends. A look is two questions; the numbers' comes first, and writers act between
    them as well (the `number` steps that follow a look's first half)."""
    horizon = Horizon()
    given_out, holders, open_numbers = 0, set[int](), dict[int, int]()
    allocated: int | None = None
    serial: dict[int, int] = {}
    for what, writer in steps:
        if what == "lock" and writer not in holders:
            holders.add(writer)
            serial[writer] = serial.get(writer, 0) + 1
        elif what == "number" and writer in holders:
            given_out += 1
            open_numbers[given_out] = writer
        elif what == "end" and writer in holders:
            holders.discard(writer)
            open_numbers = {n: w for n, w in open_numbers.items() if w != writer}
        elif what == "look":
            if allocated is None:
                allocated = given_out
                continue
            settled = horizon.observe(allocated, frozenset(f"{w}/{serial[w]}" for w in holders))
            allocated = None
            assert all(number > settled for number in open_numbers)
            assert settled <= given_out
    last = horizon.observe(given_out, frozenset())
    assert last == given_out and not horizon.waits
