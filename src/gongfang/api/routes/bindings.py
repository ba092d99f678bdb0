"""Apps bound to service instances, and what they get of it."""

from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present_services import binding_out, environment_out
from gongfang.api.settle import Wait, settle_binding, settle_operation
from gongfang.operations import bindings
from gongfang.wire.envelope import Page
from gongfang.wire.models import OnlyOperation
from gongfang.wire.services import BindingOut, BindingRequest, BindingWithOperation, BoundEnvironmentOut

routes = Routes("services")

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The binding's ETag; 412 where it has changed since")
]


@routes.add(
    "POST",
    "/apps/{app_id}/bindings",
    BindingWithOperation,
    "Bind a service",
    "服务绑定",
    status=202,
    clause="5.1(8)",
)
async def bind_service(call: Call, app_id: str, body: BindingRequest, wait: Wait = None) -> Response:
    """The app gets credentials of its own, as variables and as files. A started app is replaced by one that has them,
    without a gap; a stopped one has them at its next start."""
    view, operation = await bindings.bind(call.context, app_id, body)
    return await settle_binding(call, view, operation, wait)


@routes.add("GET", "/apps/{app_id}/bindings", Page[BindingOut], "List an app's bindings", "应用的服务绑定")
async def list_bindings(call: Call, app_id: str, pages: Pages) -> Response:
    found = await bindings.list_bindings(call.context, app_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda v: v.binding.id, lambda v: binding_out(v, call.language)))


@routes.add("GET", "/apps/{app_id}/bindings/{service_instance_id}", BindingOut, "Show a binding", "查看服务绑定")
async def show_binding(call: Call, app_id: str, service_instance_id: str) -> Response:
    """By the service instance's id or name."""
    view = await bindings.show_binding(call.context, app_id, service_instance_id)
    return call.ok(binding_out(view, call.language), etag=bindings.binding_etag(view.binding))


@routes.add(
    "DELETE",
    "/apps/{app_id}/bindings/{service_instance_id}",
    OnlyOperation,
    "Unbind a service",
    "服务解绑定",
    status=202,
    clause="5.1(9)",
)
async def unbind_service(
    call: Call, app_id: str, service_instance_id: str, if_match: IfMatch = None, wait: Wait = None
) -> Response:
    """The credentials and the connections made with them end at once; a started app is replaced by one without them."""
    operation = await bindings.unbind(call.context, app_id, service_instance_id, if_match=if_match)
    return await settle_operation(call, operation, wait)


@routes.add(
    "POST",
    "/apps/{app_id}/bindings/{service_instance_id}/rotate",
    BindingWithOperation,
    "Give an app new credentials",
    "更换绑定凭据",
    status=202,
)
async def rotate_binding(
    call: Call, app_id: str, service_instance_id: str, if_match: IfMatch = None, wait: Wait = None
) -> Response:
    """A new binding takes over from the old one: the app is replaced, instance by instance, by one with the new
    credentials, and when it runs, the old ones end. Where it does not come up, it keeps the old ones."""
    view, operation = await bindings.rotate(call.context, app_id, service_instance_id, if_match=if_match)
    return await settle_binding(call, view, operation, wait)


@routes.add(
    "GET",
    "/apps/{app_id}/services/{service_instance_id}/environment",
    BoundEnvironmentOut,
    "Show a service's environment",
    "获取环境变量",
    clause="5.4(4)",
)
async def show_bound_environment(call: Call, app_id: str, service_instance_id: str) -> Response:
    """What the app gets of the binding. Values are `***` for those who may see neither the app's secrets nor the
    service's."""
    return call.ok(environment_out(await bindings.environment(call.context, app_id, service_instance_id)))
