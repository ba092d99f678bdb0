"""Certificates: uploaded by a tenant for its domains, or by an administrator for the platform's base domain.

A certificate needs no attaching: it serves whatever domains of its tenant its names cover. So who brings, replaces or
takes one away has to be allowed to change each of these: `domain:write` where a domain's app is, or, for unattached
domains, anywhere in the tenant. Certificates of the platform take an administrator of the platform.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gongfang.domain.audit import MOST_FIELDS
from gongfang.domain.certificates import Certificate, choose, covered, covers, names_for, shelve, under
from gongfang.domain.errors import Conflict, Forbidden, NotFound, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, Domain, JsonObject, Permission, Place, Tenant
from gongfang.operations.certificate_checks import Papers, read_papers
from gongfang.operations.context import Context
from gongfang.operations.tree import default_tenant, seen_scope
from gongfang.state import Reading, Scope, Writing
from gongfang.wire.certificates import CertificateReplacement, CertificateRequest, CertificateUpload


@dataclass(frozen=True, slots=True)
class CertificateView:
    """`domains`: names that are served with it, of those that the caller may see."""

    certificate: Certificate
    domains: tuple[str, ...]
    now: datetime


async def _read(context: Context, request: CertificateUpload) -> Papers:
    """In a thread: signatures are checked, and a chain may have ten."""
    return await asyncio.to_thread(
        read_papers, request.certificate, request.private_key.get_secret_value(), context.clock()
    )


def _require_platform(context: Context) -> None:
    if not context.caller.may(Permission.tree_write, Place()):
        raise Forbidden("certificate_platform_only")


async def _find(tx: Reading, context: Context, certificate_id: str) -> Certificate:
    """One that the caller may read: of a tenant whose domains they may read; the platform's for all that read these."""
    scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_read)
    found = await tx.one(Certificate, certificate_id)
    if found is None or not (scope.everything or found.tenant_id in scope.tenants):
        raise NotFound("certificate_not_found", certificate=certificate_id)
    return found


async def _require_domains(tx: Reading, context: Context, tenant_id: str, names: Iterable[str]) -> list[Domain]:
    """The tenant's domains that the names cover, each of which the caller may change."""
    scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_write)
    if not (scope.everything or tenant_id in scope.tenants):
        raise Forbidden("forbidden", permission=Permission.domain_write.value)
    domains = await tx.find(Domain, tenant_id=tenant_id)
    hosts = set(covered(names, [d.domain for d in domains]))
    found = [d for d in domains if d.domain in hosts]
    attached = {d.app_id for d in found if d.app_id}
    apps = {a.id: a for a in await tx.find(App, id=attached)} if attached else {}
    for domain in found:
        app = apps.get(domain.app_id or "")
        if app is not None and not context.caller.may(Permission.domain_write, app.place):
            raise Forbidden("certificate_covers_others", domain=domain.domain)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


async def _covered_now(
    tx: Reading, context: Context, tenant_id: str | None, papers: Papers, before: Sequence[str] = ()
) -> list[Domain]:
    """The domains whose certificate may change with it; raises where the certificate is of no use."""
    if tenant_id is None:
        base = context.base_domain
        if not any(under(n.removeprefix("*."), base) or covers(n, f"app.{base}") for n in papers.names):
            raise invalid_field("certificate", "certificate_not_of_base", names=_some(papers.names), base=base)
        return await _under_base(tx, context, (*papers.names, *before))
    # First, since a wildcard over them covers apps of others, too, and no name of these should be told.
    _require_not_of_platform(context, [n for n in papers.names if n.startswith("*.")], ())
    touched = await _require_domains(tx, context, tenant_id, (*papers.names, *before))
    _require_not_of_platform(context, papers.names, [d.domain for d in touched if d.app_id])
    if not covered(papers.names, [d.domain for d in touched]):
        raise invalid_field("certificate", "certificate_of_nobody", names=_some(papers.names))
    return touched


def _require_not_of_platform(context: Context, names: Iterable[str], had: Sequence[str]) -> None:
    """Addresses under the base domain are the platform's. A tenant's certificate may name one exactly that an app has
    now (`had`) and the caller may change: no wildcard over them, and none that an app may get later."""
    base = context.base_domain
    for name in names:
        bare = name.lower().removeprefix("*.")
        if (under(bare, base) or bare == base) and name.lower() not in had:
            raise invalid_field("certificate", "certificate_of_platforms_names", name=name, base=base)


async def _under_base(tx: Reading, context: Context, names: Iterable[str]) -> list[Domain]:
    domains = [d for d in await tx.find(Domain) if under(d.domain, context.base_domain)]
    hosts = set(covered(names, [d.domain for d in domains]))
    return [d for d in domains if d.domain in hosts]


def _wake(tx: Writing, certificate_id: str, domains: Iterable[Domain]) -> None:
    tx.wake("certificate", certificate_id)
    for domain in domains:
        tx.wake("https", domain.id)


async def _fate(
    tx: Reading, context: Context, certificate: Certificate, domains: Sequence[Domain]
) -> tuple[list[str], list[str]]:
    """Of these domains, those that are served with it once it is stored, and those that have no certificate at all."""
    others = [c for c in await tx.find(Certificate) if c.id != certificate.id]
    shelf = shelve([*others, certificate])
    served, bare = list[str](), list[str]()
    for domain in domains:
        fitting = [c for name in names_for(domain.domain) for c in shelf.get(name, ())]
        chosen = choose(domain.domain, domain.tenant_id, fitting, context.base_domain, context.clock())
        if chosen is None:
            bare.append(domain.domain)
        elif chosen.id == certificate.id:
            served.append(domain.domain)
    return sorted(served), sorted(bare)


def _told(papers: Papers, served: Sequence[str]) -> JsonObject:
    """What an event tells; no key, no PEM. `domains`: those that are served with it."""
    return {
        "domains": list(served[:MOST_FIELDS]),
        "names": list(papers.names),
        "fingerprint": papers.fingerprint,
        "not_after": papers.not_after.isoformat(),
    }


async def _require_new(tx: Reading, tenant_id: str | None, fingerprint: str, itself: str | None = None) -> None:
    for known in await tx.find(Certificate, tenant_id=tenant_id, fingerprint=fingerprint):
        if known.id != itself:
            raise Conflict("certificate_known", certificate=known.id)


async def add_certificate(context: Context, request: CertificateRequest) -> CertificateView:
    """Raises `Invalid` with what is wrong with it, `Forbidden`, and `Conflict("certificate_known")`."""
    async with context.database.reading() as tx:
        if request.platform:
            _require_platform(context)
            if request.tenant_id is not None:
                raise invalid_field("tenant_id", "certificate_platform_only")
            tenant_id = None
        else:
            tenant_id = (await default_tenant(tx, context, request.tenant_id)).id
            await _require_domains(tx, context, tenant_id, ())
    papers = await _read(context, request)
    now = context.clock()
    certificate = Certificate(
        id=new_id("crt"),
        tenant_id=tenant_id,
        names=papers.names,
        subject=papers.subject,
        issuer=papers.issuer,
        serial_number=papers.serial_number,
        fingerprint=papers.fingerprint,
        key_type=papers.key_type,
        not_before=papers.not_before,
        not_after=papers.not_after,
        created_at=now,
        updated_at=now,
        created_by=context.caller.user.name,
    )
    async with context.database.writing() as tx:
        if tenant_id is not None and await tx.lock(Tenant, tenant_id) is None:
            raise NotFound("tenant_not_found", id=tenant_id)
        domains = await _covered_now(tx, context, tenant_id, papers)
        await _require_new(tx, tenant_id, papers.fingerprint)
        await tx.insert(certificate, chain=papers.chain, sealed_key=tx.sealed(papers.key))
        place = Place(tenant_id)
        served, _ = await _fate(tx, context, certificate, domains)
        await context.event(tx, "certificate:add", place=place, object_id=certificate.id, data=_told(papers, served))
        _wake(tx, certificate.id, domains)
    return CertificateView(certificate, (), now)


async def replace_certificate(
    context: Context, certificate_id: str, request: CertificateReplacement
) -> CertificateView:
    """Another certificate and key under the same id, checked as a new one. Connections go on; handshakes from the
    edge's word on see the new one. The same again changes nothing.

    Raises `Conflict("certificate_loses")` where domains would be left without any, unless `force` is given.
    """
    async with context.database.reading() as tx:
        found = await _changeable(tx, context, certificate_id)
    papers = await _read(context, request)
    async with context.database.writing() as tx:
        found = await tx.lock(Certificate, found.id)
        if found is None:
            raise NotFound("certificate_not_found", certificate=certificate_id)
        domains = await _covered_now(tx, context, found.tenant_id, papers, found.names)
        await _require_new(tx, found.tenant_id, papers.fingerprint, found.id)
        after = replace(found, names=papers.names, not_before=papers.not_before, not_after=papers.not_after)
        _, bare = await _fate(tx, context, found, domains)
        served, lost = await _fate(tx, context, after, domains)
        lost = [name for name in lost if name not in bare]
        if lost and not request.force:
            raise Conflict("certificate_loses", domains=_some(lost), names=_some(papers.names))
        changed = await tx.update(
            Certificate,
            found.id,
            names=papers.names,
            subject=papers.subject,
            issuer=papers.issuer,
            serial_number=papers.serial_number,
            fingerprint=papers.fingerprint,
            key_type=papers.key_type,
            not_before=papers.not_before,
            not_after=papers.not_after,
            updated_at=context.clock(),
            told=found.told if papers.not_after == found.not_after else None,
            chain=papers.chain,
            sealed_key=tx.sealed(papers.key),
        )
        assert changed is not None  # it is held by this transaction
        data = {**_told(papers, served), "before": found.fingerprint, "lost": lost[:MOST_FIELDS]}
        await context.event(tx, "certificate:replace", place=Place(found.tenant_id), object_id=found.id, data=data)
        _wake(tx, found.id, domains)
    return (await _views(context, [changed]))[0]


async def _changeable(tx: Reading, context: Context, certificate_id: str) -> Certificate:
    found = await _find(tx, context, certificate_id)
    if found.tenant_id is None:
        _require_platform(context)
    else:
        await _require_domains(tx, context, found.tenant_id, found.names)
    return found


async def delete_certificate(context: Context, certificate_id: str) -> None:
    """Its domains go on with another that fits, or without HTTPS."""
    async with context.database.writing() as tx:
        found = await _changeable(tx, context, certificate_id)
        if await tx.lock(Certificate, found.id) is None:
            raise NotFound("certificate_not_found", certificate=certificate_id)
        await tx.delete(Certificate, id=found.id)
        data = {"names": list(found.names), "fingerprint": found.fingerprint}
        await context.event(tx, "certificate:delete", place=Place(found.tenant_id), object_id=found.id, data=data)
        _wake(tx, found.id, await tx.find(Domain, certificate_id=found.id))


async def _views(context: Context, certificates: Sequence[Certificate]) -> list[CertificateView]:
    if not certificates:
        return []
    async with context.database.reading() as tx:
        scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_read)
        domains = await tx.find(Domain, scope=scope, certificate_id=[c.id for c in certificates])
    now = context.clock()
    return [
        CertificateView(c, tuple(sorted(d.domain for d in domains if d.certificate_id == c.id)), now)
        for c in certificates
    ]


async def list_certificates(
    context: Context, *, tenant_id: str | None = None, after: str | None = None, limit: int = 50
) -> list[CertificateView]:
    """Of the tenants whose domains the caller may read; those of the platform for whoever may read everywhere."""
    async with context.database.reading() as tx:
        scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_read)
        if tenant_id is not None:
            if not await tx.find(Tenant, scope=scope, id=tenant_id, limit=1):
                raise NotFound("tenant_not_found", id=tenant_id)
            scope = Scope(tenants=frozenset({tenant_id}))
        found = await tx.find(Certificate, scope=scope, after=after, limit=limit)
    return await _views(context, found)


async def show_certificate(context: Context, certificate_id: str) -> CertificateView:
    async with context.database.reading() as tx:
        found = await _find(tx, context, certificate_id)
    return (await _views(context, [found]))[0]
