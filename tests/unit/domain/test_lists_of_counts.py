"""Lists of counts in sentences name what is there, and nothing else; sizes as people read them."""

import pytest

from gongfang.domain.messages import words
from gongfang.domain.sizes import shown


def _not_empty(language: str, **counts: int) -> str:
    facts = {"name": "lab", "organizations": 0, "spaces": 0, "apps": 0, "services": 0, "domains": 0, **counts}
    return words("not_empty", facts, "zh-CN" if language == "zh" else "en")


def test_only_what_is_there_is_named() -> None:
    assert _not_empty("en", apps=2) == "lab still holds 2 app(s); delete those first."
    assert _not_empty("en", spaces=1, domains=3) == "lab still holds 1 space(s), 3 domain(s); delete those first."
    assert _not_empty("zh", spaces=1, domains=3) == "lab 中还有 1 个空间、3 个域名，请先删除。"


def test_a_fact_that_is_missing_shows_as_such() -> None:
    assert "? app(s)" in words("not_empty", {"name": "lab"}, "en")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (153_800, "150.2 kB"), (5 << 20, "5.0 MB"), (3 << 40, "3.0 TB")]
)
def test_sizes(count: int, text: str) -> None:
    assert shown(count) == text
