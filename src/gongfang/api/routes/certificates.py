"""Certificates of tenants and of the platform."""

from math import floor
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.operations import certificates
from gongfang.operations.certificates import CertificateView
from gongfang.wire.certificates import CertificateOut, CertificateReplacement, CertificateRequest
from gongfang.wire.envelope import Page

routes = Routes("certificates")


def certificate_out(view: CertificateView) -> CertificateOut:
    certificate = view.certificate
    return CertificateOut(
        id=certificate.id,
        tenant_id=certificate.tenant_id,
        names=list(certificate.names),
        state=certificate.state(view.now),
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        days_left=floor((certificate.not_after - view.now).total_seconds() / 86400),
        domains=list(view.domains),
        subject=certificate.subject,
        issuer=certificate.issuer,
        serial_number=certificate.serial_number,
        fingerprint=certificate.fingerprint,
        key_type=certificate.key_type,
        created_at=certificate.created_at,
        updated_at=certificate.updated_at,
        created_by=certificate.created_by,
    )


@routes.add("POST", "/certificates", CertificateOut, "Upload a certificate", "上传证书", status=201)
async def add_certificate(call: Call, body: CertificateRequest) -> Response:
    """It serves every domain of the tenant that its names cover, as soon as the edge has it: see `tls` of the domains.
    The key is never shown again."""
    return call.ok(certificate_out(await certificates.add_certificate(call.context, body)), status=201)


@routes.add("GET", "/certificates", Page[CertificateOut], "List certificates", "证书列表")
async def list_certificates(
    call: Call, pages: Pages, tenant_id: Annotated[str | None, Query(description="Only this tenant's")] = None
) -> Response:
    found = await certificates.list_certificates(
        call.context, tenant_id=tenant_id, after=pages.after, limit=pages.one_more
    )
    return call.ok(pages.page(found, lambda view: view.certificate.id, certificate_out))


@routes.add("GET", "/certificates/{certificate_id}", CertificateOut, "Show a certificate", "查看证书")
async def show_certificate(call: Call, certificate_id: str) -> Response:
    return call.ok(certificate_out(await certificates.show_certificate(call.context, certificate_id)))


@routes.add("PUT", "/certificates/{certificate_id}", CertificateOut, "Replace a certificate", "更换证书")
async def replace_certificate(call: Call, certificate_id: str, body: CertificateReplacement) -> Response:
    """In place: no connection is dropped, and new handshakes see the new one."""
    return call.ok(certificate_out(await certificates.replace_certificate(call.context, certificate_id, body)))


@routes.add("DELETE", "/certificates/{certificate_id}", None, "Delete a certificate", "删除证书")
async def delete_certificate(call: Call, certificate_id: str) -> Response:
    """Its domains go on with another certificate that fits, or without HTTPS."""
    await certificates.delete_certificate(call.context, certificate_id)
    return call.ok()
