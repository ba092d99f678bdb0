"""Middleware as the models of the wire, in a language. Pure: what is shown was gathered before."""

from typing import Any, Protocol

import orjson

from gongfang.api.present import reason_out
from gongfang.domain.hosting import HostedInstance, HostedState
from gongfang.domain.messages import Language
from gongfang.domain.services import BUILTIN, USER_PROVIDED, BindingState, ServicePlan, ServiceState
from gongfang.operations.service_views import BindingView, BoundEnvironment, OfferingView, ServiceView, StatusView
from gongfang.wire import services as wire

MASKED = "***"


class Figures(Protocol):
    """What a server of our own is seen to take. None: not known yet."""

    @property
    def cores(self) -> float | None: ...
    @property
    def cpu_seconds(self) -> float | None: ...
    @property
    def limit_cores(self) -> float | None: ...
    @property
    def memory_bytes(self) -> int | None: ...
    @property
    def memory_limit_bytes(self) -> int | None: ...
    @property
    def storage_bytes(self) -> int | None: ...
    @property
    def storage_limit_bytes(self) -> int | None: ...
    @property
    def connections(self) -> int | None: ...
    @property
    def most_connections(self) -> int | None: ...


def _plan_out(plan: ServicePlan) -> wire.PlanOut:
    def figure(name: str) -> int | None:
        found = plan.metadata.get(name)
        return found if isinstance(found, int) else None

    return wire.PlanOut(
        id=plan.id,
        name=plan.name,
        description=plan.description,
        free=plan.free,
        memory_mb=plan.memory_mb or None,
        storage_mb=figure("storage_mb"),
        connections=figure("connections"),
        schemas=plan.schemas,
    )


def _offered(view: OfferingView, language: Language) -> dict[str, Any]:
    offering = view.offering
    return {
        "id": view.access.id if view.access is not None else offering.id,
        "name": offering.name,
        "description": offering.description,
        "broker": wire.BrokerRef(id=offering.broker_id, name=view.broker.name if view.broker else offering.broker_id),
        "tags": list(offering.tags),
        "bindable": offering.bindable,
        "available": offering.unavailable is None and not offering.gone,
        "reason": reason_out(offering.unavailable, language),
        "plans": [_plan_out(plan) for plan in view.plans],
        "metadata": offering.metadata,
    }


def catalogue_out(view: OfferingView, language: Language) -> wire.CatalogueOut:
    return wire.CatalogueOut(**_offered(view, language))


def service_out(view: OfferingView, language: Language) -> wire.ServiceOut:
    assert view.access is not None
    return wire.ServiceOut(
        **_offered(view, language),
        organization_id=view.access.organization_id,
        created_at=view.access.created_at,
        services=[view.offering.name],
    )


def _state(view: ServiceView) -> ServiceState:
    """What is to be deleted is shown as such from the moment that it is asked for."""
    return ServiceState.deleting if view.instance.deleting else view.instance.state


def service_instance_out(view: ServiceView, language: Language) -> wire.ServiceInstanceOut:
    instance, plan = view.instance, view.plan
    parameters: dict[str, Any] = orjson.loads(instance.parameters)
    maintenance = None
    if plan is not None and plan.maintenance_version is not None:
        newer = instance.maintenance_seen not in (None, plan.maintenance_version)
        maintenance = wire.MaintenanceOut(available=newer, version=plan.maintenance_version)
    return wire.ServiceInstanceOut(
        id=instance.id,
        name=instance.name,
        service=view.offering.name if view.offering is not None else USER_PROVIDED,
        plan=plan.name if plan is not None else None,
        service_id=view.service_id,
        space_id=instance.space_id,
        organization_id=instance.organization_id,
        tenant_id=instance.tenant_id,
        state=_state(view),
        reason=reason_out(instance.reason, language),
        parameters=parameters if view.full else dict.fromkeys(parameters, MASKED),
        tags=list(instance.tags),
        dashboard_url=instance.dashboard_url,
        bindings=[
            wire.ServiceBindingRef(
                id=b.binding.id,
                app_id=b.binding.app_id,
                app_name=b.app_name,
                name=b.binding.name,
                state=_binding_state(b),
            )
            for b in view.bindings
        ],
        shared_with=[],
        maintenance=maintenance,
        generation=instance.generation,
        observed_generation=instance.observed_generation,
        created_at=instance.created_at,
        updated_at=instance.updated_at,
        created_by=instance.created_by,
    )


def _binding_state(view: BindingView) -> BindingState:
    return BindingState.deleting if view.binding.deleting else view.binding.state


def binding_out(view: BindingView, language: Language) -> wire.BindingOut:
    """Never its credentials."""
    binding = view.binding
    return wire.BindingOut(
        id=binding.id,
        service_instance_id=binding.service_instance_id,
        service_instance_name=view.instance_name,
        app_id=binding.app_id,
        app_name=view.app_name,
        name=binding.name,
        state=_binding_state(view),
        reason=reason_out(binding.reason, language),
        variables=dict(binding.variables),
        rotatable=view.rotatable,
        expires_at=binding.expires_at,
        created_at=binding.created_at,
        created_by=binding.created_by,
    )


def key_out(view: BindingView, language: Language, *, full: bool = False) -> wire.KeyOut:
    """`full`: with its credentials, once they are there and until it is being deleted."""
    key = view.binding
    shown = full and not key.deleting and key.state is BindingState.ready and key.credentials is not None
    return wire.KeyOut(
        id=key.id,
        service_instance_id=key.service_instance_id,
        service_instance_name=view.instance_name,
        name=key.name,
        state=_binding_state(view),
        reason=reason_out(key.reason, language),
        credentials=orjson.loads(key.credentials) if shown and key.credentials else None,
        expires_at=key.expires_at,
        created_at=key.created_at,
        created_by=key.created_by,
    )


def environment_out(bound: BoundEnvironment) -> wire.BoundEnvironmentOut:
    return wire.BoundEnvironmentOut(
        host=bound.host,
        port=bound.port,
        environment=dict(bound.environment),
        files=list(bound.files),
        masked=bound.masked,
    )


def _server_state(view: StatusView, hosted: HostedInstance) -> str:
    if view.view.instance.deleting:
        return HostedState.deleting.value
    match hosted.state:
        case HostedState.ready:
            return "running"
        case HostedState.creating if hosted.initialized:
            return "starting"
        case state:
            return state.value


def _percent(part: float | None, whole: float | None) -> float | None:
    return round(100 * part / whole, 1) if part is not None and whole else None


def _amount(used: int | None, limit: int | None) -> wire.AmountOut:
    return wire.AmountOut(bytes=used, percent=_percent(used, limit), limit_bytes=limit)


def status_out(view: StatusView, figures: Figures | None, language: Language) -> wire.ServiceStatusOut:
    """`figures`: of a server that runs now."""
    instance, hosted = view.view.instance, view.hosted
    cpu = memory = storage = connections = None
    if figures is not None:
        cpu = wire.CpuOut(
            cores=figures.cores,
            percent=_percent(figures.cores, figures.limit_cores),
            seconds=figures.cpu_seconds,
            limit_cores=figures.limit_cores,
        )
        memory = _amount(figures.memory_bytes, figures.memory_limit_bytes)
        storage = _amount(figures.storage_bytes, figures.storage_limit_bytes)
        connections = wire.ConnectionsOut(used=figures.connections, most=figures.most_connections)
    return wire.ServiceStatusOut(
        id=instance.id,
        name=instance.name,
        host=view.host,
        port=view.port,
        state=_server_state(view, hosted) if hosted is not None else _state(view.view).value,
        reason=reason_out(hosted.reason if hosted is not None and hosted.reason else instance.reason, language),
        cpu=cpu,
        memory=memory,
        storage=storage,
        connections=connections,
        restarts=hosted.restarts if hosted is not None else 0,
        started_at=hosted.started_at if hosted is not None else None,
        ready_at=hosted.ready_at if hosted is not None else None,
        last_output=hosted.last_output if hosted is not None else None,
        version=hosted.version if hosted is not None else None,
        ports={},
    )


__all__ = [
    "BUILTIN",
    "Figures",
    "binding_out",
    "catalogue_out",
    "environment_out",
    "key_out",
    "service_instance_out",
    "service_out",
    "status_out",
]
