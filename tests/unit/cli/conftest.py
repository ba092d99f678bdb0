"""The command line against a platform that speaks, in a home of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.client.speaking_platform import Platform, speaking

Gongfang = Callable[..., Result]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No login, home, locale or working folder of the machine's reaches a test."""
    for name in ("GONGFANG_URL", "GONGFANG_TOKEN", "GONGFANG_HOME", "GONGFANG_API_PORT", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GONGFANG_LANG", "en")
    return home


@pytest.fixture
def platform() -> Iterator[Platform]:
    with speaking() as found:
        yield found


@pytest.fixture
def gongfang(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Gongfang:
    """Runs the command line, as `gongfang("apps", "--json")`."""
    from gongfang.cli.__main__ import cli

    monkeypatch.setenv("GONGFANG_URL", platform.url)
    monkeypatch.setenv("GONGFANG_TOKEN", "good")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, catch_exceptions=False)

    return run
