"""`gongfang tenants`, `gongfang orgs`, `gongfang spaces`: three levels, the same commands."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.errors import Failed
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.domain.ids import is_id
from gongfang.wire.models import OrganizationOut, SpaceOut, TenantOut

if TYPE_CHECKING:
    from gongfang.client.pages import Pages

Place = TenantOut | OrganizationOut | SpaceOut

tenants = group(
    "tenants",
    taught("Manage tenants.", "管理租户。", "gongfang tenants", "gongfang tenants create suzhou-plant"),
    default="list",
)
orgs = group(
    "orgs",
    taught(
        "Manage organisations.", "管理组织。", "gongfang orgs", "gongfang orgs create quality --tenant suzhou-plant"
    ),
    default="list",
)
spaces = group(
    "spaces",
    taught("Manage spaces.", "管理空间。", "gongfang spaces", "gongfang spaces create line-3 --org quality"),
    default="list",
)


def place_id(session: Session, level: str, name: str | None) -> str | None:
    """The id of a tenant, organization or space by name or id. Raises `Failed` where none or several fit."""
    if name is None or is_id(name):
        return name
    client = session.client
    lists: dict[str, Pages[TenantOut] | Pages[OrganizationOut] | Pages[SpaceOut]] = {
        "tenant": client.tenants.list(),
        "organization": client.organizations.list(),
        "space": client.spaces.list(),
    }
    found = [place.id for place in lists[level] if place.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise Failed(t("several are called {0}; give the id", "有多个名为 {0}，请用 id 指定").format(name))
    raise Failed(t("there is no {0} called {1}", "没有名为 {1} 的 {0}").format(level, name))


def _show(session: Session, places: list[Place]) -> None:
    def people() -> None:
        columns = (t("NAME", "名称"), "ID", t("IN", "上级"), t("CREATED", "创建时间"))
        render.table(columns, ((p.name, p.id, _parent(p), render.when(p.created_at)) for p in places))

    session.show(places, people)


def _parent(place: Place) -> str:
    match place:
        case TenantOut():
            return place.timezone
        case OrganizationOut():
            return place.tenant_id
        case SpaceOut():
            return place.organization_id


def _list(session: Session, places: Iterable[Place]) -> None:
    _show(session, list(places))


def _gone(session: Session, name: str) -> None:
    session.show({"removed": name}, lambda: session.note(t("removed {0}", "已移除 {0}").format(name)))


LIST = t("List them.", "列出。")
CREATE = t("Create one.", "创建。")
RENAME = t("Rename one.", "改名。")
REMOVE = t("Remove one; it must be empty.", "移除（须为空）。")


@command("list", LIST, into=tenants)
def list_tenants(session: Session) -> None:
    _list(session, session.client.tenants.list())


@command("create", CREATE, into=tenants)
@click.argument("name")
@click.option("--timezone", metavar="ZONE", help=t("Asia/Shanghai where none is given.", "默认 Asia/Shanghai。"))
def create_tenant(session: Session, name: str, timezone: str | None) -> None:
    _show(session, [session.client.tenants.create(name, timezone=timezone)])


@command("change", t("Rename a tenant or set its time zone.", "修改租户名称或时区。"), into=tenants)
@click.argument("tenant")
@click.option("--name")
@click.option("--timezone", metavar="ZONE")
def change_tenant(session: Session, tenant: str, name: str | None, timezone: str | None) -> None:
    found = place_id(session, "tenant", tenant) or tenant
    _show(session, [session.client.tenants.change(found, name=name, timezone=timezone)])


@command("remove", REMOVE, into=tenants)
@click.argument("tenant")
def remove_tenant(session: Session, tenant: str) -> None:
    session.client.tenants.remove(place_id(session, "tenant", tenant) or tenant)
    _gone(session, tenant)


@command("list", LIST, into=orgs)
@click.option("--tenant", metavar="NAME")
def list_organizations(session: Session, tenant: str | None) -> None:
    _list(session, session.client.organizations.list(tenant_id=place_id(session, "tenant", tenant)))


@command("create", CREATE, into=orgs)
@click.argument("name")
@click.option("--tenant", metavar="NAME")
def create_organization(session: Session, name: str, tenant: str | None) -> None:
    _show(session, [session.client.organizations.create(name, tenant_id=place_id(session, "tenant", tenant))])


@command("rename", RENAME, into=orgs)
@click.argument("org")
@click.argument("name")
def rename_organization(session: Session, org: str, name: str) -> None:
    found = place_id(session, "organization", org) or org
    _show(session, [session.client.organizations.change(found, name=name)])


@command("remove", REMOVE, into=orgs)
@click.argument("org")
def remove_organization(session: Session, org: str) -> None:
    session.client.organizations.remove(place_id(session, "organization", org) or org)
    _gone(session, org)


@command("list", LIST, into=spaces)
@click.option("--org", metavar="NAME")
def list_spaces(session: Session, org: str | None) -> None:
    _list(session, session.client.spaces.list(organization_id=place_id(session, "organization", org)))


@command("create", CREATE, into=spaces)
@click.argument("name")
@click.option("--org", metavar="NAME")
def create_space(session: Session, name: str, org: str | None) -> None:
    _show(session, [session.client.spaces.create(name, organization_id=place_id(session, "organization", org))])


@command("rename", RENAME, into=spaces)
@click.argument("space")
@click.argument("name")
def rename_space(session: Session, space: str, name: str) -> None:
    _show(session, [session.client.spaces.change(place_id(session, "space", space) or space, name=name)])


@command("remove", REMOVE, into=spaces)
@click.argument("space")
def remove_space(session: Session, space: str) -> None:
    session.client.spaces.remove(place_id(session, "space", space) or space)
    _gone(session, space)
