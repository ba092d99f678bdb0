"""The conformance kit against the platform itself, and every lie of the reference server in runs of the whole kit.

The first says what is true of the platform today: what it has passes, and what it has not is exactly what is known to
be missing. The second that a lie in one place is told of that place alone: what hangs on it is blocked, not failed.
"""

import json
from pathlib import Path

import pytest

from gongfang.conformance import Verdict
from gongfang.conformance.runner import CLAUSES
from tests.e2e.conftest import Platform
from tests.unit.conformance.conftest import git, tried
from tests.unit.conformance.lies import OF_EACH
from tests.unit.conformance.reference import serving
from tests.unit.conformance.test_kit import LIES, beside

__all__ = ["git"]

MISSING = [
    "5.1(5)",
    "5.2(1)", "5.2(2)", "5.2(3)", "5.2(4)", "5.2(5)", "5.2(6)",
    "5.3(1)", "5.3(2)", "5.3(3)", "5.3(4)", "5.3(5)",
]  # fmt: skip
"""What issues 5 and 6 bring. Shorten it as they do."""


def test_the_platform_passes_in_all_that_it_has(platform: Platform) -> None:
    done = platform.cli("conformance", "--allow-missing", "--json", "-", check=False, timeout=300)
    report = json.loads(done.stdout)
    told = {r["clause"]: r["summary"]["en"] for r in [*report["clauses"], *report["rules"]] if r["verdict"] != "pass"}
    assert sorted(told) == sorted(MISSING), told
    assert {r["verdict"] for r in report["clauses"] if r["clause"] in MISSING} == {"missing"}
    assert len(report["clauses"]) == len(CLAUSES) == 29
    assert done.returncode == 0
    assert report["left_behind"] == []
    assert [app["name"] for app in platform.json("apps") if app["name"].startswith("conf-")] == []
    assert [user["name"] for user in platform.json("users") if user["name"].startswith("conf-")] == []


def test_without_permission_for_what_is_missing_it_fails(platform: Platform) -> None:
    done = platform.cli("conformance", "--clause", "5.1(5)", "--clause", "5.1(10)", check=False, timeout=120)
    assert done.returncode == 1
    assert "missing 1" in done.stdout


@pytest.mark.parametrize("key", OF_EACH)
def test_a_lie_in_one_place_is_told_of_that_place_alone(git: Path, key: str) -> None:
    with serving(git, OF_EACH[key]) as reference:
        report = tried(reference)
    assert report.of(Verdict.failed) == [key], {r.key: r.summary.english for r in report.results if r.failures}
    assert report.of(Verdict.missing) == []
    for result in report.results:
        if result.verdict is Verdict.blocked:
            assert key in result.summary.english


def test_no_check_is_there_for_show(git: Path) -> None:
    """Every check that an honest server passes fails for some lie: none of them is a sentence that is always true."""
    with serving(git) as reference:
        wanted = {(r.key, check.name.english) for r in tried(reference).results for check in r.checks}
    failed: set[tuple[str, str]] = set()
    for lie in LIES:
        key = lie.partition(":")[0]
        with serving(git, lie) as reference:
            report = tried(reference, *beside(key))
        failed |= {(r.key, check.name.english) for r in report.results for check in r.failures}
    never = {
        (key, name) for key, name in wanted - failed if key != "coverage"
    }  # a check for each clause there, all alike
    assert never == set()
