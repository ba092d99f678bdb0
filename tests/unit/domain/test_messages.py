"""Every code that the program raises has its sentence, in both languages, with the same facts."""

import ast
import string
from pathlib import Path

import pytest

import gongfang
from gongfang.domain.messages import CATALOGUE, words

SOURCE = Path(gongfang.__file__).parent
RAISERS = {
    "NotFound",
    "Unauthenticated",
    "Forbidden",
    "Conflict",
    "Precondition",
    "Invalid",
    "TooLarge",
    "QuotaExceeded",
    "Unavailable",
    "Rejected",
    "Reason",
}


def facts(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_both_languages_use_the_same_facts_and_are_sentences(code: str) -> None:
    english, chinese = CATALOGUE[code]
    assert facts(english) == facts(chinese)
    assert english.strip() == english != ""
    only_facts = {"v_other", "not_enforced_one"}
    assert any("\u4e00" <= c <= "\u9fff" for c in chinese) or code in only_facts


def used_codes() -> set[tuple[str, str]]:
    """(code, file) of every literal code given to an error or a reason, and of every step."""
    found: set[tuple[str, str]] = set()
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(SOURCE / "client") or path.is_relative_to(SOURCE / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            position = 1 if name == "invalid_field" else 0
            if name in RAISERS or name == "invalid_field":
                codes = node.args[position : position + 1]
            elif name == "_step":
                codes = node.args[1:2]
            else:
                continue
            found |= {(c.value, path.name) for c in codes if isinstance(c, ast.Constant) and isinstance(c.value, str)}
    return found


def test_every_code_that_is_raised_is_worded() -> None:
    codes = used_codes()
    assert len(codes) > 100
    assert sorted(code for code in codes if code[0] not in CATALOGUE) == []


def test_a_missing_fact_and_an_unknown_code_are_shown_and_not_fatal() -> None:
    assert "?" in words("exit_code", {}, "en")
    assert words("no_such_code", {"a": 1}, "zh-CN") == "no_such_code {'a': 1}"
