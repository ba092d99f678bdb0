"""What an administrator may set, and the foreground."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.conftest import GONGFANG, Platform, fresh_home, is_running, wait_until


async def _make_database(socket: Path, password: str) -> None:
    connection = await asyncpg.connect(host=str(socket), user="gongfang", password=password, database="postgres")
    try:
        await connection.execute("CREATE DATABASE outside")
    finally:
        await connection.close()


def test_an_outside_database_serves_instead_of_the_embedded_one(platform: Platform, hello: Path) -> None:
    """Here the outside server is another platform's, with a database of its own."""
    import asyncio

    socket = Path((platform.home / "run").resolve() / "postgres")
    password = (platform.home / "postgres" / "password").read_text().strip()
    asyncio.run(_make_database(socket, password))
    url = f"postgresql://gongfang:{password}@/outside?host={socket}"
    other = Platform(
        fresh_home(), environment={"GONGFANG_DATABASE_URL": url, "GONGFANG_BASE_DOMAIN": "plant.localhost"}
    )
    try:
        other.up()
        other.cli("deploy", "--app", "demo", cwd=hello)
        assert other.get("demo.plant.localhost")[0] == 200
        assert not (other.home / "postgres" / "data").exists()
        assert not any("postgres-" in w.name for w in other.workloads())
    finally:
        other.down()
        shutil.rmtree(other.home.parent)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GONGFANG_API_PORT", "99999"),
        ("GONGFANG_DATABASE_URL", "mysql://x"),
        ("GONGFANG_DATABASE_URL", "postgresql://a:secret@127.0.0.1:1/x"),
        ("GONGFANG_LOG_LEVEL", "loud"),
        ("GONGFANG_PORT_RANGE", "1-2"),
    ],
)
def test_a_wrong_setting_is_named_without_a_traceback(variable: str, value: str) -> None:
    other = Platform(fresh_home(), environment={variable: value})
    try:
        done = other.cli("up", "--detach", check=False)
        assert done.returncode != 0
        assert variable.removeprefix("GONGFANG_").lower() in (done.stdout + done.stderr).lower()
        assert "Traceback" not in done.stdout + done.stderr
        assert "secret" not in done.stdout + done.stderr
    finally:
        other.environment.clear()
        other.down()
        shutil.rmtree(other.home.parent)


def test_ctrl_c_in_the_foreground_ends_everything(hello: Path) -> None:
    other = Platform(fresh_home())
    try:
        command = [str(GONGFANG), "up"]
        with subprocess.Popen(command, env=other.variables(), stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            for line in running.stdout:
                if "ready" in line:
                    break
            other.cli("deploy", "--app", "demo", cwd=hello)
            networked = any(g["name"] == "own_network" and g["enforced"] for g in other.json("status")["guarantees"])
            os.kill(running.pid, signal.SIGINT)
            said = running.stdout.read()
        assert running.returncode == 0
        assert f"{4 if networked else 3} workloads were ended" in said  # with networks of their own, a resolver
        wait_until(lambda: other.processes() == [])
    finally:
        other.down()
        shutil.rmtree(other.home.parent)


def test_a_relative_home_a_changed_setting_and_apps_that_answer_when_up_returns(hello: Path) -> None:
    home = fresh_home()
    other = Platform(home, environment={"GONGFANG_HOME": f"{home.parent.name}/{home.name}"})
    try:
        other.cli("up", "--detach", cwd=home.parent.parent, timeout=300)
        assert (home / "platform.json").is_file()
        assert not (Path("/") / home.parent.name).exists()
        other.environment.clear()
        other.cli("deploy", "--app", "demo", cwd=hello)
        first = other.control_pid

        other.environment["GONGFANG_SWEEP_S"] = "7"
        assert "GONGFANG_SWEEP_S" in other.up()
        assert other.control_pid == first
        instance = other.json("ps", "demo")[0]["id"]
        told = json.loads(other.cli("up", "--detach", "--restart", "--json", timeout=300).stdout)
        assert told["pid"] == other.control_pid != first
        assert not is_running(first)
        assert other.json("ps", "demo")[0]["id"] == instance  # it ran on
        assert "GONGFANG_SWEEP_S" not in other.up()

        last = other.control_pid
        other.down()
        assert not is_running(last)
        assert "1 of 1" in other.up()
        assert other.get(other.host("demo"))[0] == 200
    finally:
        other.down()
        shutil.rmtree(home.parent)
