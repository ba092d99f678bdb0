"""What answers about middleware show: rows and the names that belong beside them, gathered in few queries."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gongfang.domain.hosting import HostedInstance
from gongfang.domain.services import (
    BUILTIN,
    Offering,
    ServiceAccess,
    ServiceBinding,
    ServiceBroker,
    ServiceInstance,
    ServicePlan,
)
from gongfang.domain.values import App
from gongfang.state import Reading


@dataclass(frozen=True, slots=True)
class OfferingView:
    """A service of a catalogue with the plans that are seen. `access`: an organisation's, None in the catalogue."""

    offering: Offering
    plans: tuple[ServicePlan, ...]
    broker: ServiceBroker | None
    access: ServiceAccess | None = None


@dataclass(frozen=True, slots=True)
class BindingView:
    """`rotatable`: whether its plan can give new credentials while the old ones still hold."""

    binding: ServiceBinding
    instance_name: str
    app_name: str | None
    rotatable: bool = False


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`service_id`: of the organisation's access, None where it was taken away. `full`: parameters with values."""

    instance: ServiceInstance
    offering: Offering | None
    plan: ServicePlan | None
    service_id: str | None
    bindings: tuple[BindingView, ...]
    full: bool = False


@dataclass(frozen=True, slots=True)
class StatusView:
    """`hosted`: the server, where it is one of our own. `host`, `port`: where it answers, as far as that is known."""

    view: ServiceView
    hosted: HostedInstance | None
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class BoundEnvironment:
    """What an app gets of one binding. `masked`: every value is `***`."""

    host: str | None
    port: int | None
    environment: Mapping[str, str] = field(repr=False)
    files: tuple[str, ...]
    masked: bool


async def _by_id(tx: Reading, noun: type[Any], ids: Iterable[str | None]) -> dict[str, Any]:
    wanted = sorted({i for i in ids if i is not None})
    return {value.id: value for value in await tx.find(noun, id=wanted)} if wanted else {}


async def view_offerings(
    tx: Reading, offerings: Sequence[Offering], access: Mapping[str, ServiceAccess] | None = None
) -> list[OfferingView]:
    """`access`: by the offering's id. Plans in the catalogue's order, without those that are gone or not seen."""
    if not offerings:
        return []
    plans: defaultdict[str, list[ServicePlan]] = defaultdict(list)
    for plan in await tx.find(ServicePlan, offering_id=[o.id for o in offerings], gone=False):
        seen = access[plan.offering_id].plans if access is not None else None
        if seen is None or plan.id in seen:
            plans[plan.offering_id].append(plan)
    brokers = await _by_id(tx, ServiceBroker, (o.broker_id for o in offerings))
    return [
        OfferingView(
            offering=offering,
            plans=tuple(sorted(plans[offering.id], key=lambda p: (p.position, p.id))),
            broker=brokers.get(offering.broker_id),
            access=access[offering.id] if access is not None else None,
        )
        for offering in offerings
    ]


async def view_access(tx: Reading, access: Sequence[ServiceAccess]) -> list[OfferingView]:
    """Of one organisation, in the order given."""
    by_offering = {a.offering_id: a for a in access}
    offerings = await _by_id(tx, Offering, by_offering)
    return await view_offerings(tx, [offerings[a.offering_id] for a in access], by_offering)


async def view_bindings(tx: Reading, bindings: Sequence[ServiceBinding]) -> list[BindingView]:
    if not bindings:
        return []
    instances = await _by_id(tx, ServiceInstance, (b.service_instance_id for b in bindings))
    apps = await _by_id(tx, App, (b.app_id for b in bindings))
    plans = await _by_id(tx, ServicePlan, (i.plan_id for i in instances.values()))
    views: list[BindingView] = []
    for binding in bindings:
        instance = instances[binding.service_instance_id]
        plan = plans.get(instance.plan_id or "")
        app = apps.get(binding.app_id or "")
        rotatable = plan is not None and plan.binding_rotatable
        views.append(BindingView(binding, instance.name, app.name if app else None, rotatable))
    return views


async def view_services(
    tx: Reading, instances: Sequence[ServiceInstance], *, full: frozenset[str] = frozenset()
) -> list[ServiceView]:
    """`full`: ids of those whose parameters are shown with their values."""
    if not instances:
        return []
    offerings = await _by_id(tx, Offering, (i.offering_id for i in instances))
    plans = await _by_id(tx, ServicePlan, (i.plan_id for i in instances))
    organizations = sorted({i.organization_id for i in instances})
    access = await tx.find(ServiceAccess, organization_id=organizations, offering_id=sorted(offerings))
    services = {(a.organization_id, a.offering_id): a.id for a in access}
    bindings: defaultdict[str, list[BindingView]] = defaultdict(list)
    found = await tx.find(ServiceBinding, service_instance_id=[i.id for i in instances])
    for view in await view_bindings(tx, found):
        bindings[view.binding.service_instance_id].append(view)
    return [
        ServiceView(
            instance=instance,
            offering=offerings.get(instance.offering_id or ""),
            plan=plans.get(instance.plan_id or ""),
            service_id=services.get((instance.organization_id, instance.offering_id or "")),
            bindings=tuple(bindings[instance.id]),
            full=instance.id in full,
        )
        for instance in instances
    ]


__all__ = [
    "BUILTIN",
    "BindingView",
    "BoundEnvironment",
    "OfferingView",
    "ServiceView",
    "StatusView",
    "view_access",
    "view_bindings",
    "view_offerings",
    "view_services",
]
