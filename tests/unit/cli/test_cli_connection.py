"""Which platform a command talks to, and with which token."""

import json
import stat
from pathlib import Path

import pytest

from gongfang.cli.connection import Logins, resolve
from gongfang.cli.errors import Failed


def local_platform(home: Path, url: str = "http://127.0.0.1:9999") -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "platform.json").write_text(json.dumps({"api_url": url, "edge_port": 1, "base_domain": "x"}))
    (home / "admin-token").write_text("admin\n")


def saved(current: str | None = "plant") -> None:
    Logins(current, {"plant": {"url": "http://plant:7080", "token": "mine"}}).save()


def test_without_anything_this_machine(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = resolve(None, None, None)
    assert (found.url, found.token, found.local) == ("http://127.0.0.1:7080", None, True)
    monkeypatch.setenv("GONGFANG_API_PORT", "8080")
    assert resolve(None, None, None).url == "http://127.0.0.1:8080"


def test_a_running_platform_of_the_home_says_where(alone: Path) -> None:
    local_platform(alone / ".gongfang")
    found = resolve(None, None, None)
    assert (found.url, found.token, found.local) == ("http://127.0.0.1:9999", "admin", True)


def test_a_saved_login_goes_before_the_default_home_but_not_before_one_that_was_set(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_platform(alone / ".gongfang")
    saved()
    found = resolve(None, None, None)
    assert (found.url, found.token, found.local) == ("http://plant:7080", "mine", False)
    local_platform(alone / "second", "http://127.0.0.1:8888")
    monkeypatch.setenv("GONGFANG_HOME", str(alone / "second"))
    assert resolve(None, None, None).url == "http://127.0.0.1:8888"


def test_an_address_goes_before_all(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved()
    monkeypatch.setenv("GONGFANG_URL", "http://env:1/")
    assert resolve(None, None, None).url == "http://env:1"
    assert resolve("opt:2/api/v1", None, None).url == "http://opt:2"
    assert resolve("http://plant:7080", None, None).token == "mine"
    assert resolve(None, "other", "plant").token == "other"


def test_whom_to_trust_over_https(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("login.pem", "env.pem", "opt.pem", "own.pem"):
        (alone / name).write_text("x")
    Logins("plant", {"plant": {"url": "https://plant:7080", "token": "t", "ca": str(alone / "login.pem")}}).save()
    for found in (resolve(None, None, None), resolve(None, None, "plant"), resolve("https://plant:7080", None, None)):
        assert (found.ca, found.pinned) == (str(alone / "login.pem"), None)
    assert resolve("https://other:1", None, None).ca is None
    monkeypatch.setenv("GONGFANG_CA", str(alone / "env.pem"))
    assert resolve(None, None, None).ca == str(alone / "env.pem")
    assert resolve(None, None, None, str(alone / "opt.pem")).ca == str(alone / "opt.pem")
    # A platform of this machine is known by its own file, unless it is said otherwise.
    home = alone / "second"
    local_platform(home, "https://127.0.0.1:8888")
    told = json.loads((home / "platform.json").read_text())
    (home / "platform.json").write_text(json.dumps({**told, "api_certificate": str(alone / "own.pem")}))
    monkeypatch.setenv("GONGFANG_HOME", str(home))
    found = resolve(None, None, None)
    assert (found.ca, found.pinned, found.local) == (None, str(alone / "own.pem"), True)
    assert resolve("https://elsewhere:8888", None, None).pinned is None
    found = resolve(None, None, None, str(alone / "opt.pem"))
    assert (found.ca, found.pinned) == (str(alone / "opt.pem"), None)
    with pytest.raises(Failed) as caught:
        resolve(None, None, None, str(alone / "nowhere.pem"))
    assert "nowhere.pem" in caught.value.message


def test_the_admin_token_goes_to_its_own_platform_only(alone: Path) -> None:
    local_platform(alone / ".gongfang")
    assert resolve("http://127.0.0.1:9999", None, None).token == "admin"
    assert resolve("http://elsewhere:9999", None, None).token is None


def test_an_unknown_context(alone: Path) -> None:
    saved()
    with pytest.raises(Failed, match="plant"):
        resolve(None, None, "plnat")


def test_the_file_is_for_its_owner_only(alone: Path) -> None:
    saved()
    assert stat.S_IMODE(Logins.path().stat().st_mode) == 0o600
    assert [entry.name for entry in Logins.path().parent.iterdir()] == ["config.json"]
