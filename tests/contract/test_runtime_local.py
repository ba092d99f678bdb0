"""What only real processes can show: crashes of the control plane, limits, isolation, and what is kept on disk."""

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gongfang.domain.values import ExitInfo
from gongfang.runtimes.interface import Limits, Mount, Phase
from gongfang.runtimes.local import LocalRuntime, stop_everything
from gongfang.runtimes.local.cgroups import Cgroups
from gongfang.runtimes.local.processes import Process, is_alive
from gongfang.toolbox import WheelToolbox
from tests.contract.runtime_labs import Lab, is_root, local_lab, local_runtime, until

pytestmark = pytest.mark.anyio
needs_root = pytest.mark.skipif(not is_root(), reason="only root can enforce it")
MIB = 1 << 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "runtime"


@pytest.fixture
async def lab(home: Path, tmp_path: Path) -> AsyncIterator[Lab]:
    lab = local_lab(home, droplets=tmp_path, log_limit=MIB)
    await lab.open()
    yield lab
    await lab.clean()


@pytest.fixture(params=["sandbox", "plain"])
async def either(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> AsyncIterator[Lab]:
    lab = local_lab(home, droplets=tmp_path, sandboxed=request.param == "sandbox")
    await lab.open()
    yield lab
    await lab.clean()


def shell(line: str) -> tuple[str, ...]:
    return ("sh", "-c", line)


def processes_with(mark: str) -> list[int]:
    """Pids of processes whose command line holds a text."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if mark.encode() in text and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


# --- the control plane dies ------------------------------------------------------------------------------------------

_CONTROL_PLANE = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from gongfang.runtimes.interface import Limits
from tests.contract.runtime_labs import local_lab
async def main():
    lab = local_lab(Path(sys.argv[1]))
    runtime = await lab.open()
    await lab.start_up("runs", lab.commands.sleep(), labels={"app": "x"}, wants_port=True)
    await lab.start_up("ends", lab.commands.sleep(0.3, code=6))
    await lab.start_up("limited", lab.commands.sleep(), limits=Limits(wall_s=0.6))
    print("started", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_kill_nine_of_the_control_plane_loses_nothing(home: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CONTROL_PLANE, str(home), str(Path(__file__).parents[2])),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    lab = local_lab(home)
    try:
        assert await child.stdout.readline() == b"started\n"
    finally:
        child.kill()
        await child.wait()
    ends = home / "workloads" / "ends" / "status"
    await until(lambda: "exit-code" in ends.read_text())  # while no control plane is there
    runtime = await lab.open()
    try:
        runs = await runtime.observe("runs")
        assert runs.phase is Phase.running and runs.labels == {"app": "x"} and runs.endpoint is not None
        assert (await asyncio.wait_for(runtime.wait("ends"), 5)).exit == ExitInfo(6)
        limited = await asyncio.wait_for(runtime.wait("limited"), 15)
        assert limited.timed_out and limited.exit is not None and limited.exit.signal == 15
        await runtime.stop("runs", grace_s=5)
        assert (await runtime.observe("runs")).exit == ExitInfo(None, signal=15)
    finally:
        await lab.clean()


async def test_a_start_that_never_began_is_forgotten(lab: Lab, home: Path) -> None:
    await lab.run("a", shell("exit 0"))
    folder = home / "workloads" / "a"
    record = json.loads((folder / "record.json").read_text())
    for name in ("end.json", "status", f"launch-{record['nonce']}"):
        (folder / name).unlink()
    runtime = await lab.reopen()
    assert (await runtime.observe("a")).phase is Phase.unknown
    assert await lab.run("a", shell("echo anew")) == "anew\n"


@pytest.mark.parametrize("changed", ["boot", "start"])
async def test_a_pid_that_was_used_again_is_not_taken_for_it(lab: Lab, home: Path, changed: str) -> None:
    """Its number is now ours: this very test process would be stopped."""
    await lab.run("a", shell("exit 0"))
    folder = home / "workloads" / "a"
    (folder / "end.json").unlink()
    (folder / "status").write_text(json.dumps({"child-pid": os.getpid()}) + "\n")
    record = json.loads((folder / "record.json").read_text())
    launch = folder / f"launch-{record['nonce']}"
    if changed == "boot":
        (folder / "record.json").write_text(json.dumps(record | {"boot": "another"}))
        launch.write_text(Path("/proc/self/stat").read_text())
    else:
        words = Path("/proc/self/stat").read_text().rsplit(")", 1)
        fields = words[1].split()
        fields[19] = str(int(fields[19]) - 1)
        launch.write_text(f"{words[0]}) {' '.join(fields)}\n")
    runtime = await lab.reopen()
    seen = await asyncio.wait_for(runtime.wait("a"), 5)
    assert seen.exit is not None and seen.exit.lost


async def test_a_kill_from_outside_is_lost(lab: Lab) -> None:
    await lab.start_up("a", shell("echo up; sleep 4242"))
    handle = await lab.runtime.start(lab.spec("a", shell("x")))
    launcher = Process(handle.data["pid"], handle.data["start"])
    assert is_alive(launcher)
    os.kill(launcher.pid, signal.SIGKILL)
    seen = await asyncio.wait_for(lab.runtime.wait("a"), 5)
    assert seen.exit == ExitInfo(None, lost=True)
    assert processes_with("sleep\x004242") == []


async def test_torn_records_do_not_hinder_the_rest(lab: Lab, home: Path) -> None:
    await lab.run("a", shell("exit 0"))
    await lab.run("b", shell("exit 5"))
    (home / "workloads" / "a" / "record.json").write_text("")
    (home / "workloads" / "a" / "end.json").unlink()
    runtime = await lab.reopen()
    lost = await runtime.observe("a")
    assert (lost.phase is Phase.ended and lost.exit is not None and lost.exit.lost) or lost.exit == ExitInfo(0)
    assert (await runtime.observe("b")).exit == ExitInfo(5)
    await runtime.remove("a")


@needs_root
async def test_what_nobody_claims_is_ended_at_the_next_start(home: Path) -> None:
    """A control plane died between making a control group and writing it down, or half a sandbox was left."""
    lab = local_lab(home)
    await lab.open()
    try:
        await lab.start_up("a", shell("echo up; sleep 4646"))
        record = home / "workloads" / "a"
        record.rename(home / "elsewhere")
        await lab.reopen()
        await until(lambda: processes_with("sleep\x004646") == [])
        assert list(await lab.runtime.list()) == []
    finally:
        await lab.clean()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{Cgroups(home).name}"))


async def test_stop_everything_without_a_control_plane(home: Path) -> None:
    lab = local_lab(home)
    await lab.open()
    for name in ("a", "b"):
        await lab.start_up(name, shell("echo up; sleep 4343"))
    await lab.runtime.close()
    assert await stop_everything(home, grace_s=5) == 2
    assert await stop_everything(home, grace_s=5) == 0
    assert processes_with("sleep\x004343") == []


# --- all of its processes --------------------------------------------------------------------------------------------


async def test_daemons_end_with_the_command(either: Lab) -> None:
    await either.run(
        "a", shell("(setsid sh -c 'trap \"\" TERM HUP; sleep 4444' >/dev/null 2>&1 &) ; sleep 0.1; exit 2")
    )
    assert (await either.runtime.observe("a")).exit == ExitInfo(2)
    assert processes_with("sleep\x004444") == []


async def test_daemons_end_with_stop(either: Lab) -> None:
    await either.start_up("a", shell("(setsid sh -c 'trap \"\" TERM; sleep 4545' &) ; sleep 0.1; echo up; sleep 4545"))
    await either.runtime.stop("a", grace_s=0.2)
    assert processes_with("sleep\x004545") == []


async def test_a_child_has_its_grace_though_its_shell_is_gone(either: Lab) -> None:
    """`sh -c 'cd x && server'`: the shell dies of SIGTERM at once, the server is still finishing its requests."""
    child = "trap 'sleep 0.3; echo finished; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    await either.start_up("a", shell(f"""true; sh -c "{child}"; true"""))
    await either.runtime.stop("a", grace_s=10)
    assert "finished" in await either.output("a")


async def test_every_process_is_asked_to_stop(either: Lab) -> None:
    child = "trap 'echo child; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    await either.start_up("a", shell(f"""trap 'wait; echo parent; exit 7' TERM; sh -c "{child}" & wait"""))
    await either.runtime.stop("a", grace_s=10)
    assert {"child", "parent"} <= set((await either.output("a")).split())
    assert (await either.runtime.observe("a")).exit == ExitInfo(7)


# --- limits and accounting -------------------------------------------------------------------------------------------

_HOLD = "data = bytearray(50 << 20)\nfor i in range(0, len(data), 4096): data[i] = 1\nprint('up', flush=True)\n"
_SLEEP = "import time; time.sleep(600)"


def python(text: str) -> tuple[str, ...]:
    return ("python3", "-c", text)


async def test_usage_is_what_it_uses(either: Lab) -> None:
    await either.start_up("a", python(_HOLD + _SLEEP), tools=("python",))
    usage = await either.runtime.usage("a")
    assert usage is not None
    assert 50 * MIB < usage.memory_bytes < 90 * MIB and usage.processes == 1 and 0.005 < usage.cpu_s < 5


@needs_root
async def test_out_of_memory_is_told(lab: Lab) -> None:
    assert lab.runtime.capabilities().enforces("memory_limit")
    limits = Limits(memory_bytes=30 * MIB)
    output = await lab.run("a", python(_HOLD + _SLEEP), tools=("python",), limits=limits)
    seen = await lab.runtime.observe("a")
    assert seen.exit == ExitInfo(None, signal=9, out_of_memory=True), output


@needs_root
async def test_the_number_of_processes_is_limited(lab: Lab) -> None:
    line = "i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; echo all"
    output = await lab.run("a", shell(line), limits=Limits(processes=10))
    assert "all" not in output and "fork" in output


@needs_root
async def test_cpu_is_limited(lab: Lab) -> None:
    text = "import time\nprint('up', flush=True)\nend = time.monotonic() + 0.6\nwhile time.monotonic() < end: pass\n"
    text += "print(time.process_time(), flush=True)"
    output = await lab.run("a", python(text), tools=("python",), limits=Limits(cpu_cores=0.2))
    assert float(output.split()[1]) < 0.35


async def test_open_files_are_limited(either: Lab) -> None:
    assert await either.run("a", shell("ulimit -n"), limits=Limits(open_files=99)) == "99\n"


# --- isolation -------------------------------------------------------------------------------------------------------


async def test_it_sees_only_its_own(lab: Lab, home: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    line = f"ls -A / /root /home /work /srv {home} {tmp_path}; echo processes; ls /proc | grep -c '^[0-9]'; ls -A /tmp"
    output = await lab.run("a", shell(line))
    assert "secret" not in output and "workloads" not in output
    top = output.split("processes")[0].split("/:\n")[1].split("\n\n")[0].split()
    allowed = {"app", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr", "var"}
    assert set(top) <= allowed
    assert int(output.split("processes\n")[1].split()[0]) <= 5


async def test_it_has_no_rights_and_a_name(lab: Lab) -> None:
    output = await lab.run(
        "a", shell("id -un; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; kill -9 1; ls /proc/self/fd")
    )
    words = output.split()
    assert words[0] == "app"
    assert words[words.index("CapEff:") + 1].strip("0") == "" and words[words.index("NoNewPrivs:") + 1] == "1"
    assert words[-4:] == ["0", "1", "2", "3"]  # the last one is of `ls` itself
    assert (await lab.runtime.observe("a")).exit == ExitInfo(0)


@needs_root
async def test_each_has_a_user_of_its_own(lab: Lab) -> None:
    users = {await lab.run(name, shell("id -u; id -g; id -G")) for name in ("a", "b")}
    assert len(users) == 2 and all(int(word) >= 200_000 for user in users for word in user.split())
    assert await lab.run("c", shell("id -u"), uid=20_123) == "20123\n"


async def test_the_environment_is_what_was_asked_and_hidden(lab: Lab) -> None:
    secret = "a-secret-value\nof two lines; $(x)"
    fields = {"environment": {"SECRET": secret, "PATH": "/app/bin:/usr/bin"}, "wants_port": True, "workdir": "/tmp"}
    await lab.start_up("a", shell("echo up; env -0; pwd; sleep 600"), **fields)
    await lab.runtime.log_grew("a", 3)
    text = (await lab.output("a")).removeprefix("up\n")
    seen = dict(line.split("=", 1) for line in text.split("\0")[:-1])
    seen.pop("PWD", None)
    endpoint = (await lab.runtime.observe("a")).endpoint
    assert endpoint is not None
    assert seen == {
        "SECRET": secret,
        "PATH": "/app/bin:/usr/bin:/usr/local/bin:/bin",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PORT": str(endpoint.port),
    }
    assert processes_with("a-secret-value") == []
    for path in (Path(lab_folder(lab)) / "a").iterdir():
        assert path.name == "output.log" or "a-secret-value" not in path.read_text(errors="replace")


def lab_folder(lab: Lab) -> Path:
    assert isinstance(lab.runtime, LocalRuntime)
    return lab.runtime.folder


async def test_a_droplet_is_shared_and_never_changed(lab: Lab, tmp_path: Path) -> None:
    droplet = tmp_path / "d1"
    (droplet / "sub").mkdir(parents=True)
    (droplet / "file").write_text("original\n")
    for path in (droplet, droplet / "sub", droplet / "file"):
        path.chmod(0o777)
    line = "cat file; echo changed >file; echo new >sub/new; echo top >top; cat file; echo $HOME"
    for name in ("a", "b"):
        output = await lab.run(name, shell(line), droplet="d1", workdir="/app")
        assert output == "original\nchanged\n/app\n"
    assert (droplet / "file").read_text() == "original\n" and sorted(p.name for p in droplet.rglob("*")) == [
        "file",
        "sub",
    ]


async def test_without_a_sandbox_a_droplet_still_runs(home: Path, tmp_path: Path) -> None:
    droplet = tmp_path / "d1"
    droplet.mkdir()
    (droplet / "run").write_text("echo ran with $A; echo x >/dev/null\n")
    lab = local_lab(home, droplets=tmp_path, sandboxed=False)
    await lab.open()
    try:
        fields = {"droplet": "d1", "workdir": "/app", "environment": {"A": "/app/x"}}
        output = await lab.run("a", shell("sh /app/run; echo changed >run"), **fields)
        assert output == f"ran with {home}/workloads/a/app/x\n"
        assert (droplet / "run").read_text().startswith("echo ran")
        assert not (home / "workloads" / "a" / "app").exists()
    finally:
        await lab.clean()


@needs_root
async def test_an_own_mount_belongs_to_the_workload(lab: Lab, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "file").write_text("x")
    (data / "link").symlink_to("/etc/passwd")
    owner = Path("/etc/passwd").stat().st_uid
    mount = Mount(data, "/data", writable=True, own=True)
    output = await lab.run("a", shell("echo y >>/data/deep/file && cat /data/deep/file"), mounts=(mount,), uid=20_111)
    assert output == "xy\n"
    assert (data / "deep" / "file").stat().st_uid == 20_111 and Path("/etc/passwd").stat().st_uid == owner


async def test_a_mount_is_read_only_unless_said(lab: Lab, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    output = await lab.run("a", shell("echo x >/data/file"), mounts=(Mount(data, "/data"),))
    assert "Read-only" in output and not (data / "file").exists()


async def test_shared_memory_and_standard_output_can_be_opened(lab: Lab) -> None:
    assert (
        await lab.run("a", shell("echo x >/dev/shm/x && echo one >/dev/stdout && echo two >>/dev/stderr"))
        == "one\ntwo\n"
    )


async def test_a_lock_outlives_the_command_while_anything_runs(lab: Lab, tmp_path: Path) -> None:
    """A server that closes all its descriptors keeps its lock: the sandbox's first process holds it."""
    data = tmp_path / "data"
    data.mkdir()
    mount = Mount(data, "/data", lock=True)
    line = 'for fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done; echo up; sleep 600'
    await lab.start_up("a", shell(line), mounts=(mount,))
    assert subprocess.run(["flock", "-n", str(data), "true"], check=False).returncode == 1
    await lab.runtime.stop("a", grace_s=5)
    assert subprocess.run(["flock", "-n", str(data), "true"], check=False).returncode == 0


# --- output on disk --------------------------------------------------------------------------------------------------


async def test_output_is_bounded_and_offsets_stay(lab: Lab) -> None:
    line = "i=0; while [ $i -lt 40 ]; do head -c 102400 /dev/zero | tr '\\0' x; i=$((i+1)); done; echo; echo the end"
    await lab.run("a", shell(line))
    file = lab_folder(lab) / "a" / "output.log"
    total = 40 * 102400 + len("\nthe end\n")
    assert file.stat().st_size == total
    assert file.stat().st_blocks * 512 <= MIB + MIB // 4
    chunk = await lab.log("a")
    assert total - MIB - 8192 <= chunk.offset <= total - MIB
    assert chunk.data[:5] == b"xxxxx"
    assert (await lab.runtime.read_log("a", offset=-8, limit=100)).data == b"the end\n"
    assert (await lab.runtime.read_log("a", offset=-8, limit=100)).next_offset == total


async def test_following_sees_output_soon(lab: Lab) -> None:
    await lab.start_up("a", shell("echo up; sleep 0.3; echo more; sleep 600"))
    await asyncio.wait_for(lab.runtime.log_grew("a", 3), 1)
    assert await lab.output("a") == "up\nmore\n"


async def test_marks_tie_offsets_to_times(lab: Lab) -> None:
    await lab.start_up("a", shell("echo up; sleep 2.3; echo more; sleep 600"))
    await asyncio.wait_for(lab.runtime.log_grew("a", 3), 5)
    seen = await lab.runtime.observe("a")
    await lab.runtime.stop("a", grace_s=5)
    marks = await lab.runtime.log_marks("a")
    assert seen.started_at is not None
    ages = {mark.offset: (mark.at - seen.started_at).total_seconds() for mark in marks}
    assert 0 <= ages[0] < 1.5 and 1.0 <= ages[3] <= 2.4
    runtime = await lab.reopen()
    assert {mark.offset for mark in await runtime.log_marks("a")} >= {0, 3}


# --- side by side ----------------------------------------------------------------------------------------------------


_ORDINARY = """
import asyncio, os, sys
from pathlib import Path
os.setgroups([]); os.setgid(23456); os.setuid(23456)
sys.path[:0] = sys.argv[3:]
from gongfang.domain.messages import words
from gongfang.domain.errors import Unavailable
from gongfang.runtimes.interface import Endpoint, Limits, Mount, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local import LocalRuntime

class Bwrap:
    roots = path = ()
    environment = {}
    executables = {"bwrap": sys.argv[2]}

async def tool(name): return Bwrap
async def droplet(sha256): return Path(sys.argv[1]) / "droplet"

async def main():
    runtime = LocalRuntime(Path(sys.argv[1]) / "home", tool=tool, droplet=droplet)
    await runtime.open()
    for guarantee in runtime.capabilities().guarantees:
        print(guarantee.name, guarantee.enforced, words(guarantee.why, guarantee.facts, "en"))
    line = "id -u; id -un; cat /app/file; echo x > /app/new && echo wrote; ls /"
    for number, command in enumerate([("sh", "-c", line), ("no-such",)]):
        name = f"a{number}"
        limits = Limits(memory_bytes=1 << 26)
        await runtime.start(WorkloadSpec(name, WorkloadKind.task, command, droplet="d", workdir="/app", limits=limits))
        seen = await runtime.wait(name)
        print("exit", seen.exit.code, (await runtime.read_log(name, offset=0, limit=9999)).data.decode())
    files = {"/gongfang/secret": b"hush "}
    line = "cat /gongfang/secret; echo at $PORT"
    for port in range(16000, 20000, 4):
        kept = WorkloadSpec("c", WorkloadKind.service, ("sh", "-c", line), port=port, files=files)
        try:
            await runtime.start(kept)
            break
        except Unavailable:
            continue
    seen = await runtime.wait("c")
    at = seen.endpoint == Endpoint("127.0.0.1", port)
    print("kept", at, (await runtime.read_log("c", offset=0, limit=99)).data.decode().split())
    await runtime.start(WorkloadSpec("b", WorkloadKind.task, ("sh", "-c", "echo up; sleep 600")))
    await runtime.log_grew("b", 0)
    assert (await runtime.usage("b")).processes >= 1
    await runtime.stop("b", grace_s=5)
    print("stopped by", (await runtime.observe("b")).exit.signal)
    await runtime.close()
asyncio.run(main())
"""


@needs_root  # only root can become somebody else; an ordinary user runs the whole suite as one anyway
async def test_an_ordinary_user_without_a_name() -> None:
    python = Path("/usr/bin/python3")
    if (
        not python.exists()
        or subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode
    ):
        pytest.skip("no Python 3.11+ outside of root's own folders that another user could run")
    with tempfile.TemporaryDirectory(prefix="gongfang-test-", dir="/tmp") as name:
        place = Path(name)
        for package in ("gongfang", "structlog"):
            origin = Path(str(importlib.util.find_spec(package).origin)).parent  # pyright: ignore
            shutil.copytree(origin, place / "lib" / package, ignore=shutil.ignore_patterns("__pycache__"))
        bwrap = await WheelToolbox().ensure("bwrap")
        shutil.copytree(bwrap.roots[0], place / "tool")
        program = place / "tool" / Path(bwrap.executables["bwrap"]).relative_to(bwrap.roots[0])
        (place / "droplet").mkdir()
        (place / "droplet" / "file").write_text("content\n")
        for path in [place, *place.rglob("*")]:
            os.lchown(path, 23456, 23456)
        child = await asyncio.create_subprocess_exec(
            *(str(python), "-B", "-c", _ORDINARY, name, str(program), f"{name}/lib"),
            cwd=name,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await child.communicate())[0].decode()
    assert child.returncode == 0, output
    print(output)  # shown where one of these fails
    assert "own_user False" in output and "memory_limit False" in output
    assert "kept True ['hush', 'at', '1" in output
    assert "content" in output and "exit 127" in output and "stopped by 15" in output
    if "own_filesystem True" in output:
        assert "23456\napp\n" in output and "home" not in output.split("wrote")[1].split("exit")[0]


# --- what it may write ------------------------------------------------------------------------------------------------

DISK = Limits(memory_bytes=256 * MIB, disk_bytes=32 * MIB)


def loops_of(home: Path) -> list[str]:
    """Loop devices whose file lies in a home, whoever holds them."""
    found: list[str] = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found += [path.parts[3]] if str(home) in path.read_text() else []
        except OSError:
            continue
    return found


@needs_root
async def test_a_full_disk_is_its_own(lab: Lab, home: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    await lab.start_up("other", shell("echo up; sleep 600"), droplet="d", workdir="/app", limits=DISK)
    for place in ("/app", "/tmp", "/var/tmp"):
        name = place.replace("/", "-")
        line = f"dd if=/dev/zero of={place}/x bs=1M count=100; stat -c 'blocks %b' {place}/x; df -m {place}"
        said = await lab.run(name, shell(line), droplet="d", workdir="/app", limits=DISK)
        assert "No space left on device" in said
        blocks = int(said.split("blocks ", 1)[1].split()[0])
        assert 24 * MIB < blocks * 512 < 32 * MIB
    assert len(loops_of(home)) == 1
    await lab.runtime.stop("other", grace_s=5)
    await until(lambda: loops_of(home) == [])
    assert list((home / "disks").iterdir()) == []


@needs_root
async def test_a_disk_goes_with_whoever_is_killed(home: Path) -> None:
    """The control plane first: the disk stays with the workload. Then the workload: nobody is there to clean up."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _DISK_OWNER, str(home), str(Path(__file__).parents[2])), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None and await child.stdout.readline() == b"started\n"
        child.kill()
        await child.wait()
        assert len(loops_of(home)) == 1 and list((home / "disks").iterdir()) == []
        status = (home / "workloads" / "runs" / "status").read_text()
        os.kill(json.loads(status.splitlines()[0])["child-pid"], signal.SIGKILL)
        await until(lambda: loops_of(home) == [])
    finally:
        await stop_everything(home, grace_s=0)  # the home's network outlives them, until it is taken down


_DISK_OWNER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from gongfang.runtimes.interface import Limits
from tests.contract.runtime_labs import local_lab
async def main():
    lab = local_lab(Path(sys.argv[1]))
    await lab.open()
    await lab.start_up("runs", lab.commands.sleep(), limits=Limits(disk_bytes=32 << 20))
    print("started", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_what_it_writes_to_a_mount_of_its_own_is_limited(lab: Lab, tmp_path: Path) -> None:
    """As a build does: what it leaves is read afterwards, so it is no disk of its own."""
    (tmp_path / "mine").mkdir()
    mounts = (Mount(tmp_path / "mine", "/mine", writable=True, own=True),)
    line = "while :; do dd if=/dev/zero of=/mine/$$-$((n = n + 1)) bs=1M count=4 2>/dev/null; done"
    await lab.runtime.start(lab.spec("a", shell(line), mounts=mounts, limits=DISK))
    seen = await asyncio.wait_for(lab.runtime.wait("a"), 60)
    assert seen.exit is not None and seen.exit.disk_full and not seen.told
    seen = await (await lab.reopen()).observe("a")
    assert seen.exit is not None and seen.exit.disk_full


async def test_output_that_nobody_bounds_is_refused_in_the_end(lab: Lab, home: Path) -> None:
    """A flood between two looks, or while there is no control plane: past 64 times what is kept."""
    await lab.runtime.start(lab.spec("a", shell("exec 2>/tmp/said; yes | head -c 200000000"), limits=DISK))
    seen = await asyncio.wait_for(lab.runtime.wait("a"), 60)
    assert seen.exit is not None and seen.exit.signal is None
    assert (home / "workloads" / "a" / "output.log").stat().st_size <= 64 * MIB


async def test_it_is_the_first_to_go(lab: Lab) -> None:
    """Where the whole machine is out of memory the kernel ends apps, not the platform; and nothing dumps core."""
    said = await lab.run("a", shell("cat /proc/self/oom_score_adj; ulimit -c; ls /proc/self/fd"))
    assert said.split()[:2] == ["500", "0"] and said.split()[2:] == ["0", "1", "2", "3"]  # 3: what `ls` reads


async def test_two_homes_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    other = local_runtime(tmp_path / "other")
    await other.open()
    try:
        await lab.start_up("a", lab.commands.sleep(), wants_port=True)
        await other.start(lab.spec("a", lab.commands.echo("other"), wants_port=True))
        assert (await other.wait("a")).exit == ExitInfo(0)
        assert (await lab.runtime.observe("a")).phase is Phase.running
    finally:
        await other.close()
        await stop_everything(tmp_path / "other", grace_s=0)


async def test_many_at_once(lab: Lab) -> None:
    names = [f"w{number}" for number in range(25)]
    await asyncio.gather(*(lab.runtime.start(lab.spec(name, shell("exit 1"), wants_port=True)) for name in names))
    ends = await asyncio.gather(*(lab.runtime.wait(name) for name in names))
    assert all(seen.exit == ExitInfo(1) for seen in ends)
    assert len({seen.endpoint for seen in ends}) == len(names)
