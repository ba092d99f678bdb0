"""What may go of an app's history: nothing that is referred to, whatever the history looks like."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.errors import Reason
from gongfang.domain.values import (
    App,
    AppConfig,
    AppType,
    Build,
    BuildState,
    DesiredState,
    Droplet,
    Instance,
    InstanceState,
    Operation,
    OperationKind,
    OperationStatus,
    Package,
    Release,
    RuntimeName,
    Task,
    TaskState,
)
from gongfang.reconcile.plans.retention import (
    Folder,
    History,
    Policy,
    StoredBlob,
    plan_blobs,
    plan_caches,
    plan_droplets,
    plan_history,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
APP = App(
    *("app", "space", "tenant", "org", "name", AppType.web, RuntimeName.auto, {}, DesiredState.started, {"web": 1}),
    *(AppConfig(), None, 0, 1, NOW, NOW),
)


def package(n: int) -> Package:
    return Package(f"pkg{n:03}", "app", n, "a.zip", 10, f"{n:064x}", NOW, None)


def build(n: int, of: int, state: BuildState = BuildState.succeeded, droplet: int | None = None) -> Build:
    droplet_id = f"drp{droplet:03}" if droplet is not None else None
    return Build(f"bld{n:03}", "app", f"pkg{of:03}", RuntimeName.auto, state, NOW, droplet_id=droplet_id)


def droplet(n: int, of: int) -> Droplet:
    return Droplet(f"drp{n:03}", "app", f"bld{of:03}", f"{1000 + n:064x}", 20, RuntimeName.python, {}, {}, (), NOW)


def release(n: int, of: int, *, healthy: bool = True) -> Release:
    return Release(
        *(f"rel{n:03}", "app", n, f"drp{of:03}", f"pkg{of:03}", of, AppConfig(), "deploy", None, NOW, None),
        *(NOW if healthy else None, None if healthy else Reason("exit_code", {"code": 1})),
    )


def instance(n: int, of: int, state: InstanceState) -> Instance:
    return Instance(f"ins{n:03}", "app", f"rel{of:03}", 0, "web", 0, state, NOW)


def operation(n: int, status: OperationStatus, *, build_id: str | None = None, **params: object) -> Operation:
    return Operation(
        *(f"op{n:03}", OperationKind.deploy, "app", "name", None, None, None, status, dict(params), (), NOW, NOW, None),
        build_id=build_id,
    )


def line(count: int, **more: object) -> History:
    """A package, build, droplet and release each, `count` times; the last is current."""
    numbers = range(1, count + 1)
    app = replace(APP, target_release_id=f"rel{count:03}", current_release_id=f"rel{count:03}")
    return replace(
        History(
            app,
            releases=[release(n, n) for n in numbers],
            packages=[package(n) for n in numbers],
            builds=[build(n, n, droplet=n) for n in numbers],
            droplets=[droplet(n, n) for n in numbers],
        ),
        **more,
    )


def gone(history: History, **policy: int) -> set[str]:
    return {verdict.id for verdict in plan_history(history, Policy(**policy))}


def test_the_newest_stay_and_the_rest_goes() -> None:
    assert gone(line(12), releases=10, packages=10, builds=10) == {
        *("rel001", "rel002", "pkg001", "pkg002", "drp001", "drp002", "bld001", "bld002"),
    }


def test_a_kept_release_keeps_all_that_it_is_made_of() -> None:
    assert gone(line(5), releases=4, packages=1, builds=1) == {"rel001", "pkg001", "drp001", "bld001"}


def test_there_is_always_one_to_roll_back_to() -> None:
    history = line(5)
    failed = [release(n, n, healthy=n in (2, 5)) for n in range(1, 6)]
    left = gone(replace(history, releases=failed), releases=1, packages=1, builds=1)
    assert "rel002" not in left and "drp002" not in left and "pkg002" not in left
    assert {"rel001", "rel003", "rel004"} <= left


def test_what_runs_stays_and_what_has_run_does_not_hold_it() -> None:
    runs = gone(line(5, instances=[instance(1, 1, InstanceState.draining)]), releases=1, packages=1, builds=1)
    assert not {"rel001", "drp001", "pkg001"} & runs
    ran = gone(line(5, instances=[instance(1, 1, InstanceState.exited)]), releases=1, packages=1, builds=1)
    assert {"rel001", "drp001", "pkg001"} <= ran
    task = Task("task1", "app", "rel001", "true", 64, 1, TaskState.pending, NOW, None)
    assert "rel001" not in gone(line(5, tasks=[task]), releases=1, packages=1, builds=1)


def test_an_operation_under_way_holds_what_it_names() -> None:
    asked = operation(1, OperationStatus.pending, package_id="pkg001", build_id="bld002", from_release=3)
    left = gone(line(6, operations=[asked]), releases=1, packages=1, builds=1)
    assert not {"pkg001", "bld002", "drp002", "rel003", "drp003"} & left
    ended = replace(asked, status=OperationStatus.succeeded)
    assert {"pkg001", "bld002", "rel003"} <= gone(line(6, operations=[ended]), releases=1, packages=1, builds=1)


def test_a_policy_keeps_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Policy(releases=0)


numbers = st.integers(1, 8)
histories = st.builds(
    lambda releases, packages, builds, droplets, instances, operations, tasks, target, current: History(
        replace(
            APP,
            target_release_id=f"rel{target:03}" if target else None,
            current_release_id=f"rel{current:03}" if current else None,
        ),
        releases=[release(n, of, healthy=fine) for n, (of, fine) in releases.items()],
        packages=[package(n) for n in packages],
        builds=[build(n, of, state, drop) for n, (of, state, drop) in builds.items()],
        droplets=[droplet(n, of) for n, of in droplets.items()],
        instances=[instance(n, of, state) for n, (of, state) in instances.items()],
        operations=[
            operation(n, status, package_id=f"pkg{p:03}", droplet_id=f"drp{d:03}", build_id=f"bld{b:03}")
            for n, (status, p, d, b) in operations.items()
        ],
        tasks=[Task(f"t{n}", "app", f"rel{of:03}", "true", 1, 1, s, NOW, None) for n, (of, s) in tasks.items()],
    ),
    st.dictionaries(numbers, st.tuples(numbers, st.booleans())),
    st.sets(numbers),
    st.dictionaries(numbers, st.tuples(numbers, st.sampled_from(BuildState), st.none() | numbers)),
    st.dictionaries(numbers, numbers),
    st.dictionaries(numbers, st.tuples(numbers, st.sampled_from(InstanceState)), max_size=3),
    st.dictionaries(numbers, st.tuples(st.sampled_from(OperationStatus), numbers, numbers, numbers), max_size=3),
    st.dictionaries(numbers, st.tuples(numbers, st.sampled_from(TaskState)), max_size=3),
    st.none() | numbers,
    st.none() | numbers,
)


@given(histories, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_nothing_that_is_referred_to_ever_goes(history: History, releases: int, packages: int, builds: int) -> None:
    policy = Policy(releases, packages, builds)
    verdicts = plan_history(history, policy)
    left = {verdict.id for verdict in verdicts}
    assert len(left) == len(verdicts)
    known = {each.id for each in (*history.releases, *history.packages, *history.builds, *history.droplets)}
    assert left <= known
    used = {history.app.target_release_id, history.app.current_release_id}
    used |= {i.release_id for i in history.instances if not i.state.ended}
    used |= {t.release_id for t in history.tasks if t.state in (TaskState.pending, TaskState.running)}
    for unended in history.builds:
        if unended.state in (BuildState.pending, BuildState.running):
            used |= {unended.id, unended.package_id}
            used |= {d.id for d in history.droplets if d.build_id == unended.id}
    by_id = {b.id: b for b in history.builds}
    for under_way in history.operations:
        if not under_way.status.ended:
            used |= {under_way.params["package_id"], under_way.params["droplet_id"], under_way.build_id}
            awaited = by_id.get(under_way.build_id or "")
            used.add(awaited.droplet_id if awaited else None)
    for stays in history.releases:
        if stays.id not in left:
            used |= {stays.droplet_id, stays.package_id}
    assert not used & left
    for found, count in ((history.releases, releases), (history.packages, packages), (history.builds, builds)):
        assert not {each.id for each in sorted(found, key=lambda e: e.id)[-count:]} & left
    # What is left is stable: the next run finds nothing more.
    rest = replace(
        history,
        releases=[e for e in history.releases if e.id not in left],
        packages=[e for e in history.packages if e.id not in left],
        builds=[e for e in history.builds if e.id not in left],
        droplets=[e for e in history.droplets if e.id not in left],
    )
    assert plan_history(rest, policy) == []


ages = st.integers(0, 100).map(lambda hours: NOW - timedelta(hours=hours))


@given(st.lists(st.tuples(st.integers(0, 9), ages)), st.frozensets(st.integers(0, 9)), st.integers(0, 100))
def test_a_file_goes_when_no_row_names_it_and_it_is_old(
    stored: list[tuple[int, datetime]], referred: frozenset[int], grace: int
) -> None:
    blobs = [StoredBlob(str(n), 1, at) for n, at in stored]
    left = plan_blobs(blobs, frozenset(map(str, referred)), NOW, timedelta(hours=grace))
    assert left == [b for b in blobs if int(b.sha256) not in referred and NOW - b.stored_at > timedelta(hours=grace)]


def test_unpacked_droplets_in_use_stay_however_old() -> None:
    folders = [Folder("a", 1, NOW - timedelta(days=90)), Folder("b", 1, NOW - timedelta(days=90)), Folder("c", 1, NOW)]
    left = plan_droplets(folders, frozenset("a"), NOW, timedelta(days=7))
    assert [folder.name for folder in left] == ["b"]


@given(st.dictionaries(st.integers(0, 9), st.tuples(st.integers(0, 50), ages)), st.frozensets(st.integers(0, 9)))
def test_caches_go_until_the_rest_is_within_the_limit(
    found: dict[int, tuple[int, datetime]], building: frozenset[int]
) -> None:
    folders = [Folder(str(name), size, used) for name, (size, used) in found.items()]
    busy = frozenset(map(str, building))
    left = {folder.name for folder, _ in plan_caches(folders, busy, NOW, timedelta(hours=50), 100)}
    assert not left & busy
    stays = [folder for folder in folders if folder.name not in left]
    assert all(f.name in busy or NOW - f.used_at <= timedelta(hours=50) for f in stays)
    assert sum(f.size for f in stays) <= 100 or all(f.name in busy for f in stays)
