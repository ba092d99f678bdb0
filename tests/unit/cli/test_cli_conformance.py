"""`gongfang conformance`: what it prints and writes, and how it exits."""

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gongfang.cli.__main__ import cli
from tests.unit.client.speaking_platform import free_port
from tests.unit.conformance.reference import TOKEN, serving

QUICK = ["--settle", "0.1", "--operation-timeout", "1"]


def conformance(url: str, *arguments: str, token: str = TOKEN) -> Result:
    whole = ["conformance", "--url", url, "--token", token, *QUICK, *arguments]
    return CliRunner().invoke(cli, whole, catch_exceptions=False)


def test_a_table_in_both_languages() -> None:
    with serving(missing=("5.1(5)",)) as reference:
        english = conformance(reference.url, "--clause", "5.1(1)", "--clause", "5.1(5)", "--clause", "lists")
        chinese = conformance(reference.url, "--clause", "5.1(1)", "--clause", "5.1(5)", "--lang", "zh-CN")
    assert english.exit_code == 1
    lines = english.stdout.splitlines()
    assert lines[1].split()[:6] == ["5.1(1)", "应用创建", "Create", "an", "app", "pass"]
    assert "missing" in lines[2]
    assert lines[2].endswith("405 method_not_allowed")
    assert lines[-1] == f"{reference.url}: pass 2, missing 1"
    assert "通过" in chinese.stdout.splitlines()[1]
    assert "缺失" in chinese.stdout.splitlines()[2]


def test_missing_counts_unless_it_is_allowed() -> None:
    with serving(missing=("5.1(5)",)) as reference:
        assert conformance(reference.url, "--clause", "5.1(1)").exit_code == 0
        assert conformance(reference.url, "--clause", "5.1(5)").exit_code == 1
        assert conformance(reference.url, "--clause", "5.1(5)", "--allow-missing").exit_code == 0


def test_a_failure_says_what_was_asked_expected_and_seen() -> None:
    with serving(None, "5.1(1):trace") as reference:
        result = conformance(reference.url, "--clause", "5.1(1)", "--allow-missing")
    assert result.exit_code == 1
    told = result.stdout[result.stdout.index("\n5.1(1) 应用创建") :]
    assert "  request:  POST /api/v1/apps" in told
    assert "  expected: an error without a stack trace" in told
    assert "Traceback" in told
    assert "  standard: Common rules: " in told


def test_json_and_junit(tmp_path: Path) -> None:
    with serving(None, "5.1(2):another_sum") as reference:
        result = conformance(reference.url, "--clause", "5.1(2)", "--json", "-", "--junit", str(tmp_path / "r.xml"))
        conformance(reference.url, "--clause", "5.1(2)", "--json", str(tmp_path / "r.json"))
    document = json.loads(result.stdout)
    assert document["summary"] == {"pass": 0, "fail": 1, "missing": 0, "blocked": 0}
    (clause,) = document["clauses"]
    assert (clause["clause"], clause["verdict"]) == ("5.1(2)", "fail")
    assert any(check["expected"]["zh-CN"] for check in clause["checks"] if check["verdict"] == "fail")
    assert json.loads((tmp_path / "r.json").read_text())["clauses"][0]["verdict"] == "fail"
    assert ET.parse(tmp_path / "r.xml").getroot()[0].get("failures") == "1"


@pytest.mark.parametrize(
    ("arguments", "token", "code"),
    [(["--clause", "5.9"], TOKEN, 2), ([], "wrong", 4), (["--clause", "5.1("], TOKEN, 2)],
)
def test_what_cannot_begin(arguments: list[str], token: str, code: int) -> None:
    with serving() as reference:
        result = conformance(reference.url, *arguments, token=token)
        assert result.exit_code == code
        assert result.stderr.startswith("error: ")
        assert result.stdout == ""
        assert not [call for call in reference.calls if not call.startswith("GET")]


def test_nobody_there() -> None:
    assert conformance(f"http://127.0.0.1:{free_port()}").exit_code == 3


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_is_left(with_signal: signal.Signals) -> None:
    with serving(None, "operations:never_ends") as reference:  # it waits for an operation when the signal comes
        command = ["-c", "from gongfang.cli.__main__ import main; main()", "conformance", "--url", reference.url]
        command += ["--token", TOKEN, "--clause", "operations", "--operation-timeout", "60"]
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            while not any("/operations/" in call for call in list(reference.calls)):
                assert process.poll() is None
            reference.lies = frozenset()
            os.kill(process.pid, with_signal)
            process.communicate(timeout=60)
        assert process.returncode == 130
        assert reference.apps == {}
