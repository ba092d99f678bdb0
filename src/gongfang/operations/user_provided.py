"""User-provided services (5.4(2)): run by somebody else, known by their credentials; and changes of what instances say.

Apps are bound to them as to any other. There is no broker and no server: an instance is ready as soon as its row is,
and its credentials are those of each binding. Changing them raises the revision of the bindings, so apps are replaced
as with any new binding. They are write-only: no answer shows them but what bound apps get (5.4(4)).

Hard cases. An address in credentials opens nothing: what an app may reach outside is its space's egress policy, and a
developer's text must not open a private network. A binding may have asked for a variable by the name of a key: a change
that would take that key away is refused, for the app would start without what it was promised.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from gongfang.domain.errors import Conflict, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.services import USER_PROVIDED, VERBS, ServiceBinding, ServiceInstance
from gongfang.domain.values import App, OperationKind, Permission
from gongfang.operations.context import Context
from gongfang.operations.service_views import ServiceView, view_services
from gongfang.operations.services import free_name, lock_service, new_service_operation, writable_space
from gongfang.operations.shared import view_operation
from gongfang.operations.tree import naming
from gongfang.operations.views import OperationView
from gongfang.state import Reading
from gongfang.wire.services import ServiceChange, ServiceInstanceRequest

__all__ = ["change_service", "create_user_provided"]

MAX_CREDENTIALS = 64 * 1024  # bytes of all of them as JSON


async def create_user_provided(
    context: Context, space_id: str, request: ServiceInstanceRequest
) -> tuple[ServiceView, OperationView]:
    """An instance of no broker. Raises `Invalid` on a plan or parameters, which it can't have, and on credentials that
    are missing or too large; `Conflict("service_name_taken")`."""
    if request.plan is not None:
        raise invalid_field("plan", "user_provided_has_no", what="plan")
    if request.parameters:
        raise invalid_field("parameters", "user_provided_has_no", what="parameters")
    if not request.credentials:
        raise invalid_field("credentials", "credentials_needed")
    credentials = _checked(request.credentials)
    async with naming(context, request.name or "") as tx:
        space = await writable_space(tx, context, space_id)
        name = request.name or await free_name(tx, space.id, USER_PROVIDED)
        if await tx.find(ServiceInstance, space_id=space.id, name=name, limit=1):
            raise Conflict("service_name_taken", service=name)
        now = context.clock()
        instance = ServiceInstance(
            id=new_id("sin"),
            tenant_id=space.tenant_id,
            organization_id=space.organization_id,
            space_id=space.id,
            name=name,
            offering_id=None,
            plan_id=None,
            parameters="{}",
            credentials=credentials,
            tags=tuple(dict.fromkeys(request.tags)),
            generation=1,
            deleting=False,
            created_at=now,
            updated_at=now,
            created_by=context.caller.user.name,
        )
        operation = new_service_operation(context, instance, OperationKind.create_service, service=USER_PROVIDED)
        await tx.insert(instance)
        await tx.insert(operation)
        await context.event(
            tx,
            f"service:{VERBS[operation.kind]}:requested",
            place=instance.place,
            object_id=instance.id,
            object_name=name,
            after={"service": USER_PROVIDED},
            data={"operation": operation.id, "service": USER_PROVIDED},
        )
        tx.wake("service", instance.id)
        return (await view_services(tx, [instance]))[0], await view_operation(tx, operation)


async def change_service(
    context: Context, ref: str, change: ServiceChange, *, if_match: str | None = None
) -> ServiceView:
    """Another name, other tags, and of a user-provided instance other credentials, as a whole.

    Bound apps get changed credentials by a rolling replacement; name and tags stand in `VCAP_SERVICES` of what starts
    from now on, and the names of bindings stay. Raises `Conflict` (`service_name_taken`, `credential_in_use`),
    `Invalid` where nothing is given or credentials are somebody else's matter, `Precondition`.
    """
    if change.name is None and change.tags is None and change.credentials is None:
        raise invalid_field("name", "nothing_to_change")
    if change.credentials is not None and not change.credentials:
        raise invalid_field("credentials", "credentials_needed")
    credentials = _checked(change.credentials) if change.credentials is not None else None
    async with naming(context, change.name or "") as tx:
        instance = await lock_service(tx, context, ref, Permission.service_write, if_match=if_match)
        changes: dict[str, Any] = {}
        if change.name is not None and change.name != instance.name:
            if await tx.find(ServiceInstance, space_id=instance.space_id, name=change.name, limit=1):
                raise Conflict("service_name_taken", service=change.name)
            changes["name"] = change.name
        if change.tags is not None and tuple(dict.fromkeys(change.tags)) != instance.tags:
            changes["tags"] = tuple(dict.fromkeys(change.tags))
        if credentials is not None:
            if instance.offering_id is not None:
                raise invalid_field("credentials", "credentials_of_broker", service=instance.name)
            await _require_keys(tx, instance, change.credentials or {})
            if credentials != instance.credentials:
                changes |= {"credentials": credentials, "generation": instance.generation + 1}
        if changes:
            changed = await tx.update(ServiceInstance, instance.id, updated_at=context.clock(), **changes)
            assert changed is not None  # it is held by this transaction
            instance = changed
        await context.event(
            tx,
            "service:change",
            place=instance.place,
            object_id=instance.id,
            object_name=instance.name,
            data={"fields": sorted(changes.keys() - {"generation"})},
        )
        tx.wake("service", instance.id)
        return (await view_services(tx, [instance], full=frozenset({instance.id})))[0]


def _checked(credentials: Mapping[str, Any]) -> str:
    """As they are kept. The platform reads an address out of them and nothing else, so anything that is JSON will do;
    what can't be a variable or a file of an app is left out there."""
    try:
        text = json.dumps(credentials, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
        orjson.loads(text)
    except (ValueError, RecursionError) as error:  # half of a character, a number that is none, too deep
        raise invalid_field("credentials", "credentials_no_json") from error
    if len(text) > MAX_CREDENTIALS:
        raise invalid_field("credentials", "credentials_too_large", size=len(text), limit=MAX_CREDENTIALS)
    return text


async def _require_keys(tx: Reading, instance: ServiceInstance, credentials: Mapping[str, Any]) -> None:
    for binding in await tx.find(ServiceBinding, service_instance_id=instance.id, deleting=False):
        missing = {v: k for v, k in binding.variables.items() if binding.variables_given and k not in credentials}
        if missing:
            variable, key = min(missing.items())
            app = await tx.one(App, binding.app_id or "")
            name = app.name if app is not None else binding.name
            raise Conflict("credential_in_use", key=key, variable=variable, app=name)
