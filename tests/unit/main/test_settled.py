"""Settings as people get them wrong, hand them on, and change them under a platform that runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gongfang.domain.errors import Invalid
from gongfang.domain.messages import words
from gongfang.main import settled
from gongfang.main.home import Home
from gongfang.main.process import _start_of  # pyright: ignore[reportPrivateUsage]
from gongfang.settings import Settings


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("GONGFANG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GONGFANG_LANG", "en")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "value", "example"),
    [
        ("GONGFANG_TRUSTED_PROXIES", "hello", "192.168.7.0/24"),
        ("GONGFANG_PORT_RANGE", "20-30", "[20000, 29999]"),
        ("GONGFANG_PORT_RANGE", "[1]", "[20000, 29999]"),
        ("GONGFANG_DISK_WARN", "abc", "5%"),
        ("GONGFANG_API_PORT", "99999", "7080"),
        ("GONGFANG_EDGE_TLS_PORT", "x", "7443"),
        ("GONGFANG_ICP", "maybe", "optional"),
        ("GONGFANG_LOG_LEVEL", "loud", "warning"),
        ("GONGFANG_WEBHOOK_PRIVATE", "perhaps", "true or false"),
        ("GONGFANG_EVENT_RETENTION_DAYS", "7", "180"),
        ("GONGFANG_KEEP_RELEASES", "0", "10"),
        ("GONGFANG_SPACE_QUOTA_APPS", "-1", "10"),
        ("GONGFANG_DATABASE_URL", "mysql://root:hidden@x", "postgresql://"),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_wrong_setting_is_named_plainly_with_its_form(
    variable: str, value: str, example: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("GONGFANG_LANG", language)
    with pytest.raises(Invalid) as raised:
        settled.read_settings()
    assert raised.value.facts["variable"] == variable
    said = words(raised.value.code, raised.value.facts, "zh-CN" if language == "zh" else "en")
    assert example.split()[0] in said
    assert ("须为" in said or "须以" in said) if language == "zh" else "it must" in said
    assert "hidden" not in said


def test_a_child_in_another_folder_gets_absolute_paths(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, path in (("HOME", "plant"), ("API_TLS_CERT", "tls/c.pem"), ("API_TLS_KEY", "./k.pem")):
        monkeypatch.setenv(f"GONGFANG_{name}", path)
    handed = settled.environment_of(settled.read_settings())
    assert handed["GONGFANG_HOME"] == str(alone / "plant")
    assert handed["GONGFANG_API_TLS_CERT"] == str(alone / "tls" / "c.pem")
    assert handed["GONGFANG_API_TLS_KEY"] == str(alone / "k.pem")
    monkeypatch.delenv("GONGFANG_API_TLS_KEY")
    assert "GONGFANG_API_TLS_KEY" not in settled.environment_of(settled.read_settings())


def test_what_was_set_otherwise_since_is_named_and_no_value_is_kept(alone: Path) -> None:
    before = Settings(home=alone / "h", database_url="postgresql://u:hidden@h/d")
    home = Home.of(before)
    home.make()
    home.write_platform(before)
    told = orjson.loads(home.platform_file.read_bytes())["settings"]
    assert "hidden" not in home.platform_file.read_text()
    assert settled.changed(before, told) == []
    after = Settings(home=alone / "h", database_url="postgresql://u:other@h/d", sweep_s=5)
    assert settled.changed(after, told) == ["GONGFANG_DATABASE_URL", "GONGFANG_SWEEP_S"]


@pytest.mark.parametrize("told", [None, {}, [], {"salt": 1, "of": {}}, {"salt": "x", "of": {"gone": "y"}}])
def test_nothing_is_named_where_nothing_was_told(told: object) -> None:
    assert settled.changed(Settings(), told) == []


def test_a_process_that_has_ended_has_no_start() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        assert _start_of(running.pid) is not None
        running.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
        assert _start_of(running.pid) is None  # a zombie: nothing of it runs
    assert _start_of(running.pid) is None
