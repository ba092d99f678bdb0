"""Service instances: created, configured, deleted and looked at (clauses 5.4(2), (3), (5), (6)).

Each change writes what is wanted and one operation; `reconcile.services` asks the broker. One operation at a time is
active on an instance: another change has to wait for it, but a deletion ends it. Parameters may be secret: they stand
in the sealed column of the instance alone, never in an operation, an event or an error.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson

from gongfang.brokers.schemas import check, schema_of
from gongfang.domain.attachments import host_port
from gongfang.domain.errors import Conflict, FieldError, Invalid, NotFound, Precondition, Reason, invalid_field
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.ids import is_id, new_id
from gongfang.domain.services import (
    USER_PROVIDED,
    VERBS,
    Offering,
    ServiceAccess,
    ServiceBinding,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import JsonObject, Operation, OperationKind, OperationStatus, Permission, Space
from gongfang.operations.context import Context
from gongfang.operations.service_access import find_access
from gongfang.operations.service_views import ServiceView, StatusView, view_services
from gongfang.operations.shared import view_operation
from gongfang.operations.tree import naming, place_of_node, show_in
from gongfang.operations.views import OperationView
from gongfang.state import Reading, Writing
from gongfang.wire.services import ConfigurationRequest, ServiceInstanceRequest

__all__ = [
    "active_operations",
    "checked_parameters",
    "configure_service",
    "create_service",
    "delete_service",
    "end_superseded",
    "find_service",
    "free_name",
    "list_services",
    "lock_service",
    "new_service_operation",
    "service_etag",
    "service_status",
    "show_service",
    "writable_space",
]

MAX_PARAMETERS = 64 * 1024  # bytes of all of them as JSON
_K = OperationKind
_ACTIVE = (OperationStatus.pending.value, OperationStatus.running.value)
_DEADLINE = timedelta(minutes=30)
_DEADLINES = {_K.bind: timedelta(minutes=15), _K.unbind: timedelta(minutes=15), _K.rotate: timedelta(minutes=15)}


def service_etag(instance: ServiceInstance) -> str:
    """Changes whenever somebody changes what is wanted of the instance."""
    return f'"{instance.id}.{instance.generation}"'


async def find_service(
    tx: Reading, context: Context, ref: str, permission: Permission = Permission.service_read
) -> ServiceInstance:
    """The instance with this id, or with this name where the caller sees only one.

    Raises `NotFound("service_instance_not_found")` where they may not read it, `Forbidden`,
    `Conflict("service_name_ambiguous")`.
    """
    missing = NotFound("service_instance_not_found", service=ref)
    if is_id(ref):
        found = await tx.one(ServiceInstance, ref)
    else:
        scope = context.caller.scope(Permission.service_read)
        seen = await tx.find(ServiceInstance, scope=scope, name=ref, limit=2)
        if len(seen) > 1:
            raise Conflict("service_name_ambiguous", service=ref)
        found = seen[0] if seen else None
    if found is None:
        raise missing
    context.require(permission, found.place, missing=missing)
    return found


async def lock_service(
    tx: Writing, context: Context, ref: str, permission: Permission, *, if_match: str | None = None
) -> ServiceInstance:
    """The instance, held for this transaction, after the checks that every change of one begins with."""
    seen = await find_service(tx, context, ref, permission)
    instance = await tx.lock(ServiceInstance, seen.id)
    if instance is None:
        raise NotFound("service_instance_not_found", service=ref)
    if if_match is not None and if_match not in ("*", service_etag(instance)):
        raise Precondition("service_changed_meanwhile", service=instance.name)
    if instance.deleting:
        raise Conflict("service_being_deleted", service=instance.name)
    return instance


def new_service_operation(context: Context, instance: ServiceInstance, kind: OperationKind, **params: Any) -> Operation:
    """`params`: names only. They are not sealed, so parameters and credentials have no place there."""
    now = context.clock()
    return Operation(
        id=new_id("op"),
        kind=kind,
        app_id=None,
        app_name=None,
        tenant_id=instance.tenant_id,
        organization_id=instance.organization_id,
        space_id=instance.space_id,
        status=OperationStatus.pending,
        params=params,
        steps=(),
        created_at=now,
        deadline=now + _DEADLINES.get(kind, _DEADLINE),
        created_by=context.caller.user.name,
        service_instance_id=instance.id,
        service_name=instance.name,
    )


async def active_operations(tx: Reading, instance_id: str) -> list[Operation]:
    """On the instance itself; those of its bindings are others."""
    return await tx.find(Operation, service_instance_id=instance_id, binding_id=None, status=_ACTIVE)


async def end_superseded(tx: Writing, context: Context, old: Operation, by: str) -> None:
    """Ends an operation that another one makes pointless."""
    await tx.update(
        Operation,
        old.id,
        status=OperationStatus.cancelled,
        reason=Reason("superseded", {"operation": by}),
        finished_at=context.clock(),
        sequence=old.sequence + 1,
    )
    tx.wake("operation", old.id)


async def checked_parameters(plan: ServicePlan, of: str, what: str, parameters: Mapping[str, Any]) -> None:
    """Against the plan's schema for this (`service_instance`/`create`, say), where it has one; in a thread, since a
    schema may be long to compile. Raises `Invalid` with each place at fault, without repeating what stands there."""
    size = len(orjson.dumps(parameters))
    if size > MAX_PARAMETERS:
        raise invalid_field("parameters", "parameters_too_large", size=size, limit=MAX_PARAMETERS)
    schema = schema_of(plan.schemas, of, what)
    faults = await asyncio.to_thread(check, schema, dict(parameters), "parameters")
    if faults:
        raise Invalid("validation_failed", details=faults)


# --- create ----------------------------------------------------------------------------------------------------------


async def create_service(
    context: Context, space_id: str, request: ServiceInstanceRequest
) -> tuple[ServiceView, OperationView]:
    """5.4(2). An instance of a service that the space's organisation has; without a plan, of its first one.

    Raises `Invalid` on a service, plan or parameter that can't be, `Conflict("service_name_taken")`,
    `Conflict("service_unavailable")` where this machine can't run it.
    """
    if request.service == USER_PROVIDED:
        from gongfang.operations.user_provided import create_user_provided

        return await create_user_provided(context, space_id, request)
    if request.credentials is not None:
        raise invalid_field("credentials", "credentials_of_broker", service=request.service)
    parameters = request.parameters
    async with context.database.reading() as tx:
        space = await writable_space(tx, context, space_id)
        _, _, plan = await _offered(tx, space, request.service, request.plan)
    await checked_parameters(plan, "service_instance", "create", parameters)
    async with naming(context, request.name or "") as tx:
        space = await writable_space(tx, context, space_id)
        access, offering, plan = await _offered(tx, space, request.service, request.plan)
        if await tx.lock(ServiceAccess, access.id) is None:  # taken away in the meantime
            raise _no_such_service(request.service, [])
        name = request.name or await free_name(tx, space.id, offering.name)
        if await tx.find(ServiceInstance, space_id=space.id, name=name, limit=1):
            raise Conflict("service_name_taken", service=name)
        now = context.clock()
        instance = ServiceInstance(
            id=new_id("sin"),
            tenant_id=space.tenant_id,
            organization_id=space.organization_id,
            space_id=space.id,
            name=name,
            offering_id=offering.id,
            plan_id=plan.id,
            parameters=orjson.dumps(parameters).decode(),
            credentials=None,
            tags=tuple(dict.fromkeys(request.tags)),
            generation=1,
            deleting=False,
            created_at=now,
            updated_at=now,
            created_by=context.caller.user.name,
        )
        wish = {"service": offering.name, "plan": plan.name}
        operation = new_service_operation(context, instance, _K.create_service, **wish)
        await tx.insert(instance)
        await tx.insert(operation)
        await context.event(
            tx,
            f"service:{VERBS[operation.kind]}:requested",
            place=instance.place,
            object_id=instance.id,
            object_name=name,
            after=wish,
            data={"operation": operation.id, **wish, "parameters": sorted(parameters)},
        )
        tx.wake("service", instance.id)
        return (await view_services(tx, [instance]))[0], await view_operation(tx, operation)


async def writable_space(tx: Reading, context: Context, space_id: str) -> Space:
    """Where the caller may create services. Raises `NotFound("space_not_found")`, `Forbidden`."""
    space = await show_in(tx, context, Space, space_id)
    missing = NotFound("space_not_found", id=space_id)
    context.require(Permission.service_write, place_of_node(space), missing=missing)
    return space


def _no_such_service(ref: str, known: list[str]) -> Invalid:
    names = ", ".join(sorted(known)) or "-"
    return invalid_field("service", "service_not_enabled", service=ref[:100], known=names)


async def _offered(
    tx: Reading, space: Space, service: str, plan: str | None
) -> tuple[ServiceAccess, Offering, ServicePlan]:
    """The service by name or id as the organisation has it, and the plan by its name."""
    access = await find_access(tx, space.organization_id, service)
    if access is None:
        own = await tx.find(ServiceAccess, organization_id=space.organization_id)
        names = await tx.find(Offering, id=[a.offering_id for a in own]) if own else []
        raise _no_such_service(service, [o.name for o in names])
    offering = await tx.one(Offering, access.offering_id)
    if offering is None or offering.gone:
        raise _no_such_service(service, [])
    if offering.unavailable is not None:
        raise Conflict("service_unavailable", service=offering.name, missing=offering.unavailable.code)
    return access, offering, _chosen(await _plans(tx, access), plan)


async def _plans(tx: Reading, access: ServiceAccess) -> list[ServicePlan]:
    """Those that the organisation sees, in the catalogue's order."""
    plans = await tx.find(ServicePlan, offering_id=access.offering_id, gone=False)
    seen = [p for p in plans if access.plans is None or p.id in access.plans]
    return sorted(seen, key=lambda p: (p.position, p.id))


def _chosen(plans: list[ServicePlan], name: str | None) -> ServicePlan:
    for plan in plans:
        if name is None or name in (plan.name, plan.id):
            return plan
    known = ", ".join(p.name for p in plans) or "-"
    raise invalid_field("plan", "plan_unknown", plan=(name or "")[:100], known=known)


async def free_name(tx: Reading, space_id: str, service: str) -> str:
    """The service's own name, with a number where the space has one of that name."""
    taken = {i.name for i in await tx.find(ServiceInstance, space_id=space_id)}
    base = service.lower()[:58].rstrip("-")
    return next(n for n in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)


# --- configure -------------------------------------------------------------------------------------------------------


async def configure_service(
    context: Context, ref: str, request: ConfigurationRequest, *, if_match: str | None = None
) -> tuple[ServiceView, OperationView]:
    """5.4(3). Another plan, and parameters merged with those that hold (null removes one).

    Where that changes nothing, an operation that has succeeded. Raises `Conflict` (`service_busy`, `service_failed`,
    `plan_not_updateable`), `Invalid`, `Precondition`.
    """
    if request.plan is None and request.parameters is None:
        raise invalid_field("plan", "plan_or_parameters_needed")
    async with context.database.reading() as tx:
        seen = await find_service(tx, context, ref, Permission.service_write)
        plan = await _wanted_plan(tx, seen, request.plan)
    given = request.parameters or {}
    await checked_parameters(plan, "service_instance", "update", {k: v for k, v in given.items() if v is not None})
    async with context.database.writing() as tx:
        instance = await lock_service(tx, context, seen.id, Permission.service_write, if_match=if_match)
        await _require_idle(tx, instance)
        plan = await _wanted_plan(tx, instance, request.plan)
        parameters, fields = _merged(orjson.loads(instance.parameters), given)
        changes: dict[str, Any] = {}
        if plan.id != instance.plan_id:
            await _require_updateable(tx, instance)
            changes["plan_id"] = plan.id
            fields = ["plan", *fields]
        if parameters is not None:
            changes["parameters"] = orjson.dumps(parameters).decode()
        operation = new_service_operation(context, instance, _K.configure_service, plan=plan.name, fields=fields)
        return await _configured(tx, context, instance, operation, changes)


async def _configured(
    tx: Writing, context: Context, instance: ServiceInstance, operation: Operation, changes: dict[str, Any]
) -> tuple[ServiceView, OperationView]:
    now = context.clock()
    before = await tx.one(ServicePlan, instance.plan_id or "")
    if not changes:
        operation = replace(operation, status=OperationStatus.succeeded, started_at=now, finished_at=now)
    else:
        changed = await tx.update(
            ServiceInstance, instance.id, generation=instance.generation + 1, updated_at=now, **changes
        )
        assert changed is not None
        instance = changed
        tx.wake("service", instance.id)
    await tx.insert(operation)
    end = "requested" if changes else "succeeded"
    data: JsonObject = {"operation": operation.id, **operation.params} | ({} if changes else {"nothing_to_do": True})
    await context.event(
        tx,
        f"service:{VERBS[operation.kind]}:{end}",
        place=instance.place,
        object_id=instance.id,
        object_name=instance.name,
        before={"plan": before.name} if before is not None else None,
        after={"plan": operation.params["plan"]},
        data=data,
    )
    return (await view_services(tx, [instance], full=frozenset({instance.id})))[0], await view_operation(tx, operation)


def _merged(held: dict[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """All that shall hold (None: as it is), and the names that changed."""
    merged = {k: v for k, v in {**held, **given}.items() if v is not None}
    changed = sorted(k for k in {*held, *merged} if held.get(k) != merged.get(k))
    return (merged, changed) if changed else (None, [])


async def _require_idle(tx: Reading, instance: ServiceInstance) -> None:
    if instance.state is ServiceState.failed:
        raise Conflict("service_failed", service=instance.name)
    under_way = await active_operations(tx, instance.id)
    if under_way:
        raise Conflict("service_busy", service=instance.name, operation=under_way[0].id)


async def _wanted_plan(tx: Reading, instance: ServiceInstance, name: str | None) -> ServicePlan:
    """The plan named, of those that the organisation sees; the one it has may be named although it is not seen."""
    present = await tx.one(ServicePlan, instance.plan_id or "")
    if present is None:
        raise Conflict("service_not_configurable", service=instance.name)
    if name is None or name in (present.name, present.id):
        return present
    own = await tx.find(
        ServiceAccess, organization_id=instance.organization_id, offering_id=present.offering_id, limit=1
    )
    return _chosen(await _plans(tx, own[0]) if own else [present], name)


async def _require_updateable(tx: Reading, instance: ServiceInstance) -> None:
    offering = await tx.one(Offering, instance.offering_id or "")
    present = await tx.one(ServicePlan, instance.plan_id or "")
    may = present.plan_updateable if present is not None else None
    if not (offering is not None and (offering.plan_updateable if may is None else may)):
        raise Conflict("plan_not_updateable", service=instance.name)


# --- delete ----------------------------------------------------------------------------------------------------------


async def delete_service(
    context: Context, ref: str, *, force: bool = False, if_match: str | None = None
) -> OperationView:
    """5.4(5). With all its data; while it is being deleted, the operation that does it. `force`: unbinds it first.

    Raises `Conflict("service_bound")` naming what is bound to it.
    """
    from gongfang.operations.bindings import let_go

    async with context.database.writing() as tx:
        seen = await find_service(tx, context, ref, Permission.service_write)
        under_way = [o for o in await active_operations(tx, seen.id) if o.kind is _K.delete_service]
        if seen.deleting and under_way:
            return await view_operation(tx, under_way[0])
        # Apps before instances, as everywhere.
        bindings = await tx.find(ServiceBinding, service_instance_id=seen.id, deleting=False)
        if bindings and force:
            from gongfang.domain.values import App

            for app_id in sorted({b.app_id for b in bindings if b.app_id}):
                await tx.lock(App, app_id)
        if seen.deleting:  # and its operation has ended badly: asked again
            instance = await tx.lock(ServiceInstance, seen.id)
            if instance is None:
                raise NotFound("service_instance_not_found", service=ref)
        else:
            instance = await lock_service(tx, context, seen.id, Permission.service_write, if_match=if_match)
        operation = new_service_operation(context, instance, _K.delete_service, force=force)
        bindings = await tx.find(ServiceBinding, service_instance_id=seen.id, deleting=False)
        if bindings and not force:
            raise await _bound(tx, instance, bindings)
        for old in await active_operations(tx, instance.id):
            await end_superseded(tx, context, old, operation.id)
        await let_go(tx, context, bindings, operation.id)
        await tx.insert(operation)
        await tx.update(
            ServiceInstance,
            instance.id,
            deleting=True,
            generation=instance.generation + 1,
            updated_at=context.clock(),
        )
        await context.event(
            tx,
            f"service:{VERBS[operation.kind]}:requested",
            place=instance.place,
            object_id=instance.id,
            object_name=instance.name,
            data={"operation": operation.id, "service": instance.name, "unbound": len(bindings)},
        )
        tx.wake("service", instance.id)
        return await view_operation(tx, operation)


async def _bound(tx: Reading, instance: ServiceInstance, bindings: list[ServiceBinding]) -> Conflict:
    from gongfang.operations.service_views import view_bindings

    held = [b for b in bindings if b.predecessor_id is None]  # without new credentials that take over from others
    names = [view.app_name or view.binding.name for view in await view_bindings(tx, held)]
    details = [FieldError("bindings", "service_bound_to", {"name": name}) for name in names[:20]]
    shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return Conflict("service_bound", details=details, service=instance.name, count=len(names), names=shown)


# --- look ------------------------------------------------------------------------------------------------------------


def _may_see_all(context: Context, instances: list[ServiceInstance]) -> frozenset[str]:
    return frozenset(i.id for i in instances if context.caller.may(Permission.service_write, i.place))


async def list_services(
    context: Context,
    *,
    space_id: str | None = None,
    organization_id: str | None = None,
    service: str | None = None,
    state: ServiceState | None = None,
    name: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[ServiceView]:
    """By id; `service`: the offering's name."""
    wanted = {"space_id": space_id, "organization_id": organization_id, "name": name}
    equals: dict[str, Any] = {k: v for k, v in wanted.items() if v is not None}
    async with context.database.reading() as tx:
        if state is ServiceState.deleting:
            equals["deleting"] = True
        elif state is not None:
            equals |= {"state": state.value, "deleting": False}
        if service is not None:
            offered = [o.id for o in await tx.find(Offering, name=service)]
            equals["offering_id"] = None if service == USER_PROVIDED else offered
        scope = context.caller.scope(Permission.service_read)
        found = await tx.find(ServiceInstance, scope=scope, after=after, limit=limit, **equals)
        return await view_services(tx, found, full=_may_see_all(context, found))


async def show_service(context: Context, ref: str) -> ServiceView:
    """Raises `NotFound("service_instance_not_found")`."""
    async with context.database.reading() as tx:
        found = await find_service(tx, context, ref)
        return (await view_services(tx, [found], full=_may_see_all(context, [found])))[0]


async def service_status(context: Context, ref: str) -> StatusView:
    """5.4(6), as far as rows tell it: its server's row where it is one of our own, else where a binding says it is."""
    async with context.database.reading() as tx:
        instance = await find_service(tx, context, ref)
        view = (await view_services(tx, [instance]))[0]
        own = await tx.find(HostedInstance, owner="", instance_id=instance.id, limit=1)
        if own:
            return StatusView(view, own[0], own[0].host, own[0].port)
        if instance.offering_id is None:
            host, port = host_port(orjson.loads(instance.credentials or "{}"), ())
            return StatusView(view, None, host, port)
        for shown in view.bindings:
            binding = shown.binding
            if binding.credentials is not None:
                host, port = host_port(orjson.loads(binding.credentials), binding.endpoints)
                return StatusView(view, None, host, port)
        return StatusView(view, None, None, None)
