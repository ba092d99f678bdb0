"""What of an app's history may go, and why; what stays, and why. Pure: rows in, verdicts out.

What is in use stays, whatever the numbers say:

- releases: the target, the current one, those of instances and tasks that are not ended, those that an operation under
  way names; the newest N; and the newest healthy one before the current, so that there is always one to roll back to;
- packages: of kept releases, of builds not ended, of operations under way; the newest N;
- droplets: of kept releases, of operations under way and of the builds that they wait for, of builds not ended, and
  what was last built of the newest package, so that starting it builds nothing again;
- builds: not ended, waited for, those of which a droplet is kept, and the newest N.

The newest release and package are always among the kept (N is at least 1), so numbers never begin again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from gongfang.domain.values import (
    App,
    Build,
    BuildState,
    Droplet,
    Instance,
    Operation,
    Package,
    Release,
    Task,
    TaskState,
)

_T = TypeVar("_T")
_UNENDED_BUILD = (BuildState.pending, BuildState.running)
_UNENDED_TASK = (TaskState.pending, TaskState.running)


@dataclass(frozen=True, slots=True)
class Policy:
    """How much history is kept. Counts are of one app, and at least 1."""

    releases: int = 10
    packages: int = 10
    builds: int = 10

    def __post_init__(self) -> None:
        if min(self.releases, self.packages, self.builds) < 1:
            raise ValueError("at least one of each is kept")


@dataclass(frozen=True, slots=True)
class History:
    """All rows of one app that matter here, in any order. `operations`: those not ended, at least."""

    app: App
    releases: Sequence[Release] = ()
    packages: Sequence[Package] = ()
    builds: Sequence[Build] = ()
    droplets: Sequence[Droplet] = ()
    instances: Sequence[Instance] = ()
    tasks: Sequence[Task] = ()
    operations: Sequence[Operation] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why`: a message code (`gc_…`). What isn't named here is kept."""

    kind: str  # release, package, build, droplet
    id: str
    app_id: str
    why: str
    sha256: str | None = None  # of the stored file that it names
    size: int = 0  # bytes of that file


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays, by id, with the first reason found for each."""

    releases: dict[str, str] = field(default_factory=dict[str, str])
    packages: dict[str, str] = field(default_factory=dict[str, str])
    builds: dict[str, str] = field(default_factory=dict[str, str])
    droplets: dict[str, str] = field(default_factory=dict[str, str])


def kept(history: History, policy: Policy) -> Kept:
    """What of an app stays."""
    found = Kept()
    active = [o for o in history.operations if not o.status.ended]
    _releases(history, policy, active, found)
    staying = [r for r in history.releases if r.id in found.releases]
    _packages(history, policy, active, staying, _noter(found.packages))
    _droplets(history, active, staying, _noter(found.droplets))
    _builds(history, policy, active, found)
    return found


_Note = Callable[[object, str], None]


def _packages(
    history: History, policy: Policy, active: Sequence[Operation], staying: Sequence[Release], note: _Note
) -> None:
    for release in staying:
        note(release.package_id, "keep_of_release")
    for build in history.builds:
        if build.state in _UNENDED_BUILD:
            note(build.package_id, "keep_being_built")
    for operation in active:
        note(operation.params.get("package_id"), "keep_operation")
    for package in _newest(history.packages, policy.packages, lambda p: p.seq):
        note(package.id, "keep_newest")


def _droplets(history: History, active: Sequence[Operation], staying: Sequence[Release], note: _Note) -> None:
    builds = {build.id: build for build in history.builds}
    for release in staying:
        note(release.droplet_id, "keep_of_release")
    for operation in active:
        note(operation.params.get("droplet_id"), "keep_operation")
        awaited = builds.get(operation.build_id or "")
        note(awaited.droplet_id if awaited else None, "keep_operation")
    unended = {build.id for build in history.builds if build.state in _UNENDED_BUILD}
    of_newest = {build.id for build in _last_built(history)}
    for droplet in history.droplets:
        if droplet.build_id in unended:
            note(droplet.id, "keep_being_built")
        if droplet.build_id in of_newest:
            note(droplet.id, "keep_newest")


def _builds(history: History, policy: Policy, active: Sequence[Operation], found: Kept) -> None:
    note = _noter(found.builds)
    for build in history.builds:
        if build.state in _UNENDED_BUILD:
            note(build.id, "keep_being_built")
    for operation in active:
        note(operation.build_id, "keep_operation")
    for droplet in history.droplets:
        if droplet.id in found.droplets:
            note(droplet.build_id, "keep_of_release")
    for build in _newest(history.builds, policy.builds, lambda b: b.id):
        note(build.id, "keep_newest")


def _releases(history: History, policy: Policy, active: Sequence[Operation], found: Kept) -> None:
    app = history.app
    note = _noter(found.releases)
    note(app.target_release_id, "keep_target")
    note(app.current_release_id, "keep_current")
    for instance in history.instances:
        if not instance.state.ended:
            note(instance.release_id, "keep_instance")
    for task in history.tasks:
        if task.state in _UNENDED_TASK:
            note(task.release_id, "keep_task")
    by_number = {release.number: release.id for release in history.releases}
    for operation in active:
        note(operation.release_id, "keep_operation")
        note(by_number.get(operation.params.get("from_release") or 0), "keep_operation")
    for release in _newest(history.releases, policy.releases, lambda r: r.number):
        note(release.id, "keep_newest")
    current = next((r for r in history.releases if r.id == app.current_release_id), None)
    earlier = [
        r for r in history.releases if r.healthy_at is not None and (current is None or r.number < current.number)
    ]
    for release in _newest(earlier, 1, lambda r: r.number):
        note(release.id, "keep_rollback")


def _last_built(history: History) -> list[Build]:
    """Of the newest package: the newest build of each runtime that made a droplet."""
    newest = _newest(history.packages, 1, lambda p: p.seq)
    made: dict[str, Build] = {}
    for build in sorted(history.builds, key=lambda b: b.id):
        if newest and build.package_id == newest[0].id and build.droplet_id is not None:
            made[build.runtime.value] = build
    return list(made.values())


def _newest(found: Iterable[_T], count: int, key: Callable[[_T], str | int]) -> list[_T]:
    return sorted(found, key=key, reverse=True)[:count]


def _noter(into: dict[str, str]) -> Callable[[object, str], None]:
    def note(key: object, why: str) -> None:
        if isinstance(key, str):
            into.setdefault(key, why)

    return note


def plan_history(history: History, policy: Policy) -> list[Verdict]:
    """What of an app may go, in an order in which nothing left refers to what is gone."""
    staying = kept(history, policy)
    app_id = history.app.id
    gone: list[Verdict] = []
    for release in history.releases:
        if release.id not in staying.releases:
            gone.append(Verdict("release", release.id, app_id, "gc_beyond_newest"))
    for droplet in history.droplets:
        if droplet.id not in staying.droplets:
            gone.append(Verdict("droplet", droplet.id, app_id, "gc_unused", droplet.sha256, droplet.size))
    for build in history.builds:
        if build.id not in staying.builds:
            gone.append(Verdict("build", build.id, app_id, "gc_beyond_newest"))
    for package in history.packages:
        if package.id not in staying.packages:
            gone.append(Verdict("package", package.id, app_id, "gc_beyond_newest", package.sha256, package.size))
    return gone


@dataclass(frozen=True, slots=True)
class StoredBlob:
    sha256: str
    size: int
    stored_at: datetime


def plan_blobs(
    stored: Iterable[StoredBlob], referred: frozenset[str], now: datetime, grace: timedelta
) -> list[StoredBlob]:
    """Files that no row names and that are older than the grace period: an upload stores its file before its row."""
    return [b for b in stored if b.sha256 not in referred and now - b.stored_at > grace]


@dataclass(frozen=True, slots=True)
class Folder:
    """An unpacked droplet (`name`: its digest) or an app's build cache (`name`: the app's id)."""

    name: str
    size: int
    used_at: datetime


def plan_droplets(folders: Iterable[Folder], in_use: frozenset[str], now: datetime, idle: timedelta) -> list[Folder]:
    """Unpacked droplets that nothing runs on or is about to, and that were not asked for in a while; they can be
    unpacked again."""
    return [f for f in folders if f.name not in in_use and now - f.used_at > idle]


def plan_caches(
    folders: Iterable[Folder], building: frozenset[str], now: datetime, idle: timedelta, limit: int
) -> list[tuple[Folder, str]]:
    """Caches not used in a while, and then the longest unused until the rest is within `limit` bytes; with why. One
    that a build uses just now stays."""
    found = sorted(folders, key=lambda f: (f.used_at, f.name))
    gone: list[tuple[Folder, str]] = []
    total = sum(f.size for f in found)
    for folder in found:
        if folder.name in building:
            continue
        idle_now = now - folder.used_at > idle
        if idle_now or total > limit:
            gone.append((folder, "gc_idle" if idle_now else "gc_over_limit"))
            total -= folder.size
    return gone
