"""The kit can fail: against a server that lies in one thing it finds that one, and says what is wrong with it."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from gongfang.conformance import ALL, Options, SelectionError, Unreachable, Verdict, chosen, key_of, run
from gongfang.conformance.runner import CLAUSES
from tests.unit.conformance.conftest import tried
from tests.unit.conformance.documented import PAGE, listed, page
from tests.unit.conformance.lies import OF_ANY, OF_EACH, OF_EFFECT, OF_SOME, SOME
from tests.unit.conformance.reference import TOKEN, Reference, serving

KEYS = [clause.number for clause in CLAUSES]
EVERYWHERE = [
    (f"{key}:{what}", check) for key in KEYS for what, check in OF_ANY.items() if (key, what) != ("5.2(3)", "envelope")
]
SOMEWHERE = [(f"{key}:{what}", check) for what, check in OF_SOME.items() for key in SOME[what]]


LIES = dict([*OF_EFFECT.items(), *EVERYWHERE, *SOMEWHERE])
"""Every lie that is tried, and the check that has to find it."""


def beside(key: str) -> tuple[str, ...]:
    """What has to be run to judge a clause or rule."""
    return ("coverage", "5.1(3)", "5.3(2)") if key == "coverage" else (key,)


def emptied(reference: Reference) -> bool:
    """Whether nothing is left of all that was made."""
    return not (
        reference.apps or reference.domains or reference.instances or reference.users or reference.credentials
        or reference.services or reference.bindings
    )  # fmt: skip


def test_an_honest_server_passes_all_29_and_every_rule(git: Path) -> None:
    """And docs/conformance.md lists just what was checked."""
    with serving(git) as reference:
        report = tried(reference)
        assert {r.key: r.summary.english for r in report.results if r.verdict is not Verdict.passed} == {}
        assert [r.key for r in report.clauses] == KEYS
        assert len(KEYS) == 29
        assert report.conforms(allow_missing=False)
        assert report.left_behind == []
        assert emptied(reference)
    text = PAGE.read_text("utf-8")
    assert page(text, listed(report)) == text, "python -m tests.unit.conformance.documented"


@pytest.mark.parametrize(("lie", "check"), LIES.items())
def test_a_lie_is_found_and_told(git: Path, lie: str, check: str) -> None:
    key = lie.partition(":")[0]
    with serving(git, lie) as reference:
        report = tried(reference, *beside(key))
    assert report.of(Verdict.failed) == [key], [(r.key, r.summary.english) for r in report.results]
    assert not report.conforms(allow_missing=True)
    (failed,) = [r for r in report.results if r.key == key]
    found = [f for f in failed.failures if check in f.name.english]
    assert found, [(f.name.english, f.expected.english) for f in failed.failures]
    for failure in failed.failures:
        for text in (failure.expected, failure.basis, failure.seen):
            assert text.english and text.chinese, failure
        assert failure.request or key in ("lists", "errors"), failure


def test_every_clause_and_rule_has_a_lie() -> None:
    assert set(OF_EACH) == {key_of(item) for item in ALL}


def test_what_a_server_has_not_is_missing_and_what_hangs_on_it_too(git: Path) -> None:
    with serving(git, missing=("5.1(5)", "5.3(1)")) as reference:
        report = tried(reference, "5")
    assert report.of(Verdict.missing) == ["5.1(5)", "5.3(1)"]
    assert report.of(Verdict.failed, Verdict.blocked) == []
    assert not report.conforms(allow_missing=False)
    assert report.conforms(allow_missing=True)


def test_a_server_with_one_code_for_every_404_is_no_worse(git: Path) -> None:
    """What it has passes; what it has not is told by its OpenAPI document, and by nothing where that is missing too."""
    with serving(git, "one_code_for_every_404") as reference:
        assert tried(reference).of(Verdict.passed) == [key_of(item) for item in ALL]
    with serving(git, "one_code_for_every_404", missing=("5.2(1)", "5.2(2)")) as reference:
        report = tried(reference, "5.2(1)", "5.2(2)", "5.2(5)")
    assert report.of(Verdict.missing) == ["5.2(1)", "5.2(2)"]
    assert report.of(Verdict.blocked) == ["5.2(5)"]
    with serving(git, "one_code_for_every_404", "coverage:none", missing=("5.2(1)", "5.2(2)")) as reference:
        report = tried(reference, "5.2(1)", "5.2(2)")
    assert report.of(Verdict.missing) == ["5.2(1)"]
    assert report.of(Verdict.blocked) == ["5.2(2)"], "of a made-up id nothing can be told"


def test_no_report_repeats_the_token(git: Path) -> None:
    with serving(git, "5.1(1):secret") as reference:
        report = tried(reference, "5.1(1)", "auth")
    assert report.of(Verdict.failed) == ["5.1(1)"]
    assert TOKEN not in json.dumps(report.document())


def test_what_cannot_be_tried_says_why(git: Path) -> None:
    """Without an upload nothing can be started, bound to or measured: none passes, and each says what it lacks."""
    with serving(git, missing=("5.1(2)",)) as reference:
        report = tried(reference, "5.1", "5.3")
    assert report.of(Verdict.missing) == ["5.1(2)"]
    blocked = report.of(Verdict.blocked)
    assert blocked == [
        "5.1(3)", "5.1(4)", "5.1(6)", "5.1(7)", "5.1(10)", "5.1(11)", "5.1(12)",
        "5.3(1)", "5.3(2)", "5.3(3)", "5.3(4)", "5.3(5)",
    ]  # fmt: skip
    for result in report.results:
        if result.verdict is Verdict.blocked:
            assert "5.1(2)" in result.summary.english and "5.1(2)" in result.summary.chinese
    assert report.conforms(allow_missing=True)


def test_what_hangs_on_a_failure_is_blocked_and_not_excused(git: Path) -> None:
    with serving(git, "5.1(3):nothing_runs") as reference:
        report = tried(reference, "5.1(3)", "5.1(6)", "5.3(1)")
    assert report.of(Verdict.failed) == ["5.1(3)"]
    assert report.of(Verdict.blocked) == ["5.1(6)", "5.3(1)"]
    for result in report.results[1:]:
        assert "5.1(3) failed" in result.summary.english
        assert not result.excused


def test_a_wrong_method_is_missing_with_what_was_seen(git: Path) -> None:
    with serving(git, missing=("5.1(7)",)) as reference:  # GET of the same path is there
        report = tried(reference, "5.1(7)")
    assert report.of(Verdict.missing) == ["5.1(7)"]
    assert "405" in report.results[0].summary.english
    assert len(report.left_behind) == 1, "an app that can't be destroyed is named"
    assert "/apps/" in report.left_behind[0].english


def test_one_clause_alone_is_tried_with_all_that_it_needs(git: Path) -> None:
    with serving(git) as reference:
        report = tried(reference, "5.1(12)")
        assert report.of(Verdict.passed) == ["5.1(12)"]
        assert emptied(reference)


def test_names_of_clauses_are_never_beginnings() -> None:
    def keys(*names: str) -> list[str]:
        return [key_of(item) for item in chosen(names)]

    assert keys("5.1(1)") == ["5.1(1)"]
    assert keys("5.1（1）") == ["5.1(1)"]
    assert keys("5.2") == [f"5.2({n})" for n in range(1, 7)]
    assert keys("5") == KEYS
    assert keys("lists", "5.1(2)") == ["5.1(2)", "lists"]
    assert keys() == keys("5", "common")
    for wrong in ("5.", "5.1(1", "5.5", "list", "", "5.1(13)"):
        with pytest.raises(SelectionError):
            chosen([wrong])


def test_a_server_that_is_away_or_refuses_the_token_is_not_judged(git: Path) -> None:
    with serving(git) as reference:
        with pytest.raises(Unreachable) as refused:
            run(Options(reference.url, "wrong"))
        assert refused.value.status == 401
    with pytest.raises(Unreachable) as away:
        run(Options(reference.url, "wrong", answer_s=2))
    assert away.value.status == 0


def test_a_server_that_goes_away_ends_the_run(git: Path) -> None:
    with serving(git, "hangs_up") as reference:
        report = tried(reference)
    assert not report.conforms(allow_missing=True)
    assert report.results[-1].verdict is Verdict.blocked
    assert "answers no more" in report.results[-1].summary.english
    assert report.left_behind, "what may still be there is named"


@pytest.mark.parametrize("at", ["5.1(1)", "5.1(4)", "5.3(5)", "lists"])
def test_ctrl_c_leaves_nothing_behind(git: Path, at: str) -> None:
    def begins(item: object) -> None:
        if key_of(item) == at:  # type: ignore[arg-type]
            raise KeyboardInterrupt

    with serving(git) as reference:
        report = run(Options(reference.url, "the-right-token", settle_s=0.06, operation_s=0.3), begins=begins)
        assert report.interrupted
        assert not report.conforms(allow_missing=True)
        assert at not in [result.key for result in report.results]
        assert report.left_behind == []
        assert emptied(reference)


def test_what_a_lying_server_keeps_is_named(git: Path) -> None:
    with serving(git, "5.1(7):stays") as reference:
        report = tried(reference, "5.1(7)", "5.1(1)")
        assert {text.english.partition(":")[0].removeprefix("/apps/") for text in report.left_behind} == set(
            reference.apps
        )


def test_what_was_there_before_stays(git: Path) -> None:
    """Even where the server says that it is what it has just made."""
    with serving(git, "5.1(1):somebody_elses") as reference:
        reference.apps["app_of_the_plant"] = {
            "id": "app_of_the_plant", "name": "mes", "domain": "mes.plant.cn", "__page": b"mes", "__version": 1,
        }  # fmt: skip
        report = tried(reference)
        assert reference.apps["app_of_the_plant"]["__page"] == b"mes"
        assert reference.apps["app_of_the_plant"]["__version"] == 1
    assert "5.1(1)" in report.of(Verdict.failed)
    assert {"5.1(3)", "5.1(6)", "5.1(7)"} <= set(report.of(Verdict.blocked))


def test_a_package_of_ones_own_is_taken(git: Path) -> None:
    with serving(git) as reference:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.html", b"<p>own</p>")
        report = tried(reference, "5.1", package=("own.zip", packed.getvalue()), runtime="python")
    assert report.of(Verdict.failed, Verdict.blocked, Verdict.missing) == []
