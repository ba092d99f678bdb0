"""The commands: what they send, what they print, and how they exit."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gongfang.cli.__main__ import SECTIONS, cli
from gongfang.cli.connection import Logins
from tests.unit.cli.conftest import Gongfang
from tests.unit.client.speaking_platform import Platform, free_port, line, message, task_json

ALL = [name for section in SECTIONS.values() for name in section]


@pytest.mark.parametrize("name", ALL)
def test_every_command_teaches_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert "gongfang" in result.output


def test_apps_for_people_and_for_programs(gongfang: Gongfang, platform: Platform) -> None:
    platform.add_app("line-3", labels={"plant": "苏州"})
    table = gongfang("apps")
    assert table.exit_code == 0
    assert table.stdout.splitlines()[1].split() == [
        "line-3", "running", "1/1", "1", "512", "MB", "http://line-3.apps.localhost:7081",
    ]  # fmt: skip
    data = json.loads(gongfang("apps", "--state", "running", "--json").stdout)
    assert [(app["name"], app["labels"]["plant"]) for app in data] == [("line-3", "苏州")]
    assert ("state", "running") in platform.calls[-1].query


def test_json_is_all_there_is_on_stdout(gongfang: Gongfang, platform: Platform) -> None:
    platform.add_app("line-3")
    for command in (["apps", "show", "line-3"], ["start", "line-3"], ["scale", "line-3", "2"], ["env", "line-3"]):
        json.loads(gongfang(*command, "--json").stdout)


def test_a_group_alone_or_with_an_argument_is_its_own_command(gongfang: Gongfang, platform: Platform) -> None:
    app = platform.add_app("line-3")
    platform.environment[app["id"]] = {"LINE": "3"}
    assert gongfang("env", "line-3").stdout == "LINE=3\n"
    assert gongfang("env", "show", "line-3").stdout == "LINE=3\n"
    assert gongfang("env", "set", "line-3", "PLANT=suzhou=2").exit_code == 0
    assert gongfang("env", "unset", "line-3", "LINE").exit_code == 0
    assert platform.environment[app["id"]] == {"PLANT": "suzhou=2"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["apps", "show", "line-4"], 1),
        (["apps", "create", "Line 3"], 1),
        (["stop", "guarded"], 4),
        (["--token", "bad", "whoami"], 4),
        (["env", "set", "line-3", "no-equals"], 2),
        (["scale", "line-3"], 2),
        (["aps"], 2),
        (["deploy", "/no/such/folder"], 2),
        (["apps", "show", "line-3"], 0),
    ],
)
def test_exit_codes(gongfang: Gongfang, platform: Platform, arguments: list[str], code: int) -> None:
    platform.add_app("line-3")
    platform.add_app("guarded", labels={"guarded": "yes"})
    result = gongfang(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code in (1, 4):
        assert result.stderr.startswith("error: ")
        assert result.stdout == ""


def test_errors_name_the_field(gongfang: Gongfang) -> None:
    assert gongfang("apps", "create", "Line 3").stderr == "error: a value is at fault\n  name: not a name\n"


def test_errors_in_chinese(gongfang: Gongfang, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONGFANG_LANG", "zh")
    assert gongfang("apps", "show", "x").stderr.startswith("错误：")
    assert platform.calls[-1].headers["accept-language"] == "zh-CN"


def test_a_mistyped_command_is_guessed(gongfang: Gongfang) -> None:
    assert "do you mean deploy" in gongfang("depoly").output


def test_nobody_there(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONGFANG_API_PORT", str(free_port()))
    result = CliRunner().invoke(cli, ["status"])
    assert result.exit_code == 3
    assert "gongfang up" in result.stderr
    assert json.loads(CliRunner().invoke(cli, ["status", "--json"]).stdout)["running"] is False


def test_status(gongfang: Gongfang, platform: Platform) -> None:
    result = gongfang("status")
    assert result.exit_code == 0
    assert "memory limits are not enforced" in result.stdout
    platform.parts.append({"name": "database", "state": "down", "message": "gone"})
    assert gongfang("status").exit_code == 1


# --- deploy ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "Line 3"
    folder.mkdir()
    (folder / "app.py").write_text("print('hello')\n")
    return folder


def test_deploy_creates_uploads_starts_and_prints_the_address(
    gongfang: Gongfang, platform: Platform, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)
    result = gongfang("deploy", "--memory", "128", "-e", "LINE=3", "-l", "plant=suzhou")
    assert result.exit_code == 0, result.output
    assert result.stdout == "http://line-3.apps.localhost:7081\n"
    (created,) = platform.told("POST", "/api/v1/apps")
    assert created.body == {
        "name": "line-3",
        "environment": {"LINE": "3"},
        "labels": {"plant": "suzhou"},
        "processes": {"web": {"memory_mb": 128}},
    }
    assert platform.packages[0]["filename"] == "source.tar.gz"
    assert "✓ Starting" in result.stderr

    again = gongfang("deploy")
    assert again.exit_code == 0
    assert len(platform.told("POST", "/api/v1/apps")) == 1
    assert len(platform.packages) == 2


def test_deploy_remembers_its_app(gongfang: Gongfang, platform: Platform, source: Path) -> None:
    assert gongfang("deploy", str(source), "--app", "other").exit_code == 0
    assert gongfang("deploy", str(source)).exit_code == 0
    assert [app["name"] for app in platform.apps.values()] == ["other"]


def test_deploy_sends_a_file_as_it_is(gongfang: Gongfang, platform: Platform, tmp_path: Path) -> None:
    jar = tmp_path / "mes.jar"
    jar.write_bytes(b"PK")
    assert gongfang("deploy", str(jar), "--json").exit_code == 0
    assert (platform.packages[0]["filename"], platform.packages[0]["size"]) == ("mes.jar", 2)


def test_a_failed_deploy_says_why(gongfang: Gongfang, platform: Platform, source: Path) -> None:
    platform.start_fails = True
    result = gongfang("deploy", str(source))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error: the instance ended with code 1" in result.stderr
    assert "  | KeyError: 'X'" in result.stderr
    assert "gongfang logs line-3" in result.stderr


def test_deploy_without_waiting(gongfang: Gongfang, platform: Platform, source: Path) -> None:
    platform.start_fails = True
    result = gongfang("deploy", str(source), "--no-wait")
    assert result.exit_code == 0
    assert "gongfang operations watch op_" in result.stderr


def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(
    gongfang: Gongfang, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gongfang.client.resources.work import Operations

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Operations, "watch", interrupted)
    result = gongfang("deploy", str(source))
    assert result.exit_code == 130
    assert "gongfang cancel op_" in result.stderr


# --- output of instances and tasks -----------------------------------------------------------------------------------


def test_logs(gongfang: Gongfang, platform: Platform) -> None:
    platform.add_app("line-3")
    assert gongfang("logs", "line-3").stdout.endswith("web.0 hello\n")
    assert ("tail", "100") in platform.calls[-1].query
    assert json.loads(gongfang("logs", "line-3", "--since", "10m", "--tail", "1", "--json").stdout)["text"] == "hello"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"state": "succeeded", "exit_code": 0}, 0),
        ({"state": "failed", "exit_code": 7}, 7),
        ({"state": "failed", "signal": 9}, 137),
    ],
)
def test_run_exits_as_the_task_did(gongfang: Gongfang, platform: Platform, end: dict[str, object], code: int) -> None:
    platform.add_app("line-3")
    platform.streams["/tasks/task_1/log"] = [[line(1, "out"), message(2, "end", task_json(**end))]]
    result = gongfang("run", "line-3", "--", "python", "-c", "print('a b')")
    assert (result.stdout, result.exit_code) == ("out\n", code)
    assert platform.told("POST", "/api/v1/apps/line-3/tasks")[0].body == {
        "command": "python -c 'print('\"'\"'a b'\"'\"')'"
    }


def test_run_takes_a_shell_line_and_can_leave_it(gongfang: Gongfang, platform: Platform) -> None:
    platform.add_app("line-3")
    assert gongfang("run", "--detach", "line-3", "ls -l && env").stdout == "task_1\n"
    assert platform.calls[-1].body == {"command": "ls -l && env"}


# --- who -------------------------------------------------------------------------------------------------------------


def test_login_is_kept_and_used(alone: Path, platform: Platform) -> None:
    run = CliRunner()
    refused = run.invoke(cli, ["login", platform.url, "-u", "wang.li"], input="wrong\n")
    assert refused.exit_code == 4
    result = run.invoke(cli, ["login", platform.url, "-u", "wang.li", "--name", "plant"], input="correct horse\n")
    assert result.exit_code == 0, result.output
    assert Logins.load().contexts["plant"]["token"] == "good"
    assert "wang.li" in run.invoke(cli, ["whoami"]).stdout
    assert run.invoke(cli, ["logout"]).exit_code == 0
    assert Logins.load().contexts == {}


def test_any_endpoint(gongfang: Gongfang, platform: Platform) -> None:
    assert json.loads(gongfang("api", "get", "/api/v1/platform").stdout)["version"] == "0.1.0"
    assert gongfang("api", "POST", "apps", "-d", '{"name": "line-3"}').exit_code == 0
    assert gongfang("api", "GET", "/apps?state=running&label=a").exit_code == 0
    assert platform.calls[-1].query == [("state", "running"), ("label", "a")]
    assert gongfang("api", "POST", "/apps", "-d", "{").exit_code == 2


def test_cancel_finds_what_is_being_done(gongfang: Gongfang, platform: Platform) -> None:
    platform.add_app("line-3")
    result = gongfang("cancel", "line-3")
    assert result.exit_code == 1
    assert "nothing is being done" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_GONGFANG_COMPLETE" in CliRunner().invoke(cli, ["completion", shell]).stdout
