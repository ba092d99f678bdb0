"""Every code that operations and the API raise has its sentences."""

import re
from pathlib import Path

import gongfang
from gongfang.domain.messages import CATALOGUE

_RAISED = re.compile(
    r"\b(?:NotFound|Unauthenticated|Forbidden|Conflict|Precondition|Invalid|TooLarge|Unavailable|Malformed)\("
    r"\s*\"([a-z_]+)\"|invalid_field\([^,]+,\s*\"([a-z_]+)\"|FieldError\([^,]+,\s*\"([a-z_]+)\""
)


def test_codes_have_sentences() -> None:
    root = Path(gongfang.__file__).parent
    codes = {
        next(filter(None, match.groups()))
        for part in ("operations", "api")
        for file in (root / part).rglob("*.py")
        for match in _RAISED.finditer(file.read_text())
    }
    assert len(codes) > 40
    assert codes - set(CATALOGUE) == set()


def test_both_languages_use_the_same_facts() -> None:
    for code, (english, chinese) in CATALOGUE.items():
        facts = [set(re.findall(r"\{(\w+)[^}]*\}", text)) for text in (english, chinese)]
        assert facts[0] == facts[1], code
