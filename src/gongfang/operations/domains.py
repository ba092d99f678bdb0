"""Domains: names of a tenant with their ICP filing, attached to at most one app at a time (5.1(10) to 5.1(12)).

Whoever has a permission for domains anywhere in a tenant has it for the tenant's unattached domains. What is attached
belongs to the app's people: attaching and detaching take `domain:write` where the app is.
"""

import ipaddress
import re
from dataclasses import replace

import idna

from gongfang.domain.certificates import under
from gongfang.domain.errors import Conflict, Forbidden, NotFound, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.policies import HttpsMode, IcpPolicy
from gongfang.domain.values import App, AppType, Domain, DomainStatus, Permission, Place, Tenant
from gongfang.operations.context import Context, find_app
from gongfang.operations.tree import default_tenant, naming, seen_scope
from gongfang.state import Reading, Scope, Writing
from gongfang.wire.certificates import DomainChange
from gongfang.wire.models import DomainRequest

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_ICP = re.compile(rf"[{PROVINCES}]ICP备[0-9]{{1,12}}号(-[1-9][0-9]{{0,5}})?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def normal_domain(text: str, base_domain: str) -> str:
    """The one spelling of a host name: lower-case ASCII (IDNA 2008, UTS 46 mapping), without a final dot.

    Raises `Invalid` on what is no host name, on IP addresses, wildcards, `localhost`, the base domain itself, and
    names more than one label under it.
    """
    name = text.strip().removesuffix(".")
    if "*" in name:
        raise invalid_field("domain", "domain_wildcard")
    if _is_address(name):
        raise invalid_field("domain", "domain_is_address")
    try:
        ascii_name = idna.encode(name, uts46=True, std3_rules=True, transitional=False).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError, IndexError) as error:
        raise invalid_field("domain", "domain_invalid", domain=text[:253]) from error
    labels = ascii_name.split(".")
    if len(ascii_name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or _is_address(ascii_name):
        raise invalid_field("domain", "domain_invalid", domain=text[:253])
    if ascii_name == base_domain:
        raise invalid_field("domain", "domain_is_base", domain=base_domain)
    if ascii_name.endswith(f".{base_domain}"):
        if "." in ascii_name.removesuffix(f".{base_domain}"):
            raise invalid_field("domain", "domain_too_deep", base=base_domain)
    elif len(labels) < 2 or labels[-1] == "localhost" or labels[-1].isdigit():
        raise invalid_field("domain", "domain_invalid", domain=text[:253])
    return ascii_name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def normal_icp(text: str | None) -> str | None:
    """A filing number such as `京ICP备12345678号-1`; raises `Invalid` on anything else. None stays None."""
    if text is None:
        return None
    number = text.strip()
    if not _ICP.fullmatch(number):
        raise invalid_field("icp_number", "icp_invalid")
    return number


async def _find(tx: Reading, context: Context, domain_id: str) -> Domain:
    """The domain, where the caller may read its tenant's domains."""
    scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_read)
    found = await tx.find(Domain, scope=scope, id=domain_id, limit=1)
    if not found:
        raise NotFound("domain_not_found", domain=domain_id)
    return found[0]


async def _require_in_tenant(tx: Reading, context: Context, tenant_id: str) -> None:
    """The caller may write domains somewhere in the tenant."""
    scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_write)
    if not (scope.everything or tenant_id in scope.tenants):
        raise Forbidden("forbidden", permission=Permission.domain_write.value)


def _taken(context: Context, domain: Domain, app: App | None) -> Conflict:
    """Says which app has it only to those who may read the app."""
    if app is not None and context.caller.may(Permission.app_read, app.place):
        return Conflict("domain_attached", domain=domain.domain, app=app.name)
    return Conflict("domain_taken", domain=domain.domain)


async def _attach(tx: Writing, context: Context, domain: Domain, app: App) -> Domain:
    """Attaches a domain of the app's tenant; one that is attached to it already stays as it is."""
    if app.type is not AppType.web:
        raise invalid_field("app_id", "domain_needs_web", app=app.name, type=app.type.value)
    if app.destroying:
        raise Conflict("app_being_destroyed", app=app.name)
    if domain.tenant_id != app.tenant_id:
        raise Conflict("domain_taken", domain=domain.domain)
    held = await tx.lock(Domain, domain.id)
    if held is None:
        raise NotFound("domain_not_found", domain=domain.id)
    if held.app_id == app.id:
        return held
    if held.app_id is not None:
        raise _taken(context, held, await tx.one(App, held.app_id))
    if context.icp is IcpPolicy.required and held.icp_number is None and not under(held.domain, context.base_domain):
        raise Conflict("icp_required_attach", domain=held.domain)
    changed = await tx.update(Domain, held.id, app_id=app.id, status=DomainStatus.pending)
    assert changed is not None  # it is held by this transaction
    await context.event(tx, "domain:attach", app=app, object_id=held.id, data={"domain": held.domain})
    tx.wake("app", app.id)
    return changed


async def _register(tx: Writing, context: Context, name: str, icp_number: str | None, tenant_id: str) -> Domain:
    """A new domain of the tenant, or the tenant's own one of this name, with its filing number brought up to date."""
    found = await tx.find(Domain, domain=name, limit=1)
    if found and found[0].tenant_id != tenant_id:
        raise Conflict("domain_taken", domain=name)
    if not found:
        domain = Domain(new_id("dom"), tenant_id, name, icp_number, None, DomainStatus.detached, context.clock())
        await tx.insert(domain)
        tx.wake("https", domain.id)
    elif icp_number is not None and icp_number != found[0].icp_number:
        # What is attached belongs to the app's people: its filing number, too.
        app = await tx.one(App, found[0].app_id) if found[0].app_id else None
        if app is not None and not context.caller.may(Permission.domain_write, app.place):
            raise _taken(context, found[0], app)
        domain = await tx.update(Domain, found[0].id, icp_number=icp_number) or found[0]
    else:
        return found[0]
    data = {"domain": name, "icp_number": icp_number}
    await context.event(tx, "domain:bind", place=Place(tenant_id), object_id=domain.id, data=data)
    return domain


async def attach_new_domain(tx: Writing, context: Context, app: App, wanted: str) -> Domain:
    """Attaches a name to an app in the caller's transaction, registering it first where the tenant doesn't have it.

    Raises `Invalid` on names that can't be, `Conflict("domain_taken")` and `Conflict("domain_attached")`.
    """
    name = normal_domain(wanted, context.base_domain)
    _require_for_app(context, app)
    return await _attach(tx, context, await _register(tx, context, name, None, app.tenant_id), app)


def _require_for_app(context: Context, app: App) -> None:
    context.require(Permission.domain_write, app.place, missing=NotFound("app_not_found", app=app.id))


async def bind_domain(context: Context, request: DomainRequest) -> Domain:
    """5.1(11): ties a domain to its ICP number and, where an app is given, attaches it.

    Binding the tenant's own domain again changes its number. Raises `Conflict("domain_taken")` where another tenant
    has it, `Conflict("domain_attached")` where another app has it.
    """
    name = normal_domain(request.domain, context.base_domain)
    icp_number = normal_icp(request.icp_number)
    if context.icp is IcpPolicy.absent:
        icp_number = None
    async with naming(context, name) as tx:
        app = await find_app(tx, context, request.app_id, Permission.domain_write) if request.app_id else None
        if app is not None and request.tenant_id not in (None, app.tenant_id):
            raise invalid_field("tenant_id", "tenant_not_of_app", app=app.name)
        tenant_id = app.tenant_id if app else (await default_tenant(tx, context, request.tenant_id)).id
        if app is None:
            await _require_in_tenant(tx, context, tenant_id)
        domain = await _register(tx, context, name, icp_number, tenant_id)
        if context.icp is IcpPolicy.required and not domain.icp_number and not under(name, context.base_domain):
            raise invalid_field("icp_number", "icp_required", domain=name)
        return await _attach(tx, context, domain, app) if app else domain


async def attach_domain(context: Context, app_ref: str, domain_id: str) -> Domain:
    """Attaches a domain of the tenant to an app; again to the same app does nothing."""
    async with context.database.writing() as tx:
        app = await find_app(tx, context, app_ref, Permission.domain_write)
        domain = await _find(tx, context, domain_id)
        return await _attach(tx, context, domain, app)


async def detach_domain(context: Context, app_ref: str, domain_id: str) -> None:
    """5.1(12). Raises `NotFound("domain_not_attached")` where it isn't this app's."""
    async with context.database.writing() as tx:
        app = await find_app(tx, context, app_ref, Permission.domain_write)
        domain = await tx.lock(Domain, domain_id)
        if domain is None or domain.app_id != app.id:
            raise NotFound("domain_not_attached", domain=domain_id, app=app.name)
        await tx.update(Domain, domain.id, app_id=None, status=DomainStatus.detached)
        await context.event(tx, "domain:detach", app=app, object_id=domain.id, data={"domain": domain.domain})
        tx.wake("app", app.id)


async def _held(tx: Writing, context: Context, domain_id: str) -> tuple[Domain, App | None]:
    """A domain that the caller may change, held, and the app that has it: that app's people change it, or, while it is
    unattached, those of the tenant."""
    await _find(tx, context, domain_id)
    domain = await tx.lock(Domain, domain_id)
    if domain is None:
        raise NotFound("domain_not_found", domain=domain_id)
    app = await tx.one(App, domain.app_id) if domain.app_id else None
    if app is not None and not context.caller.may(Permission.domain_write, app.place):
        raise Forbidden("forbidden", permission=Permission.domain_write.value)
    if app is None:
        await _require_in_tenant(tx, context, domain.tenant_id)
    return domain, app


async def delete_domain(context: Context, domain_id: str) -> None:
    """Forgets a domain, detaching it first. An app's own default one stays: `Conflict("domain_is_default")`."""
    async with context.database.writing() as tx:
        domain, app = await _held(tx, context, domain_id)
        if domain.default:
            raise Conflict("domain_is_default", domain=domain.domain)
        await tx.delete(Domain, id=domain.id)
        tx.wake("https", domain.id)
        data = {"domain": domain.domain}
        await context.event(tx, "domain:delete", place=Place(domain.tenant_id), object_id=domain.id, data=data)
        if app is not None:
            tx.wake("app", app.id)


async def change_domain(context: Context, domain_id: str, change: DomainChange) -> Domain:
    """How it is served over HTTPS. It takes effect while a valid certificate is served. Again: nothing changes.

    Raises `Invalid` on HSTS where HTTPS is off.
    """
    async with context.database.writing() as tx:
        domain, app = await _held(tx, context, domain_id)
        given = change.model_dump(exclude_unset=True)
        wanted = {k: v for k, v in given.items() if v is not None or k == "hsts_max_age_s"}
        if wanted.get("hsts_max_age_s", 0) is None:
            wanted.setdefault("hsts_subdomains", False)
        after = replace(domain, **wanted)
        if after.hsts_max_age_s is not None and after.https is HttpsMode.off:
            raise invalid_field("hsts_max_age_s", "hsts_without_https", domain=domain.domain)
        if after.hsts_subdomains and after.hsts_max_age_s is None:
            raise invalid_field("hsts_subdomains", "hsts_subdomains_alone")
        if after == domain:
            return (await _unseen_apps(tx, context, [domain]))[0]
        await tx.update(Domain, domain.id, **wanted)
        data = {"domain": domain.domain, **{k: str(v) if k == "https" else v for k, v in wanted.items()}}
        await context.event(tx, "domain:change", place=Place(domain.tenant_id), object_id=domain.id, data=data)
        tx.wake("https", domain.id)
        if app is not None:
            tx.wake("app", app.id)
        return (await _unseen_apps(tx, context, [after]))[0]


async def _unseen_apps(tx: Reading, context: Context, domains: list[Domain]) -> list[Domain]:
    """The same domains, without the ids of apps that the caller may not read."""
    ids = {d.app_id for d in domains if d.app_id}
    if not ids:
        return domains
    seen = {a.id for a in await tx.find(App, scope=context.caller.scope(Permission.app_read), id=ids)}
    return [d if d.app_id in seen else replace(d, app_id=None) for d in domains]


async def list_domains(
    context: Context, *, tenant_id: str | None = None, after: str | None = None, limit: int = 50
) -> list[Domain]:
    """5.1(10): domains of the tenants that the caller belongs to, or of one. Raises `NotFound("tenant_not_found")`."""
    async with context.database.reading() as tx:
        scope = await seen_scope(tx, context.caller, Tenant, Permission.domain_read)
        if tenant_id is not None:
            await _require_tenant(tx, scope, tenant_id)
            scope = Scope(tenants=frozenset({tenant_id}))
        return await _unseen_apps(tx, context, await tx.find(Domain, scope=scope, after=after, limit=limit))


async def _require_tenant(tx: Reading, scope: Scope, tenant_id: str) -> None:
    if not await tx.find(Tenant, scope=scope, id=tenant_id, limit=1):
        raise NotFound("tenant_not_found", id=tenant_id)


async def show_domain(context: Context, domain_id: str) -> Domain:
    async with context.database.reading() as tx:
        return (await _unseen_apps(tx, context, [await _find(tx, context, domain_id)]))[0]
