"""`gongfang egress …`: what a space's apps may reach."""

import click

from gongfang.cli import render
from gongfang.cli.commands.tree import place_id
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.wire.egress import EgressOut

egress = group(
    "egress",
    taught(
        "Show and set what a space's apps may reach. The edge and names are always reached; private and metadata "
        "addresses are not, unless they are allowed here.",
        "查看和设置空间内应用可以访问的网络。应用入口和域名解析始终可用；私有地址与元数据地址默认不可访问。",
        "gongfang egress show line-3",
        "gongfang egress set line-3 --no-internet --allow 10.1.2.7:5432",
    ),
    default="show",
)


def _show(session: Session, found: EgressOut) -> None:
    def people() -> None:
        render.facts(
            (
                (t("internet", "互联网"), t("open", "开放") if found.internet else t("closed", "关闭")),
                (t("allowed besides", "另外允许"), ", ".join(found.allow) or "-"),
                (t("set", "设置时间"), render.when(found.changed_at) if found.changed_at else "-"),
            )
        )
        if not found.enforced:
            session.note(
                t(
                    "this machine does not enforce it; `gongfang status` says why",
                    "本机不强制执行该策略，原因见 gongfang status",
                )
            )

    session.show(found, people)


def _space(session: Session, space: str | None) -> str:
    if space is not None:
        return place_id(session, "space", space) or space
    return place_id(session, "space", "default") or ""


@command(
    "show",
    taught("Show what a space's apps may reach.", "查看空间的出站策略。", "gongfang egress show line-3"),
    into=egress,
)
@click.argument("space", required=False)
def show(session: Session, space: str | None) -> None:
    _show(session, session.client.egress.get(_space(session, space)))


@command(
    "set",
    taught(
        "Set it, as a whole: what is not named here is not allowed. It holds at once. Private addresses are opened "
        "by an administrator of the platform.",
        "整体设置，未列出的即不允许，立即生效。私有地址只能由平台管理员开放。",
        "gongfang egress set line-3 --allow 10.1.2.0/24:5432",
        "gongfang egress set line-3 --no-internet",
    ),
    into=egress,
)
@click.argument("space", required=False)
@click.option(
    "--internet/--no-internet", default=True, help=t("Public addresses; open if not said.", "公网地址，默认开放。")
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK[:PORT]",
    help=t("Also this; may be repeated.", "另外允许，可重复。"),
)
def set_policy(session: Session, space: str | None, internet: bool, allow: tuple[str, ...]) -> None:
    _show(session, session.client.egress.set(_space(session, space), internet=internet, allow=allow))
