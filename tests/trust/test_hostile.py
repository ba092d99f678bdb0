"""A hostile app, deployed as any other: it tries everything it can think of, while a neighbour answers every request,
the platform's API answers too, and nothing of it is left afterwards."""

import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gongfang.builders import host_config
from gongfang.builders.archives import remove_tree
from gongfang.toolbox import WheelToolbox
from tests.e2e.conftest import Platform, fresh_home, wait_until
from tests.e2e.load import Load

HERE = Path(__file__).parent / "hostile"
# Memory for as many processes as it may have (about 1 MB each): the bomb of forks is to meet that limit and no other.
MEMORY_MB, DISK_MB, BUILD_DISK_MB = 1536, 96, 256
# Seen from inside, none of it is there or can be read. HOME is the platform's.
READING = (
    "/etc/shadow /etc/gshadow /etc/sudoers /etc/ssh /etc/ssl/private /usr/local/etc /usr/etc "
    "/root /home /boot /mnt /media /opt /srv /run /sys /sys/fs/cgroup /var/run /var/lib /var/log "
    "/var/run/docker.sock /run/dbus/system_bus_socket /run/systemd/private "
    "/proc/kcore /proc/keys /proc/kallsyms /proc/timer_list /proc/1/environ /proc/1/root/etc/shadow /proc/1/mem "
    "/dev/mem /dev/kmsg /dev/vda /dev/sda /dev/loop0 /dev/loop-control /dev/fuse /dev/net/tun "
    "HOME HOME/admin-token HOME/secrets HOME/secrets/keys HOME/postgres/password HOME/run HOME/run/edge/xds.sock "
    "HOME/blobs HOME/runtime HOME/logs/control.log"
)
HIDDEN = {"ENOENT", "EACCES", "EPERM", "ENOTDIR", "empty"}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can enforce all of it")


class Hostile:
    """The app from outside. `platform`: that it runs on."""

    def __init__(self, platform: Platform, name: str = "hostile") -> None:
        self.platform, self.name = platform, name

    def ask(self, attack: str, argument: str = "", timeout: float = 100) -> Any:
        status, _, body = self.platform.get(self.platform.host(self.name), f"/{attack}?{quote(argument)}", timeout)
        assert status == 200, body
        return json.loads(body)

    def found(self, attack: str, argument: str = "") -> Any:
        answer = self.ask(attack, argument)
        assert answer.get("found") is not None, answer
        return answer["found"]

    def reading(self) -> dict[str, Any]:
        paths = READING.replace("HOME", str(self.platform.home)).split()
        return self.found("reading", json.dumps(paths))

    @property
    def instance(self) -> Any:
        (found,) = self.platform.json("ps", self.name)
        return found

    def wait_for_another(self, before: str) -> None:
        wait_until(lambda: self.ready_instead_of(before))

    def ready_instead_of(self, before: str) -> bool:
        now = self.platform.json("ps", self.name)
        return len(now) == 1 and now[0]["id"] != before and now[0]["state"] == "ready"

    def output_bytes(self) -> int:
        """What its output takes on the disk."""
        return (self.platform.home / "runtime/workloads" / self.instance["id"] / "output.log").stat().st_blocks * 512


def own_all(folder: Path, uid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)


def left_of(platform: Platform) -> dict[str, list[str]]:
    """What of a platform's workloads the kernel still knows."""
    home = str(platform.home)
    loops = [str(p) for p in Path("/sys/block").glob("loop*/loop/backing_file") if home in _read(p)]
    tables = {_read(p / "mountinfo") for p in Path("/proc").glob("[0-9]*")}
    mounts = [line for table in tables for line in table.splitlines() if f"{home}/runtime/disks" in line]
    groups = [str(p) for p in Path("/sys/fs/cgroup").glob("*/gongfang-*/*") if p.is_dir()]
    return {"loops": loops, "mounts": mounts, "groups": groups, "processes": platform.processes()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def trusted() -> Iterator[Platform]:
    started = Platform(fresh_home(), environment={"GONGFANG_BUILD_DISK_MB": str(BUILD_DISK_MB)})
    try:
        started.up()
        yield started
    finally:
        started.down()
        left = left_of(started)
        remove_tree(started.home.parent)
        assert left["processes"] == [] and left["loops"] == [] and left["mounts"] == []


@pytest.fixture(scope="module")
def hostile(trusted: Platform, tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("app.py", "attacks.py"):
        shutil.copy(HERE / name, folder)
    trusted.cli("apps", "create", "hostile", "--memory", str(MEMORY_MB))
    trusted.cli("scale", "hostile", "--disk", str(DISK_MB))
    assert f"{DISK_MB} MB" in trusted.cli("apps", "show", "hostile").stdout
    trusted.cli("deploy", "--app", "hostile", cwd=folder)
    return Hostile(trusted)


@pytest.fixture(scope="module")
def neighbour(trusted: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("neighbour")
    (folder / "index.html").write_text("whole\n")
    trusted.cli("deploy", "--app", "neighbour", cwd=folder)
    return trusted.host("neighbour")


@needs_root
def test_everything_is_enforced(trusted: Platform) -> None:
    assert [g["name"] for g in trusted.json("status")["guarantees"] if not g["enforced"]] == []
    assert "Not enforced" not in trusted.cli("status").stdout


@needs_root
def test_system_calls(hostile: Hostile) -> None:
    found = hostile.found("system_calls")
    absent = {"open_tree", "move_mount", "fsopen", "mount_setattr", "clone3", "io_uring_setup", "newer"}
    ended = {name: said for name, said in found.items() if said != ("ENOSYS" if name in absent else "EPERM")}
    assert ended in ({}, {"x32": "SIGSYS"})
    sockets = hostile.found("sockets")
    allowed = {name for name, said in sockets.items() if said == "allowed"}
    assert allowed == {"netlink route", "unix", "inet", "inet6"}
    assert {sockets[name] for name in sockets if name not in (*allowed, "raw")} == {"EAFNOSUPPORT"}
    assert hostile.found("terminal") == {"inject": "EPERM"}


@needs_root
def test_sockets_of_others(hostile: Hostile, neighbour: str) -> None:
    """Others' instances, the machine's ports, and abstract Unix sockets, which no file's permissions keep closed."""
    platform = hostile.platform
    (other,) = platform.json("ps", "neighbour")
    name = f"gongfang-trust-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as own:
        abstract.bind(f"\0{name}")
        abstract.listen()
        own.connect(f"\0{name}")  # it is there
        with socket.create_connection((other["host"], other["port"]), 5):
            pass  # and so is that one
        places = [f":{name}", f"{other['host']}:{other['port']}"]
        places += [f"127.0.0.1:{port}" for port in (platform.api_port, platform.edge_port)]
        assert set(hostile.found("reach", json.dumps(places)).values()) == {"ECONNREFUSED"}


@needs_root
def test_no_right_is_to_be_had(hostile: Hostile) -> None:
    found = hostile.found("rights")
    status = found["status"]
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and found["core"] == 0
    assert found["uid"] >= 200_000 and found["set-id"] == str(found["uid"]) and found["su"] != 0
    assert {found[name] for name in ("setuid", "setgroups")} == {"EPERM"}
    assert found["unkillable"] in ("EACCES", "EPERM")


@needs_root
def test_files_of_the_machine_and_of_the_platform(hostile: Hostile) -> None:
    shown = {path: said for path, said in hostile.reading().items() if str(said) not in HIDDEN}
    if "/root" in shown:  # where the Python that apps run on lies there, nothing else does
        assert all(Path("/root", name) in Path(sys.base_prefix).parents for name in shown.pop("/root"))
    assert shown == {}
    assert "allowed" not in hostile.found("writing").values()
    devices = hostile.found("devices")
    assert devices["disk"] == devices["mem"] == "EPERM"
    ordinary = "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero console"
    assert set(devices["there"]) <= set(ordinary.split())
    assert hostile.ask("inherited") == {"inherited": []}


@needs_root
def test_processes_of_others(hostile: Hostile, neighbour: str) -> None:
    others = [hostile.platform.control_pid, *_pids_of(hostile.platform)]
    found = hostile.found("processes", json.dumps(others))
    assert found["seen"] < 8 and not any("postgres" in words or "envoy" in words for words in found["commands"])
    assert {found[name] for name in found if name.startswith("kill")} == {"ESRCH"}
    assert {found[name] for name in found if name.startswith("first's")} <= {"EACCES", "EPERM", "ETXTBSY"}
    assert found["own program"] in ("EACCES", "ETXTBSY", "EROFS")
    before = hostile.instance["id"]
    with Load(hostile.platform.edge_port, neighbour) as load:
        hostile.platform.get(hostile.platform.host("hostile"), "/kill_all")
        hostile.wait_for_another(before)
    assert load.failures == [] and load.answers["whole"] > 0


def _pids_of(platform: Platform) -> list[int]:
    """Processes of its servers, as the machine numbers them; numbers that a sandbox might have itself are left out."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if str(platform.home) in _read(entry) and int(entry.parent.name) > 500:
            found.append(int(entry.parent.name))
    return found


@needs_root
def test_bombs_hit_nobody_else(hostile: Hostile, neighbour: str) -> None:
    platform = hostile.platform
    before = hostile.instance["id"]
    with Load(platform.edge_port, neighbour) as load:
        forks = hostile.found("fork_bomb")
        assert forks["then"] == "EAGAIN" and forks["made"] <= 512
        assert hostile.found("relentless_fork_bomb") == {"over": True}
        assert hostile.found("memory") == {"ended by": 9}
        shared = hostile.found("fill", "/dev/shm/x")
        assert shared["mb"] <= MEMORY_MB / 2 and (shared["error"] == "ENOSPC" or shared["killed"])
        for place in ("/tmp/x", "/var/tmp/x", "/app/x"):
            full = hostile.found("fill", place)
            assert full["error"] == "ENOSPC" and 0.8 * DISK_MB < full["mb"] < DISK_MB, (place, full)
        files = hostile.found("many_files", "/tmp/many")
        assert files["error"] == "ENOSPC" and files["made"] < 100_000
        opened = hostile.found("open_files")
        assert opened["error"] == "EMFILE" and opened["opened"] <= 65_536
        assert platform.cli("status").returncode == 0
    assert load.failures == [] and load.answers["whole"] > 0
    assert hostile.instance["id"] == before  # it was refused, and lives


@needs_root
def test_a_flood_of_output(hostile: Hostile, neighbour: str) -> None:
    platform = hostile.platform
    most = 0
    with Load(platform.edge_port, neighbour) as load:
        flood = threading.Thread(target=hostile.ask, args=("flood", "6"))
        flood.start()
        while flood.is_alive():
            most = max(most, hostile.output_bytes())
        assert platform.cli("status").returncode == 0
        assert platform.cli("logs", "hostile").stdout
    wait_until(lambda: hostile.output_bytes() <= 20 << 20)
    assert load.failures == []
    assert most <= 1 << 30  # at whatever speed: past that it is refused, until the platform has looked


# --- builds ----------------------------------------------------------------------------------------------------------

BACKEND = """
import json, os, sys, zipfile
sys.path.insert(0, "/app")
import attacks
def build_wheel(folder, *_):
    {what}
    name = "hostile-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for file, text in (("METADATA", "Metadata-Version: 2.1\\nName: hostile\\nVersion: 1\\n"), ("RECORD", ""),
            ("WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")):
            wheel.writestr("hostile-1.dist-info/" + file, text)
    return name
"""
PROJECT = """
[project]
name = "hostile"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
SERVE = """
import http.server, os
Files = http.server.SimpleHTTPRequestHandler
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Files).serve_forever()
"""
LEAVE = r"""
    import shutil, socket
    os.chdir("/app")
    os.symlink("/etc/shadow", "shadow")
    os.symlink("/", "root")
    os.symlink("HOME/admin-token", "token")
    os.symlink("../../../../../../../../etc", "up")
    os.mkfifo("pipe")
    os.mkfifo("Procfile")
    os.mkfifo("package.json")
    socket.socket(socket.AF_UNIX).bind("socket")
    shutil.rmtree("static"); os.symlink("/root", "static")
    os.chmod("app.py", 0o6755)
    os.mkdir("closed"); os.chmod("closed", 0)
    deep = os.open(".", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=deep)
        deep = os.open("d", os.O_RDONLY, dir_fd=deep)
"""


def build(platform: Platform, folder: Path, what: str) -> tuple[int, str, str]:
    """Deploys a project whose build does something: exit code, what was said, and the build's own output."""
    folder.mkdir(exist_ok=True)
    (folder / "static").mkdir(exist_ok=True)
    (folder / "static" / "x").write_text("x")
    shutil.copy(HERE / "attacks.py", folder)
    (folder / "app.py").write_text(SERVE)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND.replace("{what}", what.strip()))
    done = platform.cli("deploy", "--app", "builder", cwd=folder, check=False)
    newest = platform.json("builds", "builder")[0]
    return done.returncode, done.stdout + done.stderr, platform.cli("build-log", newest["id"]).stdout


@needs_root
def test_a_build_that_writes_without_end_is_ended(trusted: Platform, tmp_path: Path, neighbour: str) -> None:
    for place in ("/app/big", "/cache/big"):
        write = f"""
    with open({place!r}, "wb") as file:
        while True: file.write(b"x" * (1 << 20)); file.flush(); import time; time.sleep(0.001)
"""
        with Load(trusted.edge_port, neighbour) as load:
            code, said, _ = build(trusted, tmp_path / "build", write)
        assert code != 0 and "GONGFANG_BUILD_DISK_MB" in said, said
        assert load.failures == []
        assert list((trusted.home / "builds").iterdir()) == []
    caches = sum(p.lstat().st_blocks for p in (trusted.home / "cache").rglob("*"))
    assert caches * 512 < BUILD_DISK_MB << 20


@needs_root
def test_a_build_has_no_more_rights_than_an_app(trusted: Platform, tmp_path: Path) -> None:
    paths = [path for path in READING.replace("HOME", str(trusted.home)).split() if not path.startswith("/usr")]
    what = f"""
    for name, argument in (("system_calls", ""), ("rights", ""), ("writing", ""), ("reading", {json.dumps(paths)!r})):
        print("FOUND", json.dumps([name, attacks.ATTACKS[name](argument)]), file=sys.stderr)
    raise SystemExit(1)
"""
    code, said, log = build(trusted, tmp_path / "build", what)
    assert code != 0
    lines = [json.loads(line.split("FOUND ", 1)[1]) for line in log.splitlines() if "FOUND [" in line]
    found = dict(lines)
    assert set(found) == {"system_calls", "rights", "writing", "reading"}, (said, log)
    assert "allowed" not in found["system_calls"].values() and "allowed" not in found["writing"].values()
    assert found["rights"]["status"]["CapBnd"] == "0" * 16 and found["rights"]["status"]["Seccomp"] == "2"
    shown = {path: said for path, said in found["reading"].items() if str(said) not in HIDDEN}
    theirs = [
        Path(sys.base_prefix),
        WheelToolbox().cache,
        *(each.source for each in host_config(os.environ, Path.home()).shown),
    ]
    for path, names in shown.items():  # on the way to the Python that runs it, and to the mirror's own files
        assert all(any(each.is_relative_to(Path(path, name)) for each in theirs) for name in names), path


@needs_root
def test_what_a_build_leaves_is_read_by_nobody_but_its_app(trusted: Platform, tmp_path: Path) -> None:
    """Links out of the tree, pipes in the place of files that are read, folders that nobody may enter or that are
    deeper than a recursion: the droplet holds what is harmless, and the platform goes on."""
    (tmp_path / "build").mkdir()
    what = LEAVE.replace("HOME", str(trusted.home))
    code, said, _ = build(trusted, tmp_path / "build", what)
    assert trusted.cli("status").returncode == 0
    if code == 0:
        host = trusted.host("builder")
        for path in ("/shadow", "/token", "/static/", "/up/shadow", "/root/root/"):
            status, _, body = trusted.get(host, path)
            assert status in (404, 403) or b"admin" not in body
    assert "Traceback" not in said and "internal" not in said, said
    droplets = trusted.home / "droplets"
    kinds = {p.lstat().st_mode & 0o170000 for p in droplets.glob("*/*")}
    assert kinds <= {0o100000, 0o040000, 0o120000}
    assert not any(p.lstat().st_mode & 0o6000 for p in droplets.glob("*/*"))


@needs_root
def test_nothing_is_left(hostile: Hostile) -> None:
    platform = hostile.platform
    instance = hostile.instance["id"]
    platform.cli("apps", "destroy", "builder", "--yes", check=False)
    platform.cli("apps", "destroy", "hostile", "--yes")
    left = left_of(platform)
    assert len(left["loops"]) == 1 and not any(instance in group for group in left["groups"])  # the neighbour's disk
    assert not (platform.home / "runtime/workloads" / instance).exists()
    assert list((platform.home / "runtime/disks").iterdir()) == []
