"""`gongfang logs` and `gongfang build-log`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from gongfang.cli.framework import app_argument, command
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import Moment

if TYPE_CHECKING:
    from gongfang.wire.models import LogLine

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


def print_lines(session: Session, lines: Iterable[LogLine], *, bare: bool = False) -> None:
    """Lines as they come; as JSON, one object a line. `bare`: the text alone."""
    for line in lines:
        if session.as_json:
            click.echo(line.model_dump_json())
        elif bare:
            click.echo(line.text)
        else:
            colour = _COLOURS[sum(line.source.encode()) % len(_COLOURS)]
            at = line.at.astimezone().strftime("%m-%d %H:%M:%S")
            click.echo(f"{click.style(at, dim=True)} {click.style(line.source, fg=colour)} {line.text}")


@command(
    "logs",
    taught(
        "Show the output of an app's instances, oldest first.",
        "查看应用实例的输出，从旧到新。",
        "gongfang logs line-3-dashboard -f",
        "gongfang logs line-3-dashboard --since 10m --process worker",
        "gongfang logs line-3-dashboard --since 2026-03-01T08:00 --until 2026-03-01T09:00",
    ),
)
@app_argument()
@click.option("-f", "--follow", is_flag=True, help=t("Go on as lines come.", "持续输出。"))
@click.option("--process", help=t("Of this process type.", "指定进程类型。"))
@click.option("--instance", "instance_id", metavar="ID", help=t("Of this instance.", "指定实例。"))
@click.option(
    "--since", type=Moment(), metavar="TIME", help=t("From so long ago (10m), or a time.", "起始时间，如 10m。")
)
@click.option("--until", type=Moment(), metavar="TIME")
@click.option("-n", "--tail", type=click.IntRange(min=0), help=t("The last N lines [100].", "最后 N 行 [100]。"))
def logs(
    session: Session,
    app: str,
    follow: bool,
    process: str | None,
    instance_id: str | None,
    since: datetime | None,
    until: datetime | None,
    tail: int | None,
) -> None:
    if tail is None and since is None and until is None:
        tail = 100
    lines = session.client.apps.logs(
        app, process=process, instance_id=instance_id, since=since, until=until, tail=tail, follow=follow
    )
    print_lines(session, lines)


@command(
    "build-log",
    taught(
        "Show the output of a build.",
        "查看构建输出。",
        "gongfang build-log $(gongfang builds line-3 --json | jq -r '.[0].id')",
    ),
)
@click.argument("build_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help=t("Go on until it has ended.", "持续输出直到结束。"))
def build_log(session: Session, build_id: str, follow: bool) -> None:
    build = session.client.builds.get(build_id)
    if not follow and not session.as_json:
        session.note(build.detected or "")
    print_lines(session, session.client.builds.log(build_id, follow=follow), bare=True)
    if not session.as_json and build.reason is not None:
        session.note(build.reason.message)
