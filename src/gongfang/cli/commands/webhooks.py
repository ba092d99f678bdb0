"""`gongfang webhooks …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.tree import place_id
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.wire.webhooks import DeliveryOut, WebhookOut

LEVELS = ["platform", "tenant", "organization", "space"]

webhooks = group(
    "webhooks",
    taught(
        "Send events to another system as they happen, signed. Alone, it lists where they go.",
        "将事件实时推送到其他系统（带签名）；不带子命令时列出 Webhook。",
        "gongfang webhooks add https://mes.example.com/events --tag 'app:*'",
        "gongfang webhooks test whk_01k8…",
        "gongfang webhooks deliveries whk_01k8…",
    ),
    default="list",
)


def _state(webhook: WebhookOut) -> str:
    if not webhook.enabled:
        return "disabled"
    return "degraded" if webhook.attempts else "ok"


@command("list", t("List webhooks.", "列出 Webhook。"), into=webhooks)
def list_webhooks(session: Session) -> None:
    found = session.client.webhooks.list().all()
    columns = ("ID", t("NAME", "名称"), t("ADDRESS", "地址"), t("TAGS", "标签"), t("LEVEL", "层级"), t("STATE", "状态"))
    rows = [(w.id, w.name, w.url, " ".join(w.tags), w.level.value, render.word(_state(w))) for w in found]
    session.show(found, lambda: render.table(columns, rows))


@command(
    "add",
    taught(
        "Send the events of a place to an address. The secret to check the signatures with is shown this once.",
        "将某处的事件推送到一个地址。用于验证签名的密钥仅显示一次。",
        "gongfang webhooks add https://mes.example.com/events",
        "gongfang webhooks add https://mes.example.com/events --tag 'app:*' --tag 'domain:*' --name mes",
        "gongfang webhooks add https://siem.example.com/in --level platform",
    ),
    into=webhooks,
)
@click.argument("url", metavar="URL")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help=t("app:create, app:*, * [*]", "如 app:create、app:*，默认全部。"),
)
@click.option("--name", help=t("What it is called.", "名称。"))
@click.option("--secret", help=t("whsec_… in place of a new one.", "自备的密钥 whsec_…。"))
@click.option(
    "--level", type=click.Choice(LEVELS), default="space", show_default=True, help=t("Whose events.", "层级。")
)
@click.option(
    "--scope",
    metavar="NAME",
    help=t("Which tenant, organisation or space, by name or id.", "租户、组织或空间（名称或 ID）。"),
)
@click.option("--disabled", is_flag=True, help=t("Send nothing yet.", "暂不推送。"))
def add(
    session: Session,
    url: str,
    tags: tuple[str, ...],
    name: str | None,
    secret: str | None,
    level: str,
    scope: str | None,
    disabled: bool,
) -> None:
    scope_id = scope if level == "platform" else place_id(session, level, scope)
    made = session.client.webhooks.create(
        url, tags=tags or ("*",), name=name, secret=secret, level=level, scope_id=scope_id, enabled=not disabled
    )

    def people() -> None:
        _describe(made)
        session.note(
            t(
                "Keep the secret now, it is not shown again. Try it: gongfang webhooks test {0}",
                "请立即保存密钥，之后不再显示。测试：gongfang webhooks test {0}",
            ).format(made.id)
        )

    session.show(made, people)


@command("show", t("Show a webhook, and why it fails where it does.", "查看 Webhook 及失败原因。"), into=webhooks)
@click.argument("webhook_id", metavar="ID")
def show(session: Session, webhook_id: str) -> None:
    found = session.client.webhooks.get(webhook_id)
    session.show(found, lambda: _describe(found))


def _describe(webhook: WebhookOut) -> None:
    render.facts(
        [
            ("Id", webhook.id),
            (t("Name", "名称"), webhook.name or None),
            (t("Address", "地址"), webhook.url),
            (t("Tags", "标签"), " ".join(webhook.tags)),
            (t("Level", "层级"), webhook.level.value),
            (t("State", "状态"), render.word(_state(webhook))),
            (t("Reason", "原因"), webhook.reason.message if webhook.reason else None),
            (t("Failing since", "开始失败"), render.when(webhook.failing_since) or None),
            (t("Next attempt", "下次尝试"), render.when(webhook.next_attempt_at) or None),
            (t("Delivered up to", "已处理到"), webhook.position),
            (t("Secret", "密钥"), webhook.secret),
        ]
    )


@command(
    "set",
    taught(
        "Change a webhook. One that is enabled again goes on where it stopped.",
        "修改 Webhook；重新启用后从中断处继续。",
        "gongfang webhooks set whk_01k8… --enable",
        "gongfang webhooks set whk_01k8… --url https://mes.example.com/v2 --tag 'app:*'",
    ),
    into=webhooks,
)
@click.argument("webhook_id", metavar="ID")
@click.option("--url", metavar="URL")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help=t("In place of those it has.", "替换现有标签。"))
@click.option("--name")
@click.option("--secret", help=t("Another one: whsec_…", "更换密钥：whsec_…"))
@click.option("--enable/--disable", "enabled", default=None, help=t("Send, or don't.", "启用或停用。"))
def change(
    session: Session,
    webhook_id: str,
    url: str | None,
    tags: tuple[str, ...],
    name: str | None,
    secret: str | None,
    enabled: bool | None,
) -> None:
    changed = session.client.webhooks.change(
        webhook_id, url=url, tags=tags or None, name=name, secret=secret, enabled=enabled
    )
    session.show(changed, lambda: _describe(changed))


@command("remove", t("Remove a webhook; nothing more is sent.", "删除 Webhook，不再推送。"), into=webhooks)
@click.argument("webhook_id", metavar="ID")
def remove(session: Session, webhook_id: str) -> None:
    session.client.webhooks.remove(webhook_id)
    session.show({"id": webhook_id}, lambda: session.note(t("removed", "已删除")))


@command(
    "test",
    taught(
        "Send a test message now, and say how it went; fails where it did not arrive.",
        "立即发送测试消息并显示结果；未送达时退出码非零。",
        "gongfang webhooks test whk_01k8…",
    ),
    into=webhooks,
)
@click.argument("webhook_id", metavar="ID")
@click.pass_context
def test(ctx: click.Context, session: Session, webhook_id: str) -> None:
    done = session.client.webhooks.test(webhook_id)
    session.show(done, lambda: _outcome(session, done))
    ctx.exit(0 if done.delivered else 1)


def _outcome(session: Session, done: DeliveryOut) -> None:
    if done.delivered:
        session.note(t("delivered: {0}, {1} ms", "已送达：{0}，{1} 毫秒").format(done.status, done.took_ms))
    else:
        session.note(done.reason.message if done.reason else t("not delivered", "未送达"))
    if done.response:
        click.echo(done.response)


@command("deliveries", t("List the last 50 attempts, the newest first.", "列出最近 50 次推送。"), into=webhooks)
@click.argument("webhook_id", metavar="ID")
def deliveries(session: Session, webhook_id: str) -> None:
    found = session.client.webhooks.deliveries(webhook_id).page().items
    columns = (
        t("AT", "时间"),
        t("EVENT", "事件"),
        t("TAG", "标签"),
        t("TRY", "次数"),
        t("STATUS", "状态"),
        t("TOOK", "用时"),
        t("WHY", "原因"),
    )
    rows = [
        (
            render.when(d.at),
            d.seq,
            d.tag,
            d.attempt,
            render.word("succeeded" if d.delivered else "failed"),
            f"{d.took_ms} ms",
            d.reason.message if d.reason else "",
        )
        for d in found
    ]
    session.show(found, lambda: render.table(columns, rows))
