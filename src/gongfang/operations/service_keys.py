"""Service keys: credentials of a service instance for people, and for programs outside of the platform.

A key is a binding without an app, so brokers and reconcilers know nothing new. Its place is the instance's. Whoever may
read services sees that there is a key and whose; its credentials are shown one key at a time to those who may write
services there, and never in a list, an event or an error.

Hard cases. A key's name stays taken until the broker has revoked it. A user-provided service has no keys: its
credentials are known to those who gave them. An instance with keys is not deleted without `force`, as if it were bound.
"""

from dataclasses import replace

import orjson

from gongfang.domain.errors import Conflict, NotFound
from gongfang.domain.ids import new_id
from gongfang.domain.services import ServiceBinding, ServiceInstance, ServicePlan
from gongfang.domain.values import Operation, OperationKind, OperationStatus, Permission
from gongfang.operations.bindings import let_go, require_bindable
from gongfang.operations.context import Context
from gongfang.operations.service_views import BindingView, view_bindings
from gongfang.operations.services import checked_parameters, find_service, lock_service, new_service_operation
from gongfang.operations.shared import view_operation
from gongfang.operations.tree import naming
from gongfang.operations.views import OperationView
from gongfang.state import Reading
from gongfang.wire.services import KeyRequest

__all__ = ["create_key", "delete_key", "list_keys", "show_key"]

MOST_KEYS = 100  # of an instance: each is a user of its server
_K = OperationKind
_ACTIVE = (OperationStatus.pending.value, OperationStatus.running.value)


async def create_key(context: Context, service_ref: str, request: KeyRequest) -> tuple[BindingView, OperationView]:
    """Credentials of its own for a person. An instance that is still being made is waited for.

    Raises `Conflict` (`key_name_taken`, `too_many_keys`, `key_of_user_provided`, and the states that an instance can't
    be bound in), `Invalid` on parameters.
    """
    parameters = request.parameters
    async with context.database.reading() as tx:
        seen = await find_service(tx, context, service_ref, Permission.service_write)
        plan = await tx.one(ServicePlan, seen.plan_id or "")
    if seen.offering_id is None:
        raise Conflict("key_of_user_provided", service=seen.name)
    if parameters and plan is not None:
        await checked_parameters(plan, "service_binding", "create", parameters)
    async with naming(context, request.name) as tx:
        instance = await lock_service(tx, context, seen.id, Permission.service_write)
        await require_bindable(tx, instance)
        if await tx.find(ServiceBinding, service_instance_id=instance.id, app_id=None, name=request.name, limit=1):
            raise Conflict("key_name_taken", name=request.name, service=instance.name)
        if await tx.count(ServiceBinding, service_instance_id=instance.id, app_id=None) >= MOST_KEYS:
            raise Conflict("too_many_keys", service=instance.name, limit=MOST_KEYS)
        key = ServiceBinding(
            id=new_id("bnd"),
            service_instance_id=instance.id,
            app_id=None,
            tenant_id=instance.tenant_id,
            organization_id=instance.organization_id,
            space_id=instance.space_id,
            name=request.name,
            variables={},
            variables_given=False,
            parameters=orjson.dumps(parameters).decode() if parameters else None,
            predecessor_id=None,
            deleting=False,
            created_at=context.clock(),
            created_by=context.caller.user.name,
        )
        operation = _operation(context, instance, key, _K.bind)
        await tx.insert(key)
        await tx.insert(operation)
        await context.event(
            tx,
            "service:key:create",
            place=key.place,
            object_id=key.id,
            object_name=key.name,
            made=key.id,
            data=_data(operation, instance),
        )
        tx.wake("binding", key.id)
        return (await view_bindings(tx, [key]))[0], await view_operation(tx, operation)


async def delete_key(context: Context, key_id: str) -> OperationView:
    """Its credentials end. While they are being revoked, the operation that does it. Raises
    `NotFound("service_key_not_found")`."""
    async with context.database.writing() as tx:
        seen = await _find(tx, context, key_id, Permission.service_write)
        instance = await tx.lock(ServiceInstance, seen.service_instance_id)
        key = await tx.lock(ServiceBinding, seen.id)
        if key is None or instance is None:
            raise NotFound("service_key_not_found", key=key_id)
        for under_way in await tx.find(Operation, binding_id=key.id, status=_ACTIVE):
            if key.deleting and under_way.kind is _K.unbind:
                return await view_operation(tx, under_way)
        operation = _operation(context, instance, key, _K.unbind)
        await let_go(tx, context, [key], operation.id)
        await tx.insert(operation)
        await context.event(
            tx,
            "service:key:delete",
            place=key.place,
            object_id=key.id,
            object_name=key.name,
            data=_data(operation, instance),
        )
        tx.wake("binding", key.id)
        return await view_operation(tx, operation)


async def list_keys(
    context: Context, service_ref: str, *, after: str | None = None, limit: int = 50
) -> list[BindingView]:
    """Of a service instance, by id."""
    async with context.database.reading() as tx:
        instance = await find_service(tx, context, service_ref)
        found = await tx.find(ServiceBinding, service_instance_id=instance.id, app_id=None, after=after, limit=limit)
        return await view_bindings(tx, found)


async def show_key(context: Context, key_id: str) -> tuple[BindingView, bool]:
    """And whether the caller may see its credentials. Raises `NotFound("service_key_not_found")`."""
    async with context.database.reading() as tx:
        key = await _find(tx, context, key_id, Permission.service_read)
        view = (await view_bindings(tx, [key]))[0]
        return view, context.caller.may(Permission.service_write, key.place)


async def _find(tx: Reading, context: Context, key_id: str, permission: Permission) -> ServiceBinding:
    """An app's binding is no key, whoever asks for it by its id."""
    missing = NotFound("service_key_not_found", key=key_id)
    key = await tx.one(ServiceBinding, key_id)
    if key is None or key.app_id is not None:
        raise missing
    context.require(permission, key.place, missing=missing)
    return key


def _operation(context: Context, instance: ServiceInstance, key: ServiceBinding, kind: OperationKind) -> Operation:
    return replace(new_service_operation(context, instance, kind, key=key.name), binding_id=key.id)


def _data(operation: Operation, instance: ServiceInstance) -> dict[str, str]:
    return {"operation": operation.id, "service": instance.name, "service_instance_id": instance.id}
