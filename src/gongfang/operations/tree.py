"""Tenants, organisations and spaces: the tree that apps, domains and roles hang on.

A member of a space sees the organisation and the tenant above it, but not what else lies in them. A name is unique
among its siblings. What still holds something is not deleted; the error counts what is inside.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from zoneinfo import available_timezones

from gongfang.domain.certificates import Certificate
from gongfang.domain.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.names import skeleton
from gongfang.domain.quotas import Quota
from gongfang.domain.services import ServiceAccess, ServiceInstance
from gongfang.domain.values import (
    App,
    Domain,
    JsonObject,
    Level,
    Organization,
    Permission,
    Place,
    RoleBinding,
    Space,
    Tenant,
)
from gongfang.domain.webhooks import Webhook
from gongfang.operations.context import Caller, Context
from gongfang.state import Reading, Scope, Writing
from gongfang.wire.models import OrganizationRequest, SpaceRequest, TenantRequest, TreeChange

Node = Tenant | Organization | Space
N = TypeVar("N", Tenant, Organization, Space)

LEVELS: dict[type[Any], Level] = {Tenant: Level.tenant, Organization: Level.organization, Space: Level.space}
NODES: dict[Level, type[Any]] = {level: noun for noun, level in LEVELS.items()}
DEFAULT = "default"


def place_of_node(node: Node) -> Place:
    """Where a node stands, itself included."""
    match node:
        case Tenant():
            return Place(node.id)
        case Organization():
            return Place(node.tenant_id, node.id)
        case Space():
            return Place(node.tenant_id, node.organization_id, node.id)


async def place_of(tx: Reading, level: Level, scope_id: str | None) -> Place | None:
    """The place that a role binding names; None where it is gone."""
    if level is Level.platform:
        return Place()
    node = await tx.one(NODES[level], scope_id or "")
    return place_of_node(node) if node is not None else None


async def seen_scope(tx: Reading, caller: Caller, noun: type[Any], permission: Permission) -> Scope:
    """Where the caller's permission reaches at a level of the tree: what is bound above it, and what lies above what
    is bound below it. For tenants that is every tenant in which the caller has the permission somewhere."""
    scope = caller.scope(permission)
    if scope.everything or noun is Space:
        return scope
    spaces = await tx.find(Space, id=scope.spaces) if scope.spaces else []
    organizations = scope.organizations | {s.organization_id for s in spaces}
    if noun is Organization:
        return Scope(tenants=scope.tenants, organizations=organizations)
    above = await tx.find(Organization, id=scope.organizations) if scope.organizations else []
    return Scope(tenants=scope.tenants | {s.tenant_id for s in spaces} | {o.tenant_id for o in above})


def _permission_to_see(caller: Caller) -> Permission:
    """Every role may read the tree. A token cut down to other scopes still finds the places that these reach, since
    a place has to be named to use them there."""
    scopes = caller.token.scopes
    if not scopes or Permission.tree_read in scopes:
        return Permission.tree_read
    return Permission.app_write if Permission.app_write in scopes else scopes[0]


async def _seen(tx: Reading, context: Context, noun: type[N], *, limit: int | None = None, **equals: Any) -> list[N]:
    scope = await seen_scope(tx, context.caller, noun, _permission_to_see(context.caller))
    return await tx.find(noun, scope=scope, limit=limit, **equals)


async def show_in(tx: Reading, context: Context, noun: type[N], key: str) -> N:
    """Within a transaction, where the caller sees it. Raises `NotFound`."""
    found = await _seen(tx, context, noun, id=key, limit=1)
    if not found:
        raise NotFound(f"{LEVELS[noun].value}_not_found", id=key)
    return found[0]


async def list_nodes(
    context: Context, noun: type[N], *, after: str | None = None, limit: int = 50, **equals: str | None
) -> list[N]:
    """Those that the caller sees, by id; `equals`: filters, of which None ones are left out."""
    async with context.database.reading() as tx:
        given = {name: value for name, value in equals.items() if value is not None}
        return await _seen(tx, context, noun, after=after, limit=limit, **given)


async def show_node(context: Context, noun: type[N], key: str) -> N:
    """Raises `NotFound` (`tenant_not_found`, `organization_not_found`, `space_not_found`)."""
    async with context.database.reading() as tx:
        return await show_in(tx, context, noun, key)


async def default_node(tx: Reading, context: Context, noun: type[N], key: str | None) -> N:
    """The given one, else the only one that the caller sees, else the one called `default`.

    Raises `NotFound`, and `Invalid` naming the field that has to be given where it can't be derived.
    """
    if key is not None:
        return await show_in(tx, context, noun, key)
    seen = await _seen(tx, context, noun, limit=2)
    if len(seen) == 1:
        return seen[0]
    named = await _seen(tx, context, noun, name=DEFAULT, limit=2)
    if len(named) == 1:
        return named[0]
    level = LEVELS[noun].value
    raise invalid_field(f"{level}_id", f"{level}_ambiguous" if seen else f"{level}_none")


async def default_space(tx: Reading, context: Context, space_id: str | None) -> Space:
    """The space of what is to be made; see `default_node`."""
    return await default_node(tx, context, Space, space_id)


async def default_tenant(tx: Reading, context: Context, tenant_id: str | None) -> Tenant:
    return await default_node(tx, context, Tenant, tenant_id)


async def default_space_id(context: Context) -> str | None:
    """The space that calls without `space_id` mean, None where there is no such."""
    async with context.database.reading() as tx:
        try:
            return (await default_space(tx, context, None)).id
        except Invalid:
            return None


def _require_write(context: Context, place: Place) -> None:
    """What can be seen and not changed is `Forbidden`; that it is seen was checked before."""
    context.trace.place = place
    if not context.caller.may(Permission.tree_write, place):
        raise Forbidden("forbidden", permission=Permission.tree_write.value)


@asynccontextmanager
async def naming(context: Context, name: str) -> AsyncGenerator[Writing]:
    """A writing transaction in which the only thing that may be taken is this name."""
    try:
        async with context.database.writing() as tx:
            yield tx
    except Conflict as error:
        if error.code != "name_taken" or error.details:
            raise
        raise Conflict("name_taken", details=[FieldError("name", "name_in_use", {"name": name})]) from error


async def _require_distinct(tx: Reading, node: Node, name: str) -> None:
    """No sibling's name looks the same. (That none *is* the same, the database itself holds.)"""
    above: dict[str, Any] = {}
    if isinstance(node, Organization):
        above["tenant_id"] = node.tenant_id
    elif isinstance(node, Space):
        above["organization_id"] = node.organization_id
    alike = skeleton(name)
    for sibling in await tx.find(type(node), **above):
        if sibling.id != node.id and skeleton(sibling.name) == alike:
            raise Conflict("name_taken", details=[FieldError("name", "name_in_use", {"name": sibling.name})])


async def _create(tx: Writing, context: Context, node: N, data: JsonObject) -> N:
    await _require_distinct(tx, node, node.name)
    await tx.insert(node)
    tag = f"{LEVELS[type(node)].value}:create"
    await context.event(tx, tag, place=place_of_node(node), object_id=node.id, data=data)
    return node


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise invalid_field("timezone", "timezone_unknown", timezone=name)
    return name


async def create_tenant(context: Context, request: TenantRequest) -> Tenant:
    """For the administrators of the platform. Raises `Conflict("name_taken")`."""
    _require_write(context, Place())
    tenant = Tenant(new_id("ten"), request.name, _timezone(request.timezone), context.clock())
    async with naming(context, request.name) as tx:
        return await _create(tx, context, tenant, {"name": tenant.name})


async def create_organization(context: Context, request: OrganizationRequest) -> Organization:
    async with naming(context, request.name) as tx:
        tenant = await default_node(tx, context, Tenant, request.tenant_id)
        _require_write(context, place_of_node(tenant))
        organization = Organization(new_id("org"), tenant.id, request.name, context.clock())
        return await _create(tx, context, organization, {"name": organization.name})


async def create_space(context: Context, request: SpaceRequest) -> Space:
    async with naming(context, request.name) as tx:
        above = await default_node(tx, context, Organization, request.organization_id)
        _require_write(context, place_of_node(above))
        space = Space(new_id("spc"), above.tenant_id, above.id, request.name, context.clock())
        return await _create(tx, context, space, {"name": space.name})


async def change_node(context: Context, noun: type[N], key: str, change: TreeChange) -> N:
    """Another name; for a tenant also another time zone. Raises `Conflict("name_taken")`."""
    changes = {k: v for k, v in change.model_dump(exclude_unset=True).items() if v is not None}
    if "timezone" in changes:
        if noun is not Tenant:
            raise invalid_field("timezone", "timezone_of_tenants")
        _timezone(changes["timezone"])
    async with naming(context, str(changes.get("name", ""))) as tx:
        node = await show_in(tx, context, noun, key)
        _require_write(context, place_of_node(node))
        if not changes:
            return node
        if "name" in changes:
            await _require_distinct(tx, node, changes["name"])
        changed = await tx.update(noun, key, **changes)
        if changed is None:
            raise NotFound(f"{LEVELS[noun].value}_not_found", id=key)
        tag = f"{LEVELS[noun].value}:change"
        await context.event(tx, tag, place=place_of_node(node), object_id=key, data=changes)
        return changed


async def _inside(tx: Reading, node: Node) -> dict[str, int]:
    match node:
        case Tenant():
            nouns: Iterable[type[Any]] = (Organization, Space, App, ServiceInstance, Domain)
            column = "tenant_id"
        case Organization():
            nouns, column = (Space, App, ServiceInstance), "organization_id"
        case Space():
            nouns, column = (App, ServiceInstance), "space_id"
    return {f"{noun.__name__.lower()}s": await tx.count(noun, **{column: node.id}) for noun in nouns}


async def delete_node(context: Context, noun: type[N], key: str) -> None:
    """An empty one, with the roles that were bound there. Raises `Conflict("not_empty")` saying what is inside."""
    async with context.database.writing() as tx:
        node = await show_in(tx, context, noun, key)
        _require_write(context, place_of_node(node))
        # The lock keeps others from putting something inside between the count and the deletion: a foreign key to a
        # row that is held for update has to wait.
        await tx.lock(noun, key)
        inside = await _inside(tx, node)
        if any(inside.values()):
            raise Conflict(
                "not_empty",
                name=node.name,
                organizations=inside.get("organizations", 0),
                spaces=inside.get("spaces", 0),
                apps=inside.get("apps", 0),
                services=inside.get("serviceinstances", 0),
                domains=inside.get("domains", 0),
            )
        # What goes along, one by one, so that the event tells of it.
        column = f"{LEVELS[noun].value}_id"
        await tx.delete(Webhook, **{column: key})
        if noun is Tenant:
            await tx.delete(Certificate, tenant_id=key)
        if noun is Organization:
            await tx.delete(ServiceAccess, organization_id=key)
        await tx.delete(RoleBinding, level=LEVELS[noun], scope_id=key)
        await tx.delete(Quota, id=key)
        await tx.delete(noun, id=key)
        tag = f"{LEVELS[noun].value}:delete"
        await context.event(tx, tag, place=place_of_node(node), object_id=key, data={"name": node.name})
