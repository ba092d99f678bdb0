import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import ExitInfo
from gongfang.runtimes.interface import Limits
from gongfang.runtimes.local import logs
from gongfang.runtimes.local.cgroups import Tree, parse_hierarchies, settings
from gongfang.runtimes.local.logs import OutputLog, thin
from gongfang.runtimes.local.ports import Ports, Slot
from gongfang.runtimes.local.processes import Process, is_alive, parse_stat, stat
from gongfang.runtimes.local.records import Status, exit_of
from gongfang.runtimes.memory.language import Step, parse

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_process_name_may_hold_anything() -> None:
    fields = "S 7 8 9 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 555 4096 42 0"
    seen = parse_stat(f"12 (a ) b) (c) {fields}\n")
    assert seen.process == Process(12, 555)
    assert (seen.parent, seen.session, seen.cpu_ticks, seen.resident_pages) == (7, 9, 50, 42)


def test_the_same_number_is_not_the_same_process() -> None:
    seen = stat(os.getpid())
    assert seen is not None and is_alive(seen.process)
    assert not is_alive(Process(seen.process.pid, seen.process.start - 1))


@pytest.mark.parametrize(
    ("code", "wait_status", "info"),
    [
        (0, None, ExitInfo(0)),
        (127, 0, ExitInfo(127)),
        (137, 0, ExitInfo(None, signal=9)),
        (255, 0, ExitInfo(255)),
        (None, 1 << 8, ExitInfo(1)),
        (None, 9, ExitInfo(None, lost=True)),
        (None, None, ExitInfo(None, lost=True)),
    ],
)
def test_how_it_ended(code: int | None, wait_status: int | None, info: ExitInfo) -> None:
    assert exit_of(Status(exit_code=code), wait_status, out_of_memory=False) == info


def test_out_of_memory_is_never_lost() -> None:
    assert exit_of(Status(), None, out_of_memory=True) == ExitInfo(None, out_of_memory=True)


def test_both_forms_of_control_groups_are_found() -> None:
    mounts = (
        "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "34 31 0:31 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n"
        "35 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "1 1 0:1 / / rw - ext4 /dev/vda rw\n"
    )
    found = parse_hierarchies(mounts, "4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/\n0::/user.slice\n")
    assert [(each.version, sorted(each.controllers), str(each.root), each.own) for each in found] == [
        (1, ["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct", "/c"),
        (1, ["memory"], "/sys/fs/cgroup/my memory", "/a/b"),
        (2, [], "/sys/fs/cgroup/unified", "/user.slice"),
    ]


def test_limits_in_both_forms() -> None:
    limits = Limits(memory_bytes=1 << 20, cpu_cores=0.5, processes=10)
    every = frozenset({"memory", "cpu", "pids"})
    assert dict(settings(Tree(2, every, Path("/x")), limits)) == {
        "memory.max": "1048576",
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
        "pids.max": "13",
    }
    older = dict(settings(Tree(1, every, Path("/x")), limits))
    assert older["memory.limit_in_bytes"] == "1048576" and older["cpu.cfs_quota_us"] == "50000"
    assert settings(Tree(1, every, Path("/x")), Limits(processes=None)) == []


def test_a_weight_in_both_forms() -> None:
    light = Limits(processes=None, cpu_weight=10)
    assert settings(Tree(2, frozenset({"cpu"}), Path("/x")), light) == [("cpu.weight", "10")]
    assert settings(Tree(1, frozenset({"cpu"}), Path("/x")), light) == [("cpu.shares", "102")]
    assert settings(Tree(1, frozenset({"memory"}), Path("/x")), light) == []


def test_ports_come_in_turn_and_pass_over_what_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Unavailable):
            Ports(tmp_path, port, port).take()
    ports = Ports(tmp_path, port, port)
    assert ports.take() == port
    with pytest.raises(Unavailable):
        ports.take()
    ports.give_back(port)
    assert ports.take() == port


def test_pinned_ports_are_named_and_have_slots_of_their_own(tmp_path: Path) -> None:
    ports = Ports(tmp_path, 20000, 29999, (16000, 16011))
    assert ports.slots == (10_000, 3)
    ports.take_pinned(16004, on_loopback=False)
    with pytest.raises(Unavailable, match="16004"):
        ports.take_pinned(16004, on_loopback=False)
    ports.give_back(16004)
    ports.take_pinned(16004, on_loopback=False)
    for port in (15996, 16001, 16010, 16012, 20000):
        with pytest.raises(Rejected, match="16011"):
            ports.take_pinned(port, on_loopback=False)
    assert [ports.slot(port) for port in (16000, 16004, 16011)] == [
        Slot(0, pinned=True),
        Slot(1, pinned=True),
        Slot(2, pinned=True),
    ]
    assert [ports.slot(port) for port in (20000, 20007)] == [Slot(0), Slot(7)]
    with socket.create_server(("127.0.0.1", 0)) as other:  # of any of the block's, where loopback is the machine's
        port = other.getsockname()[1] - 3
        block = Ports(tmp_path, 1, 1, (port, port + 3))
        with pytest.raises(Unavailable, match=str(port)):
            block.take_pinned(port, on_loopback=True)
        block.take_pinned(port, on_loopback=False)
    ports.adopt(31000)
    assert not ports.slot(31000).pinned  # of ranges of before: told somehow, never an error


def test_output_keeps_its_offsets_when_its_beginning_goes(tmp_path: Path) -> None:
    log = OutputLog(tmp_path, 64 << 10)
    log.mark_start(NOW)
    for index in range(40):
        with (tmp_path / "output.log").open("ab") as file:
            file.write(bytes([65 + index % 26]) * 10_000)
        log.look(NOW + timedelta(seconds=index))
    chunk = log.read(0, 1 << 20)
    assert chunk.next_offset == log.end() == 400_000
    assert 400_000 - (64 << 10) - (9 << 10) - 4096 <= chunk.offset <= 400_000 - (64 << 10) + 4096
    assert chunk.data[-10_000:] == b"N" * 10_000
    assert OutputLog(tmp_path, 64 << 10).read(0, 1 << 20) == chunk
    assert [mark.offset for mark in log.marks()][:3] == [0, 10_000, 20_000]


@pytest.mark.parametrize("died", ["not", "before", "after"])
def test_a_tall_file_is_made_shorter(tmp_path: Path, died: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets stay, also for a control plane that finds what another one was about to do, or had done."""
    limit = 64 << 10
    log = OutputLog(tmp_path, limit)
    for index in range(150):
        with (tmp_path / "output.log").open("ab") as file:
            file.write(bytes([65 + index % 26]) * 10_000)
        log.look(NOW + timedelta(seconds=index))
    assert log.is_tall()
    before = log.read(0, 1 << 20)
    if died == "before":
        monkeypatch.setattr(logs, "collapse", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    elif died == "after":
        real = logs.collapse

        def dies(file: int, length: int) -> bool:
            assert real(file, length)
            raise KeyboardInterrupt

        monkeypatch.setattr(logs, "collapse", dies)
    if died == "not":
        log.shorten()
        if log.is_tall():
            pytest.skip("this file system can't")
        assert log.read(0, 1 << 20) == before and log.end() == 1_500_000
    else:
        with pytest.raises(KeyboardInterrupt):
            log.shorten()
    later = OutputLog(tmp_path, limit)
    assert later.read(0, 1 << 20) == before and later.end() == 1_500_000
    with (tmp_path / "output.log").open("ab") as file:
        file.write(b"more")
    assert later.read(1_500_000, 10).data == b"more"


def test_marks_are_thinned() -> None:
    marks = [(float(at), at * 10) for at in range(100)]
    assert thin(marks, 950) == marks[95:]
    half = thin(marks, 0)
    assert len(half) <= 51 and half[0] == marks[0] and half[-1] == marks[-1]


def test_the_little_language() -> None:
    assert parse(("echo", "a", "b", ";", "exit", "3"), ()) == [Step("echo", ("a", "b")), Step("exit", ("3",))]
    assert parse(("sh", "-c", "echo 'a b'; sleep"), ()) == [Step("echo", ("a b",)), Step("sleep")]
    assert parse(("python", "app.py"), ("serve",)) == [Step("serve")]
    assert parse(("sh", "-c", "it's broken"), ("serve",)) == [Step("serve")]
