"""What a quota counts and what it stops."""

from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.quotas import Limits, Usage, excess, wanted
from gongfang.domain.values import AppConfig, DesiredState, ProcessConfig

NUMBERS = st.integers(0, 2000)
USAGES = st.builds(Usage, NUMBERS, NUMBERS, NUMBERS)
LIMITS = st.builds(Limits, *[st.none() | NUMBERS] * 3)


def plus(left: Usage, right: Usage) -> Usage:
    return Usage(left.apps + right.apps, left.instances + right.instances, left.memory_mb + right.memory_mb)


def fields(value: Usage | Limits) -> tuple[int | None, int | None, int | None]:
    return value.apps, value.instances, value.memory_mb


@given(LIMITS, USAGES, USAGES, USAGES)
def test_only_growth_is_stopped_and_never_past_the_limit(
    limits: Limits, others: Usage, before: Usage, after: Usage
) -> None:
    found = excess(limits, plus(others, before), before, after)
    total = plus(others, after)
    if found is None:
        for limit, now, was, then in zip(fields(limits), fields(total), fields(before), fields(after), strict=True):
            assert limit is None or then <= was or now <= limit  # type: ignore[operator]
    else:
        assert found.asked > 0 and found.used + found.asked > found.limit


@given(LIMITS, USAGES, USAGES)
def test_shrinking_and_standing_still_always_pass(limits: Limits, others: Usage, app: Usage) -> None:
    assert excess(limits, plus(others, app), app, app) is None
    assert excess(limits, plus(others, app), app, Usage()) is None
    assert excess(Limits(), others, Usage(), app) is None


def test_what_counts() -> None:
    config = AppConfig(processes={"web": ProcessConfig(memory_mb=100)})
    scale = {"web": 2, "worker": 3}
    assert wanted(DesiredState.stopped, scale, config) == Usage(apps=1)
    assert wanted(DesiredState.started, scale, config) == Usage(1, 5, 2 * 100 + 3 * 512)
    assert wanted(DesiredState.started, scale, config, destroying=True) == Usage()
    assert wanted(DesiredState.started, {}, config) == Usage(1)


def test_what_is_not_set_comes_from_above() -> None:
    assert Limits(apps=0).over(Limits(5, 6, 7)) == Limits(0, 6, 7)
    assert Limits().over(Limits()) == Limits() and not Limits().any and Limits(memory_mb=0).any
