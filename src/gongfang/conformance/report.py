"""Verdicts, and what they are told in: JSON for programs, JUnit for build servers. For people: the command line."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from gongfang.conformance.texts import NO_TEXT, Language, Text


class Verdict(StrEnum):
    """`missing`: the server has no such interface. `blocked`: it could not be tried, and the cause is said."""

    passed = "pass"
    failed = "fail"
    missing = "missing"
    blocked = "blocked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. Of a failure: what was asked, what was expected by which sentence, and what was
    seen."""

    name: Text
    verdict: Verdict
    request: str = ""
    expected: Text = NO_TEXT
    seen: Text = NO_TEXT
    basis: Text = NO_TEXT


@dataclass(slots=True)
class Result:
    """What became of a clause or a common rule. `excused`: it is not passed only because something is missing."""

    key: str
    chinese: str
    english: str
    endpoint: str
    checks: list[Check] = field(default_factory=list[Check])
    note: Text = NO_TEXT
    verdict: Verdict = Verdict.passed
    excused: bool = False
    seconds: float = 0.0

    def masked(self, secret: str) -> "Result":
        """Without a secret, should the server have repeated it."""

        def mask(text: Text) -> Text:
            return Text(text.english.replace(secret, "***"), text.chinese.replace(secret, "***"))

        self.note = mask(self.note)
        self.checks = [
            replace(check, request=check.request.replace(secret, "***"), seen=mask(check.seen)) for check in self.checks
        ]
        return self

    @property
    def group(self) -> str:
        return self.key.partition("(")[0] if self.key[0].isdigit() else "common"

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.verdict is Verdict.failed]

    def settle(self) -> "Result":
        """The verdict of its checks: one that fails decides, then one that could not be tried."""
        for verdict in (Verdict.failed, Verdict.blocked):
            if any(check.verdict is verdict for check in self.checks):
                self.verdict = verdict
                self.excused = self.excused and verdict is Verdict.blocked
                break
        return self

    @property
    def summary(self) -> Text:
        """What was seen, in a line."""
        if self.verdict is Verdict.passed:
            english = "{n} check" if len(self.checks) == 1 else "{n} checks"
            return Text(english, "{n} 项检查").fill(n=len(self.checks))
        if self.verdict is Verdict.failed:
            first = self.failures[0]
            more = len(self.failures) - 1
            text = Text("{name}: expected {expected}", "{name}：预期 {expected}").fill(
                name=first.name, expected=first.expected
            )
            return text if not more else Text("{t} (and {n} more)", "{t}（另有 {n} 项）").fill(t=text, n=more)
        blocked = [check for check in self.checks if check.verdict is Verdict.blocked]
        return self.note if self.note.english or not blocked else blocked[0].seen


@dataclass(slots=True)
class Report:
    """One run against one server."""

    url: str
    started_at: datetime
    finished_at: datetime | None = None
    results: list[Result] = field(default_factory=list[Result])
    left_behind: list[Text] = field(default_factory=list[Text])
    interrupted: bool = False

    @property
    def clauses(self) -> list[Result]:
        return [result for result in self.results if result.key[0].isdigit()]

    @property
    def rules(self) -> list[Result]:
        return [result for result in self.results if not result.key[0].isdigit()]

    def of(self, *verdicts: Verdict) -> list[str]:
        """The keys of what has one of these verdicts."""
        return [result.key for result in self.results if result.verdict in verdicts]

    def conforms(self, *, allow_missing: bool) -> bool:
        """Whether everything that was tried passes. With `allow_missing`, what is missing (and what that alone keeps
        from being tried) does not count."""
        return not self.interrupted and all(
            result.verdict is Verdict.passed or (allow_missing and result.excused) for result in self.results
        )

    def document(self) -> dict[str, Any]:
        """As JSON. Fields may be added, not renamed."""
        return {
            "kit": "aii-conformance",
            "standard": "AII/002-2018",
            "url": self.url,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "interrupted": self.interrupted,
            "summary": {verdict.value: len(self.of(verdict)) for verdict in Verdict},
            "clauses": [_result(result) for result in self.clauses],
            "rules": [_result(result) for result in self.rules],
            "left_behind": [_both(text) for text in self.left_behind],
        }

    def junit(self, language: Language, *, allow_missing: bool) -> bytes:
        """As JUnit: a suite a group, a case a clause or rule. What is excused is skipped where `allow_missing`."""
        root = ET.Element("testsuites", name="AII/002-2018")
        for group in dict.fromkeys(result.group for result in self.results):
            cases = [result for result in self.results if result.group == group]
            skipped = [r for r in cases if allow_missing and r.excused and r.verdict is not Verdict.passed]
            wrong = [r for r in cases if r.verdict is not Verdict.passed and r not in skipped]
            suite = ET.SubElement(
                root, "testsuite", name=group, tests=str(len(cases)), failures=str(len(wrong)),
                skipped=str(len(skipped)), errors="0", time=f"{sum(r.seconds for r in cases):.3f}",
            )  # fmt: skip
            for result in cases:
                name = f"{result.key} {result.chinese} {result.english}"
                case = ET.SubElement(suite, "testcase", classname=group, name=name, time=f"{result.seconds:.3f}")
                if result.verdict is Verdict.passed:
                    continue
                kind = "skipped" if result in skipped else "failure"
                message = _clean(f"{result.verdict.value}: {result.summary.of(language)}")
                told = ET.SubElement(case, kind, message=message)
                told.text = _clean("\n\n".join(explained(check, language) for check in result.failures))
        return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def explained(check: Check, language: Language) -> str:
    """A failure in words, on four lines."""
    lines = [
        check.name.of(language),
        Text("  request:  {x}", "  请求：{x}").fill(x=check.request).of(language),
        Text("  expected: {x}", "  预期：{x}").fill(x=check.expected).of(language),
        Text("  seen:     {x}", "  实际：{x}").fill(x=check.seen).of(language),
        Text("  standard: {x}", "  标准：{x}").fill(x=check.basis).of(language),
    ]
    return "\n".join(line for line in lines if not line.endswith((": ", "：")))


def _result(result: Result) -> dict[str, Any]:
    return {
        "clause": result.key,
        "chinese": result.chinese,
        "english": result.english,
        "endpoint": result.endpoint,
        "verdict": result.verdict.value,
        "because_missing": result.excused,
        "summary": _both(result.summary),
        "seconds": round(result.seconds, 3),
        "checks": [
            {
                "name": _both(check.name),
                "verdict": check.verdict.value,
                "request": check.request,
                "expected": _both(check.expected),
                "seen": _both(check.seen),
                "standard": _both(check.basis),
            }
            for check in result.checks
        ],
    }


def _both(text: Text) -> dict[str, str]:
    return {"en": text.english, "zh-CN": text.chinese}


def _clean(text: str) -> str:
    """Without the characters that XML has none for; a server under test may answer with any."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
