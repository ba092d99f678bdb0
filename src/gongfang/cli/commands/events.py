"""`gongfang events` and `gongfang events export`."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.work import app_id
from gongfang.cli.framework import command, complete_apps, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import Moment
from gongfang.domain.tags import known, nearest

if TYPE_CHECKING:
    from gongfang.wire.models import EventOut

events = group(
    "events",
    taught(
        "Show what happened and who did it; export it as a file.",
        "查看发生的事件及操作人；导出为文件。",
        "gongfang events -f",
        "gongfang events --app line-3-dashboard --since 1d",
        "gongfang events --tag 'api:*'                      # " + t("refused calls", "被拒绝的调用"),
        "gongfang events export --format csv --since 30d -o events.csv",
    ),
    default="list",
)


@command("list", t("Show events, the newest first, or follow them.", "列出事件（最新在前），或持续跟踪。"), into=events)
@click.option("-f", "--follow", is_flag=True, help=t("Go on as they happen.", "持续输出。"))
@click.option("-a", "--app", shell_complete=complete_apps)
@click.option("--tag", metavar="TAG", help=t("Of this kind: app:deploy:succeeded, app:*", "按类别筛选，如 app:*。"))
@click.option("--since", type=Moment(), metavar="TIME")
@click.option("--until", type=Moment(), metavar="TIME")
@click.option("-n", "count", type=click.IntRange(1, 500), default=50, show_default=True)
def list_events(
    session: Session,
    follow: bool,
    app: str | None,
    tag: str | None,
    since: datetime | None,
    until: datetime | None,
    count: int,
) -> None:
    wanted = app_id(session, app)
    if follow:
        for event in session.client.events.stream(app_id=wanted, tag=tag):
            if session.as_json:
                click.echo(event.model_dump_json())
            else:
                click.echo("  ".join(_row(event)).rstrip())
        return
    found = session.client.events.list(app_id=wanted, tag=tag, since=since, until=until, page_size=count).page().items
    columns = (
        t("AT", "时间"),
        t("WHO", "操作人"),
        t("FROM", "来源"),
        t("WHAT", "事件"),
        t("ABOUT", "对象"),
        t("CHANGE", "变更"),
    )
    empty = t("no such event yet", "还没有此类事件")
    if tag and not known(tag):
        empty = t(
            "no event can have the tag {0}; did you mean {1}? docs/events.md lists the tags",
            "没有标签为 {0} 的事件；是否为 {1}？标签列表见 docs/events.md",
        ).format(tag, nearest(tag))
    session.show(found, lambda: render.table(columns, map(_row, found), empty))


def _brief(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _change(event: EventOut) -> str:
    """`field: before → after` of what changed, else what the event says besides."""
    before, after = event.before or {}, event.after or {}
    if not before and not after:
        return " ".join(f"{key}={_brief(value)}" for key, value in event.data.items())
    names = dict.fromkeys((*before, *after))
    return " ".join(
        f"{name}: {_brief(before[name])} → {_brief(after.get(name, '-'))}"
        if name in before
        else f"{name}={_brief(after[name])}"
        for name in names
    )


def _row(event: EventOut) -> tuple[str, str, str, str, str, str]:
    about = event.object_name or event.object_id or event.app_id or ""
    return render.when(event.at), event.actor_name or "-", event.source or "-", event.tag, about, _change(event)


@command(
    "export",
    taught(
        "Write events to a file, the oldest first: JSON lines or CSV, as many as there are.",
        "将事件导出为文件（从旧到新）：JSON 行或 CSV，数量不限。",
        "gongfang events export --since 30d -o events.jsonl",
        "gongfang events export --format csv --bom --since 2026-01-01 -o events.csv    # "
        + t("for Excel and WPS", "供 Excel、WPS 打开"),
        "gongfang events export --app line-3 | jq .tag",
    ),
    into=events,
)
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("-a", "--app", shell_complete=complete_apps, help=t("Of this app.", "指定应用。"))
@click.option("--tag", metavar="TAG", help=t("Of this kind: app:*", "按类别筛选，如 app:*。"))
@click.option(
    "--since", type=Moment(), metavar="TIME", help=t("From so long ago (30d), or a time.", "起始时间，如 30d。")
)
@click.option("--until", type=Moment(), metavar="TIME")
@click.option("--bom", is_flag=True, help=t("CSV that Excel and WPS open as UTF-8.", "使 Excel、WPS 正确识别编码。"))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help=t("The file [stdout].", "文件 [标准输出]。")
)
def export(
    session: Session,
    kind: str,
    app: str | None,
    tag: str | None,
    since: datetime | None,
    until: datetime | None,
    bom: bool,
    output: Path | None,
) -> None:
    pieces = session.client.events.export(kind, app_id=app_id(session, app), tag=tag, since=since, until=until, bom=bom)
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    partial = output.with_name(f"{output.name}.part")  # a file of this name is whole
    size = 0
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                size += file.write(piece)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    data = {"file": str(output), "size": size}
    session.show(data, lambda: session.note(t("{0}: {1}", "{0}：{1}").format(output, render.size(size))))
