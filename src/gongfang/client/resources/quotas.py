"""How much an organisation or a space may hold, and does."""

from gongfang.client.resources.base import Resource, part
from gongfang.wire.quotas import QuotaOut


class Quotas(Resource):
    """`client.quotas`."""

    def of_organization(self, organization_id: str) -> QuotaOut:
        return self._get(f"/organizations/{part(organization_id)}/quota", QuotaOut)

    def of_space(self, space_id: str) -> QuotaOut:
        return self._get(f"/spaces/{part(space_id)}/quota", QuotaOut)

    def set_organization(
        self,
        organization_id: str,
        *,
        apps: int | None = None,
        instances: int | None = None,
        memory_mb: int | None = None,
    ) -> QuotaOut:
        """All three at once; None: the platform's default."""
        return self._set(f"/organizations/{part(organization_id)}/quota", apps, instances, memory_mb)

    def set_space(
        self, space_id: str, *, apps: int | None = None, instances: int | None = None, memory_mb: int | None = None
    ) -> QuotaOut:
        """All three at once; None: the platform's default."""
        return self._set(f"/spaces/{part(space_id)}/quota", apps, instances, memory_mb)

    def _set(self, path: str, apps: int | None, instances: int | None, memory_mb: int | None) -> QuotaOut:
        body = {"apps": apps, "instances": instances, "memory_mb": memory_mb}
        return QuotaOut.model_validate(self._http.call("PUT", path, json=body).data)
