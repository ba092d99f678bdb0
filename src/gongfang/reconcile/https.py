"""Certificates at the edge: every domain is served with the one that `domain.certificates.choose` picks, and its row
tells what is seen. A second reconciler warns of certificates that end.

The key of the first is a domain's id, so one certificate that comes or goes costs as much as it has domains. It alone
writes `tls`, `certificate_id` and `expires_at`. A domain's certificate is served before its row says so (and before
anybody is redirected there); it is taken away after the row has said so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gongfang.domain.certificates import (
    Certificate,
    CertificateState,
    Shelf,
    choose,
    due_notice,
    names_for,
    next_change,
    shelve,
)
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason, Rejected
from gongfang.domain.policies import HttpsMode
from gongfang.domain.values import Domain, TlsState
from gongfang.edge.interface import Edge, EdgeCertificate
from gongfang.state import Database

log = structlog.get_logger()

LONGEST_S = 86400.0  # clocks jump: nothing is left alone for longer
REFUSED_RETRY_S = 60.0
URGENT = timedelta(days=7)  # from here on the platform's status says so

_SEEN = {
    CertificateState.active: TlsState.active,
    CertificateState.expiring: TlsState.expiring,
    CertificateState.expired: TlsState.expired,
}


def wanted(domain: Domain, certificates: Sequence[Certificate], base_domain: str, now: datetime) -> Certificate | None:
    """The certificate that a domain should be served with."""
    if domain.https is HttpsMode.off:
        return None
    return choose(domain.domain, domain.tenant_id, certificates, base_domain, now)


class HttpsReconciler:
    """A handler for `KeyedWorkers`. `enabled`: the edge has an HTTPS port; without one no domain has HTTPS."""

    def __init__(self, database: Database, edge: Edge, clock: Clock, base_domain: str, *, enabled: bool) -> None:
        self._database = database
        self._edge = edge
        self._clock = clock
        self._base_domain = base_domain
        self._enabled = enabled
        self._served: dict[str, str] = {}  # host: fingerprint of what the edge was given
        self._hosts: dict[str, str] = {}  # domain id: its host, for when the row is gone

    async def at_start(self) -> dict[str, EdgeCertificate]:
        """What the edge should have, of all domains. Nothing that it has may be missing: it would be taken away."""
        if not self._enabled:
            return {}
        now = self._clock()
        async with self._database.reading() as tx:
            shelf = shelve(await tx.find(Certificate))
            domains = await tx.find(Domain) if shelf else []
            picked = [(d, c) for d in domains if (c := self._pick(d, shelf, now)) is not None]
            papers = await tx.certificate_papers({c.id for _, c in picked})
        found: dict[str, EdgeCertificate] = {}
        for domain, certificate in picked:
            if certificate.id in papers:
                held = papers[certificate.id]
                found[domain.domain] = EdgeCertificate(held.chain, held.key)
                self._served[domain.domain] = certificate.fingerprint
                self._hosts[domain.id] = domain.domain
        return found

    async def to_look_at(self) -> list[str]:
        """Ids for the sweep: domains whose row or edge is not as it should be."""
        now = self._clock()
        async with self._database.reading() as tx:
            shelf = shelve(await tx.find(Certificate))
            if not shelf and not self._hosts:
                return [d.id for d in await tx.find(Domain, tls=[s.value for s in TlsState if s is not TlsState.none])]
            domains = await tx.find(Domain)
        known = {d.id for d in domains}
        differing = [d.id for d in domains if not self._in_order(d, self._pick(d, shelf, now), now)]
        return [*differing, *(gone for gone in self._hosts if gone not in known)]

    def _pick(self, domain: Domain, shelf: Shelf, now: datetime) -> Certificate | None:
        if not self._enabled:
            return None
        fitting = [c for name in names_for(domain.domain) for c in shelf.get(name, ())]
        return wanted(domain, fitting, self._base_domain, now)

    def _in_order(self, domain: Domain, certificate: Certificate | None, now: datetime) -> bool:
        if certificate is None:
            return domain.tls is TlsState.none and domain.domain not in self._served
        served = self._served.get(domain.domain) == certificate.fingerprint
        return served and domain.certificate_id == certificate.id and domain.tls is _SEEN[certificate.state(now)]

    async def __call__(self, domain_id: str) -> float | None:
        now = self._clock()
        async with self._database.reading() as tx:
            domain = await tx.one(Domain, domain_id)
            certificates = (
                await tx.find(Certificate, tenant_id=domain.tenant_id) + await tx.find(Certificate, tenant_id=None)
                if domain is not None and self._enabled
                else []
            )
        before = self._hosts.get(domain_id)
        if before is not None and (domain is None or before != domain.domain):  # deleted, or the app was renamed
            await self._take_away(domain_id, before)
        if domain is None:
            return None
        certificate = wanted(domain, certificates, self._base_domain, now)
        if certificate is None:
            await self._record(domain, None, TlsState.none)
            if domain.domain in self._served:
                await self._take_away(domain_id, domain.domain)
            return None
        if domain.domain not in self._served and not domain.tls.valid:
            domain = await self._record(domain, certificate, TlsState.pending)
        if not await self._serve(domain, certificate):
            return REFUSED_RETRY_S
        await self._record(domain, certificate, _SEEN[certificate.state(now)])
        later = next_change(certificate.not_after, now)
        return None if later is None else min(later.total_seconds(), LONGEST_S)

    async def _serve(self, domain: Domain, certificate: Certificate) -> bool:
        """The edge shows it; False where it refuses to."""
        host = domain.domain
        if self._served.get(host) == certificate.fingerprint:
            return True
        async with self._database.reading() as tx:
            # In this order: where it is replaced in between, what is noted is the older, and it is served once more.
            current = await tx.one(Certificate, certificate.id)
            papers = (await tx.certificate_papers([certificate.id])).get(certificate.id)
        if papers is None or current is None:
            return False  # gone in between; its deletion wakes this domain
        self._hosts[domain.id] = host
        try:
            await self._edge.certify({host: EdgeCertificate(papers.chain, papers.key)})
        except Rejected as error:
            log.warning("certificate refused by the edge", domain=host, certificate=certificate.id, reason=str(error))
            await self._record(domain, certificate, TlsState.refused)
            return False
        self._served[host] = current.fingerprint
        return True

    async def _take_away(self, domain_id: str, host: str) -> None:
        async with self._database.reading() as tx:
            holders = await tx.find(Domain, domain=host)
        if holders and holders[0].id != domain_id and host in self._served:
            self._hosts.pop(domain_id, None)  # another domain has the name by now, and its own look
            return
        await self._edge.certify({host: None})
        self._served.pop(host, None)
        self._hosts.pop(domain_id, None)

    async def _record(self, domain: Domain, certificate: Certificate | None, state: TlsState) -> Domain:
        """Answers the domain as it is then."""
        certificate_id = certificate.id if certificate else None
        expires_at = certificate.not_after if certificate else None
        if (domain.tls, domain.certificate_id, domain.expires_at) == (state, certificate_id, expires_at):
            return domain
        async with self._database.writing() as tx:
            held = await tx.lock(Domain, domain.id)
            if held is None:
                return domain
            changed = await tx.update(
                Domain, domain.id, tls=state, certificate_id=certificate_id, expires_at=expires_at
            )
            if held.app_id is not None and held.tls.valid is not state.valid:
                tx.wake("app", held.app_id)
        return changed or domain


@dataclass(frozen=True, slots=True)
class Ending:
    """How many of the certificates have ended, or do within `URGENT`; the first of these, and its names."""

    expired: int
    soon: int
    names: tuple[str, ...] = ()

    @property
    def reason(self) -> Reason | None:
        if not self.expired and not self.soon:
            return None
        names = ", ".join(self.names[:3]) + (" …" if len(self.names) > 3 else "")
        return Reason("certificates_ending", {"expired": self.expired, "soon": self.soon, "names": names})


def ending(certificates: Sequence[Certificate], domains: Sequence[Domain], now: datetime) -> Ending:
    """Of those that domains are served with: one that nothing uses any more may end in peace."""
    used = {d.certificate_id for d in domains}
    near = sorted((c for c in certificates if c.id in used and c.not_after - URGENT <= now), key=lambda c: c.not_after)
    expired = sum(c.not_after <= now for c in near)
    return Ending(expired, len(near) - expired, tuple(name for c in near for name in c.names))


class ExpiryWatch:
    """Warns of a certificate's end by events: `certificate:expiring` 30, 14, 7 and 1 days before, `certificate:expired`
    at it, each once. A handler for `KeyedWorkers`, the key being a certificate's id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> list[str]:
        now = self._clock()
        async with self._database.reading() as tx:
            certificates = await tx.find(Certificate)
        return [c.id for c in certificates if due_notice(c.not_after, c.told, now) is not None]

    async def ending(self) -> Ending | None:
        """None where there are no certificates at all."""
        now = self._clock()
        async with self._database.reading() as tx:
            certificates = await tx.find(Certificate)
            near = [c.id for c in certificates if c.not_after - URGENT <= now]
            domains = await tx.find(Domain, certificate_id=near) if near else []
        return ending(certificates, domains, now) if certificates else None

    async def __call__(self, certificate_id: str) -> float | None:
        async with self._database.writing() as tx:
            certificate = await tx.lock(Certificate, certificate_id)
            if certificate is None:
                return None
            now = self._clock()
            days = due_notice(certificate.not_after, certificate.told, now)
            if days is not None:
                await tx.update(Certificate, certificate.id, told=days)
                domains = await tx.find(Domain, certificate_id=certificate.id)
                await tx.event(
                    "certificate:expired" if days == 0 else "certificate:expiring",
                    at=now,
                    tenant_id=certificate.tenant_id,
                    object_id=certificate.id,
                    data={
                        "names": list(certificate.names),
                        "domains": [d.domain for d in domains],
                        "days": days,
                        "not_after": certificate.not_after.isoformat(),
                    },
                )
                for domain in domains:
                    tx.wake("https", domain.id)
        later = next_change(certificate.not_after, now)
        return None if later is None else max(min(later, timedelta(seconds=LONGEST_S)).total_seconds(), 0.05)
