"""Quotas of organisations and spaces: shown, set, and kept (`admit`, the one place where growth is refused).

Both apply: an app's space and its organisation. Whoever administers a place cannot set that place's own quota, only
those of what lies below it: a space's by the administrators of its organisation, an organisation's by those of its
tenant, both by the platform's.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from gongfang.domain.errors import FieldError, Forbidden, NotFound, QuotaExceeded
from gongfang.domain.quotas import DEFAULT_MEMORY_MB, Excess, Limits, Quota, Usage, excess, wanted, wanted_by
from gongfang.domain.values import App, Level, Organization, Permission, Place, Space
from gongfang.operations.context import Context
from gongfang.operations.tree import LEVELS, place_of_node, show_in
from gongfang.state import Reading, Writing
from gongfang.wire.quotas import QuotaRequest

H = TypeVar("H", Organization, Space)


@dataclass(frozen=True, slots=True)
class QuotaView:
    """`limits`: what holds; `own`: what was set here, None in a field for the platform's default."""

    id: str
    level: Level
    name: str
    limits: Limits
    own: Limits
    used: Usage


async def show_quota(context: Context, noun: type[H], key: str) -> QuotaView:
    """For everybody who sees the place. Raises `NotFound`."""
    async with context.database.reading() as tx:
        return await _view(tx, context, await show_in(tx, context, noun, key))


async def set_quota(context: Context, noun: type[H], key: str, request: QuotaRequest) -> QuotaView:
    """Sets all three limits; null goes back to the platform's default. Less than is used is allowed.

    Raises `NotFound`, `Forbidden("quota_from_above")`.
    """
    async with context.database.writing() as tx:
        node = await show_in(tx, context, noun, key)
        place = place_of_node(node)
        above = Place(place.tenant_id, place.organization_id if place.space_id else None)
        if not context.caller.may(Permission.tree_write, above):
            raise Forbidden("quota_from_above", permission=Permission.tree_write.value)
        if await tx.lock(noun, key) is None:
            raise NotFound(f"{LEVELS[noun].value}_not_found", id=key)
        before = await tx.one(Quota, key)
        quota = Quota(key, request.apps, request.instances, request.memory_mb, context.clock())
        if before is None:
            await tx.insert(quota)
        else:
            values = ("apps", "instances", "memory_mb", "updated_at")
            await tx.update(Quota, key, **{name: getattr(quota, name) for name in values})
        data = {"before": _told(before.limits if before else Limits()), "after": _told(quota.limits)}
        tag = f"{LEVELS[noun].value}:quota"
        await context.event(tx, tag, place=place, object_id=key, object_name=node.name, data=data)
        return await _view(tx, context, node)


def _told(limits: Limits) -> dict[str, int | None]:
    return {"apps": limits.apps, "instances": limits.instances, "memory_mb": limits.memory_mb}


async def _limits(tx: Reading, context: Context, organization_id: str, space_id: str) -> tuple[Limits, Limits]:
    """Of the organisation and of the space."""
    set_here = {q.id: q.limits for q in await tx.find(Quota, id=[organization_id, space_id])}
    defaults = context.quota_defaults
    return (
        set_here.get(organization_id, Limits()).over(defaults.organization),
        set_here.get(space_id, Limits()).over(defaults.space),
    )


async def _view(tx: Reading, context: Context, node: Organization | Space) -> QuotaView:
    found = await tx.one(Quota, node.id)
    own = found.limits if found else Limits()
    space = isinstance(node, Space)
    defaults = context.quota_defaults.space if space else context.quota_defaults.organization
    used = Usage(*await tx.usage("space_id" if space else "organization_id", node.id, DEFAULT_MEMORY_MB))
    return QuotaView(node.id, LEVELS[type(node)], node.name, own.over(defaults), own, used)


async def admit_new(tx: Writing, context: Context, space: Space) -> None:
    """One more app fits. To be asked before its row is written: the row's references hold the space and organisation
    in a way that two such calls at once could not turn into the lock taken here. Raises `QuotaExceeded`."""
    await _admit(tx, context, space.organization_id, space.id, Usage(), Usage(apps=1))


async def admit(tx: Writing, context: Context, app: App, changes: dict[str, Any]) -> None:
    """A change of what is wanted of an app fits. The app is held. Raises `QuotaExceeded`."""
    after = wanted(
        changes.get("desired", app.desired),
        changes.get("scale", app.scale),
        changes.get("config", app.config),
        destroying=changes.get("destroying", app.destroying),
    )
    await _admit(tx, context, app.organization_id, app.space_id, wanted_by(app), after)


async def _admit(
    tx: Writing, context: Context, organization_id: str, space_id: str, before: Usage, after: Usage
) -> None:
    if excess(Limits(0, 0, 0), Usage(), before, after) is None:
        return  # nothing grows
    organization, space = await _limits(tx, context, organization_id, space_id)
    for noun, key, limits in ((Organization, organization_id, organization), (Space, space_id, space)):
        if not limits.any:
            continue
        # Whoever asks for more waits here for those who did so before, the organisation always first; then counts what
        # they have left.
        node = await tx.lock(noun, key)
        if node is None:
            raise NotFound(f"{LEVELS[noun].value}_not_found", id=key)
        used = Usage(*await tx.usage("space_id" if noun is Space else "organization_id", key, DEFAULT_MEMORY_MB))
        too_much = excess(limits, used, before, after)
        if too_much is not None:
            raise _exceeded(noun, node.name, too_much)


def _exceeded(noun: type[Any], name: str, e: Excess) -> QuotaExceeded:
    facts: dict[str, str | int | float] = {"name": name, "used": e.used, "asked": e.asked, "limit": e.limit}
    detail = FieldError(e.what, f"quota_{e.what}_{LEVELS[noun].value}", facts)
    return QuotaExceeded("quota_exceeded", details=[detail], what=e.what, **facts)
