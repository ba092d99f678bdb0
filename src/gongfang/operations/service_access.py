"""Which services an organisation may use, and with which plans (clause 5.4(1)).

The catalogue holds what brokers offer; an organisation uses what was brought into it. Bringing in twice is the same as
once. What instances are made of is not taken away from under them.
"""

from collections.abc import Sequence

from gongfang.domain.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.services import BUILTIN, Offering, ServiceAccess, ServiceInstance, ServicePlan
from gongfang.domain.values import Organization, Permission, Place
from gongfang.operations.context import Context
from gongfang.operations.service_views import OfferingView, view_access, view_offerings
from gongfang.operations.tree import place_of_node, show_in
from gongfang.state import Reading, Writing
from gongfang.wire.services import ServiceRequest

__all__ = ["catalogue", "disable", "enable", "find_access", "list_access", "show_access"]


def _require_write(context: Context, place: Place) -> None:
    """Whoever sees the organisation and may not do this is told so."""
    context.trace.place = place
    if not context.caller.may(Permission.service_write, place):
        raise Forbidden("forbidden", permission=Permission.service_write.value)


async def catalogue(context: Context, *, after: str | None = None, limit: int = 50) -> list[OfferingView]:
    """What the platform itself offers, for anybody known; by id."""
    async with context.database.reading() as tx:
        found = await tx.find(Offering, broker_id=BUILTIN, gone=False, after=after, limit=limit)
        return await view_offerings(tx, found)


async def enable(context: Context, organization_id: str, request: ServiceRequest) -> tuple[OfferingView, bool]:
    """5.4(1). Brings a service in by its name, with all its plans or those named; True where it was not there before.

    Where it is there already, plans that are named become those that are seen. Raises `Invalid` on a service or a plan
    that is not in the catalogue, and on a broker of one's own, which this platform can't talk to yet.
    """
    if request.broker is not None:
        raise invalid_field("broker", "broker_not_supported")
    async with context.database.writing() as tx:
        organization = await show_in(tx, context, Organization, organization_id)
        place = place_of_node(organization)
        _require_write(context, place)
        # Held, so that two calls at a time don't bring it in twice, and nobody deletes the organisation meanwhile.
        if await tx.lock(Organization, organization_id) is None:
            raise NotFound("organization_not_found", id=organization_id)
        offering = await _offered(tx, request.name)
        plans = await _named_plans(tx, offering, request.plans)
        present = await tx.find(ServiceAccess, organization_id=organization_id, offering_id=offering.id, limit=1)
        if not present:
            access = ServiceAccess(
                id=new_id("svc"),
                tenant_id=organization.tenant_id,
                organization_id=organization_id,
                offering_id=offering.id,
                plans=plans,
                created_at=context.clock(),
                created_by=context.caller.user.name,
            )
            await tx.insert(access)
            await _tell(tx, context, "service:enable", place, access, offering)
        else:
            access = present[0]
            if plans is not None and plans != access.plans:
                access = await tx.update(ServiceAccess, access.id, plans=plans) or access
                await _tell(tx, context, "service:plans:change", place, access, offering)
        return (await view_access(tx, [access]))[0], not present


async def _tell(
    tx: Writing, context: Context, tag: str, place: Place, access: ServiceAccess, offering: Offering
) -> None:
    await context.event(
        tx, tag, place=place, object_id=access.id, object_name=offering.name, data={"service": offering.name}
    )


async def _offered(tx: Reading, name: str) -> Offering:
    offered = await tx.find(Offering, broker_id=BUILTIN, gone=False)
    for offering in offered:
        if offering.name == name:
            return offering
    known = ", ".join(sorted(o.name for o in offered)) or "-"
    raise invalid_field("name", "service_unknown", service=name[:100], known=known)


async def _named_plans(tx: Reading, offering: Offering, names: Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    plans = await tx.find(ServicePlan, offering_id=offering.id, gone=False)
    by_name = {plan.name: plan.id for plan in plans}
    known = ", ".join(p.name for p in sorted(plans, key=lambda p: p.position))
    faults = [
        FieldError(f"plans.{place}", "plan_unknown", {"plan": name[:100], "known": known})
        for place, name in enumerate(names)
        if name not in by_name
    ]
    if faults:
        raise Invalid("validation_failed", details=faults[:20])
    return tuple(dict.fromkeys(by_name[name] for name in names))


async def find_access(tx: Reading, organization_id: str, ref: str) -> ServiceAccess | None:
    """An organisation's service by its id, or by its name."""
    own = await tx.find(ServiceAccess, organization_id=organization_id)
    for access in own:
        if access.id == ref:
            return access
    named = await tx.find(Offering, name=ref, id=[a.offering_id for a in own]) if own else []
    return next((a for a in own if named and a.offering_id == named[0].id), None)


async def list_access(
    context: Context, organization_id: str, *, after: str | None = None, limit: int = 50
) -> list[OfferingView]:
    async with context.database.reading() as tx:
        await show_in(tx, context, Organization, organization_id)
        found = await tx.find(ServiceAccess, organization_id=organization_id, after=after, limit=limit)
        return await view_access(tx, found)


async def show_access(context: Context, organization_id: str, ref: str) -> OfferingView:
    """Raises `NotFound("organization_not_found")`, `NotFound("service_not_found")`."""
    async with context.database.reading() as tx:
        await show_in(tx, context, Organization, organization_id)
        found = await find_access(tx, organization_id, ref)
        if found is None:
            raise NotFound("service_not_found", service=ref)
        return (await view_access(tx, [found]))[0]


async def disable(context: Context, organization_id: str, ref: str) -> None:
    """Takes it out of the organisation again. Raises `Conflict("service_in_use")` while there are instances of it."""
    async with context.database.writing() as tx:
        organization = await show_in(tx, context, Organization, organization_id)
        place = place_of_node(organization)
        _require_write(context, place)
        seen = await find_access(tx, organization_id, ref)
        # Held against `create_service`, which holds it, too.
        access = await tx.lock(ServiceAccess, seen.id) if seen is not None else None
        if access is None:
            raise NotFound("service_not_found", service=ref)
        offering = await tx.one(Offering, access.offering_id)
        name = offering.name if offering is not None else access.id
        count = await tx.count(ServiceInstance, organization_id=organization_id, offering_id=access.offering_id)
        if count:
            raise Conflict("service_in_use", service=name, count=count)
        await tx.delete(ServiceAccess, id=access.id)
        await context.event(
            tx, "service:disable", place=place, object_id=access.id, object_name=name, data={"service": name}
        )
