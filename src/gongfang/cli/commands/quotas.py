"""`gongfang quota`: how many apps, instances and how much memory a space or an organisation may have, and has."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.running import Memory
from gongfang.cli.commands.tree import place_id
from gongfang.cli.errors import Failed
from gongfang.cli.framework import Function, command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.wire.quotas import QuotaOut

quota = group(
    "quota",
    taught(
        "Show and set quotas. Apps count always; instances and memory count while their app is started. A space is "
        "held to its own quota and to its organisation's. It is set by administrators of the level above.",
        "查看和设置配额。应用始终计入；实例和内存仅在应用启动时计入。空间同时受自身配额和所属组织配额约束，由上一级管理员设置。",
        "gongfang quota",
        "gongfang quota show --org quality",
        "gongfang quota set --space line-3 --apps 10 --instances 20 --memory 8G",
        "gongfang quota set --space line-3 --memory none",
    ),
    default="show",
)


def _limit(parse: Callable[[str], int]) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """A callback for a number or `none`, which is -1 then."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
        if value is None:
            return None
        try:
            number = -1 if value == "none" else parse(value)
        except ValueError:
            number = -2
        if number < -1 or (number == -1 and value != "none"):
            raise click.BadParameter(t("a number, or none", "应为数字或 none"), ctx, param)
        return number

    return convert


def _mebibytes(text: str) -> int:
    return Memory().convert(text, None, None)


def _where(function: Function) -> Function:
    function = click.option("--org", metavar="NAME", help=t("Of an organisation.", "组织的配额。"))(function)
    return click.option(
        "--space", metavar="NAME", help=t("Of a space; else of your default one.", "空间的配额；不填为默认空间。")
    )(function)


def _place(session: Session, space: str | None, org: str | None) -> tuple[bool, str]:
    """Whether it is an organisation, and its id."""
    if space is not None and org is not None:
        raise click.UsageError(t("--space or --org, not both", "--space 和 --org 只能选一个"))
    if org is not None:
        return True, place_id(session, "organization", org) or org
    found = place_id(session, "space", space) or session.client.whoami().default_space_id
    if found is None:
        raise Failed(t("say which: --space or --org", "请用 --space 或 --org 指定"), hint="gongfang spaces")
    return False, found


@command("show", t("Show a quota and what is used of it.", "查看配额及其用量。"), into=quota)
@_where
def show(session: Session, space: str | None, org: str | None) -> None:
    organization, key = _place(session, space, org)
    quotas = session.client.quotas
    _show(session, quotas.of_organization(key) if organization else quotas.of_space(key))


@command(
    "set",
    t(
        "Set a quota; what isn't given stays. 'none' goes back to the platform's default.",
        "设置配额；未给出的项保持不变，none 恢复平台默认值。",
    ),
    into=quota,
)
@_where
@click.option("--apps", callback=_limit(int), metavar="N", help=t("Apps, started or not.", "应用数（无论是否启动）。"))
@click.option("--instances", callback=_limit(int), metavar="N", help=t("Wanted instances.", "期望实例数。"))
@click.option("--memory", callback=_limit(_mebibytes), metavar="SIZE", help=t("MiB, or 8G.", "MiB，或 8G。"))
def set_quota(
    session: Session, space: str | None, org: str | None, apps: int | None, instances: int | None, memory: int | None
) -> None:
    given = {"apps": apps, "instances": instances, "memory_mb": memory}
    if all(value is None for value in given.values()):
        raise click.UsageError(t("say what: --apps, --instances or --memory", "请指定 --apps、--instances 或 --memory"))
    organization, key = _place(session, space, org)
    quotas = session.client.quotas
    own = (quotas.of_organization(key) if organization else quotas.of_space(key)).own
    wanted = {
        name: getattr(own, name) if value is None else None if value < 0 else value for name, value in given.items()
    }
    _show(session, quotas.set_organization(key, **wanted) if organization else quotas.set_space(key, **wanted))


def _show(session: Session, found: "QuotaOut") -> None:
    def people() -> None:
        click.echo(f"{found.level} {found.name}")
        columns = (t("OF", "项目"), t("USED", "已用"), t("LIMIT", "上限"), t("SET HERE", "本级设置"))
        rows = [
            (t("apps", "应用"), "apps"),
            (t("instances", "实例"), "instances"),
            (t("memory, MiB", "内存（MiB）"), "memory_mb"),
        ]
        render.table(
            columns,
            [
                (
                    what,
                    getattr(found.used, name),
                    _told(getattr(found.limits, name), t("no limit", "不限")),
                    _told(getattr(found.own, name), "-"),
                )
                for what, name in rows
            ],
        )

    session.show(found, people)


def _told(limit: int | None, none: str) -> str:
    return none if limit is None else str(limit)
