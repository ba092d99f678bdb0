"""Operations as they are seen and cancelled; each verb on an app makes its own elsewhere."""

from typing import Any

from gongfang.domain.errors import Conflict, NotFound
from gongfang.domain.values import App, Operation, OperationStatus, Permission, Place
from gongfang.operations.context import Context
from gongfang.operations.events import app_id_of
from gongfang.operations.views import OperationView
from gongfang.state import Reading

_OF_SERVICES = {
    Permission.app_read: Permission.service_read,
    Permission.app_operate: Permission.service_write,
}


def _place(operation: Operation) -> Place:
    return Place(operation.tenant_id, operation.organization_id, operation.space_id)


async def _find(tx: Reading, context: Context, operation_id: str, permission: Permission) -> Operation:
    """`permission`: for an app's; a service's or a binding's takes the same of services."""
    missing = NotFound("operation_not_found", operation=operation_id)
    operation = await tx.one(Operation, operation_id)
    if operation is None:
        raise missing
    wanted = permission if operation.kind.of_app else _OF_SERVICES[permission]
    context.require(wanted, _place(operation), missing=missing)
    return operation


async def _views(tx: Reading, operations: list[Operation]) -> list[OperationView]:
    numbers = await tx.release_numbers({o.release_id for o in operations if o.release_id})
    return [OperationView(o, numbers.get(o.release_id or "")) for o in operations]


async def show_operation(context: Context, operation_id: str) -> OperationView:
    """Raises `NotFound("operation_not_found")`."""
    async with context.database.reading() as tx:
        return (await _views(tx, [await _find(tx, context, operation_id, Permission.app_read)]))[0]


async def may_read_logs(context: Context, operation_id: str) -> bool:
    """Whether the output of its build is for the caller, too: a token may be cut down to the rest."""
    async with context.database.reading() as tx:
        operation = await _find(tx, context, operation_id, Permission.app_read)
        return context.caller.may(Permission.logs_read, _place(operation))


async def list_operations(
    context: Context,
    *,
    app_ref: str | None = None,
    status: OperationStatus | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[OperationView]:
    """The newest first; those of an app that is gone by its id."""
    equals: dict[str, Any] = {"app_id": await app_id_of(context, app_ref)} if app_ref is not None else {}
    if status is not None:
        equals["status"] = status.value
    async with context.database.reading() as tx:
        scope = context.caller.scope(Permission.app_read)
        found = await tx.find(Operation, scope=scope, descending=True, after=after, limit=limit, **equals)
        return await _views(tx, found)


async def cancel_operation(context: Context, operation_id: str) -> OperationView:
    """Asks for its end; the reconciler goes back to what was before. Again does nothing more.

    Raises `Conflict("operation_ended")`, `Conflict("operation_cannot_cancel")`.
    """
    async with context.database.writing() as tx:
        seen = await _find(tx, context, operation_id, Permission.app_operate)
        operation = await tx.lock(Operation, seen.id)
        if operation is None:
            raise NotFound("operation_not_found", operation=operation_id)
        if operation.status.ended:
            raise Conflict("operation_ended", status=operation.status.value)
        if not operation.kind.of_app:  # brokers have no way of it; what is under way is undone by its opposite
            raise Conflict("operation_cannot_cancel", kind=operation.kind.value, service=operation.service_name or "-")
        if not operation.cancel_requested:
            changed = await tx.update(Operation, operation.id, cancel_requested=True)
            operation = changed or operation
            app = await tx.one(App, operation.app_id) if operation.app_id else None
            await context.event(
                tx,
                "operation:cancel",
                place=_place(operation),
                app=app,
                object_id=operation.id,
                data={"kind": operation.kind.value, "app": operation.app_name},
            )
            tx.wake("operation", operation.id)
            if operation.app_id:
                tx.wake("app", operation.app_id)
        return (await _views(tx, [operation]))[0]
