"""The rows that the plans of some apps look at: read for many apps with as many questions as for one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from gongfang.domain.values import APP_KINDS, App, Build, Domain, Droplet, Instance, Operation, Release, Task
from gongfang.reconcile.plans.picture import Picture
from gongfang.state import Reading
from gongfang.state.service_queries import bound_of

_T = TypeVar("_T")
_ACTIVE = ("pending", "running")
_UNDER_WAY = ("pending", "running")


@dataclass(frozen=True, slots=True)
class AppRows:
    """Of one app. `operations`: the active ones, oldest first. `builds`: those that they wait for, and others under
    way. `releases`, `droplets`: those that anything here names."""

    app: App
    operations: tuple[Operation, ...]
    instances: tuple[Instance, ...]
    domains: tuple[Domain, ...]
    builds: Mapping[str, Build]
    tasks: Mapping[str, Task]
    releases: Mapping[str, Release]
    droplets: Mapping[str, Droplet]
    bound: str = ""
    bindings: int = 0

    def picture(self, now: datetime, **more: Any) -> Picture:
        """What rows alone tell."""
        target = self.releases.get(self.app.target_release_id or "")
        return Picture(
            app=self.app,
            now=now,
            operations=self.operations,
            builds=self.builds,
            tasks=self.tasks,
            target=target,
            current=self.releases.get(self.app.current_release_id or ""),
            commands=self.droplets[target.droplet_id].processes if target else {},
            instances=self.instances,
            releases=self.releases,
            bound=self.bound,
            bindings=self.bindings,
            **more,
        )


async def read_rows(tx: Reading, app_ids: Sequence[str]) -> list[AppRows]:
    """Those of the apps that there are."""
    apps = await tx.find(App, id=app_ids)
    if not apps:
        return []
    operations = _by_app(await tx.find(Operation, app_id=app_ids, kind=APP_KINDS, status=_ACTIVE), lambda o: o.app_id)
    instances = _by_app(await tx.find(Instance, app_id=app_ids), lambda i: i.app_id)
    domains = _by_app(await tx.find(Domain, app_id=app_ids), lambda d: d.app_id)
    builds = _by_app(await _builds(tx, operations), lambda b: b.app_id)
    tasks = await _by_id(tx, Task, (o.params.get("task_id") for own in operations.values() for o in own))
    wanted = {app.id: _release_ids(app, instances[app.id], operations[app.id]) for app in apps}
    releases = await _by_id(tx, Release, (i for ids in wanted.values() for i in ids))
    droplets = await _by_id(tx, Droplet, (r.droplet_id for r in releases.values()))
    bound = await bound_of(tx, [app.id for app in apps])
    found: list[AppRows] = []
    for app in apps:
        own = {i: releases[i] for i in wanted[app.id] if i in releases}
        found.append(
            AppRows(
                app=app,
                operations=tuple(operations[app.id]),
                instances=tuple(instances[app.id]),
                domains=tuple(domains[app.id]),
                builds={b.id: b for b in builds[app.id]},
                tasks={t.id: t for o in operations[app.id] if (t := tasks.get(o.params.get("task_id") or ""))},
                releases=own,
                droplets={r.droplet_id: droplets[r.droplet_id] for r in own.values() if r.droplet_id in droplets},
                bound=bound[app.id].digest if app.id in bound else "",
                bindings=bound[app.id].count if app.id in bound else 0,
            )
        )
    return found


def _by_app(values: Iterable[_T], app_id: Callable[[_T], str | None]) -> defaultdict[str, list[_T]]:
    found: defaultdict[str, list[_T]] = defaultdict(list)
    for value in values:
        found[app_id(value) or ""].append(value)
    return found


async def _builds(tx: Reading, operations: Mapping[str, Sequence[Operation]]) -> list[Build]:
    """Those that operations wait for, and those under way that perhaps nobody waits for any more."""
    if not operations:
        return []
    found = {b.id: b for b in await tx.find(Build, app_id=list(operations), state=_UNDER_WAY)}
    awaited = (o.build_id for own in operations.values() for o in own if o.build_id not in found)
    return list((found | await _by_id(tx, Build, awaited)).values())


async def _by_id(tx: Reading, noun: type[_T], ids: Iterable[str | None]) -> dict[str, _T]:
    wanted = {i for i in ids if i}
    found = await tx.find(noun, id=wanted) if wanted else []
    return {value.id: value for value in found}  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def _release_ids(app: App, instances: Iterable[Instance], operations: Iterable[Operation]) -> set[str]:
    named = (
        app.target_release_id,
        app.current_release_id,
        *(i.release_id for i in instances),
        *(o.release_id for o in operations),
    )
    return {i for i in named if i}
