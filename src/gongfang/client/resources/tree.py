"""Where things stand: tenants (租户), organisations (组织), spaces (空间), and a tenant's domains."""

from typing import Any

from gongfang.client.pages import Pages
from gongfang.client.resources.base import Resource, given, part
from gongfang.wire.models import DomainOut, OrganizationOut, SpaceOut, TenantOut


class Tenants(Resource):
    """`client.tenants`."""

    def list(self, *, page_size: int | None = None) -> Pages[TenantOut]:
        return self._list("/tenants", TenantOut, page_size=page_size)

    def create(self, name: str, *, timezone: str | None = None) -> TenantOut:
        return self._post("/tenants", TenantOut, given(name=name, timezone=timezone))

    def get(self, tenant_id: str) -> TenantOut:
        return self._get(f"/tenants/{part(tenant_id)}", TenantOut)

    def change(
        self, tenant_id: str, *, name: str | None = None, timezone: str | None = None, if_match: str | None = None
    ) -> TenantOut:
        body = given(name=name, timezone=timezone)
        return TenantOut.model_validate(self._patch(f"/tenants/{part(tenant_id)}", body, if_match=if_match).data)

    def remove(self, tenant_id: str) -> None:
        """Only an empty one can be removed."""
        self._delete(f"/tenants/{part(tenant_id)}")

    def domains(self, tenant_id: str, *, page_size: int | None = None) -> Pages[DomainOut]:
        """5.1(10) 域名详情."""
        return self._list(f"/tenants/{part(tenant_id)}/domains", DomainOut, page_size=page_size)


class Organizations(Resource):
    """`client.organizations`."""

    def list(self, *, tenant_id: str | None = None, page_size: int | None = None) -> Pages[OrganizationOut]:
        return self._list("/organizations", OrganizationOut, {"tenant_id": tenant_id}, page_size)

    def create(self, name: str, *, tenant_id: str | None = None) -> OrganizationOut:
        return self._post("/organizations", OrganizationOut, given(name=name, tenant_id=tenant_id))

    def get(self, organization_id: str) -> OrganizationOut:
        return self._get(f"/organizations/{part(organization_id)}", OrganizationOut)

    def change(self, organization_id: str, *, name: str, if_match: str | None = None) -> OrganizationOut:
        answer = self._patch(f"/organizations/{part(organization_id)}", {"name": name}, if_match=if_match)
        return OrganizationOut.model_validate(answer.data)

    def remove(self, organization_id: str) -> None:
        """Only an empty one can be removed."""
        self._delete(f"/organizations/{part(organization_id)}")


class Spaces(Resource):
    """`client.spaces`."""

    def list(self, *, organization_id: str | None = None, page_size: int | None = None) -> Pages[SpaceOut]:
        return self._list("/spaces", SpaceOut, {"organization_id": organization_id}, page_size)

    def create(self, name: str, *, organization_id: str | None = None) -> SpaceOut:
        return self._post("/spaces", SpaceOut, given(name=name, organization_id=organization_id))

    def get(self, space_id: str) -> SpaceOut:
        return self._get(f"/spaces/{part(space_id)}", SpaceOut)

    def change(self, space_id: str, *, name: str, if_match: str | None = None) -> SpaceOut:
        return SpaceOut.model_validate(self._patch(f"/spaces/{part(space_id)}", {"name": name}, if_match=if_match).data)

    def remove(self, space_id: str) -> None:
        """Only an empty one can be removed."""
        self._delete(f"/spaces/{part(space_id)}")


class Domains(Resource):
    """`client.domains`."""

    def list(self, *, page_size: int | None = None) -> Pages[DomainOut]:
        return self._list("/domains", DomainOut, page_size=page_size)

    def create(
        self, domain: str, *, icp_number: str | None = None, app_id: str | None = None, tenant_id: str | None = None
    ) -> DomainOut:
        """5.1(11) 绑定域名: binds a domain to its ICP filing and, here, to an app."""
        body = given(domain=domain, icp_number=icp_number, app_id=app_id, tenant_id=tenant_id)
        return self._post("/domains", DomainOut, body)

    def get(self, domain_id: str) -> DomainOut:
        return self._get(f"/domains/{part(domain_id)}", DomainOut)

    def change(self, domain_id: str, **change: Any) -> DomainOut:
        """`https` (`off`, `optional`, `redirect`), `hsts_max_age_s` (None: no HSTS), `hsts_subdomains`."""
        return DomainOut.model_validate(self._patch(f"/domains/{part(domain_id)}", change).data)

    def remove(self, domain_id: str) -> None:
        self._delete(f"/domains/{part(domain_id)}")
