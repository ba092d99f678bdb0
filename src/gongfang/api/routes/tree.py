"""Tenants, organisations and spaces."""

from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.domain.values import Organization, Space, Tenant
from gongfang.operations import tree
from gongfang.wire.envelope import Page
from gongfang.wire.models import (
    OrganizationOut,
    OrganizationRequest,
    SpaceOut,
    SpaceRequest,
    TenantOut,
    TenantRequest,
    TreeChange,
)

routes = Routes("tree")


@routes.add("GET", "/tenants", Page[TenantOut], "List tenants", "租户列表")
async def list_tenants(call: Call, pages: Pages) -> Response:
    found = await tree.list_nodes(call.context, Tenant, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda n: n.id, TenantOut.model_validate))


@routes.add("POST", "/tenants", TenantOut, "Create a tenant", "创建租户", status=201)
async def create_tenant(call: Call, body: TenantRequest) -> Response:
    """For the platform's administrators."""
    return call.ok(TenantOut.model_validate(await tree.create_tenant(call.context, body)), status=201)


@routes.add("GET", "/tenants/{tenant_id}", TenantOut, "Show a tenant", "查看租户")
async def show_tenant(call: Call, tenant_id: str) -> Response:
    return call.ok(TenantOut.model_validate(await tree.show_node(call.context, Tenant, tenant_id)))


@routes.add("PATCH", "/tenants/{tenant_id}", TenantOut, "Change a tenant", "修改租户")
async def change_tenant(call: Call, tenant_id: str, body: TreeChange) -> Response:
    return call.ok(TenantOut.model_validate(await tree.change_node(call.context, Tenant, tenant_id, body)))


@routes.add("DELETE", "/tenants/{tenant_id}", None, "Delete an empty tenant", "删除空的租户")
async def delete_tenant(call: Call, tenant_id: str) -> Response:
    await tree.delete_node(call.context, Tenant, tenant_id)
    return call.ok()


@routes.add("GET", "/organizations", Page[OrganizationOut], "List organizations", "组织列表")
async def list_organizations(call: Call, pages: Pages, tenant_id: str | None = None) -> Response:
    found = await tree.list_nodes(
        call.context, Organization, after=pages.after, limit=pages.one_more, tenant_id=tenant_id
    )
    return call.ok(pages.page(found, lambda n: n.id, OrganizationOut.model_validate))


@routes.add("POST", "/organizations", OrganizationOut, "Create an organization", "创建组织", status=201)
async def create_organization(call: Call, body: OrganizationRequest) -> Response:
    """In the tenant given, else the only one or the one called `default`."""
    return call.ok(OrganizationOut.model_validate(await tree.create_organization(call.context, body)), status=201)


@routes.add("GET", "/organizations/{organization_id}", OrganizationOut, "Show an organization", "查看组织")
async def show_organization(call: Call, organization_id: str) -> Response:
    return call.ok(OrganizationOut.model_validate(await tree.show_node(call.context, Organization, organization_id)))


@routes.add("PATCH", "/organizations/{organization_id}", OrganizationOut, "Change an organization", "修改组织")
async def change_organization(call: Call, organization_id: str, body: TreeChange) -> Response:
    return call.ok(
        OrganizationOut.model_validate(await tree.change_node(call.context, Organization, organization_id, body))
    )


@routes.add("DELETE", "/organizations/{organization_id}", None, "Delete an empty organization", "删除空的组织")
async def delete_organization(call: Call, organization_id: str) -> Response:
    await tree.delete_node(call.context, Organization, organization_id)
    return call.ok()


@routes.add("GET", "/spaces", Page[SpaceOut], "List spaces", "空间列表")
async def list_spaces(call: Call, pages: Pages, organization_id: str | None = None) -> Response:
    found = await tree.list_nodes(
        call.context, Space, after=pages.after, limit=pages.one_more, organization_id=organization_id
    )
    return call.ok(pages.page(found, lambda n: n.id, SpaceOut.model_validate))


@routes.add("POST", "/spaces", SpaceOut, "Create a space", "创建空间", status=201)
async def create_space(call: Call, body: SpaceRequest) -> Response:
    """In the organisation given, else the only one or the one called `default`."""
    return call.ok(SpaceOut.model_validate(await tree.create_space(call.context, body)), status=201)


@routes.add("GET", "/spaces/{space_id}", SpaceOut, "Show a space", "查看空间")
async def show_space(call: Call, space_id: str) -> Response:
    return call.ok(SpaceOut.model_validate(await tree.show_node(call.context, Space, space_id)))


@routes.add("PATCH", "/spaces/{space_id}", SpaceOut, "Change a space", "修改空间")
async def change_space(call: Call, space_id: str, body: TreeChange) -> Response:
    return call.ok(SpaceOut.model_validate(await tree.change_node(call.context, Space, space_id, body)))


@routes.add("DELETE", "/spaces/{space_id}", None, "Delete an empty space", "删除空的空间")
async def delete_space(call: Call, space_id: str) -> Response:
    await tree.delete_node(call.context, Space, space_id)
    return call.ok()
