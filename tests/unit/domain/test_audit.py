"""What an event tells of a change, and never a secret."""

import ast
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import gongfang
from gongfang.domain import audit
from gongfang.domain.clock import utc_now
from gongfang.domain.values import App, AppConfig, AppType, DesiredState, ProcessConfig, RuntimeName, Task, TaskState


def app(**config: Any) -> App:
    return App(
        id="app_1",
        space_id="s",
        tenant_id="t",
        organization_id="o",
        name="line-3",
        type=AppType.web,
        runtime=RuntimeName.auto,
        labels={"key": "north"},
        desired=DesiredState.stopped,
        scale={"web": 1},
        config=AppConfig(**config),
        target_release_id=None,
        epoch=0,
        generation=1,
        created_at=utc_now(),
        updated_at=utc_now(),
        observed_generation=0,
    )


def test_only_what_changed() -> None:
    was = app(environment={"A": "1"}, processes={"web": ProcessConfig(memory_mb=64)})
    now = replace(was, desired=DesiredState.started, generation=2, scale={"web": 3}, labels={})
    assert audit.changed(audit.facts(was), audit.facts(now)) == (
        {"desired": "stopped", "scale.web": 1, "labels.key": "north"},
        {"desired": "started", "scale.web": 3},
    )
    now = replace(was, config=AppConfig(environment={"A": "1"}, processes={"web": ProcessConfig(memory_mb=128)}))
    before, after = audit.changed(audit.facts(was), audit.facts(now))
    assert (before, after) == ({"processes.web.memory_mb": 64}, {"processes.web.memory_mb": 128})


@given(
    st.dictionaries(st.sampled_from("ABC"), st.text(min_size=8)),
    st.dictionaries(st.sampled_from("ABC"), st.text(min_size=8)),
)
def test_variables_are_named_and_never_shown(was: dict[str, str], now: dict[str, str]) -> None:
    before, after = audit.changed(audit.facts(app(environment=was)), audit.facts(app(environment=now)))
    assert set(before) == {f"environment.{k}" for k in was if was[k] != now.get(k)}
    assert set(after) == {f"environment.{k}" for k in now if now[k] != was.get(k)}
    assert set(before.values()) <= {"***"} and set(after.values()) <= {"***", "*** (changed)"}


@dataclass
class Thing:
    """A noun of the future, whose writer thought of nothing."""

    id: str = "thing_1"
    api_key: str = "hunter2"
    private_pem: str = "hunter2"
    tls: dict[str, Any] = field(default_factory=lambda: {"key": "hunter2", "names": ["a"]})
    url: str = "https://hunter2:hunter2@host.example/hunter2?t=hunter2"
    git_address: str = "https://hunter2@host.example/repo?token=hunter2"
    note: str = "x" * 9000
    many: dict[str, int] = field(default_factory=lambda: {str(n): n for n in range(300)})


def test_fields_that_sound_secret_are_masked_in_nouns_nobody_thought_of() -> None:
    _, after = audit.changed({}, audit.facts(Thing()))
    assert "hunter2" not in json.dumps(after)
    assert after["url"] == "https://host.example/***" and after["tls.names"] == ["a"]
    assert after["git_address"] == "https://host.example/repo?***"
    assert len(after["note"]) == 501 and len(after) == 101 and after["…"] > 0
    before, after = audit.changed(audit.facts(Thing()), audit.facts(replace(Thing(), url="https://host.example/other")))
    assert (before, after) == ({"url": "https://host.example/***"}, {"url": "https://host.example/*** (changed)"})


def test_commands_of_tasks_may_hold_passwords() -> None:
    task = Task("task_1", "app_1", "rel_1", "mysql -phunter2", 64, 60, TaskState.pending, utc_now(), None)
    _, after = audit.changed({}, audit.facts(task))
    assert after["command"] == "***"


def test_outcomes_and_kinds() -> None:
    assert [audit.outcome_of(tag) for tag in ("app:create", "app:stop:requested", "user:login:failed")] == [
        *("succeeded", "requested", "failed")
    ]
    assert audit.outcome_of("app:instance:crashed") == "failed"
    assert audit.kind_of("tok_1", "user:token") == "token" and audit.kind_of(None, "platform:x") == "platform"


def test_every_kind_of_id_has_a_word() -> None:
    source = Path(gongfang.__file__).parent
    made = {p for file in source.rglob("*.py") for p in re.findall(r'new_id\("([a-z]+)"\)', file.read_text())}
    assert {"app", "crt", "whk"} <= made
    assert [p for p in sorted(made) if audit.kind_of(f"{p}_1", "-") == "-"] == ["tr"]  # a folder of rubbish


def _tags(source: Path) -> set[str]:
    """The tags that are spelt out in calls of `event`."""
    found: set[str] = set()
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event":
                texts = [
                    part.value for given in node.args[:2] for part in ast.walk(given) if isinstance(part, ast.Constant)
                ]
                found |= {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(:[a-z]+)+", text)}
    return found


def _documented(page: str) -> set[str]:
    """Those of the page's table of tags: in a cell a word alone goes on where the last whole tag did."""
    found: set[str] = set()
    for row in page.partition("## Tags")[2].partition("\n## ")[0].splitlines():
        above = ""
        for word in re.findall(r"`([^`]+)`", row.partition("|")[2].partition("|")[0]):
            above = word.rpartition(":")[0] if ":" in word else above
            found.add(word if ":" in word else f"{above}:{word}")
    return found


def test_every_tag_is_documented() -> None:
    root = Path(gongfang.__file__).parent
    tags, known = _tags(root), _documented((root.parents[1] / "docs" / "events.md").read_text())
    assert {"app:create", "webhook:disabled", "platform:bootstrap"} <= tags
    missing = {t for t in tags if t not in known and not (t.rpartition(":")[0] in known and t.endswith(":succeeded"))}
    assert not missing
