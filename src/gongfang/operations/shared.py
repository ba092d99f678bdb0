"""What several operations on apps have in common: views, new operations, superseding older ones."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from gongfang.domain.errors import Conflict, NotFound, Precondition, Reason
from gongfang.domain.ids import new_id
from gongfang.domain.values import (
    App,
    Domain,
    Instance,
    InstanceState,
    Operation,
    OperationKind,
    OperationStatus,
    Permission,
    Task,
)
from gongfang.operations.context import Context, find_app
from gongfang.operations.quotas import admit
from gongfang.operations.views import AppView, OperationView
from gongfang.state import Reading, Writing

DEADLINE = timedelta(minutes=30)


def app_etag(app: App) -> str:
    """Changes whenever somebody changes what is wanted of the app."""
    return f'"{app.id}.{app.generation}"'


async def view_apps(tx: Reading, apps: Sequence[App]) -> list[AppView]:
    """Apps with instances, domains and release numbers, in three queries however many they are."""
    ids = [a.id for a in apps]
    if not ids:
        return []
    instances = await tx.find(Instance, app_id=ids)
    domains = await tx.find(Domain, app_id=ids)
    wanted = {i.release_id for i in instances} | {
        r for a in apps for r in (a.target_release_id, a.current_release_id) if r
    }
    numbers = await tx.release_numbers(wanted)
    own_instances: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        own_instances[instance.app_id].append(instance)
    own_domains: defaultdict[str | None, list[Domain]] = defaultdict(list)
    for domain in sorted(domains, key=lambda d: (not d.default, d.domain)):
        own_domains[domain.app_id].append(domain)
    return [
        AppView(
            app=app,
            instances=tuple(_shown(own_instances[app.id])),
            domains=tuple(own_domains[app.id]),
            numbers=numbers,
        )
        for app in apps
    ]


def _shown(instances: Sequence[Instance]) -> list[Instance]:
    """Live ones, and of each place without a live one the last that crashed."""
    live = [i for i in instances if not i.state.ended]
    taken = {(i.process, i.index) for i in live}
    crashed = {
        (i.process, i.index): i
        for i in instances
        if i.state is InstanceState.crashed and (i.process, i.index) not in taken
    }
    return sorted([*live, *crashed.values()], key=lambda i: (i.process, i.index, i.id))


async def view_app(tx: Reading, app: App) -> AppView:
    return (await view_apps(tx, [app]))[0]


async def view_operation(tx: Reading, operation: Operation) -> OperationView:
    number = None
    if operation.release_id:
        number = (await tx.release_numbers([operation.release_id])).get(operation.release_id)
    return OperationView(operation, number)


async def lock_app(
    tx: Writing, context: Context, ref: str, permission: Permission, *, if_match: str | None = None
) -> App:
    """The app, held for this transaction, after the checks that every change of an app begins with."""
    seen = await find_app(tx, context, ref, permission)
    app = await tx.lock(App, seen.id)
    if app is None:
        raise NotFound("app_not_found", app=ref)
    if if_match is not None and if_match not in ("*", app_etag(app)):
        raise Precondition("changed_meanwhile", app=app.name)
    if app.destroying:
        raise Conflict("app_being_destroyed", app=app.name)
    return app


def new_operation(context: Context, app: App, kind: OperationKind, **params: Any) -> Operation:
    now = context.clock()
    return Operation(
        id=new_id("op"),
        kind=kind,
        app_id=app.id,
        app_name=app.name,
        tenant_id=app.tenant_id,
        organization_id=app.organization_id,
        space_id=app.space_id,
        status=OperationStatus.pending,
        params=params,
        steps=(),
        created_at=now,
        deadline=now + DEADLINE,
        created_by=context.caller.user.name,
    )


_CARRIED = ("package_id", "package_seq", "droplet_id", "from_release")
_CARRIERS = (OperationKind.configure, OperationKind.restart, OperationKind.scale)


async def supersede(
    tx: Writing, context: Context, app: App, kinds: Sequence[OperationKind], by: Operation
) -> Operation:
    """Ends older operations that the new one makes pointless: the newest wish wins.

    A change of configuration in the middle of a deploy must not lose the package that is being deployed, so what the
    older one was to make its release of goes over to the new one, which is answered. A first start stays one. The run
    of a task app that an older one has begun is cancelled with it.
    """
    now = context.clock()
    for old in await tx.active_operations(app.id):
        if old.kind in kinds and old.id != by.id:
            if by.kind is OperationKind.deploy and old.kind is OperationKind.start and not old.release_id:
                by = replace(by, kind=OperationKind.start)
            if by.kind is OperationKind.scale and old.kind is OperationKind.scale and "before" in old.params:
                by = replace(by, params={**by.params, "before": old.params["before"]})  # the last that was reached
            if by.kind in _CARRIERS and "package_id" in old.params and not old.release_id:
                carried = {k: old.params[k] for k in _CARRIED if k in old.params}
                kind = old.kind if old.kind is OperationKind.start else by.kind
                own = {k: v for k, v in by.params.items() if k not in _CARRIED}
                by = replace(by, kind=kind, params={**own, **carried})
            await tx.update(
                Operation,
                old.id,
                status=OperationStatus.cancelled,
                reason=Reason("superseded", {"operation": by.id}),
                finished_at=now,
                sequence=old.sequence + 1,
            )
            tx.wake("operation", old.id)
            if (task_id := old.params.get("task_id")) is not None:
                await tx.update(Task, task_id, cancel_requested=True)
                tx.wake("task", task_id)
    return by


async def submit(
    tx: Writing,
    context: Context,
    app: App,
    operation: Operation,
    *,
    supersedes: Sequence[OperationKind] = (),
    **changes: Any,
) -> tuple[AppView, OperationView]:
    """Writes the operation and the app's changed desired state, and wakes the reconciler. Raises `QuotaExceeded`."""
    await admit(tx, context, app, changes)
    operation = await supersede(tx, context, app, supersedes, operation)
    await tx.insert(operation)
    changed = await tx.update(App, app.id, generation=app.generation + 1, updated_at=context.clock(), **changes)
    assert changed is not None
    wish = {k: operation.params[k] for k in ("package_id", "from_release") if k in operation.params}
    await context.event(
        tx,
        f"app:{operation.kind.value}:requested",
        app=app,
        after=wish or None,
        data={"operation": operation.id, **operation.params},
    )
    tx.wake("app", app.id)
    return await view_app(tx, changed), await view_operation(tx, operation)
