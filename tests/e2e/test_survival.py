"""kill -9 at bad moments: traffic flows on, and what was accepted ends."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Platform, fresh_home, is_running, running, wait_until, write_version
from tests.e2e.load import Load


@pytest.fixture
def fragile() -> Iterator[Platform]:
    """A platform of the test's own, to be broken."""
    with running(Platform(fresh_home())) as started:
        yield started


def test_without_its_control_plane_traffic_flows_and_up_adopts_what_runs(fragile: Platform, hello: Path) -> None:
    fragile.cli("deploy", "--app", "demo", cwd=hello)
    (before,) = fragile.json("ps", "demo")
    with Load(fragile.edge_port, fragile.host("demo")) as load:
        fragile.kill_control_plane()
        fragile.up()
        (after,) = fragile.json("ps", "demo")
        write_version(hello, "v2")
        fragile.cli("deploy", "--app", "demo", cwd=hello)
    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}
    assert after["id"] == before["id"]


@pytest.mark.parametrize("step", ["building", "rolling"])
def test_a_deploy_that_was_cut_off_is_finished_after_up(fragile: Platform, hello: Path, step: str) -> None:
    fragile.cli("deploy", "--app", "demo", cwd=hello)
    write_version(hello, "v2")
    if step == "building":
        (hello / "requirements.txt").write_text("itsdangerous\n")
    else:
        source = (hello / "app.py").read_text()
        (hello / "app.py").write_text("import time\ntime.sleep(2)\n" + source)
    client = fragile.client
    app = fragile.json("apps", "show", "demo")
    archive = shutil.make_archive(str(hello.parent / "package"), "gztar", hello)
    client.apps.upload(app["id"], Path(archive))
    operation = client.apps.start(app["id"]).operation
    wanted = {"building": "step_build", "rolling": "step_roll_out"}[step]
    wait_until(lambda: any(s.name == wanted for s in client.operations.get(operation.id).steps))
    with Load(fragile.edge_port, fragile.host("demo")) as load:
        fragile.kill_control_plane()
        fragile.up()
        wait_until(lambda: fragile.client.operations.get(operation.id).status == "succeeded", 60)
        wait_until(lambda: load.answers["v2"] > 0)
    assert load.failures == []
    assert len(fragile.json("ps", "demo")) == 1
    assert len(fragile.json("releases", "demo")) == 2


def test_envoy_postgres_and_instances_come_back_by_themselves(fragile: Platform, hello: Path) -> None:
    fragile.cli("deploy", "--app", "demo", cwd=hello)
    kill_by_name(fragile, "envoy")
    wait_until(lambda: served(fragile), what="Envoy is back")
    kill_by_name(fragile, "postgres")
    wait_until(lambda: fragile.cli("apps", check=False).returncode == 0, what="PostgreSQL is back")
    fragile.cli("restart", "demo")
    assert served(fragile)


def kill_by_name(platform: Platform, name: str) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_running(int(entry.name)):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if Path(words[0].decode()).name == name and belongs(entry, platform):
                os.kill(int(entry.name), signal.SIGKILL)
                return
    raise AssertionError(f"no {name} runs")


def belongs(entry: Path, platform: Platform) -> bool:
    """By what the process has mounted: the home's folders."""
    return str(platform.home).encode() in (entry / "mountinfo").read_bytes()


def served(platform: Platform) -> bool:
    try:
        return platform.get(platform.host("demo"))[0] == 200
    except OSError:
        return False


def test_two_homes_run_side_by_side(platform: Platform, fragile: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, cwd=hello)
    fragile.cli("deploy", "--app", name, cwd=hello)
    assert platform.get(platform.host(name))[0] == fragile.get(fragile.host(name))[0] == 200
    fragile.down()
    assert platform.get(platform.host(name))[0] == 200
    with pytest.raises(OSError):
        fragile.get(fragile.host(name))
    fragile.up()
    wait_until(lambda: fragile.get(fragile.host(name))[0] == 200, what="the app is started again by up")
    app = fragile.client.apps.get(name)
    assert {i.state for i in fragile.client.apps.instances(app.id, ended=True)} == {"ready", "exited"}  # not crashed


def test_a_second_up_says_that_it_runs_and_down_twice_is_down_once(fragile: Platform) -> None:
    assert "runs already" in fragile.up()
    assert (fragile.home / "admin-token").stat().st_mode & 0o777 == 0o600
    fragile.down()
    assert "does not run" in fragile.down()
    done = fragile.cli("apps", check=False)
    assert done.returncode == 3
    fragile.up()


def test_the_edge_port_being_taken_is_said_by_name(fragile: Platform) -> None:
    other = Platform(fresh_home(), edge_port=fragile.edge_port)
    try:
        done = other.cli("up", "--detach", check=False, timeout=120)
        assert done.returncode == 1
        assert "GONGFANG_EDGE_PORT" in done.stdout + done.stderr
    finally:
        other.down()
        shutil.rmtree(other.home.parent)
