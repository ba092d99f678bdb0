"""Certificates and how domains are served over HTTPS, on the wire."""

from datetime import datetime

from pydantic import Field, SecretStr

from gongfang.domain.certificates import CertificateState
from gongfang.domain.policies import HttpsMode
from gongfang.wire.models import Answer, Request


class CertificateUpload(Request):
    """PEM texts. Neither is shown again; the key is sealed at rest."""

    certificate: str = Field(max_length=1_000_000, description="PEM: the leaf and its intermediates, in any order")
    private_key: SecretStr = Field(max_length=1_000_000, description="PEM, not encrypted", json_schema_extra={})


class CertificateReplacement(CertificateUpload):
    force: bool = Field(default=False, description="Also where domains are left without a certificate by it")


class CertificateRequest(CertificateUpload):
    tenant_id: str | None = Field(default=None, description="Absent: the only tenant, or the one called `default`")
    platform: bool = Field(
        default=False, description="The platform's own, for names under its base domain; by its administrators"
    )


class CertificateOut(Answer):
    id: str
    tenant_id: str | None = Field(description="None: the platform's own")
    names: list[str]
    state: CertificateState
    not_before: datetime
    not_after: datetime
    days_left: int = Field(description="Whole days until it ends; negative after that")
    domains: list[str] = Field(description="Domains that are served with it now, as far as the caller may see them")
    subject: str
    issuer: str
    serial_number: str
    fingerprint: str = Field(description="SHA-256 of the leaf, hexadecimal")
    key_type: str
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class DomainChange(Request):
    """Absent: as it is."""

    https: HttpsMode | None = Field(default=None, description="`redirect`: 308 while a valid certificate is served")
    hsts_max_age_s: int | None = Field(
        default=None,
        ge=0,
        le=63_072_000,
        description="`strict-transport-security`, over HTTPS only. 0 takes it back; null sends none",
    )
    hsts_subdomains: bool | None = Field(default=None, description="HSTS for all names below, too")
