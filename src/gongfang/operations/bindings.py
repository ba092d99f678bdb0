"""Apps bound to service instances (clauses 5.1(8), 5.1(9)), and what an app gets of a binding (5.4(4)).

A binding is no part of a release: what an instance of the app was started with is noted with the instance, and its
reconciler replaces those that were started with others. Order of locks: app, service instance, binding, operation.

Unbinding is wanted from the moment that `deleting` is written: the app's network is closed to the service and its
instances are replaced by ones without the credentials, while the broker is still being asked.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gongfang.domain.attachments import attachment, host_port
from gongfang.domain.errors import Conflict, NotFound, Precondition, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.services import (
    VERBS,
    BindingState,
    Offering,
    ServiceBinding,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import App, Operation, OperationKind, OperationStatus, Permission
from gongfang.operations.config import RESERVED
from gongfang.operations.context import Context, find_app
from gongfang.operations.service_views import BindingView, BoundEnvironment, view_bindings
from gongfang.operations.services import (
    checked_parameters,
    end_superseded,
    find_service,
    lock_service,
    new_service_operation,
)
from gongfang.operations.shared import lock_app, view_operation
from gongfang.operations.views import OperationView
from gongfang.state import Reading, Writing
from gongfang.state.service_queries import bound_services
from gongfang.wire.services import BindingRequest

__all__ = [
    "bind",
    "binding_etag",
    "environment",
    "let_go",
    "list_bindings",
    "list_service_bindings",
    "require_bindable",
    "rotate",
    "show_binding",
    "unbind",
    "unbind_all",
]

MOST_BINDINGS = 5  # of an app: each may be 24 files, an app has at most 128
MASKED = "***"
_K = OperationKind
_ACTIVE = (OperationStatus.pending.value, OperationStatus.running.value)
_NOT_BINDABLE = re.compile(r"PATH|HOME|LD_.*|VCAP_.*|SERVICE_BINDING_ROOT")


def binding_etag(binding: ServiceBinding) -> str:
    return f'"{binding.id}.{binding.revision}"'


# --- bind ------------------------------------------------------------------------------------------------------------


async def bind(context: Context, app_ref: str, request: BindingRequest) -> tuple[BindingView, OperationView]:
    """5.1(8). Gives the app an access of its own to the instance; a running app is replaced, instance by instance, by
    one that has it. An instance that is still being made is waited for.

    Takes `service_write` where the app is and `service_read` where the instance is. Raises `Conflict` (`already_bound`,
    `binding_name_taken`, `variable_taken`, `service_not_bindable`, `service_elsewhere`, and the states that it can't
    be bound in), `Invalid` on variables and parameters that can't be.
    """
    variables = _checked_variables(request.variables or {})
    parameters = request.parameters
    async with context.database.reading() as tx:
        await find_app(tx, context, app_ref, Permission.service_write)
        seen = await find_service(tx, context, request.service_instance_id)
        plan = await tx.one(ServicePlan, seen.plan_id or "")
    if parameters and seen.offering_id is None:
        raise invalid_field("parameters", "user_provided_has_no", what="parameters")
    if parameters and plan is not None:
        await checked_parameters(plan, "service_binding", "create", parameters)
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, app_ref, Permission.service_write)
        instance = await lock_service(tx, context, seen.id, Permission.service_read)
        context.trace.app, context.trace.place = app, app.place
        _require_same_space(app, instance)
        await require_bindable(tx, instance)
        others = await tx.find(ServiceBinding, app_id=app.id, deleting=False)
        name = request.name or instance.name
        _require_free(app, instance, others, name, variables)
        binding = ServiceBinding(
            id=new_id("bnd"),
            service_instance_id=instance.id,
            app_id=app.id,
            tenant_id=app.tenant_id,
            organization_id=app.organization_id,
            space_id=app.space_id,
            name=name,
            variables=variables,
            variables_given=bool(variables),
            parameters=orjson.dumps(parameters).decode() if parameters else None,
            predecessor_id=None,
            deleting=False,
            created_at=context.clock(),
            created_by=context.caller.user.name,
        )
        await tx.insert(binding)
        operation = _operation(context, app, instance, binding, _K.bind)
        await tx.insert(operation)
        await _tell(tx, context, app, instance, binding, operation, variables=sorted(variables))
        tx.wake("binding", binding.id)
        return (await view_bindings(tx, [binding]))[0], await view_operation(tx, operation)


def _operation(
    context: Context, app: App, instance: ServiceInstance, binding: ServiceBinding, kind: OperationKind
) -> Operation:
    """In the app's place, and in its list of operations."""
    made = new_service_operation(context, instance, kind, name=binding.name)
    return replace(
        made,
        app_id=app.id,
        app_name=app.name,
        binding_id=binding.id,
        tenant_id=app.tenant_id,
        organization_id=app.organization_id,
        space_id=app.space_id,
    )


async def _tell(
    tx: Writing,
    context: Context,
    app: App,
    instance: ServiceInstance,
    binding: ServiceBinding,
    operation: Operation,
    **more: Any,
) -> None:
    await context.event(
        tx,
        f"service:{VERBS[operation.kind]}:requested",
        app=app,
        place=app.place,
        object_id=binding.id,
        object_name=binding.name,
        made=binding.id,
        data={
            "operation": operation.id,
            "service": instance.name,
            "service_instance_id": instance.id,
            "app": app.name,
            **more,
        },
    )


def _require_same_space(app: App, instance: ServiceInstance) -> None:
    if instance.space_id != app.space_id:
        raise Conflict("service_elsewhere", service=instance.name, app=app.name)


async def require_bindable(tx: Reading, instance: ServiceInstance) -> None:
    """Raises `Conflict` (`service_failed`, `service_unusable`, `service_not_bindable`)."""
    name = instance.name
    if instance.state is ServiceState.failed:
        raise Conflict("service_failed", service=name)
    if instance.state is ServiceState.broken:
        raise Conflict("service_unusable", service=name)
    offering = await tx.one(Offering, instance.offering_id or "")
    plan = await tx.one(ServicePlan, instance.plan_id or "")
    may = plan.bindable if plan is not None else None
    if offering is not None and not (offering.bindable if may is None else may):
        raise Conflict("service_not_bindable", service=name)


def _require_free(
    app: App, instance: ServiceInstance, others: Sequence[ServiceBinding], name: str, variables: Mapping[str, str]
) -> None:
    for other in others:
        if other.service_instance_id == instance.id:
            raise Conflict("already_bound", service=instance.name, app=app.name)
    if sum(o.predecessor_id is None for o in others) >= MOST_BINDINGS:
        raise Conflict("too_many_bindings", app=app.name, limit=MOST_BINDINGS)
    for other in others:
        if other.name == name:
            raise Conflict("binding_name_taken", name=name, app=app.name)
    taken = {*app.config.environment, *(v for o in others for v in o.variables)}
    for variable in variables:
        if variable in taken:
            raise Conflict("variable_taken", name=variable, app=app.name)


def _checked_variables(variables: Mapping[str, str]) -> Mapping[str, str]:
    for name in variables:
        own = name == RESERVED[0] or name.startswith(RESERVED[1]) or _NOT_BINDABLE.fullmatch(name)
        if own:
            raise invalid_field(f"variables.{name}", "variable_reserved", name=name)
    return dict(variables)


# --- unbind ----------------------------------------------------------------------------------------------------------


async def unbind(context: Context, app_ref: str, service_ref: str, *, if_match: str | None = None) -> OperationView:
    """5.1(9). Its credentials end at once, its connections with them; a running app is replaced by one without them.

    While that is being done, the operation that does it. Raises `NotFound("binding_not_found")`, `Precondition`.
    """
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, app_ref, Permission.service_write)
        seen, instance = await _find(tx, app, service_ref)
        binding = await tx.lock(ServiceBinding, seen.id)
        if binding is None:
            raise _not_bound(app, service_ref)
        if if_match is not None and if_match not in ("*", binding_etag(binding)):
            raise Precondition("service_changed_meanwhile", service=instance.name)
        active = await tx.find(Operation, binding_id=binding.id, status=_ACTIVE)
        for under_way in active:
            if binding.deleting and under_way.kind is _K.unbind:
                return await view_operation(tx, under_way)
        operation = _operation(context, app, instance, binding, _K.unbind)
        for old in active:
            await end_superseded(tx, context, old, operation.id)
        await let_go(tx, context, await _successors(tx, binding), operation.id)
        if not binding.deleting:
            await tx.update(ServiceBinding, binding.id, deleting=True)
        await tx.insert(operation)
        await _tell(tx, context, app, instance, binding, operation)
        _wake(tx, binding)
        return await view_operation(tx, operation)


def _wake(tx: Writing, binding: ServiceBinding) -> None:
    """All that a binding which is no longer wanted concerns: at the broker, in instances, in the network."""
    tx.wake("binding", binding.id)
    if binding.app_id is not None:
        tx.wake("app", binding.app_id)
        tx.wake("egress", binding.space_id)


async def let_go(tx: Writing, context: Context, bindings: Iterable[ServiceBinding], by: str) -> int:
    """Lets bindings go within the caller's transaction and under its event; whose operations are under way, those end
    for the sake of the operation `by`. Apps are locked before. Answers how many."""
    count = 0
    for seen in bindings:
        binding = await tx.lock(ServiceBinding, seen.id)
        if binding is None or binding.deleting:
            continue
        for old in await tx.find(Operation, binding_id=binding.id, status=_ACTIVE):
            await end_superseded(tx, context, old, by)
        await tx.update(ServiceBinding, binding.id, deleting=True)
        _wake(tx, binding)
        count += 1
    return count


async def unbind_all(tx: Writing, context: Context, app: App, by: str) -> int:
    """Of an app that is about to be destroyed, which is locked; `by`: the operation that destroys it."""
    return await let_go(tx, context, await tx.find(ServiceBinding, app_id=app.id, deleting=False), by)


# --- rotate ----------------------------------------------------------------------------------------------------------


async def rotate(
    context: Context, app_ref: str, service_ref: str, *, if_match: str | None = None
) -> tuple[BindingView, OperationView]:
    """New credentials for an app, by a binding that takes over from the one it has: name, variables and parameters are
    the same. Both hold until the app runs with the new ones; then the old ones are revoked. Where the app does not come
    up with the new ones, they are taken back and the old ones stay.

    Raises `NotFound("binding_not_found")`, `Precondition`, `Conflict` (`binding_not_ready`, `binding_busy`,
    `binding_not_rotatable`, `credentials_not_rotatable`, and the states that a service can't be bound in).
    """
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, app_ref, Permission.service_write)
        seen, instance = await _find(tx, app, service_ref)
        instance = await lock_service(tx, context, instance.id, Permission.service_read)
        old = await tx.lock(ServiceBinding, seen.id)
        if old is None:
            raise _not_bound(app, service_ref)
        context.trace.app, context.trace.place = app, app.place
        if if_match is not None and if_match not in ("*", binding_etag(old)):
            raise Precondition("service_changed_meanwhile", service=instance.name)
        await _require_rotatable(tx, app, instance, old)
        binding = replace(
            old,
            id=new_id("bnd"),
            variables=old.variables if old.variables_given else {},
            predecessor_id=old.id,
            created_at=context.clock(),
            created_by=context.caller.user.name,
            **_NOTHING_SEEN,
        )
        await tx.insert(binding)
        operation = _operation(context, app, instance, binding, _K.rotate)
        await tx.insert(operation)
        await _tell(tx, context, app, instance, binding, operation, replaces=old.id)
        tx.wake("binding", binding.id)
        return (await view_bindings(tx, [binding]))[0], await view_operation(tx, operation)


_NOTHING_SEEN: dict[str, Any] = {
    "state": BindingState.creating,
    "reason": None,
    "sent": False,
    "credentials": None,
    "syslog_drain_url": None,
    "route_service_url": None,
    "volume_mounts": (),
    "endpoints": (),
    "expires_at": None,
    "renew_before": None,
    "revision": 0,
    "call": None,
}
"""What reconcilers write of a binding, of one that none has seen."""


async def _require_rotatable(tx: Reading, app: App, instance: ServiceInstance, binding: ServiceBinding) -> None:
    if instance.offering_id is None:
        raise Conflict("credentials_not_rotatable", service=instance.name)
    if binding.deleting or binding.state is not BindingState.ready:
        raise Conflict("binding_not_ready", service=instance.name, app=app.name)
    for successor in await _successors(tx, binding):
        active = await tx.find(Operation, binding_id=successor.id, status=_ACTIVE, limit=1)
        operation = active[0].id if active else "-"
        raise Conflict("binding_busy", service=instance.name, app=app.name, operation=operation)
    await require_bindable(tx, instance)
    plan = await tx.one(ServicePlan, instance.plan_id or "")
    if plan is None or not plan.binding_rotatable:
        raise Conflict("binding_not_rotatable", service=instance.name, app=app.name)


async def _successors(tx: Reading, binding: ServiceBinding) -> list[ServiceBinding]:
    """Those that are about to take over from it: at most one."""
    return await tx.find(ServiceBinding, predecessor_id=binding.id, deleting=False)


# --- look ------------------------------------------------------------------------------------------------------------


def _not_bound(app: App, ref: str) -> NotFound:
    return NotFound("binding_not_found", service=ref, app=app.name)


async def _find(tx: Reading, app: App, ref: str) -> tuple[ServiceBinding, ServiceInstance]:
    """The app's binding to the instance of this id or name; one that is not being undone comes first."""
    bindings = await tx.find(ServiceBinding, app_id=app.id)
    instances = {
        i.id: i for i in (await tx.find(ServiceInstance, id=sorted({b.service_instance_id for b in bindings})))
    }
    fitting = [
        b
        for b in bindings
        if b.predecessor_id is None and (b.service_instance_id == ref or instances[b.service_instance_id].name == ref)
    ]
    if not fitting:
        raise _not_bound(app, ref)
    found = min(fitting, key=lambda b: (b.deleting, b.id))
    return found, instances[found.service_instance_id]


async def list_bindings(
    context: Context, app_ref: str, *, after: str | None = None, limit: int = 50
) -> list[BindingView]:
    """Of an app, by id."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, app_ref, Permission.service_read)
        return await view_bindings(tx, await tx.find(ServiceBinding, app_id=app.id, after=after, limit=limit))


async def list_service_bindings(
    context: Context, service_ref: str, *, after: str | None = None, limit: int = 50
) -> list[BindingView]:
    """Of a service instance, by id."""
    async with context.database.reading() as tx:
        instance = await find_service(tx, context, service_ref)
        found = await tx.find(ServiceBinding, service_instance_id=instance.id, after=after, limit=limit)
        return await view_bindings(tx, found)


async def show_binding(context: Context, app_ref: str, service_ref: str) -> BindingView:
    """Raises `NotFound("binding_not_found")`."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, app_ref, Permission.service_read)
        return (await view_bindings(tx, [(await _find(tx, app, service_ref))[0]]))[0]


async def environment(context: Context, app_ref: str, service_ref: str) -> BoundEnvironment:
    """5.4(4). Variables and files as the app gets them of this binding; values only for those who may know them.

    Those are who may write services where the instance is, and who may see the app's secrets. Raises
    `NotFound("binding_not_found")`, `Conflict("binding_not_ready")`.
    """
    async with context.database.reading() as tx:
        app = await find_app(tx, context, app_ref, Permission.service_read)
        binding, instance = await _find(tx, app, service_ref)
        if binding.deleting or binding.state is not BindingState.ready or binding.credentials is None:
            raise Conflict("binding_not_ready", service=instance.name, app=app.name)
        own = [b for b in await bound_services(tx, app.id) if b.binding_id == binding.id]
        if not own:
            raise Conflict("binding_not_ready", service=instance.name, app=app.name)
        given = attachment(own)
        host, port = host_port(own[0].credentials, binding.endpoints)
        caller = context.caller
        sees = caller.may(Permission.service_write, instance.place) or caller.may(Permission.app_secrets, app.place)
        return BoundEnvironment(
            host=host,
            port=port,
            environment=given.variables if sees else dict.fromkeys(given.variables, MASKED),
            files=tuple(sorted(given.files)),
            masked=not sees,
        )
