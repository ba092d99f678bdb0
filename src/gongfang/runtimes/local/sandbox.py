"""What a workload gets to see: pure planning of `bwrap`'s arguments and of the environment.

It sees the machine's programs and libraries, the few files of /etc that programs look for, its own /proc, /dev and
/tmp, its droplet at /app, its tools and what its specification mounts. Nothing else of the machine is there.

As root the sandbox is made by real root, without a user namespace (so that folders under /root can be shown), and the
command is started through `setpriv` under the workload's own user id, without any capability. An ordinary user's
sandbox has a user namespace and keeps the user's id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gongfang.runtimes.interface import Mount, NetworkKind, WorkloadSpec
from gongfang.runtimes.tools import Tool

APP = "/app"
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "gai.conf",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
)


_NETWORK_FILES = ("/etc/hosts", "/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Host:
    """What of the machine is shown. `links`: (name, target) of links at the root, as /bin → usr/bin. `folders`: real
    ones. `etc`: paths below /etc."""

    links: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    etc: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the machine was seen to allow. `bwrap` None: no sandbox can be made. `launcher`: goes before the command
    to give up root (`{uid}` is filled in), empty where not root. `why_*`: what the machine said.
    `network`: workloads have networks of their own."""

    bwrap: str | None
    as_root: bool
    overlay: bool
    launcher: tuple[str, ...]
    why_no_sandbox: str = ""
    why_no_overlay: str = ""
    network: bool = False


@dataclass(frozen=True, slots=True)
class Inside:
    """One workload's inputs, resolved: its tools, its droplet's folder, its user, its port."""

    spec: WorkloadSpec
    uid: int
    gid: int
    port: int | None
    tools: Sequence[Tool] = ()
    droplet: Path | None = None
    own_network: bool = False

    @property
    def hostname(self) -> str:
        return self.spec.id.replace("_", "-").strip("-.")[:63] or "workload"

    @property
    def home(self) -> str:
        has_app = self.droplet is not None or any(mount.target == APP for mount in self.spec.mounts)
        return APP if has_app else "/tmp"  # noqa: S108  (a tmpfs of its own)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Numbers that files are handed over under. The sandbox's first process holds `locks` for as long as it lives."""

    status: int = 3
    arguments: int = 4
    passwd: int = 5
    group: int = 6
    locks: int = 7
    ready: int = 8
    resolver: int = 16
    hosts: int = 17


FDS = Descriptors()


def look_at_host(root: Path = Path("/")) -> Host:
    """What of this machine can be shown."""
    links: list[tuple[str, str]] = []
    folders: list[str] = ["/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = root / name
        if path.is_symlink():
            links.append((f"/{name}", str(path.readlink())))
        elif path.is_dir():
            folders.append(f"/{name}")
    etc = [f"/etc/{name}" for name in _ETC if (root / "etc" / name).exists()]
    etc += sorted(f"/etc/{path.name}" for path in (root / "etc").glob("java*") if path.exists())
    return Host(tuple(links), tuple(folders), tuple(etc))


def environment(inside: Inside) -> dict[str, str]:
    """All variables that the command sees: defaults, then its tools', then its own; `PORT` is the driver's word.

    `PATH`: its own entries first (a droplet's `.venv/bin` must win), then the tools', then the machine's.
    """
    result = {"HOME": inside.home, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108
    for tool in inside.tools:
        result |= tool.environment
    result |= inside.spec.environment
    own = [entry for entry in inside.spec.environment.get("PATH", "").split(":") if entry]
    system = DEFAULT_PATH.split(":")
    tools = [folder for tool in inside.tools for folder in tool.path]
    front = [entry for entry in own if entry not in system]
    result["PATH"] = ":".join(dict.fromkeys(front + tools + own + system))
    if inside.port is not None:
        result["PORT"] = str(inside.port)
    return result


def bwrap_arguments(
    host: Host, isolation: Isolation, inside: Inside, variables: Mapping[str, str], fds: Descriptors = FDS
) -> list[str]:
    """`bwrap`'s options, for its `--args`: there no other process can read the variables' values."""
    spec = inside.spec
    words: list[str] = list(_NAMESPACES)
    words += ["--hostname", inside.hostname]
    if isolation.network and spec.network.kind is NetworkKind.none:
        words += ["--unshare-net"]
    if isolation.as_root:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user"]
    words += _base(host, fds, _NETWORK_FILES if inside.own_network else ())
    if inside.own_network:
        words += ["--perms", "0644", "--ro-bind-data", str(fds.resolver), "/etc/resolv.conf"]
        words += ["--perms", "0644", "--ro-bind-data", str(fds.hosts), "/etc/hosts"]
    words += _tools(inside.tools, host)
    if inside.droplet is not None:
        words += _droplet(inside.droplet, overlay=isolation.overlay)
    for mount in spec.mounts:
        words += _mount(mount)
    words += ["--chdir", spec.workdir, "--clearenv"]
    for name, value in variables.items():
        words += ["--setenv", name, value]
    return words


def command(isolation: Isolation, inside: Inside) -> list[str]:
    """The command with what starts it: both ways, one that can't be executed exits 127 or 126 and says why."""
    if isolation.launcher:
        launcher = [word.replace("{uid}", str(inside.uid)) for word in isolation.launcher]
        return [*launcher, *inside.spec.command]
    return ["/bin/sh", "-c", 'exec "$@"', "sh", *inside.spec.command]


def passwd(inside: Inside) -> bytes:
    """/etc/passwd: several servers refuse to run as a user without a name."""
    return (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"app:x:{inside.uid}:{inside.gid}:app:{inside.home}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ).encode()


def group(inside: Inside) -> bytes:
    """/etc/group, to go with it."""
    return f"root:x:0:\napp:x:{inside.gid}:\nnogroup:x:65534:\n".encode()


def _base(host: Host, fds: Descriptors, hidden: Sequence[str] = ()) -> list[str]:
    words: list[str] = [*_folder("/etc"), *_folder("/var")]
    for folder in host.folders:
        words += ["--ro-bind", folder, folder]
    for name, target in host.links:
        words += ["--symlink", target, name]
    for path in host.etc:
        if path not in hidden:
            words += ["--ro-bind-try", path, path]
    words += ["--perms", "0644", "--ro-bind-data", str(fds.passwd), "/etc/passwd"]
    words += ["--perms", "0644", "--ro-bind-data", str(fds.group), "/etc/group"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/var/tmp"):  # noqa: S108
        words += ["--perms", "1777", "--tmpfs", folder]
    return words


def _tools(tools: Sequence[Tool], host: Host) -> list[str]:
    shown = [Path(folder) for folder in host.folders]
    words: list[str] = []
    for root in dict.fromkeys(root for tool in tools for root in tool.roots):
        if not any(root.is_relative_to(folder) for folder in shown):
            words += [*_parents(str(root)), "--ro-bind", str(root), str(root)]
    return words


def _folder(path: str) -> list[str]:
    """Folders that `bwrap` makes on its own way to a target are for root alone; those made here are for all."""
    return ["--perms", "0755", "--dir", path]


def _parents(target: str) -> list[str]:
    """The folders above a target, from the top down; one that is there already stays as it is."""
    above = [str(parent) for parent in Path(target).parents if str(parent) != "/"]
    return [word for parent in reversed(above) for word in _folder(parent)]


def _droplet(folder: Path, *, overlay: bool) -> list[str]:
    if overlay:
        # The top of what is seen is the upper layer's, root's own; below, the droplet's own permissions hold.
        return ["--overlay-src", str(folder), "--tmp-overlay", APP, "--chmod", "0777", APP]
    return ["--ro-bind", str(folder), APP]


def _mount(mount: Mount) -> list[str]:
    return [*_parents(mount.target), "--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]


@dataclass(frozen=True, slots=True)
class PlainView:
    """Where a sandbox's paths lie on the machine when there is no sandbox: (path inside, path on the machine)."""

    places: tuple[tuple[str, str], ...] = field(default=())

    def translate(self, text: str) -> str:
        """Replaces paths inside by those on the machine, wherever they stand as whole path components."""
        for inside, outside in sorted(self.places, key=lambda place: -len(place[0])):
            text = _replace_path(text, inside, outside)
        return text


_BEFORE = frozenset("\0 \t\n\"'=:;,(<>&|`[{@")
_AFTER = _BEFORE | frozenset("/)]}")


def _replace_path(text: str, inside: str, outside: str) -> str:
    parts = text.split(inside)
    result = parts[0]
    for part in parts[1:]:
        whole = (not result or result[-1] in _BEFORE) and (not part or part[0] in _AFTER)
        result += (outside if whole else inside) + part
    return result
