"""Service keys: credentials of service instances for people."""

from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.documented import may_be_ambiguous
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present_services import key_out
from gongfang.api.settle import Wait, settle_key, settle_operation
from gongfang.operations import service_keys
from gongfang.wire.envelope import Page
from gongfang.wire.models import OnlyOperation
from gongfang.wire.services import KeyOut, KeyRequest, KeyWithOperation

routes = Routes("services")


@routes.add(
    "POST",
    "/service-instances/{service_instance_id}/keys",
    KeyWithOperation,
    "Create a service key",
    "创建服务密钥",
    status=202,
)
async def create_service_key(call: Call, service_instance_id: str, body: KeyRequest, wait: Wait = None) -> Response:
    """Credentials for a person, or for a program outside of the platform; they are no app's. Once the operation has
    ended, the key shows them."""
    view, operation = await service_keys.create_key(call.context, service_instance_id, body)
    return await settle_key(call, view, operation, wait)


@routes.add(
    "GET",
    "/service-instances/{service_instance_id}/keys",
    Page[KeyOut],
    "List service keys",
    "服务密钥列表",
    responses=may_be_ambiguous(),
)
async def list_service_keys(call: Call, service_instance_id: str, pages: Pages) -> Response:
    """Without their credentials."""
    found = await service_keys.list_keys(call.context, service_instance_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda v: v.binding.id, lambda v: key_out(v, call.language)))


@routes.add("GET", "/service-keys/{key_id}", KeyOut, "Show a service key", "查看服务密钥")
async def show_service_key(call: Call, key_id: str) -> Response:
    """With its credentials, for those who may change services."""
    view, full = await service_keys.show_key(call.context, key_id)
    return call.ok(key_out(view, call.language, full=full))


@routes.add("DELETE", "/service-keys/{key_id}", OnlyOperation, "Delete a service key", "删除服务密钥", status=202)
async def delete_service_key(call: Call, key_id: str, wait: Wait = None) -> Response:
    """Its credentials and the connections made with them end."""
    return await settle_operation(call, await service_keys.delete_key(call.context, key_id), wait)
