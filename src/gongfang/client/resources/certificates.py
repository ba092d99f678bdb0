"""Certificates of tenants and of the platform."""

from gongfang.client.pages import Pages
from gongfang.client.resources.base import Resource, given, part
from gongfang.wire.certificates import CertificateOut


class Certificates(Resource):
    """`client.certificates`. `certificate` and `private_key` are PEM texts."""

    def list(self, *, tenant_id: str | None = None, page_size: int | None = None) -> Pages[CertificateOut]:
        return self._list("/certificates", CertificateOut, {"tenant_id": tenant_id}, page_size)

    def add(
        self, certificate: str, private_key: str, *, tenant_id: str | None = None, platform: bool | None = None
    ) -> CertificateOut:
        """It serves every domain of the tenant that its names cover. `platform`: for names under the base domain."""
        body = given(certificate=certificate, private_key=private_key, tenant_id=tenant_id, platform=platform)
        return self._post("/certificates", CertificateOut, body)

    def get(self, certificate_id: str) -> CertificateOut:
        return self._get(f"/certificates/{part(certificate_id)}", CertificateOut)

    def replace(
        self, certificate_id: str, certificate: str, private_key: str, *, force: bool | None = None
    ) -> CertificateOut:
        """In place; no connection is dropped. `force`: also where domains are left without a certificate by it."""
        body = given(certificate=certificate, private_key=private_key, force=force)
        answer = self._http.call("PUT", f"/certificates/{part(certificate_id)}", json=body)
        return CertificateOut.model_validate(answer.data)

    def remove(self, certificate_id: str) -> None:
        """Its domains go on with another one that fits, or without HTTPS."""
        self._delete(f"/certificates/{part(certificate_id)}")
