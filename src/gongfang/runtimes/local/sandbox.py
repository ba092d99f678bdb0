"""What a workload gets to see: pure planning of `bwrap`'s arguments and of the environment.

It sees the machine's programs and libraries, the few files of /etc that programs look for, its own /proc, /dev and
/tmp, its droplet at /app, its tools and what its specification mounts. Nothing else of the machine is there.

As root the sandbox is made by real root, without a user namespace (so that folders under /root can be shown), and the
command is started through `setpriv` under the workload's own user id, without any capability. An ordinary user's
sandbox has a user namespace and keeps the user's id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gongfang.runtimes.interface import Mount, NetworkKind, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local.disks import Disk
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
_SECRET = ("/etc/ssl/private", "/etc/pki/tls/private", "/etc/pki/CA/private", "/etc/pki/entitlement")
_SETTINGS = ("/usr/local/etc", "/usr/etc")
_KERNEL = tuple(f"/proc/{name}" for name in ("kcore", "keys", "key-users", "kallsyms", "timer_list", "sched_debug"))
_TENANTS = (WorkloadKind.instance, WorkloadKind.task, WorkloadKind.service)
_NETWORK_FILES = ("/etc/hosts", "/etc/resolv.conf")
_SMALLEST_TMPFS = 1 << 20


@dataclass(frozen=True, slots=True)
class Host:
    """What of the machine is shown. `links`: (name, target) of links at the root, as /bin → usr/bin. `folders`: real
    ones. `etc`: paths below /etc. `secret`: folders of private keys in them, which look empty to all. `settings`: of
    the machine's own programs (a registry's password may stand there), which builds need and tenants' apps don't.
    `kernel`: files of /proc that tell of the machine, and are covered."""

    links: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    etc: tuple[str, ...]
    secret: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the machine was seen to allow. `bwrap` None: no sandbox can be made. `launcher`: goes before the command
    to give up root (`{uid}` is filled in), empty where not root. `filtered`: system calls are. `counts_processes`: a
    limit on them that is set inside the sandbox counts those in there only. `layer`: what is written can lie in a
    folder of the home. `network`: workloads have networks of their own. `why_*`: what the machine said."""

    bwrap: str | None
    as_root: bool
    overlay: bool
    launcher: tuple[str, ...]
    filtered: bool = False
    layer: bool = False
    counts_processes: bool = False
    network: bool = False
    why_no_sandbox: str = ""
    why_no_overlay: str = ""
    why_no_filter: str = ""


@dataclass(frozen=True, slots=True)
class Inside:
    """One workload's inputs, resolved: its tools, its droplet's folder, its user, its port, and where it may write."""

    spec: WorkloadSpec
    uid: int
    gid: int
    port: int | None
    tools: Sequence[Tool] = ()
    droplet: Path | None = None
    disk: Disk | None = None
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
    """Numbers that files are handed over under. The sandbox's first process holds `locks` for as long as it lives.
    `files`: the first of as many as the specification has; see `launch` for the highest."""

    status: int = 3
    arguments: int = 4
    passwd: int = 5
    group: int = 6
    locks: int = 7
    ready: int = 8
    filter: int = 9
    resolver: int = 16
    hosts: int = 17
    files: int = 32


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
    return Host(
        *(tuple(links), tuple(folders), tuple(etc)),
        secret=tuple(path for path in _SECRET if (root / path[1:]).is_dir()),
        settings=tuple(path for path in _SETTINGS if (root / path[1:]).is_dir()),
        kernel=tuple(path for path in _KERNEL if (root / path[1:]).is_file()),
    )


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
    if isolation.filtered:
        words += ["--seccomp", str(fds.filter)]
    words += _base(host, inside, fds)
    words += _tools(inside.tools, host)
    if inside.droplet is not None:
        words += _droplet(inside.droplet, inside.disk, overlay=isolation.overlay)
    for mount in spec.mounts:
        words += _mount(mount)
    words += _files(spec.files, fds)
    # What the sandbox itself is made of is memory; an ordinary user's would be the workload's to fill.
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    words += ["--chdir", spec.workdir, "--clearenv"]
    for name, value in variables.items():
        words += ["--setenv", name, value]
    return words


def command(isolation: Isolation, inside: Inside) -> list[str]:
    """The command with what starts it: both ways, one that can't be executed exits 127 or 126 and says why."""
    if isolation.launcher:
        launcher = [word.replace("{uid}", str(inside.uid)) for word in isolation.launcher]
        return [*launcher, *inside.spec.command]
    most = inside.spec.limits.processes
    limit = f"ulimit -u {most} 2>/dev/null || ulimit -p {most}; " if isolation.counts_processes and most else ""
    return ["/bin/sh", "-c", f'{limit}exec "$@"', "sh", *inside.spec.command]


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


def _base(host: Host, inside: Inside, fds: Descriptors) -> list[str]:
    words: list[str] = [*_folder("/etc"), *_folder("/var")]
    for folder in host.folders:
        words += ["--ro-bind", folder, folder]
    for name, target in host.links:
        words += ["--symlink", target, name]
    for path in host.etc:
        if not (inside.own_network and path in _NETWORK_FILES):
            words += ["--ro-bind-try", path, path]
    words += ["--perms", "0644", "--ro-bind-data", str(fds.passwd), "/etc/passwd"]
    words += ["--perms", "0644", "--ro-bind-data", str(fds.group), "/etc/group"]
    if inside.own_network:
        words += ["--perms", "0644", "--ro-bind-data", str(fds.resolver), "/etc/resolv.conf"]
        words += ["--perms", "0644", "--ro-bind-data", str(fds.hosts), "/etc/hosts"]
    for folder in (*host.secret, *(host.settings if inside.spec.kind in _TENANTS else ())):
        words += ["--tmpfs", folder, "--remount-ro", folder]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path in host.kernel:
        words += ["--ro-bind", "/dev/null", path]
    memory = inside.spec.limits.memory_bytes
    size = [] if memory is None else ["--size", str(max(_SMALLEST_TMPFS, memory // 2))]
    words += [*size, "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108  (the sandbox's own)
    if inside.disk is not None:
        return [*words, "--bind", str(inside.disk.tmp), "/tmp", "--bind", str(inside.disk.var_tmp), "/var/tmp"]  # noqa: S108
    for folder in ("/tmp", "/var/tmp"):  # noqa: S108
        words += [*size, "--perms", "1777", "--tmpfs", folder]
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


def _droplet(folder: Path, disk: Disk | None, *, overlay: bool) -> list[str]:
    if overlay and disk is not None:
        return ["--overlay-src", str(folder), "--overlay", str(disk.upper), str(disk.work), APP]
    if overlay:
        # The top of what is seen is the upper layer's, root's own; below, the droplet's own permissions hold.
        return ["--overlay-src", str(folder), "--tmp-overlay", APP, "--chmod", "0777", APP]
    return ["--ro-bind", str(folder), APP]


def _mount(mount: Mount) -> list[str]:
    return [*_parents(mount.target), "--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]


def _files(files: Iterable[str], fds: Descriptors) -> list[str]:
    """Copied into the sandbox's own root, which is memory. Root makes them, and the workload is somebody else: so they
    are for all to read, of whom there is nobody else in there."""
    words: list[str] = []
    for number, path in enumerate(files):
        words += [*_parents(path), "--perms", "0444", "--file", str(fds.files + number), path]
    return words


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
