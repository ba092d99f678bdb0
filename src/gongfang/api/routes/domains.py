"""Domains of tenants, and their attachment to apps (5.1(10) to 5.1(12))."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import domain_out
from gongfang.operations import domains
from gongfang.wire.certificates import DomainChange
from gongfang.wire.envelope import Page
from gongfang.wire.models import DomainOut, DomainRequest

routes = Routes("domains")


@routes.add("POST", "/domains", DomainOut, "Bind a domain to its ICP number", "绑定域名", status=201, clause="5.1(11)")
async def bind_domain(call: Call, body: DomainRequest) -> Response:
    """And, where `app_id` is given, attach it to that app. The tenant's own domain again: its number is changed."""
    return call.ok(domain_out(await domains.bind_domain(call.context, body)), status=201)


@routes.add("GET", "/domains", Page[DomainOut], "List domains", "域名列表")
async def list_domains(
    call: Call, pages: Pages, tenant_id: Annotated[str | None, Query(description="Only this tenant's")] = None
) -> Response:
    found = await domains.list_domains(call.context, tenant_id=tenant_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda d: d.id, domain_out))


@routes.add(
    "GET", "/tenants/{tenant_id}/domains", Page[DomainOut], "List a tenant's domains", "域名详情", clause="5.1(10)"
)
async def list_tenant_domains(call: Call, tenant_id: str, pages: Pages) -> Response:
    """`app_id` is empty where the caller may not read the app that has the domain."""
    found = await domains.list_domains(call.context, tenant_id=tenant_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda d: d.id, domain_out))


@routes.add("GET", "/domains/{domain_id}", DomainOut, "Show a domain", "查看域名")
async def show_domain(call: Call, domain_id: str) -> Response:
    return call.ok(domain_out(await domains.show_domain(call.context, domain_id)))


@routes.add("PATCH", "/domains/{domain_id}", DomainOut, "Change how a domain is served", "设置域名的 HTTPS")
async def change_domain(call: Call, domain_id: str, body: DomainChange) -> Response:
    """`https` and HSTS. They take effect while a valid certificate is served for the domain; see `tls`."""
    return call.ok(domain_out(await domains.change_domain(call.context, domain_id, body)))


@routes.add("DELETE", "/domains/{domain_id}", None, "Forget a domain", "删除域名")
async def delete_domain(call: Call, domain_id: str) -> Response:
    """Detached first where it is attached. An app's own default address is not deleted: 409."""
    await domains.delete_domain(call.context, domain_id)
    return call.ok()


@routes.add("PUT", "/apps/{app_id}/domains/{domain_id}", DomainOut, "Attach a domain to an app", "为应用绑定已有域名")
async def attach_domain(call: Call, app_id: str, domain_id: str) -> Response:
    return call.ok(domain_out(await domains.attach_domain(call.context, app_id, domain_id)))


@routes.add(
    "DELETE", "/apps/{app_id}/domains/{domain_id}", None, "Detach a domain from an app", "解绑域名", clause="5.1(12)"
)
async def detach_domain(call: Call, app_id: str, domain_id: str) -> Response:
    """The domain stays the tenant's, with its filing number."""
    await domains.detach_domain(call.context, app_id, domain_id)
    return call.ok()
