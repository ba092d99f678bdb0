"""The program as a process: what it loads, how it exits, what the shell gets from it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.speaking_platform import Platform

HEAVY = ("httpx2", "pydantic", "rich", "gongfang.wire.models", "asyncio")


def loaded(*arguments: str, **environment: str) -> str:
    """Which of the heavy modules a run loads."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('LOADED', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['gongfang', *{arguments!r}]\n"
        "from gongfang.cli.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return done.stderr.rpartition("LOADED ")[2].strip()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["deploy", "--help"], ["completion", "bash"], ["apps", "-h"]]
)
def test_help_is_light(arguments: list[str]) -> None:
    assert loaded(*arguments) == "[]"


def test_completion_is_light() -> None:
    words = {"_GONGFANG_COMPLETE": "bash_complete", "COMP_WORDS": "gongfang de", "COMP_CWORD": "1"}
    assert loaded(**words) == "[]"


def test_names_of_apps_are_completed(platform: Platform) -> None:
    platform.add_app("line-3")
    platform.add_app("mes")
    words = {"_GONGFANG_COMPLETE": "bash_complete", "COMP_WORDS": "gongfang logs li", "COMP_CWORD": "2"}
    environment = {**os.environ, **words, "GONGFANG_URL": platform.url, "GONGFANG_TOKEN": "good"}
    done = subprocess.run(
        [sys.executable, "-m", "gongfang.cli"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "plain,line-3\n"


def test_help_in_chinese(alone: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GONGFANG_LANG"}
    environment["LANG"] = "zh_CN.UTF-8"
    done = subprocess.run(
        [sys.executable, "-m", "gongfang.cli", "--help"], capture_output=True, text=True, check=False, env=environment
    )
    assert "部署文件夹中的源码" in done.stdout


def test_ctrl_c_is_130(platform: Platform) -> None:
    platform.add_app("line-3")
    platform.streams["/apps/line-3/logs"] = [["id: 1\nevent: line\ndata: " + LINE + "\n\n"], *[[] for _ in range(99)]]
    environment = {**os.environ, "GONGFANG_URL": platform.url, "PYTHONUNBUFFERED": "1"}
    # A shell's `&` has children ignore Ctrl-C, which these tests may be the child of.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    run = "from gongfang.cli.__main__ import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", f"{heed}; {run}", "logs", "-f", "line-3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert "hello" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (130, "stopped")


def test_a_reader_that_has_seen_enough_is_no_error(platform: Platform) -> None:
    platform.add_app("line-3")
    platform.streams["/apps/line-3/logs"] = [["id: 1\nevent: line\ndata: " + LINE + "\n\n"] * 5000, []]
    environment = {**os.environ, "GONGFANG_URL": platform.url}
    shell = f"{sys.executable} -m gongfang.cli logs -f line-3 | head -n 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False, env=environment, timeout=30)
    assert "hello" in done.stdout
    assert done.stderr == ""


LINE = '{"at": "2026-03-01T08:00:00+08:00", "source": "web.0", "instance_id": "i", "text": "hello"}'
