"""What befalls a machine: it reboots, its pids and ports are another's afterwards, its clock jumps while nobody looks.

A reboot is played: every process of the home is killed at once, as when the power fails, and the next `up` sees
another boot id, through a mount namespace of its own.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from bench.leftovers import faults, unended

from tests.e2e.conftest import GONGFANG, Platform, fresh_home, is_running, running, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another boot id is shown by a bind mount, which takes root")


@pytest.fixture
def machine() -> Iterator[Platform]:
    with running(Platform(fresh_home())) as started:
        yield started


def power_failure(platform: Platform) -> None:
    """Everything of this home is gone at once, and nothing had the time to write anything down."""
    mine = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and belongs(entry, platform)]
    for signal_number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none sees another one's end
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):  # gone with the first of its namespace
                os.kill(pid, signal_number)
    wait_until(lambda: not any(is_running(pid) for pid in mine))


def belongs(entry: Path, platform: Platform) -> bool:
    """The control plane, and all that has the home's folders mounted or is in its control groups."""
    groups = "/gongfang-" + hashlib.sha256(os.fsencode(platform.home / "runtime")).hexdigest()[:12] + "/"
    try:
        mounts, own = (entry / "mountinfo").read_bytes(), (entry / "cgroup").read_text()
    except OSError:
        return False
    return entry.name == str(platform.control_pid) or os.fsencode(platform.home) in mounts or groups in own


def boots_anew(platform: Platform) -> None:
    """From now on its commands see another boot id."""
    fake = platform.home.parent / "boot_id"
    fake.write_text("11111111-2222-3333-4444-555555555555\n")
    script = f'mount --bind {fake} /proc/sys/kernel/random/boot_id && exec "{GONGFANG}" "$@"'
    platform.prefix = ("unshare", "--mount", "sh", "-c", script, "gongfang")


def test_after_a_reboot_everything_runs_again_and_nothing_old_is_taken_for_running(
    machine: Platform, hello: Path
) -> None:
    machine.cli("deploy", "--app", "line", cwd=hello)
    machine.cli("scale", "line", "2")
    before = {i["id"]: i["port"] for i in machine.json("ps", "line")}
    postmaster = machine.home / "postgres" / "data" / "db" / "postmaster.pid"
    assert postmaster.exists()
    power_failure(machine)
    boots_anew(machine)
    # Numbers are another's now: the port of an instance, and the pids that are written down.
    with socket.create_server(("127.0.0.1", next(iter(before.values())))), reused_pids(machine):
        machine.up()
        wait_until(lambda: machine.get(machine.host("line"))[0] == 200, 60)
        wait_until(lambda: unended(machine.client) == [], 60)
        assert faults(machine.home, machine.client) == []
        after = {i["id"] for i in machine.json("ps", "line")}
        assert len(after) == 2 and not after & set(before)
        ended = machine.client.apps.instances("line", ended=True)
        lost = [i for i in ended if i.id in before]
        assert {i.state for i in lost} == {"crashed"}
        assert all(i.reason is not None and i.reason.code == "exit_lost" for i in lost)


class reused_pids:
    """Whoever is named in the home's files as a process is a process of somebody else's meanwhile: this very one."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def __enter__(self) -> None:
        (self._platform.home / "control.lock").write_text(f"{os.getpid()}\n")
        for folder in self._platform.workloads():
            status = folder / "status"
            if status.exists():
                lines = [orjson.loads(line) for line in status.read_bytes().splitlines() if line.strip()]
                named = [{**line, "child-pid": os.getpid()} if "child-pid" in line else line for line in lines]
                status.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in named))

    def __exit__(self, *_: object) -> None:
        assert is_running(os.getpid())


def test_an_operation_that_the_reboot_cut_off_is_finished(machine: Platform, hello: Path) -> None:
    machine.cli("deploy", "--app", "line", cwd=hello)
    source = (hello / "app.py").read_text()
    (hello / "app.py").write_text("import time\ntime.sleep(3)\n" + source.replace('"v1"', '"v2"'))
    archive = shutil.make_archive(str(hello.parent / "package"), "gztar", hello)
    machine.client.apps.upload("line", Path(archive))
    operation = machine.client.apps.start("line").operation
    wait_until(lambda: any(s.name == "step_roll_out" for s in machine.client.operations.get(operation.id).steps))
    power_failure(machine)
    boots_anew(machine)
    machine.up()
    wait_until(lambda: machine.client.operations.get(operation.id).status == "succeeded", 60)
    wait_until(lambda: machine.get(machine.host("line"))[2].startswith(b"v2"))
    wait_until(lambda: unended(machine.client) == [], 30)
    assert faults(machine.home, machine.client) == []


def test_a_second_control_plane_is_not_started_by_a_lock_file_that_was_left(machine: Platform) -> None:
    """The lock is the kernel's, not the file's: what is written in it decides nothing."""
    machine.kill_control_plane()
    (machine.home / "control.lock").write_text("1\n")
    machine.up()
    assert machine.control_pid != 1
    assert "runs already" in machine.up()
