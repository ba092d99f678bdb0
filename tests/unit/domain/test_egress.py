"""Targets: what they say is what is opened, and ranges that overlap come apart without gain or loss."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.egress import Target, disjoint, parse_target

networks = st.builds(
    lambda base, length: IPv4Network((base, length), strict=False), st.integers(0, 2**32 - 1), st.integers(20, 32)
)
near = st.builds(
    lambda base, length: IPv4Network((0x0A000000 + base, length), strict=False),
    st.integers(0, 255),
    st.integers(24, 32),
)
ports = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted)
targets = st.builds(lambda network, pair: Target(network, *pair), near, ports)


@given(st.builds(lambda n, p: Target(n, *p), networks, ports))
def test_words_say_what_they_mean(target: Target) -> None:
    assert parse_target(str(target)) == target


@given(st.lists(targets, max_size=6))
def test_disjoint_targets_open_the_same_and_nothing_twice(wanted: list[Target]) -> None:
    found = disjoint(wanted)
    for one in found:
        for other in found:
            if one is not other:
                apart = not one.network.overlaps(other.network) or one.last < other.first or other.last < one.first
                assert apart, (one, other)
    for address in range(0x0A000000, 0x0A000100, 7):
        for port in (1, 7, 20, 40):
            hits = sum(_holds(t, IPv4Address(address), port) for t in found)
            assert hits == (1 if any(_holds(t, IPv4Address(address), port) for t in wanted) else 0)


def _holds(target: Target, address: IPv4Address, port: int) -> bool:
    return address in target.network and target.first <= port <= target.last


@pytest.mark.parametrize(
    ("text", "public", "hopeless"),
    [
        ("93.184.215.14:443", True, False),
        ("10.0.0.1", False, False),
        ("0.0.0.0/0", False, False),
        ("169.254.0.0/16", False, True),
        ("100.64.0.0/10", False, False),
    ],
)
def test_what_is_public_and_what_is_hopeless(text: str, public: bool, hopeless: bool) -> None:
    target = parse_target(text)
    assert (target.public, target.hopeless) == (public, hopeless)
