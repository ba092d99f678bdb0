"""Apps: create, list, show, change, and their environment (clauses 5.1(1) and what stands beside it)."""

from collections.abc import Mapping
from typing import Any

from gongfang.domain.errors import Conflict, NotFound
from gongfang.domain.ids import new_id
from gongfang.domain.values import (
    App,
    AppConfig,
    AppType,
    DesiredState,
    Domain,
    DomainStatus,
    Instance,
    OperationKind,
    Permission,
    Place,
    Release,
)
from gongfang.operations.config import changed_environment, changed_processes, first_scale
from gongfang.operations.context import Context, find_app
from gongfang.operations.domains import attach_new_domain
from gongfang.operations.quotas import admit, admit_new
from gongfang.operations.shared import app_etag, lock_app, new_operation, submit, view_app, view_apps
from gongfang.operations.tree import default_space
from gongfang.operations.views import AppView, OperationView
from gongfang.state import Writing
from gongfang.wire.models import AppChange, AppRequest, EnvironmentChange

_DEPLOYS = (OperationKind.start, OperationKind.deploy, OperationKind.configure, OperationKind.rollback)


async def create_app(context: Context, request: AppRequest) -> AppView:
    """5.1(1). A stopped app with nothing uploaded yet, and its domain.

    Raises `Conflict("name_taken")` within the space, `QuotaExceeded`, what `default_space` and the domain's checks
    raise.
    """
    async with context.database.writing() as tx:
        space = await default_space(tx, context, request.space_id)
        place = Place(space.tenant_id, space.organization_id, space.id)
        context.require(Permission.app_write, place, missing=NotFound("space_not_found", space=space.id))
        if await tx.find(App, space_id=space.id, name=request.name, limit=1):
            raise Conflict("app_name_taken", name=request.name)
        await admit_new(tx, context, space)
        config = changed_environment(AppConfig(), request.environment)
        config, scale = changed_processes(config, first_scale(request.type), request.processes)
        now = context.clock()
        app = App(
            id=new_id("app"),
            space_id=space.id,
            tenant_id=space.tenant_id,
            organization_id=space.organization_id,
            name=request.name,
            type=request.type,
            runtime=request.runtime,
            labels=request.labels,
            desired=DesiredState.stopped,
            scale=scale,
            config=config,
            target_release_id=None,
            epoch=0,
            generation=1,
            created_at=now,
            updated_at=now,
            observed_generation=0,
        )
        await tx.insert(app)
        await _give_domain(tx, context, app, request.domain)
        await context.event(
            tx, "app:create", app=app, data={"name": app.name, "type": app.type, "runtime": app.runtime}
        )
        tx.wake("app", app.id)
        return await view_app(tx, app)


async def _give_domain(tx: Writing, context: Context, app: App, wanted: str | None) -> None:
    if app.type is not AppType.web:
        return
    default = f"{app.name}.{context.base_domain}"
    if wanted is not None and wanted.strip().rstrip(".").lower() != default:
        await attach_new_domain(tx, context, app, wanted)
    name = default
    if await tx.find(Domain, domain=default, limit=1):  # an app of the same name in another space has it
        name = f"{app.name}-{app.id[-6:]}.{context.base_domain}"
    domain = Domain(
        id=new_id("dom"),
        tenant_id=app.tenant_id,
        domain=name,
        icp_number=None,
        app_id=app.id,
        status=DomainStatus.pending,
        created_at=context.clock(),
        default=True,
    )
    await tx.insert(domain)
    tx.wake("https", domain.id)


async def list_apps(
    context: Context,
    *,
    name: str | None = None,
    space_id: str | None = None,
    organization_id: str | None = None,
    tenant_id: str | None = None,
    type_: str | None = None,
    runtime: str | None = None,
    state: str | None = None,
    desired: str | None = None,
    labels: Mapping[str, str] | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[AppView]:
    """Apps that the caller may read, with desired and actual state, instances and routes in one call."""
    equals: dict[str, Any] = {
        "name": name,
        "space_id": space_id,
        "organization_id": organization_id,
        "tenant_id": tenant_id,
        "type": type_,
        "runtime": runtime,
        "state": state,
        "desired": desired,
    }
    async with context.database.reading() as tx:
        found = await tx.apps(
            scope=context.caller.scope(Permission.app_read),
            labels=labels or {},
            after=after,
            limit=limit,
            **{k: v for k, v in equals.items() if v is not None},
        )
        return await view_apps(tx, found)


async def show_app(context: Context, ref: str) -> AppView:
    async with context.database.reading() as tx:
        return await view_app(tx, await find_app(tx, context, ref))


async def change_app(
    context: Context, ref: str, change: AppChange, if_match: str | None = None
) -> tuple[AppView, OperationView | None]:
    """Name, runtime, labels and process settings. On a started app, settings that a release fixes are rolled out."""
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_write, if_match=if_match)
        changes: dict[str, Any] = {}
        if change.name is not None and change.name != app.name:
            if await tx.find(App, space_id=app.space_id, name=change.name, limit=1):
                raise Conflict("app_name_taken", name=change.name)
            changes["name"] = change.name
            await _rename_domain(tx, context, app, change.name)
        if change.runtime is not None:
            changes["runtime"] = change.runtime
        if change.labels is not None:
            merged = {**app.labels, **change.labels}
            changes["labels"] = {k: v for k, v in merged.items() if v is not None}
        config, scale = changed_processes(app.config, app.scale, change.processes or {})
        await context.event(tx, "app:change", app=app, data={"fields": sorted(change.model_fields_set)})
        return await _apply_config(tx, context, app, config, {**changes, "scale": scale})


async def _rename_domain(tx: Writing, context: Context, app: App, name: str) -> None:
    wanted = f"{name}.{context.base_domain}"
    default = await tx.find(Domain, app_id=app.id, default=True, limit=1)
    if default and not await tx.find(Domain, domain=wanted, limit=1):
        await tx.update(Domain, default[0].id, domain=wanted, status=DomainStatus.pending)
        tx.wake("https", default[0].id)


async def _apply_config(
    tx: Writing, context: Context, app: App, config: AppConfig, changes: dict[str, Any]
) -> tuple[AppView, OperationView | None]:
    """Writes the changed configuration; on a started app with a release, an operation rolls out what has changed."""
    # What a task app runs now is not run again for it.
    runs = app.type is not AppType.task and app.target_release_id is not None
    started = runs and app.desired is DesiredState.started
    released = config != app.config
    scaled = changes.get("scale", app.scale) != app.scale
    if started and (released or scaled):
        kind = OperationKind.configure if released else OperationKind.scale
        operation = new_operation(context, app, kind, **(await _same_droplet(tx, app) if released else {}))
        supersedes = _DEPLOYS if released else (OperationKind.scale,)
        return await submit(tx, context, app, operation, supersedes=supersedes, config=config, **changes)
    await admit(tx, context, app, {"config": config, **changes})
    changed = await tx.update(
        App, app.id, generation=app.generation + 1, updated_at=context.clock(), config=config, **changes
    )
    assert changed is not None
    tx.wake("app", app.id)
    return await view_app(tx, changed), None


async def _same_droplet(tx: Writing, app: App) -> dict[str, Any]:
    """What a release with changed configuration is made of: the droplet of the one that is wanted now."""
    release = await tx.one(Release, app.target_release_id) if app.target_release_id else None
    if release is None:
        return {}
    return {"droplet_id": release.droplet_id, "package_id": release.package_id, "package_seq": release.package_seq}


async def environment(context: Context, ref: str) -> tuple[Mapping[str, str], bool]:
    """Variables, and whether their values are masked for this caller."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        if context.caller.may(Permission.app_secrets, app.place):
            return app.config.environment, False
        return dict.fromkeys(app.config.environment, "***"), True


async def change_environment(
    context: Context, ref: str, change: EnvironmentChange, if_match: str | None = None
) -> tuple[AppView, OperationView | None]:
    """Merges variables; on a started app the change is a release that is rolled out."""
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_operate, if_match=if_match)
        config = changed_environment(app.config, change.variables)
        before = app.config.environment
        data = {
            "set": sorted(k for k, v in change.variables.items() if v is not None and before.get(k) != v),
            "removed": sorted(k for k, v in change.variables.items() if v is None and k in before),
        }
        await context.event(tx, "app:environment:change", app=app, data=data)
        return await _apply_config(tx, context, app, config, {})


async def list_instances(
    context: Context, ref: str, *, ended: bool = False, after: str | None = None, limit: int = 50
) -> tuple[list[Instance], Mapping[str, int]]:
    """Instances of an app, oldest first, and the numbers of their releases."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        states: dict[str, Any] = {} if ended else {"state": ("starting", "ready", "unready", "draining", "stopping")}
        found = await tx.find(Instance, app_id=app.id, after=after, limit=limit, **states)
        return found, await tx.release_numbers({i.release_id for i in found})


__all__ = [
    "app_etag",
    "change_app",
    "change_environment",
    "create_app",
    "environment",
    "list_apps",
    "list_instances",
    "show_app",
]
