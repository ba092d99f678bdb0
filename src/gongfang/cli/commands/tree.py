"""`gongfang tenants`, `gongfang orgs`, `gongfang spaces`: three levels, the same commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.errors import Failed
from gongfang.cli.framework import Function, command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.domain.ids import is_id

if TYPE_CHECKING:
    from gongfang.client.pages import Pages
    from gongfang.wire.models import OrganizationOut, SpaceOut, TenantOut

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
        hint = t("their ids: {0}", "其 ID：{0}").format(_COMMANDS[level])
        raise Failed(t("several are called {0}; give the id", "有多个名为 {0}，请用 id 指定").format(name), hint=hint)
    noun = t(level.replace("organization", "organisation"), _CHINESE[level])
    raise Failed(
        t("there is no {0} called {1}", "没有名为 {1} 的{0}").format(noun, name),
        hint=t("those that you may see: {0}", "可见的列表：{0}").format(_COMMANDS[level]),
    )


_COMMANDS = {"tenant": "gongfang tenants", "organization": "gongfang orgs", "space": "gongfang spaces"}
_CHINESE = {"tenant": "租户", "organization": "组织", "space": "空间"}


def space_options(function: Function) -> Function:
    """`--space` and `--org`: where something is made, by names or ids."""
    for option in (
        click.option("--org", metavar="NAME", help=t("Of that organisation.", "空间所属组织。")),
        click.option("--space", metavar="NAME", help=t("The space, by name or id.", "所在空间（名称或 ID）。")),
    ):
        function = option(function)
    return function


def space_of(session: Session, space: str | None, org: str | None) -> str | None:
    """The id of the space that is named; the only one of an organisation that is named alone. None: none was named.

    Raises `Failed` where none or several fit."""
    if org is None:
        return place_id(session, "space", space)
    inside = list(session.client.spaces.list(organization_id=place_id(session, "organization", org)))
    fitting = [found.id for found in inside if space is None or space in (found.name, found.id)]
    if len(fitting) == 1:
        return fitting[0]
    hint = f"gongfang spaces list --org {org}"
    if space is None:
        raise Failed(
            t("{0} has {1} spaces; name one with --space", "{0} 有 {1} 个空间，请用 --space 指定").format(
                org, len(inside)
            ),
            hint=hint,
        )
    raise Failed(t("there is no space called {0} in {1}", "{1} 中没有名为 {0} 的空间").format(space, org), hint=hint)


def _table(places: list[Place]) -> None:
    columns = (t("NAME", "名称"), "ID", t("IN", "上级"), t("CREATED", "创建时间"))
    render.table(columns, ((p.name, p.id, _parent(p), render.when(p.created_at)) for p in places))


def _show_one(session: Session, place: Place) -> None:
    """An object for programs, where `list` prints a list."""
    session.show(place, lambda: _table([place]))


def _parent(place: Place) -> str:
    from gongfang.wire.models import SpaceOut, TenantOut

    match place:
        case TenantOut():
            return place.timezone
        case SpaceOut():
            return place.organization_id
        case _:
            return place.tenant_id


def _list(session: Session, places: Iterable[Place]) -> None:
    found = list(places)
    session.show(found, lambda: _table(found))


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
    _show_one(session, session.client.tenants.create(name, timezone=timezone))


@command("change", t("Rename a tenant or set its time zone.", "修改租户名称或时区。"), into=tenants)
@click.argument("tenant")
@click.option("--name")
@click.option("--timezone", metavar="ZONE")
def change_tenant(session: Session, tenant: str, name: str | None, timezone: str | None) -> None:
    found = place_id(session, "tenant", tenant) or tenant
    _show_one(session, session.client.tenants.change(found, name=name, timezone=timezone))


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
    _show_one(session, session.client.organizations.create(name, tenant_id=place_id(session, "tenant", tenant)))


@command("rename", RENAME, into=orgs)
@click.argument("org")
@click.argument("name")
def rename_organization(session: Session, org: str, name: str) -> None:
    found = place_id(session, "organization", org) or org
    _show_one(session, session.client.organizations.change(found, name=name))


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
    _show_one(session, session.client.spaces.create(name, organization_id=place_id(session, "organization", org)))


@command("rename", RENAME, into=spaces)
@click.argument("space")
@click.argument("name")
def rename_space(session: Session, space: str, name: str) -> None:
    _show_one(session, session.client.spaces.change(place_id(session, "space", space) or space, name=name))


@command("remove", REMOVE, into=spaces)
@click.argument("space")
def remove_space(session: Session, space: str) -> None:
    session.client.spaces.remove(place_id(session, "space", space) or space)
    _gone(session, space)
