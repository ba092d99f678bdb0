"""The list of tags is whole, and patterns that fit none of them are told from those that do."""

import re
from pathlib import Path

import pytest

import gongfang
from gongfang.domain.tags import TAGS, known, nearest

_PLACES = ("operations", "reconcile", "main", "state")
_FIRST = re.compile(r'event\(\s*(?:tx,\s*)?"([a-z]+(?::[a-z]+)+)"')


def test_every_tag_that_is_spelt_out_is_in_the_list() -> None:
    root = Path(gongfang.__file__).parent
    made = {
        tag for place in _PLACES for file in (root / place).rglob("*.py") for tag in _FIRST.findall(file.read_text())
    }
    assert {"app:create", "domain:bind", "platform:gc", "certificate:add"} <= made
    assert made <= TAGS


@pytest.mark.parametrize(
    "pattern", ["*", "app:*", "app:deploy:failed", "ap*", "api:*", "api:create_app:refused", "platform:backup:made"]
)
def test_what_may_fire(pattern: str) -> None:
    assert known(pattern)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("nosuch:tag", "app:*"),
        ("app:deploy:fail", "app:deploy:failed"),
        ("apps:*", "app:*"),
        ("app:deploy", "app:deploy:failed"),
        ("api:create_app", "app:create"),
        ("domain:", "domain:*"),
    ],
)
def test_what_never_fires_is_told_with_what_may_have_been_meant(pattern: str, meant: str) -> None:
    assert not known(pattern)
    assert known(nearest(pattern))
    assert nearest(pattern) == meant or nearest(pattern).partition(":")[0] == meant.partition(":")[0]
