"""Control groups: limits and accounting, in whichever of the kernel's two forms this machine has them.

Version 1 has a tree a controller, version 2 one tree for all; a machine may have both at once. Each home has a group
of its own in each tree, and each workload one below it. What can be used is found by trying.
"""

import contextlib
import errno
import hashlib
import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gongfang.runtimes.interface import Limits

_PERIOD_US = 100_000
_SMALLEST_QUOTA_US = 1_000
# The sandbox's own two processes and the launcher are in the group with the workload.
_OWN_PROCESSES = 3
_WANTED = ("memory", "cpu", "cpuacct", "pids")
# Files that are there only where the kernel accounts swap.
_OPTIONAL = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})
_REMOVE_WAIT_S = 2.0
# The ordinary weight, in both forms' own numbers.
_WEIGHT = 100
_SHARES = 1024
# Of a home's group as a whole. A group weighs as much as one process beside it, however many run in it: without this
# all apps together would have as much CPU as the control plane alone, and requests would wait for its work.
_HOME_WEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree. `controllers`: those of ours that it has. `root`: where it is mounted. `own`: our group's
    place in it."""

    version: int
    controllers: frozenset[str]
    root: Path
    own: str


def parse_hierarchies(mountinfo: str, cgroup: str) -> list[Hierarchy]:
    """Reads /proc/self/mountinfo and /proc/self/cgroup. Version 2's controllers are filled in by `with_controllers`."""
    own: dict[frozenset[str], str] = {}
    for line in cgroup.splitlines():
        _, names, path = line.split(":", 2)
        own[frozenset(names.split(",")) if names else frozenset()] = path
    found: list[Hierarchy] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), before.split()[4]))
        if kind == "cgroup2":
            found.append(Hierarchy(2, frozenset(), root, own.get(frozenset(), "/")))
        elif kind == "cgroup":
            names = frozenset(options.split()[-1].split(","))
            mine = names & frozenset(_WANTED)
            if mine:
                place = next((path for key, path in own.items() if key & mine), "/")
                found.append(Hierarchy(1, mine, root, place))
    return found


@dataclass(frozen=True, slots=True)
class Tree:
    """A home's group in one hierarchy, made and found usable for `controllers`."""

    version: int
    controllers: frozenset[str]
    parent: Path


class Cgroups:
    """The groups of one home. Every method also works where there are none, and then does nothing."""

    def __init__(self, home: Path) -> None:
        self.name = "gongfang-" + hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        self._trees: list[Tree] = []

    def open(self) -> None:
        """Finds what can be used."""
        mounts = Path("/proc/self/mountinfo").read_text()
        own = Path("/proc/self/cgroup").read_text()
        left = set(_WANTED)
        # The older form first: a controller that it holds is not to be had in the newer one.
        for hierarchy in sorted(parse_hierarchies(mounts, own), key=lambda hierarchy: hierarchy.version):
            tree = self._find(hierarchy)
            if tree is not None and tree.controllers & left:
                self._trees.append(tree)
                left -= tree.controllers

    def controllers(self) -> frozenset[str]:
        """Those that can be used."""
        return frozenset(name for tree in self._trees for name in tree.controllers)

    def create(self, workload_id: str, limits: Limits) -> list[Path]:
        """Makes a workload's groups with its limits. Gives the files that its first process writes its pid to."""
        files: list[Path] = []
        for tree in self._trees:
            group = tree.parent / workload_id
            group.mkdir(exist_ok=True)
            for name, value in settings(tree, limits):
                if name not in _OPTIONAL or (group / name).exists():
                    (group / name).write_text(value)
            files.append(group / "cgroup.procs")
        return files

    def memory_bytes(self, workload_id: str) -> int | None:
        """Memory in use without the file cache that can be given back at once; None where it is not accounted."""
        group, version = self._group("memory", workload_id)
        if group is None:
            return None
        used = _number(group / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
        fields = _fields(group / "memory.stat")
        if used is None:
            return None
        return max(0, used - fields.get("inactive_file" if version == 2 else "total_inactive_file", 0))

    def cpu_s(self, workload_id: str) -> float | None:
        """CPU seconds since its start; None where they are not accounted."""
        group, version = self._group("cpuacct", workload_id)
        if group is not None and version == 1:
            used = _number(group / "cpuacct.usage")
            return None if used is None else used / 1e9
        group, version = self._group("cpu", workload_id)
        if group is None or version == 1:
            return None
        used = _fields(group / "cpu.stat").get("usage_usec")
        return None if used is None else used / 1e6

    def ran_out_of_memory(self, workload_id: str) -> bool:
        """Whether the kernel killed one of its processes for memory."""
        group, version = self._group("memory", workload_id)
        if group is None:
            return False
        return _fields(group / ("memory.events" if version == 2 else "memory.oom_control")).get("oom_kill", 0) > 0

    def remove(self, workload_id: str) -> None:
        """Removes a workload's groups; what the workload itself made below them too."""
        for tree in self._trees:
            _remove(tree.parent / workload_id)

    def remove_others(self, keep: Iterable[str]) -> None:
        """Removes groups that no workload claims: a control plane died between making one and writing it down."""
        kept = set(keep)
        for tree in self._trees:
            for group in tree.parent.iterdir():
                if group.is_dir() and group.name not in kept:
                    _remove(group)

    def close(self) -> None:
        """Removes the home's own groups where nothing is left in them."""
        for tree in self._trees:
            with contextlib.suppress(OSError):  # not empty: workloads run on
                tree.parent.rmdir()
        self._trees = []

    def _group(self, controller: str, workload_id: str) -> tuple[Path | None, int]:
        for tree in self._trees:
            if controller in tree.controllers:
                return tree.parent / workload_id, tree.version
        return None, 0

    def _find(self, hierarchy: Hierarchy) -> Tree | None:
        for place in dict.fromkeys((hierarchy.root, hierarchy.root / hierarchy.own.strip("/"))):
            controllers = hierarchy.controllers
            try:
                if hierarchy.version == 2:
                    names = (place / "cgroup.controllers").read_text().split()
                    controllers = frozenset(names) & frozenset(_WANTED)
                if not controllers:
                    continue
                if hierarchy.version == 2:
                    _delegate(place, controllers)
                parent = place / self.name
                parent.mkdir(exist_ok=True)
                if hierarchy.version == 2:
                    _delegate(parent, controllers)
                if os.access(parent / "cgroup.procs", os.W_OK):
                    _weigh(hierarchy.version, controllers, parent)
                    return Tree(hierarchy.version, controllers, parent)
            except OSError:
                continue  # not allowed here: what it would give is then not enforced, and said so
        return None


def settings(tree: Tree, limits: Limits) -> Sequence[tuple[str, str]]:
    """The files that set a workload's limits in one tree, in the order in which they must be written."""
    files: list[tuple[str, str]] = []
    newer = tree.version == 2
    if limits.memory_bytes is not None and "memory" in tree.controllers:
        size = str(limits.memory_bytes)
        if newer:
            files += [("memory.max", size), ("memory.swap.max", "0")]
        else:
            files += [("memory.limit_in_bytes", size), ("memory.memsw.limit_in_bytes", size)]
    if limits.cpu_cores is not None and "cpu" in tree.controllers:
        quota = max(_SMALLEST_QUOTA_US, round(limits.cpu_cores * _PERIOD_US))
        if newer:
            files.append(("cpu.max", f"{quota} {_PERIOD_US}"))
        else:
            files += [("cpu.cfs_period_us", str(_PERIOD_US)), ("cpu.cfs_quota_us", str(quota))]
    if limits.cpu_weight != _WEIGHT and "cpu" in tree.controllers:
        files.append(_weight(tree.version, limits.cpu_weight))
    if limits.processes is not None and "pids" in tree.controllers:
        files.append(("pids.max", str(limits.processes + _OWN_PROCESSES)))
    return files


def _weight(version: int, weight: int) -> tuple[str, str]:
    return ("cpu.weight", str(weight)) if version == 2 else ("cpu.shares", str(max(2, weight * _SHARES // _WEIGHT)))


def _weigh(version: int, controllers: Iterable[str], home: Path) -> None:
    name, value = _weight(version, _HOME_WEIGHT)
    if "cpu" in controllers:
        with contextlib.suppress(PermissionError):  # a group that was handed to an ordinary user without its weight
            (home / name).write_text(value)


def _delegate(group: Path, controllers: Iterable[str]) -> None:
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(controllers)))


def _remove(group: Path) -> None:
    """Removes a group and those below it. A process that is still in one of them is nobody's any more: it is killed."""
    for folder, _, _ in os.walk(group, topdown=False):
        deadline = time.monotonic() + _REMOVE_WAIT_S
        while True:
            try:
                os.rmdir(folder)  # noqa: PTH106  (os.walk gives strings)
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    break
                # It may also be the group that lags behind for a moment, which the kernel tells nobody of.
                _kill_all(Path(folder))
                time.sleep(0.001)
            else:
                break


def _kill_all(group: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for word in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGKILL)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """A file of `name value` lines; empty where it can't be read."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
