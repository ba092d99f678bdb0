"""What every driver refuses, before it does anything. Specifications come from inside, names in them from outside."""

import posixpath
import re

from gongfang.domain.errors import Rejected
from gongfang.runtimes.interface import Limits, WorkloadSpec

MOST_FILES = 128
FILES_BYTES = 1 << 20
_LAST_PORT = 65535
_NOT_FOR_FILES = frozenset(
    ("app", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "tmp", "usr", "var")
)
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", re.ASCII)


def check_id(workload_id: str) -> None:
    """Raises `Rejected("workload_id_invalid")`: ids become names of files and control groups."""
    if not _ID.fullmatch(workload_id):
        raise Rejected("workload_id_invalid", id=repr(workload_id[:80]))


def check_spec(spec: WorkloadSpec) -> None:
    """Raises `Rejected` for what cannot be run on any driver."""
    check_id(spec.id)
    if not spec.command or not spec.command[0]:
        raise Rejected("command_empty")
    if any("\0" in word for word in spec.command):
        raise Rejected("value_has_nul", field="command")
    for name, value in spec.environment.items():
        if not name or "=" in name or "\0" in name:
            raise Rejected("environment_name_invalid", name=repr(name[:80]))
        if "\0" in value:
            raise Rejected("value_has_nul", field=name)
    _check_path(spec.workdir, root_allowed=True)
    for mount in spec.mounts:
        _check_path(mount.target, root_allowed=False)
        _check_path(str(mount.source), root_allowed=False)
    _check_files(spec)
    if spec.port is not None and not 0 < spec.port <= _LAST_PORT:
        raise Rejected("port_invalid", port=spec.port)
    if spec.uid is not None and spec.uid <= 0:
        raise Rejected("uid_invalid", uid=spec.uid)
    _check_limits(spec.limits)


def _check_path(path: str, *, root_allowed: bool) -> None:
    plain = posixpath.isabs(path) and "\0" not in path and ".." not in path.split("/")
    if not plain or (not root_allowed and posixpath.normpath(path).strip("/") == ""):
        raise Rejected("path_invalid", path=repr(path[:200]))


def _check_files(spec: WorkloadSpec) -> None:
    """Each lies in a folder that is made for such files alone: never where a mount, the droplet, a disk or the machine
    itself would hold it, or hide it."""
    places = [posixpath.normpath(mount.target) for mount in spec.mounts]
    for path in spec.files:
        _check_path(path, root_allowed=False)
        top = path.split("/")[1]
        others = (other for other in (*places, *spec.files) if other != path or other in places)
        if (
            posixpath.normpath(path) != path
            or path.startswith("//")
            or top in _NOT_FOR_FILES
            or posixpath.dirname(path) == "/"
            or any(_is_within(path, other) or _is_within(other, path) for other in others)
        ):
            raise Rejected("path_invalid", path=repr(path[:200]))
    if len(spec.files) > MOST_FILES:
        raise Rejected("files_too_many", count=len(spec.files), most=MOST_FILES)
    size = sum(map(len, spec.files.values()))
    if size > FILES_BYTES:
        raise Rejected("files_too_large", bytes=size, most=FILES_BYTES)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _check_limits(limits: Limits) -> None:
    for name in ("memory_bytes", "cpu_cores", "processes", "open_files", "wall_s", "disk_bytes"):
        value: float | None = getattr(limits, name)
        if value is not None and value <= 0:
            raise Rejected("limit_invalid", name=name)
