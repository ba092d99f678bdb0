"""Middleware: services that organisations may use, and service instances. Bindings are in `bindings`."""

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.documented import may_be_ambiguous
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present_services import (
    binding_out,
    catalogue_out,
    service_instance_out,
    service_out,
    status_out,
)
from gongfang.api.settle import Wait, settle_operation, settle_service
from gongfang.domain.services import ServiceState
from gongfang.operations import bindings, service_access, services, user_provided
from gongfang.wire.envelope import Envelope, Page
from gongfang.wire.models import OnlyOperation
from gongfang.wire.services import (
    BindingOut,
    CatalogueOut,
    ConfigurationRequest,
    ServiceChange,
    ServiceInstanceOut,
    ServiceInstanceRequest,
    ServiceOut,
    ServiceRequest,
    ServiceStatusOut,
    ServiceWithOperation,
)

routes = Routes("services")

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The instance's ETag; 412 where it has changed since")
]


# --- what may be used ------------------------------------------------------------------------------------------------


@routes.add("GET", "/services", Page[CatalogueOut], "List the platform's services", "平台服务目录")
async def list_catalogue(call: Call, pages: Pages) -> Response:
    """What the platform runs itself, and whether this machine can."""
    found = await service_access.catalogue(call.context, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda v: v.offering.id, lambda v: catalogue_out(v, call.language)))


@routes.add(
    "POST",
    "/organizations/{organization_id}/services",
    ServiceOut,
    "Bring in a service",
    "服务接入",
    status=201,
    clause="5.4(1)",
    responses={200: {"model": Envelope[ServiceOut], "description": "The organisation had it already. 组织已有该服务"}},
)
async def enable_service(call: Call, organization_id: str, body: ServiceRequest) -> Response:
    """An organisation uses what was brought into it. Twice is the same as once."""
    view, made = await service_access.enable(call.context, organization_id, body)
    return call.ok(service_out(view, call.language), status=201 if made else 200)


@routes.add(
    "GET",
    "/organizations/{organization_id}/services",
    Page[ServiceOut],
    "List an organisation's services",
    "组织的服务",
)
async def list_services(call: Call, organization_id: str, pages: Pages) -> Response:
    found = await service_access.list_access(call.context, organization_id, after=pages.after, limit=pages.one_more)
    return call.ok(
        pages.page(found, lambda v: v.access.id if v.access else "", lambda v: service_out(v, call.language))
    )


@routes.add(
    "GET",
    "/organizations/{organization_id}/services/{service_id}",
    ServiceOut,
    "Show an organisation's service",
    "查看组织的服务",
)
async def show_service(call: Call, organization_id: str, service_id: str) -> Response:
    """By its id, or by its name."""
    return call.ok(
        service_out(await service_access.show_access(call.context, organization_id, service_id), call.language)
    )


@routes.add(
    "DELETE", "/organizations/{organization_id}/services/{service_id}", None, "Take a service out", "移除组织的服务"
)
async def disable_service(call: Call, organization_id: str, service_id: str) -> Response:
    """Refused while there are instances of it."""
    await service_access.disable(call.context, organization_id, service_id)
    return call.ok()


# --- service instances -----------------------------------------------------------------------------------------------


@routes.add(
    "POST",
    "/spaces/{space_id}/service-instances",
    ServiceWithOperation,
    "Create a service instance",
    "创建服务",
    status=202,
    clause="5.4(2)",
)
async def create_service_instance(
    call: Call, space_id: str, body: ServiceInstanceRequest, wait: Wait = None
) -> Response:
    """Of a service that the organisation has. `user-provided` is one that somebody else runs: its credentials are given
    here, and it needs no bringing in."""
    view, operation = await services.create_service(call.context, space_id, body)
    return await settle_service(call, view, operation, wait)


@routes.add("GET", "/service-instances", Page[ServiceInstanceOut], "List service instances", "服务实例列表")
async def list_service_instances(
    call: Call,
    pages: Pages,
    space_id: str | None = None,
    organization_id: str | None = None,
    service: Annotated[str | None, Query(description="The service's name")] = None,
    state: ServiceState | None = None,
    name: str | None = None,
) -> Response:
    found = await services.list_services(
        call.context,
        space_id=space_id,
        organization_id=organization_id,
        service=service,
        state=state,
        name=name,
        after=pages.after,
        limit=pages.one_more,
    )
    return call.ok(pages.page(found, lambda v: v.instance.id, lambda v: service_instance_out(v, call.language)))


@routes.add(
    "GET",
    "/service-instances/{service_instance_id}",
    ServiceInstanceOut,
    "Show a service instance",
    "查看服务实例",
    responses=may_be_ambiguous(),
)
async def show_service_instance(call: Call, service_instance_id: str) -> Response:
    """By its id, or by its name where the caller sees only one of it. Parameters' values are shown to those who may
    change them."""
    view = await services.show_service(call.context, service_instance_id)
    return call.ok(service_instance_out(view, call.language), etag=services.service_etag(view.instance))


@routes.add(
    "PATCH",
    "/service-instances/{service_instance_id}",
    ServiceInstanceOut,
    "Change a service instance",
    "修改服务实例",
)
async def change_service_instance(
    call: Call, service_instance_id: str, body: ServiceChange, if_match: IfMatch = None
) -> Response:
    """Its name, its tags, and of a user-provided one its credentials, as a whole. Apps that are bound get changed
    credentials as they get new ones: they are replaced, instance by instance."""
    view = await user_provided.change_service(call.context, service_instance_id, body, if_match=if_match)
    return call.ok(service_instance_out(view, call.language), etag=services.service_etag(view.instance))


@routes.add(
    "POST",
    "/service-instances/{service_instance_id}/configuration",
    ServiceWithOperation,
    "Configure a service",
    "服务配置",
    status=202,
    clause="5.4(3)",
)
async def configure_service(
    call: Call,
    service_instance_id: str,
    body: ConfigurationRequest,
    if_match: IfMatch = None,
    wait: Wait = None,
) -> Response:
    """Another plan, other parameters, or both. Its id, its address and the credentials of its bindings stay."""
    view, operation = await services.configure_service(call.context, service_instance_id, body, if_match=if_match)
    return await settle_service(call, view, operation, wait)


@routes.add(
    "DELETE",
    "/service-instances/{service_instance_id}",
    OnlyOperation,
    "Delete a service instance",
    "删除服务",
    status=202,
    clause="5.4(5)",
)
async def delete_service(
    call: Call,
    service_instance_id: str,
    force: Annotated[bool, Query(description="Unbind it from its apps first")] = False,
    if_match: IfMatch = None,
    wait: Wait = None,
) -> Response:
    """With all its data. Refused while something is bound to it."""
    operation = await services.delete_service(call.context, service_instance_id, force=force, if_match=if_match)
    return await settle_operation(call, operation, wait)


@routes.add(
    "GET",
    "/service-instances/{service_instance_id}/status",
    ServiceStatusOut,
    "Show a service's state",
    "服务运行状态",
    clause="5.4(6)",
    responses=may_be_ambiguous(),
)
async def show_service_status(call: Call, service_instance_id: str) -> Response:
    """Live: where it answers, and what it takes."""
    view = await services.service_status(call.context, service_instance_id)
    figures = call.services.service_figures(view.view.instance.id) if view.hosted is not None else None
    return call.ok(status_out(view, figures, call.language))


@routes.add(
    "GET",
    "/service-instances/{service_instance_id}/bindings",
    Page[BindingOut],
    "List what is bound to a service",
    "服务实例的绑定",
    responses=may_be_ambiguous(),
)
async def list_service_bindings(call: Call, service_instance_id: str, pages: Pages) -> Response:
    found = await bindings.list_service_bindings(
        call.context, service_instance_id, after=pages.after, limit=pages.one_more
    )
    return call.ok(pages.page(found, lambda v: v.binding.id, lambda v: binding_out(v, call.language)))
