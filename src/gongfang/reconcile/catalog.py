"""The platform's own catalogue as rows."""

from dataclasses import fields
from typing import Any, cast

from gongfang.brokers.interface import Broker, CatalogOffering, CatalogPlan
from gongfang.domain.clock import Clock
from gongfang.domain.ids import new_id
from gongfang.domain.services import BUILTIN, Offering, ServiceBroker, ServicePlan
from gongfang.state import Database, Writing


async def sync_catalog(database: Database, builtin: Broker, clock: Clock) -> None:
    """At start: what the platform offers itself, as rows of the broker `builtin`. Ids stay; what is no longer offered
    is marked so, since instances may be of it."""
    catalog = await builtin.catalog()
    if catalog is None:
        return
    async with database.writing() as tx:
        if await tx.lock(ServiceBroker, BUILTIN) is None:
            await tx.insert(
                ServiceBroker(
                    *(BUILTIN, None, None, BUILTIN, None, None, None),
                    private=True,
                    created_at=clock(),
                    created_by=None,
                )
            )
        known = {o.catalog_id: o for o in await tx.find(Offering, broker_id=BUILTIN)}
        for offered in catalog.offerings:
            before = known.pop(offered.id, None)
            offering = _offering_row(offered, before.id if before is not None else new_id("off"))
            await _put(tx, offering, before)
            plans = {p.catalog_id: p for p in await tx.find(ServicePlan, offering_id=offering.id)}
            for position, plan in enumerate(offered.plans):
                was = plans.pop(plan.id, None)
                await _put(
                    tx, _plan_row(plan, offering.id, position, was.id if was is not None else new_id("pln")), was
                )
            for gone in plans.values():
                await tx.update(ServicePlan, gone.id, gone=True)
        for gone in known.values():
            await tx.update(Offering, gone.id, gone=True)
        await tx.update(ServiceBroker, BUILTIN, refreshed_at=clock())


async def _put(tx: Writing, value: Any, before: Any) -> None:
    """A new row, or what differs of one that is there."""
    if before is None:
        await tx.insert(value)
        return
    names = [f.name for f in fields(value)]
    changed = {name: getattr(value, name) for name in names if getattr(value, name) != getattr(before, name)}
    if changed:
        await tx.update(cast(type[Any], type(value)), value.id, **changed)


def _offering_row(offered: CatalogOffering, offering_id: str) -> Offering:
    return Offering(
        id=offering_id,
        broker_id=BUILTIN,
        catalog_id=offered.id,
        name=offered.name,
        description=offered.description,
        tags=offered.tags,
        requires=offered.requires,
        bindable=offered.bindable,
        instances_retrievable=offered.instances_retrievable,
        bindings_retrievable=offered.bindings_retrievable,
        allow_context_updates=offered.allow_context_updates,
        plan_updateable=offered.plan_updateable,
        metadata=offered.metadata,
        unavailable=offered.unavailable,
    )


def _plan_row(plan: CatalogPlan, offering_id: str, position: int, plan_id: str) -> ServicePlan:
    return ServicePlan(
        id=plan_id,
        offering_id=offering_id,
        catalog_id=plan.id,
        name=plan.name,
        description=plan.description,
        position=position,
        free=plan.free,
        bindable=plan.bindable,
        binding_rotatable=plan.binding_rotatable,
        plan_updateable=plan.plan_updateable,
        schemas=plan.schemas,
        maximum_polling_s=plan.maximum_polling_s,
        maintenance_version=plan.maintenance_version,
        maintenance_description=plan.maintenance_description,
        metadata=plan.metadata,
        memory_mb=plan.memory_mb,
    )
