from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gongfang.runtimes.interface import Limits, Mount, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local.disks import Disk
from gongfang.runtimes.local.sandbox import (
    Host,
    Inside,
    Isolation,
    PlainView,
    bwrap_arguments,
    command,
    environment,
    look_at_host,
    passwd,
)

HOST = Host((("/bin", "usr/bin"),), ("/usr", "/lib64"), ("/etc/ssl",))
ROOT = Isolation("/b/bwrap", True, True, ("setpriv", "--reuid", "{uid}", "--"))
ORDINARY = Isolation("/b/bwrap", False, False, ())


@dataclass(frozen=True)
class OneTool:
    roots: tuple[Path, ...] = (Path("/cache/node"), Path("/usr/lib/node"))
    path: tuple[str, ...] = ("/cache/node/bin",)
    executables: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: {"NODE": "1", "HOME": "/x"})


def inside(**fields: object) -> Inside:
    spec = WorkloadSpec("a_b", WorkloadKind.instance, ("run", "it"))
    own = {name: fields.pop(name) for name in ("environment", "mounts", "workdir", "limits", "kind") if name in fields}
    return replace(Inside(replace(spec, **own), 200_001, 200_001, None), **fields)  # pyright: ignore


def pairs(words: list[str], option: str, count: int = 2) -> list[tuple[str, ...]]:
    return [tuple(words[i + 1 : i + 1 + count]) for i, word in enumerate(words) if word == option]


def test_the_environment_has_defaults_then_tools_then_its_own() -> None:
    seen = environment(inside(tools=(OneTool(),), environment={"NODE": "2", "PATH": "/app/bin:/usr/bin"}, port=8000))
    assert seen["NODE"] == "2" and seen["HOME"] == "/x" and seen["LANG"] == "C.UTF-8" and seen["PORT"] == "8000"
    assert seen["PATH"] == "/app/bin:/cache/node/bin:/usr/bin:/usr/local/bin:/bin"


def test_the_port_is_the_drivers_word() -> None:
    assert environment(inside(environment={"PORT": "1"}, port=2))["PORT"] == "2"
    assert "PORT" not in environment(inside())


@pytest.mark.parametrize(
    ("fields", "home"),
    [({}, "/tmp"), ({"droplet": Path("/d")}, "/app"), ({"mounts": (Mount(Path("/b"), "/app"),)}, "/app")],
)
def test_home(fields: dict[str, object], home: str) -> None:
    assert environment(inside(**fields))["HOME"] == home
    assert f":{home}:".encode() in passwd(inside(**fields))


def test_as_root_there_is_no_user_namespace() -> None:
    words = bwrap_arguments(HOST, ROOT, inside(), {})
    assert "--unshare-user" not in words and "--cap-add" in words
    assert command(ROOT, inside()) == ["setpriv", "--reuid", "200001", "--", "run", "it"]


def test_an_ordinary_user_gets_one() -> None:
    words = bwrap_arguments(HOST, ORDINARY, inside(droplet=Path("/d")), {})
    assert "--unshare-user" in words and "--cap-add" not in words and "--tmp-overlay" not in words
    assert ("/d", "/app") in pairs(words, "--ro-bind")
    assert command(ORDINARY, inside())[-2:] == ["run", "it"]


def test_only_what_is_named_is_shown() -> None:
    mounts = (Mount(Path("/data"), "/data", writable=True), Mount(Path("/conf"), "/conf"))
    words = bwrap_arguments(HOST, ROOT, inside(mounts=mounts, tools=(OneTool(),), droplet=Path("/d")), {"A": "b c"})
    assert pairs(words, "--ro-bind") == [
        ("/usr", "/usr"),
        ("/lib64", "/lib64"),
        ("/cache/node", "/cache/node"),
        ("/conf", "/conf"),
    ]
    assert pairs(words, "--bind") == [("/data", "/data")]
    assert pairs(words, "--overlay-src", 1) == [("/d",)]
    assert pairs(words, "--setenv") == [("A", "b c")]
    assert pairs(words, "--hostname", 1) == [("a-b",)]


def test_what_it_is_made_of_cannot_be_filled() -> None:
    """An ordinary user's sandbox is the workload's own: memory in it has a size, or can't be written."""
    limits = Limits(memory_bytes=64 << 20)
    words = bwrap_arguments(HOST, ORDINARY, inside(limits=limits), {})
    sized = pairs(words, "--size", 5)
    assert [(size, folder) for size, _, _, _, folder in sized] == [
        ("33554432", "/dev/shm"),
        ("33554432", "/tmp"),
        ("33554432", "/var/tmp"),
    ]
    assert pairs(words, "--remount-ro", 1) == [("/dev",), ("/",)]
    assert words.index("--chdir") > words.index("--remount-ro") > words.index("/var/tmp")


def test_it_writes_to_its_disk() -> None:
    words = bwrap_arguments(HOST, ROOT, inside(disk=Disk(Path("/k")), droplet=Path("/d")), {})
    assert ("/k/tmp", "/tmp") in pairs(words, "--bind") and ("/k/var-tmp", "/var/tmp") in pairs(words, "--bind")
    assert pairs(words, "--overlay", 3) == [("/k/upper", "/k/work", "/app")] and "--tmp-overlay" not in words


def test_the_filter_is_given_where_it_can_be() -> None:
    assert "--seccomp" not in bwrap_arguments(HOST, ROOT, inside(), {})
    words = bwrap_arguments(HOST, replace(ROOT, filtered=True), inside(), {})
    assert pairs(words, "--seccomp", 1) == [("9",)]


@pytest.mark.parametrize(
    ("kind", "hidden"), [("instance", True), ("task", True), ("build", False), ("platform", False)]
)
def test_secrets_of_the_machine_look_empty(kind: str, hidden: bool) -> None:
    host = replace(HOST, secret=("/etc/ssl/private",), settings=("/usr/local/etc",), kernel=("/proc/keys",))
    words = bwrap_arguments(host, ROOT, inside(kind=WorkloadKind(kind)), {})
    covered = [folder for (folder,) in pairs(words, "--tmpfs", 1)]
    assert "/etc/ssl/private" in covered and ("/usr/local/etc" in covered) is hidden
    assert ("/dev/null", "/proc/keys") in pairs(words, "--ro-bind")


@pytest.mark.parametrize(("most", "said"), [(512, True), (None, False)])
def test_an_ordinary_user_s_processes_are_counted_inside(most: int | None, said: bool) -> None:
    counting = replace(ORDINARY, counts_processes=True)
    line = command(counting, inside(limits=Limits(processes=most)))[2]
    assert ("ulimit -u 512" in line) is said and line.endswith('exec "$@"')


def test_look_at_host(tmp_path: Path) -> None:
    (tmp_path / "etc" / "ssl").mkdir(parents=True)
    (tmp_path / "etc" / "java-17").mkdir()
    (tmp_path / "etc" / "shadow").touch()
    (tmp_path / "etc" / "ssl" / "private").mkdir()
    (tmp_path / "usr" / "etc").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "keys").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "bin").symlink_to("usr/bin")
    host = look_at_host(tmp_path)
    assert Host((("/bin", "usr/bin"),), ("/usr", "/lib"), ("/etc/ssl", "/etc/java-17")) == replace(
        host, secret=(), settings=(), kernel=()
    )
    assert (host.secret, host.settings, host.kernel) == (("/etc/ssl/private",), ("/usr/etc",), ("/proc/keys",))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/app", "/h/app"),
        ("/app/x:/usr/bin:/app/y", "/h/app/x:/usr/bin:/h/app/y"),
        ("python '/app/x' --in=/data/db", "python '/h/app/x' --in=/d/db"),
        ("/application /opt/app /app2 x/app", "/application /opt/app /app2 x/app"),
        ("", ""),
    ],
)
def test_paths_without_a_sandbox(text: str, result: str) -> None:
    assert PlainView((("/app", "/h/app"), ("/data", "/d"))).translate(text) == result
