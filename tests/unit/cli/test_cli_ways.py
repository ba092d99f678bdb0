"""Names in place of ids, logins, and errors that lead on: for people, and as JSON for programs."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from gongfang.cli import packing
from gongfang.cli.__main__ import cli
from gongfang.cli.connection import Logins, resolve
from gongfang.cli.errors import away_hint
from gongfang.client.errors import PlatformAway
from tests.unit.cli.conftest import Gongfang
from tests.unit.client.speaking_platform import Platform, free_port

# --- whom to trust ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://127.0.0.1:8888", "https://localhost:8888"])
def test_a_login_saved_on_the_platforms_own_machine_knows_its_certificate(alone: Path, url: str) -> None:
    home = alone / ".gongfang"
    home.mkdir()
    (alone / "own.pem").write_text("x")
    told = {"api_url": "https://127.0.0.1:8888", "api_certificate": str(alone / "own.pem")}
    (home / "platform.json").write_text(json.dumps(told))
    Logins("here", {"here": {"url": url, "token": "t"}, "there": {"url": "https://plant:8888", "token": "t"}}).save()
    found = resolve(None, None, None)
    assert (found.pinned, found.local, found.token) == (str(alone / "own.pem"), True, "t")
    assert resolve(None, None, "there").pinned is None
    assert resolve("https://127.0.0.1:8889", None, None).pinned is None
    assert resolve("http://127.0.0.1:8888", None, None).pinned is None
    assert resolve("https://127.0.0.1:no", None, None).pinned is None


@pytest.mark.parametrize(
    ("reason", "ca", "hint"),
    [
        ("CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate", None, "--ca FILE"),
        ("CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate", "plant.pem", "plant.pem did not sign"),
        ("CERTIFICATE_VERIFY_FAILED: IP address mismatch, certificate is not valid", "plant.pem", "other names"),
        ("CERTIFICATE_VERIFY_FAILED: certificate has expired", None, "has expired"),
    ],
)
def test_what_to_do_about_a_certificate(reason: str, ca: str | None, hint: str) -> None:
    session = SimpleNamespace(connection=SimpleNamespace(local=False, ca=ca))
    assert hint in away_hint(cast("Any", session), PlatformAway("https://plant:1", reason))


def test_status_tells_a_broken_connection_from_a_platform_that_does_not_run(
    gongfang: Gongfang, platform: Platform
) -> None:
    done = gongfang("--url", platform.url.replace("http:", "https:"), "status")
    assert done.exit_code == 3
    assert "does not run" not in done.stderr
    assert "http://" in done.stderr


# --- errors as JSON --------------------------------------------------------------------------------------------------


def test_an_error_is_json_too(gongfang: Gongfang, platform: Platform) -> None:
    done = gongfang("apps", "show", "nope", "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["details"]) == ("app_not_found", [])
    done = gongfang("apps", "create", "No Name", "--json")
    assert json.loads(done.stdout)["error"]["details"] == [{"field": "name", "message": "not a name"}]
    done = gongfang("spaces", "rename", "nowhere", "x", "--json")
    assert json.loads(done.stdout)["error"]["hint"].endswith("gongfang spaces")
    done = gongfang("users", "create", "li", "--password", "x", "--space", "default", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, "usage")
    assert gongfang("apps", "show", "nope").stdout == ""


def test_an_error_after_data_does_not_spoil_them(gongfang: Gongfang) -> None:
    done = gongfang("--url", f"http://127.0.0.1:{free_port()}", "status", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["running"] is False


def test_one_thing_made_is_one_object(gongfang: Gongfang) -> None:
    assert json.loads(gongfang("users", "create", "li", "--password", "x", "--json").stdout)["name"] == "li"
    assert json.loads(gongfang("spaces", "create", "line-4", "--json").stdout)["name"] == "line-4"
    assert isinstance(json.loads(gongfang("spaces", "--json").stdout), list)


# --- names in place of ids -------------------------------------------------------------------------------------------


def test_a_place_of_a_role_needs_a_role(gongfang: Gongfang, platform: Platform) -> None:
    done = gongfang("users", "create", "li", "--password", "x", "--space", "default")
    assert done.exit_code == 2
    assert "--space" in done.stderr and "--role" in done.stderr
    assert not platform.told("POST", "/api/v1/users")


def test_apps_are_made_in_spaces_by_name(gongfang: Gongfang, platform: Platform, tmp_path: Path) -> None:
    ids = [space["id"] for space in platform.spaces]
    assert gongfang("apps", "create", "a", "--space", "default").exit_code == 0
    assert gongfang("apps", "create", "b", "--space", "line-3", "--org", "paint").exit_code == 0
    assert gongfang("apps", "create", "c", "--space", ids[1]).exit_code == 0
    assert gongfang("apps", "create", "d", "--org", "paint").exit_code == 0
    sent = [call.body["space_id"] for call in platform.told("POST", "/api/v1/apps")]
    assert sent == [ids[0], ids[2], ids[1], ids[2]]
    several = gongfang("apps", "create", "e", "--space", "line-3")
    assert several.exit_code == 1 and "gongfang spaces" in several.stderr
    assert "2 spaces" in gongfang("apps", "create", "e", "--org", "quality").stderr
    assert gongfang("apps", "create", "e", "--org", "quality", "--space", "no").exit_code == 1
    (tmp_path / "index.html").write_text("x")
    done = gongfang("deploy", str(tmp_path), "--app", "f", "--space", "default", "--no-wait")
    assert done.exit_code == 0, done.output
    assert platform.told("POST", "/api/v1/apps")[-1].body["space_id"] == ids[0]
    done = gongfang("deploy", str(tmp_path), "--app", "f", "--space", "line-3", "--org", "paint")
    assert done.exit_code == 1 and "another space" in done.stderr


def test_a_token_is_revoked_by_a_name_that_is_its_alone(gongfang: Gongfang, platform: Platform) -> None:
    assert gongfang("tokens", "revoke", "ci").exit_code == 0
    assert [token["name"] for token in platform.tokens] == ["twice", "twice"]
    assert "give the id" in gongfang("tokens", "revoke", "twice").stderr
    assert gongfang("tokens", "revoke", "gone").exit_code == 1
    assert gongfang("tokens", "revoke", platform.tokens[0]["id"]).exit_code == 0
    assert len(platform.tokens) == 1


# --- what comes next -------------------------------------------------------------------------------------------------


def test_a_developers_deploy_says_who_rolls_it_out(gongfang: Gongfang, platform: Platform, tmp_path: Path) -> None:
    platform.forbidden.add("start")
    (tmp_path / "index.html").write_text("x")
    done = gongfang("deploy", str(tmp_path), "--app", "line-3")
    assert done.exit_code == 4
    assert len(platform.packages) == 1
    assert "gongfang start line-3" in done.stderr


def test_conformance_ends_early_for_a_token_that_may_not_create_apps(gongfang: Gongfang, platform: Platform) -> None:
    platform.forbidden.add("create")
    done = gongfang("conformance", "--clause", "5.1(1)", "--clause", "5.1(5)")
    assert done.exit_code == 4
    assert "may not create apps" in done.stderr


def test_a_refused_login_is_not_told_to_log_in(alone: Path, platform: Platform) -> None:
    done = CliRunner().invoke(cli, ["login", platform.url, "-u", "li"], input="wrong\n")
    assert (done.exit_code, "→" in done.stderr) == (4, False)


def test_logins_are_listed_and_chosen(alone: Path) -> None:
    run = CliRunner()
    assert "gongfang login URL" in run.invoke(cli, ["logins"]).output
    away = f"http://127.0.0.1:{free_port()}"
    Logins("a", {"a": {"url": away, "token": "t", "user": "li"}, "b": {"url": "http://b", "token": "t"}}).save()
    listed = json.loads(run.invoke(cli, ["logins", "--json"]).stdout)
    assert [(one["name"], one["current"]) for one in listed] == [("a", True), ("b", False)]
    assert "t" not in {value for one in listed for value in one.values()}
    assert run.invoke(cli, ["logins", "use", "c"]).exit_code == 2
    assert run.invoke(cli, ["logins", "use", "b"]).exit_code == 0
    assert Logins.load().current == "b"


def test_logging_out_of_a_platform_that_is_away_says_what_was_not_done(alone: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    Logins("a", {"a": {"url": away, "token": "t"}, "b": {"url": "http://b", "token": "t"}}).save()
    done = CliRunner().invoke(cli, ["logout"])
    assert done.exit_code == 0
    assert "could not be revoked" in done.stderr and "now b" in done.stderr
    assert list(Logins.load().contexts) == ["b"]


def test_a_backup_in_a_source_folder_is_never_packed(tmp_path: Path) -> None:
    for name in ("app.py", "gongfang-20260301-120000.tar.zst", "gongfang-20260301-120000.tar.zst.partial", "x.tar.zst"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".gongfangignore").write_text("!gongfang-*\n")
    assert packing.list_files(tmp_path).files == [".gongfangignore", "app.py", "x.tar.zst"]
