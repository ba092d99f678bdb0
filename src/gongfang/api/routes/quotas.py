"""Quotas of organisations and spaces."""

from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.domain.values import Organization, Space
from gongfang.operations import quotas
from gongfang.wire.quotas import QuotaOut, QuotaRequest

routes = Routes("tree")


@routes.add("GET", "/organizations/{organization_id}/quota", QuotaOut, "Show an organization's quota", "查看组织配额")
async def show_organization_quota(call: Call, organization_id: str) -> Response:
    """Limits, and what is used of them: apps, and of the started ones the wanted instances and their memory."""
    return call.ok(QuotaOut.model_validate(await quotas.show_quota(call.context, Organization, organization_id)))


@routes.add("PUT", "/organizations/{organization_id}/quota", QuotaOut, "Set an organization's quota", "设置组织配额")
async def set_organization_quota(call: Call, organization_id: str, body: QuotaRequest) -> Response:
    """By the administrators of its tenant or of the platform. Less than is used is allowed, and stops only growth."""
    view = await quotas.set_quota(call.context, Organization, organization_id, body)
    return call.ok(QuotaOut.model_validate(view))


@routes.add("GET", "/spaces/{space_id}/quota", QuotaOut, "Show a space's quota", "查看空间配额")
async def show_space_quota(call: Call, space_id: str) -> Response:
    """Limits, and what is used of them. The quota of the organisation above holds as well."""
    return call.ok(QuotaOut.model_validate(await quotas.show_quota(call.context, Space, space_id)))


@routes.add("PUT", "/spaces/{space_id}/quota", QuotaOut, "Set a space's quota", "设置空间配额")
async def set_space_quota(call: Call, space_id: str, body: QuotaRequest) -> Response:
    """By the administrators of its organisation, its tenant or the platform."""
    return call.ok(QuotaOut.model_validate(await quotas.set_quota(call.context, Space, space_id, body)))
