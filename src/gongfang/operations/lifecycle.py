"""Start, stop, scale, restart, roll back, destroy (clauses 5.1(3), (4), (6), (7)) and the releases they run.

Each writes one operation; the newest wish wins, so a newer one ends older ones that it makes pointless. An operation
that makes a release names what it is made of in its `params`: `package_id` (to be built), or `droplet_id`; one that
names neither runs what there is.
"""

from typing import Any

from gongfang.domain.errors import Conflict, NotFound, invalid_field
from gongfang.domain.values import (
    App,
    AppType,
    Build,
    DesiredState,
    Operation,
    OperationKind,
    OperationStatus,
    Package,
    Permission,
    ProcessConfig,
    Release,
)
from gongfang.operations.bindings import unbind_all
from gongfang.operations.config import changed_processes
from gongfang.operations.context import Context, find_app
from gongfang.operations.shared import lock_app, new_operation, submit, view_app, view_operation
from gongfang.operations.views import AppView, OperationView, ReleaseView
from gongfang.state import Reading, Writing
from gongfang.wire.models import InstancesRequest, ProcessChange

_K = OperationKind
_DEPLOYS = (_K.start, _K.deploy, _K.configure, _K.rollback, _K.restart)
_EVERYTHING = (*_DEPLOYS, _K.scale, _K.stop)


async def start(
    context: Context, ref: str, *, package_id: str | None = None, if_match: str | None = None
) -> tuple[AppView, OperationView]:
    """5.1(3). Runs the newest package: builds and starts it, or rolls it out where an older one runs.

    Where nothing is newer and the app runs, the operation has succeeded before it began; where one is about to bring
    the same about, that one is answered. Raises
    `Conflict("nothing_to_start")` where nothing was uploaded, `NotFound("package_not_found")`.
    """
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_operate, if_match=if_match)
        release = await tx.one(Release, app.target_release_id) if app.target_release_id else None
        params = await _to_run(tx, app, release, package_id)
        same = await _same_wish(tx, app, params)
        if same is not None:
            return await view_app(tx, app), await view_operation(tx, same)
        if "droplet_id" not in params and params:
            context.room()  # it has to be built
        kind = _K.deploy if app.desired is DesiredState.started else _K.start
        operation = new_operation(context, app, kind, **params)
        if not params and app.desired is DesiredState.started and app.type is not AppType.task:
            return await _nothing_to_do(tx, context, app, operation)
        return await submit(tx, context, app, operation, supersedes=_EVERYTHING, desired=DesiredState.started)


async def _same_wish(tx: Reading, app: App, params: dict[str, Any]) -> Operation | None:
    """The active operation that is about to make its release of just this: starting twice is starting once."""
    if not params or app.desired is not DesiredState.started:
        return None
    for active in await tx.active_operations(app.id):
        undone = active.kind in _DEPLOYS and active.release_id is None and not active.cancel_requested
        if undone and all(active.params.get(k) == params.get(k) for k in ("package_id", "package_seq", "droplet_id")):
            build = await tx.one(Build, active.build_id) if active.build_id else None
            return active if build is None or build.runtime is app.runtime else None
    return None


async def _to_run(tx: Reading, app: App, release: Release | None, package_id: str | None) -> dict[str, Any]:
    """What a start has to make a release of; empty where the release there is will do."""
    newest = await tx.find(Package, app_id=app.id, order="seq", descending=True, limit=1)
    seq = newest[0].seq if newest else 0
    if package_id is not None:
        package = await tx.one(Package, package_id)
        if package is None or package.app_id != app.id:
            raise NotFound("package_not_found", package=package_id)
        if release is None or release.package_id != package.id:
            return {"package_id": package.id, "package_seq": seq}
    elif release is None or seq > release.package_seq:
        if not newest:
            raise Conflict("nothing_to_start", app=app.name)
        return {"package_id": newest[0].id, "package_seq": seq}
    if release.config != app.config:
        return {"droplet_id": release.droplet_id, "package_id": release.package_id, "package_seq": release.package_seq}
    return {}


async def _nothing_to_do(
    tx: Writing, context: Context, app: App, operation: Operation
) -> tuple[AppView, OperationView]:
    """Joins the operation that is bringing the same about, else records one that has succeeded."""
    for active in await tx.active_operations(app.id):
        if active.kind in _DEPLOYS:
            return await view_app(tx, app), await view_operation(tx, active)
    from dataclasses import replace

    now = context.clock()
    done = replace(
        operation,
        status=OperationStatus.succeeded,
        started_at=now,
        finished_at=now,
        release_id=app.target_release_id,
    )
    await tx.insert(done)
    desired = {"desired": app.desired.value}
    data = {"operation": done.id, "nothing_to_do": True}
    await context.event(tx, f"app:{done.kind.value}:succeeded", app=app, data=data, before=desired, after=desired)
    return await view_app(tx, app), await view_operation(tx, done)


async def stop(context: Context, ref: str, *, if_match: str | None = None) -> tuple[AppView, OperationView]:
    """5.1(6). Stops all instances and keeps everything; stopping what is stopped succeeds."""
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_operate, if_match=if_match)
        operation = new_operation(context, app, _K.stop)
        return await submit(tx, context, app, operation, supersedes=_EVERYTHING, desired=DesiredState.stopped)


async def restart(context: Context, ref: str, *, if_match: str | None = None) -> tuple[AppView, OperationView]:
    """Replaces every instance, surge first. Raises `Conflict("app_not_started")`."""
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_operate, if_match=if_match)
        _must_run(app)
        operation = new_operation(context, app, _K.restart)
        older = _DEPLOYS if app.type is AppType.task else (_K.restart,)  # a task app's run begins anew
        return await submit(tx, context, app, operation, supersedes=older, epoch=app.epoch + 1)


def _must_run(app: App) -> None:
    if app.desired is not DesiredState.started or (app.target_release_id is None and app.type is not AppType.task):
        raise Conflict("app_not_started", app=app.name)


_SCALED = ("memory_mb", "disk_mb", "instances")


async def scale(
    context: Context, ref: str, request: InstancesRequest, *, if_match: str | None = None
) -> tuple[AppView, OperationView]:
    """5.1(4). The count changes what runs at once; memory and disk are part of a release, so those are rolled out.

    On a stopped app all are noted for its next start, and the operation has succeeded. Raises `Invalid` where
    none is given, `NotFound("process_not_found")` for a process type that the app doesn't have.
    """
    change: dict[str, Any] = {k: v for k in _SCALED if (v := getattr(request, k)) is not None}
    if not change:
        raise invalid_field("instances", "memory_or_instances_needed")
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_operate, if_match=if_match)
        process = request.process or app.type.value
        release = await tx.one(Release, app.target_release_id) if app.target_release_id else None
        await _must_have(tx, app, release, process)
        config, counts = changed_processes(app.config, app.scale, {process: ProcessChange(**change)})
        before: ProcessConfig = app.config.process(process)
        rolled = config.process(process) != before
        changes: dict[str, Any] = {"config": config, "scale": counts}
        if not (app.desired is DesiredState.started and release) or app.type is AppType.task:
            operation = new_operation(context, app, _K.scale, process=process, **change)
            return await submit(tx, context, app, operation, supersedes=(_K.scale,), **changes)
        if rolled:
            params = {
                "process": process,
                **change,
                "droplet_id": release.droplet_id,
                "package_id": release.package_id,
                "package_seq": release.package_seq,
            }
            operation = new_operation(context, app, _K.configure, **params)
            return await submit(tx, context, app, operation, supersedes=(*_DEPLOYS, _K.scale), **changes)
        operation = new_operation(context, app, _K.scale, process=process, **change, before=dict(app.scale))
        return await submit(tx, context, app, operation, supersedes=(_K.scale,), **changes)


async def _must_have(tx: Reading, app: App, release: Release | None, process: str) -> None:
    from gongfang.domain.values import Droplet

    if release is None or process in release.config.processes:
        return
    droplet = await tx.one(Droplet, release.droplet_id)
    if droplet is not None and process not in droplet.processes:
        raise NotFound("process_not_found", process=process, known=", ".join(sorted(droplet.processes)))


async def rollback(
    context: Context, ref: str, release: int | None, *, if_match: str | None = None
) -> tuple[AppView, OperationView]:
    """A new release with the droplet and the whole configuration of an older one; a stopped app is started with it.

    Raises `NotFound("release_not_found")`, `Conflict("release_never_healthy")`, `Conflict("no_release_before")`.
    """
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_operate, if_match=if_match)
        wanted = await _rollback_to(tx, app, release)
        operation = new_operation(
            context,
            app,
            _K.rollback,
            droplet_id=wanted.droplet_id,
            package_id=wanted.package_id,
            package_seq=await tx.newest_package_seq(app.id),
            from_release=wanted.number,
        )
        return await submit(
            tx,
            context,
            app,
            operation,
            supersedes=_EVERYTHING,
            config=wanted.config,
            desired=DesiredState.started,
        )


async def _rollback_to(tx: Reading, app: App, number: int | None) -> Release:
    if number is not None:
        found = await tx.find(Release, app_id=app.id, number=number, limit=1)
        if not found:
            raise NotFound("release_not_found", release=number)
        if found[0].healthy_at is None:
            raise Conflict("release_never_healthy", release=number)
        return found[0]
    current = await tx.one(Release, app.current_release_id) if app.current_release_id else None
    if current is not None:
        if app.target_release_id not in (None, current.id):
            return current  # a newer one is being brought in
        earlier = await tx.find(Release, app_id=app.id, order="number", descending=True, after=current.number)
        for candidate in earlier:
            if candidate.healthy_at is not None:
                return candidate
    raise Conflict("no_release_before", app=app.name)


async def destroy(context: Context, ref: str, *, if_match: str | None = None) -> OperationView:
    """5.1(7). Stops and removes everything of the app; doing it twice gives the operation that is under way."""
    async with context.database.writing() as tx:
        seen = await find_app(tx, context, ref, Permission.app_write)
        app = await tx.lock(App, seen.id)
        if app is None:
            raise NotFound("app_not_found", app=ref)
        if app.destroying:
            under_way = [o for o in await tx.active_operations(app.id) if o.kind is _K.destroy]
            if under_way:
                return await view_operation(tx, under_way[0])
        else:
            app = await lock_app(tx, context, app.id, Permission.app_write, if_match=if_match)
        operation = new_operation(context, app, _K.destroy)
        await unbind_all(tx, context, app, operation.id)
        _, view = await submit(
            tx, context, app, operation, supersedes=_EVERYTHING, destroying=True, desired=DesiredState.stopped
        )
        return view


async def list_releases(context: Context, ref: str, *, after: str | None = None, limit: int = 50) -> list[ReleaseView]:
    """Newest first; `after`: a release's id."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        found = await tx.find(Release, app_id=app.id, descending=True, after=after, limit=limit)
        return [ReleaseView(r, r.id == app.current_release_id, app.scale) for r in found]


async def show_release(context: Context, ref: str, number: int) -> ReleaseView:
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        found = await tx.find(Release, app_id=app.id, number=number, limit=1)
        if not found:
            raise NotFound("release_not_found", release=number)
        return ReleaseView(found[0], found[0].id == app.current_release_id, app.scale)


__all__ = [
    "destroy",
    "list_releases",
    "restart",
    "rollback",
    "scale",
    "show_release",
    "start",
    "stop",
]
