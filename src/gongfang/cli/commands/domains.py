"""`gongfang domains …`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.errors import USAGE, Failed
from gongfang.cli.framework import app_argument, command, complete_apps, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.domain.ids import is_id

if TYPE_CHECKING:
    from gongfang.wire.models import DomainOut

domains = group(
    "domains",
    taught(
        "Bind domains to their ICP filings, and attach them to apps. Alone, it lists them.",
        "将域名与 ICP 备案号绑定，并挂接到应用；不带子命令时列出域名。",
        "gongfang domains",
        "gongfang domains add mes.example.cn --icp 京ICP备12345678号-1 --app mes",
        "gongfang domains https mes.example.cn redirect --hsts 180d",
        "gongfang domains detach mes mes.example.cn",
    ),
    default="list",
)


@command("list", t("List domains.", "列出域名。"), into=domains)
@click.option("--tenant", "tenant_id", metavar="ID", help=t("Of this tenant.", "指定租户。"))
@click.option("-a", "--app", shell_complete=complete_apps, help=t("Of this app.", "指定应用。"))
def list_domains(session: Session, tenant_id: str | None, app: str | None) -> None:
    client = session.client
    found = (client.tenants.domains(tenant_id) if tenant_id else client.domains.list()).all()
    if app is not None:
        wanted = client.apps.get(app).id
        found = [domain for domain in found if domain.app_id == wanted]
    session.show(found, lambda: _table(session, found))


def _table(session: Session, found: Iterable[DomainOut]) -> None:
    names = {app.id: app.name for app in session.client.apps.list()}
    columns = (t("DOMAIN", "域名"), t("ICP", "备案号"), t("APP", "应用"), t("STATUS", "状态"), "HTTPS", "ID")
    rows = [
        (
            *(d.domain, d.icp_number or "-", names.get(d.app_id or "", d.app_id or "-"), render.word(d.status)),
            *(_https(d), d.id),
        )
        for d in found
    ]
    render.table(columns, rows)


@command(
    "add",
    taught(
        "Bind a domain to its ICP filing and, with --app, to an app (clause 5.1(11)).",
        "绑定域名与 ICP 备案号，可同时挂接应用（条款 5.1(11)）。",
        "gongfang domains add mes.example.cn --icp 京ICP备12345678号-1 --app mes",
    ),
    into=domains,
)
@click.argument("domain")
@click.option("--icp", "icp_number", metavar="NUMBER", help=t("Its ICP filing number.", "ICP 备案号。"))
@click.option("-a", "--app", shell_complete=complete_apps)
@click.option("--tenant", "tenant_id", metavar="ID")
def add(session: Session, domain: str, icp_number: str | None, app: str | None, tenant_id: str | None) -> None:
    client = session.client
    app_id = None if app is None else client.apps.get(app).id
    made = client.domains.create(domain, icp_number=icp_number, app_id=app_id, tenant_id=tenant_id)
    session.show(made, lambda: _table(session, [made]))


@command("attach", t("Let an app answer on a domain.", "将域名挂接到应用。"), into=domains)
@app_argument()
@click.argument("domain")
def attach(session: Session, app: str, domain: str) -> None:
    found = session.client.apps.attach_domain(app, find(session, domain).id)
    session.show(found, lambda: _table(session, [found]))


@command(
    "detach",
    t("Unbind a domain from an app (5.1(12)); it stays with the tenant.", "解绑域名（5.1(12)），域名保留在租户。"),
    into=domains,
)
@app_argument()
@click.argument("domain")
def detach(session: Session, app: str, domain: str) -> None:
    session.client.apps.detach_domain(app, find(session, domain).id)
    session.show({"domain": domain, "app": app}, lambda: session.note(t("detached {0}", "已解绑 {0}").format(domain)))


@command("remove", t("Remove a domain from its tenant.", "从租户移除域名。"), into=domains)
@click.argument("domain")
def remove(session: Session, domain: str) -> None:
    found = find(session, domain)
    session.client.domains.remove(found.id)
    session.show(found, lambda: session.note(t("removed {0}", "已移除 {0}").format(found.domain)))


def _https(domain: DomainOut) -> str:
    """How it is seen to be served, and what is wished."""
    from gongfang.cli.render import word

    wish = {"redirect": t("redirect", "重定向"), "off": t("off", "关闭")}.get(domain.https, "")
    hsts = "HSTS" if domain.hsts_max_age_s else ""
    return " ".join(part for part in (word(domain.tls), wish, hsts) if part)


@command(
    "https",
    taught(
        "Choose how a domain is served over HTTPS: 'optional' (both), 'redirect' (plain HTTP is sent on, while a valid "
        "certificate is served), or 'off'. HSTS makes browsers use HTTPS only for that long: begin with a short time.",
        "设置域名的 HTTPS：optional（两者皆可）、redirect（证书有效时将 HTTP 重定向到 HTTPS）、off（关闭）。"
        "HSTS 令浏览器在指定时间内只使用 HTTPS，建议先用较短时间。",
        "gongfang domains https mes.example.cn redirect",
        "gongfang domains https mes.example.cn redirect --hsts 180d --hsts-subdomains",
        "gongfang domains https mes.example.cn optional --hsts off",
    ),
    into=domains,
)
@click.argument("domain")
@click.argument("mode", type=click.Choice(["off", "optional", "redirect"]))
@click.option(
    "--hsts", metavar="SPAN", help=t("Such as 1h or 180d; 'off' sends none.", "如 1h、180d；off 表示不发送。")
)
@click.option(
    "--hsts-subdomains/--no-hsts-subdomains",
    default=None,
    help=t("For all names below, too.", "同时适用于所有子域名。"),
)
def https(session: Session, domain: str, mode: str, hsts: str | None, hsts_subdomains: bool | None) -> None:
    change: dict[str, object] = {"https": mode}
    if hsts is not None or mode == "off":
        change["hsts_max_age_s"] = None if hsts in (None, "off") else _seconds(hsts)
    if hsts_subdomains is not None:
        change["hsts_subdomains"] = hsts_subdomains
    changed = session.client.domains.change(find(session, domain).id, **change)
    session.show(changed, lambda: _table(session, [changed]))


def _seconds(text: str) -> int:
    from gongfang.cli.times import span

    try:
        return round(span(text))
    except ValueError:
        raise Failed(
            t("'{0}' is not a span such as 180d", "“{0}”不是时长（如 180d）").format(text), code=USAGE
        ) from None


def known(session: Session, domain: str) -> DomainOut | None:
    """A domain that the caller may see, by its name in any spelling (`看板.example.cn`, `MES.Example.CN.`)."""
    wanted = domain.lower().rstrip(".")
    if not wanted.isascii():
        try:
            wanted = wanted.encode("idna").decode()
        except UnicodeError:
            return None
    return next((found for found in session.client.domains.list() if found.domain == wanted), None)


def find(session: Session, domain: str) -> DomainOut:
    """A domain by its name or id. Raises `Failed` where there is none."""
    found = session.client.domains.get(domain) if is_id(domain) else known(session, domain)
    if found is None:
        raise Failed(t("there is no domain {0}", "没有域名 {0}").format(domain), hint="gongfang domains")
    return found
