"""Certificates of tenants (and of the platform): which one a domain is served with, and when to warn that one ends.

Pure, like all that decides here; what a certificate says was read and checked when it was uploaded. The private key is
no part of the value: it lies sealed beside it and goes to the edge only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

EXPIRING = timedelta(days=30)
NOTICES = (30, 14, 7, 1, 0)
"""Days before its end at which it is warned of a certificate; 0: it has ended."""


class CertificateState(StrEnum):
    active = "active"
    expiring = "expiring"  # 30 days or less
    expired = "expired"


@dataclass(frozen=True, slots=True)
class Certificate:
    """An uploaded certificate. `tenant_id` None: the platform's own, for names under its base domain.

    `names`: DNS names as the certificate has them, wildcards too. `fingerprint`: SHA-256 of the leaf, hexadecimal.
    `told`: the last of `NOTICES` that was given of it.
    """

    id: str
    tenant_id: str | None
    names: tuple[str, ...]
    subject: str
    issuer: str
    serial_number: str
    fingerprint: str
    key_type: str
    not_before: datetime
    not_after: datetime
    created_at: datetime
    updated_at: datetime
    created_by: str | None = None  # name of the user
    told: int | None = None

    def state(self, now: datetime) -> CertificateState:
        if now >= self.not_after:
            return CertificateState.expired
        return CertificateState.expiring if now >= self.not_after - EXPIRING else CertificateState.active


def covers(name: str, host: str) -> bool:
    """Whether a certificate's name is good for a host. A wildcard stands for exactly one label, the first."""
    name, host = name.lower(), host.lower()
    if not name.startswith("*."):
        return name == host
    label, _, rest = host.partition(".")
    return bool(label) and rest == name[2:]


def covered(names: Iterable[str], hosts: Iterable[str]) -> list[str]:
    """The hosts that one of the names is good for."""
    exact, wild = set[str](), set[str]()
    for name in names:
        (wild if name.startswith("*.") else exact).add(name.lower().removeprefix("*."))
    return [host for host in hosts if host in exact or host.partition(".")[2] in wild]


Shelf = Mapping[str, Sequence[Certificate]]


def shelve(certificates: Iterable[Certificate]) -> Shelf:
    """By their names, so that those for a host are found without looking at all; see `names_for`."""
    shelf: dict[str, list[Certificate]] = {}
    for certificate in certificates:
        for name in certificate.names:
            shelf.setdefault(name.lower(), []).append(certificate)
    return shelf


def names_for(host: str) -> tuple[str, str]:
    """The names that a certificate for a host may have."""
    return host, f"*.{host.partition('.')[2]}"


def under(host: str, base_domain: str) -> bool:
    """Whether a host is an address of the platform's own, NAME.BASE_DOMAIN."""
    return host.endswith(f".{base_domain}")


def choose(
    host: str, tenant_id: str, certificates: Iterable[Certificate], base_domain: str, now: datetime
) -> Certificate | None:
    """The certificate to serve a tenant's host with, or None.

    Only the tenant's own count, and the platform's for names under the base domain: never another tenant's. Under the
    base domain a tenant's wildcard counts for nothing: it would cover the addresses of apps of all spaces. One that
    is valid now comes before one that is not; then one that has the exact name before a wildcard, the tenant's own
    before the platform's, the one valid longest before others. Where all have ended, the last that did is served on:
    its visitors are told that it expired, which says more than a connection that is refused.
    """

    platform = under(host, base_domain)

    def fits(certificate: Certificate) -> bool:
        if certificate.tenant_id is None:
            return platform and any(covers(name, host) for name in certificate.names)
        if certificate.tenant_id != tenant_id:
            return False
        return any(name.lower() == host if platform else covers(name, host) for name in certificate.names)

    def rank(certificate: Certificate) -> tuple[bool, bool, bool, datetime, str]:
        valid = certificate.not_before <= now < certificate.not_after
        exact = any(name.lower() == host for name in certificate.names)
        return valid, exact, certificate.tenant_id is not None, certificate.not_after, certificate.id

    fitting = [c for c in certificates if fits(c)]
    return max(fitting, key=rank, default=None)


def due_notice(not_after: datetime, told: int | None, now: datetime) -> int | None:
    """The warning to give now: the most urgent of `NOTICES` whose time has come, unless it was given. Each is given
    once, whatever the clock does; of several that were missed only the last counts."""
    reached = [days for days in NOTICES if now >= not_after - timedelta(days=days)]
    if not reached or (told is not None and told <= min(reached)):
        return None
    return min(reached)


def next_change(not_after: datetime, now: datetime) -> timedelta | None:
    """How long until the next notice (or change of state) comes due; None after the last."""
    ahead = [moment - now for days in NOTICES if (moment := not_after - timedelta(days=days)) > now]
    return min(ahead, default=None)
