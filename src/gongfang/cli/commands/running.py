"""Starting, stopping, scaling and rolling back; releases, instances and builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.apps import instance_table, main_process
from gongfang.cli.framework import app_argument, command, pairs
from gongfang.cli.progress import finish
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import Memory

if TYPE_CHECKING:
    from gongfang.wire.models import AppOut, AppWithOperation

no_wait_option = click.option("--no-wait", is_flag=True, help=t("Return once it is accepted.", "受理后立即返回。"))


def _finish(session: Session, answer: AppWithOperation, no_wait: bool) -> None:
    operation = finish(session, answer.operation, wait=not no_wait)
    if no_wait:
        session.show(operation, lambda: None)
        return
    app = session.client.apps.get(answer.app.id)
    session.show(app, lambda: _one_line(session, app))


def _one_line(session: Session, app: AppOut) -> None:
    count = t("{0} of {1} instances ready", "就绪实例 {0}/{1}").format(app.instances_ready, app.instances_wanted)
    state = f"{app.name}: {render.coloured(render.word(app.state))}"
    session.note(f"{state} · {count}" if app.instances_wanted else state)
    if app.url and app.desired_state == "started":
        click.echo(app.url)


@command(
    "start",
    taught(
        "Start an app with its newest package; on a running app, roll that package out.",
        "以最新程序包启动应用；运行中的应用则滚动更新。",
        "gongfang start line-3-dashboard",
    ),
)
@app_argument()
@click.option("--package", "package_id", metavar="ID", help=t("Another than the newest.", "指定程序包。"))
@no_wait_option
def start(session: Session, app: str, package_id: str | None, no_wait: bool) -> None:
    _finish(session, session.client.apps.start(app, package_id=package_id), no_wait)


@command(
    "stop", taught("Stop an app; everything is kept.", "停止应用，保留全部内容。", "gongfang stop line-3-dashboard")
)
@app_argument()
@no_wait_option
def stop(session: Session, app: str, no_wait: bool) -> None:
    _finish(session, session.client.apps.stop(app), no_wait)


@command(
    "restart",
    taught("Replace every instance, without a gap.", "不中断地更换全部实例。", "gongfang restart line-3-dashboard"),
)
@app_argument()
@no_wait_option
def restart(session: Session, app: str, no_wait: bool) -> None:
    _finish(session, session.client.apps.restart(app), no_wait)


@command(
    "scale",
    taught(
        "Set how many instances an app has, and how much memory and disk each. What an instance writes to its disk "
        "(/app, /tmp, /var/tmp) ends with it.",
        "设置应用的实例数，以及每实例的内存和磁盘。实例写入磁盘的内容（/app、/tmp、/var/tmp）随实例结束而清除。",
        "gongfang scale line-3-dashboard 3",
        "gongfang scale line-3-dashboard web=3 worker=1",
        "gongfang scale line-3-dashboard web=2 --memory 256 --disk 2G",
    ),
)
@app_argument()
@click.argument("counts", nargs=-1, metavar="[[PROCESS=]N]...")
@click.option("--memory", type=Memory(), help=t("For each instance: MiB, or 1.5G.", "每实例内存：MiB 或 1.5G。"))
@click.option("--disk", type=Memory(), help=t("For each instance: MiB, or 2G.", "每实例磁盘：MiB 或 2G。"))
@click.option("--process", help=t("Which process --memory and --disk are about.", "--memory 和 --disk 针对的进程。"))
@no_wait_option
def scale(
    session: Session,
    app: str,
    counts: tuple[str, ...],
    memory: int | None,
    disk: int | None,
    process: str | None,
    no_wait: bool,
) -> None:
    wanted: dict[str | None, int | None] = {}
    if len(counts) == 1 and counts[0].isdigit():
        wanted[process] = int(counts[0])
    else:
        for name, count in pairs(counts, "scale").items():
            if not count.isdigit():
                raise click.UsageError(t("'{0}' is not a number", "“{0}”不是数字").format(count))
            wanted[name] = int(count)
    each = {key: value for key, value in (("memory_mb", memory), ("disk_mb", disk)) if value is not None}
    if not wanted and not each:
        raise click.UsageError(t("say how many: web=3, or --memory 256", "请指定数量：web=3，或 --memory 256"))
    if not wanted:
        wanted[process] = None
    if len(wanted) == 1:
        ((name, count),) = wanted.items()
        _finish(session, session.client.apps.set_instances(app, count, **each, process=name), no_wait)
        return
    _scale_many(session, app, wanted, each, no_wait)


def _scale_many(
    session: Session, app: str, wanted: dict[str | None, int | None], each: dict[str, int], no_wait: bool
) -> None:
    """Several process types in one change, so that it is one roll-out."""
    main = main_process(session.client.apps.get(app).type)
    settings = {name or main: {"instances": count} | each for name, count in wanted.items()}
    changed = session.client.apps.change(app, processes=settings)
    if changed.operation is None:
        session.show(changed.app, lambda: _one_line(session, changed.app))
    else:
        from gongfang.wire.models import AppWithOperation

        _finish(session, AppWithOperation(app=changed.app, operation=changed.operation), no_wait)


@command(
    "rollback",
    taught(
        "Run what an earlier release ran: the one before, or number N.",
        "回退到以前的发布：默认上一个，或编号 N。",
        "gongfang rollback line-3-dashboard",
        "gongfang rollback line-3-dashboard 7",
    ),
)
@app_argument()
@click.argument("release", type=click.IntRange(min=1), required=False, metavar="[N]")
@no_wait_option
def rollback(session: Session, app: str, release: int | None, no_wait: bool) -> None:
    _finish(session, session.client.apps.rollback(app, release), no_wait)


@command("releases", taught("List an app's releases.", "列出应用的发布。", "gongfang releases line-3-dashboard"))
@app_argument()
def releases(session: Session, app: str) -> None:
    found = session.client.apps.releases(app).all()
    columns = (
        t("RELEASE", "发布"),
        t("CAUSE", "原因"),
        t("STATE", "状态"),
        t("CREATED", "创建时间"),
        t("BY", "操作人"),
    )
    rows = (
        (
            f"{'*' if r.current else ' '} {r.number}",
            r.cause + (f" ({r.from_release})" if r.from_release else ""),
            r.failed.message
            if r.failed
            else t("healthy", "健康")
            if r.healthy_at
            else t("not yet healthy", "尚未健康"),
            render.when(r.created_at),
            r.created_by or "",
        )
        for r in found
    )
    session.show(found, lambda: render.table(columns, rows, t("no release yet", "还没有发布")))


@command(
    "ps",
    taught(
        "List an app's instances; with --ended, also those that ended, and why.",
        "列出应用实例；--ended 包含已结束的实例及原因。",
        "gongfang ps line-3-dashboard --ended",
    ),
)
@app_argument()
@click.option("--ended", is_flag=True)
def ps(session: Session, app: str, ended: bool) -> None:
    found = session.client.apps.instances(app, ended=ended).all()
    session.show(found, lambda: instance_table(found))


@command("builds", taught("List an app's builds.", "列出应用的构建。", "gongfang builds line-3-dashboard"))
@app_argument()
def builds(session: Session, app: str) -> None:
    found = session.client.apps.builds(app).all()
    columns = (
        "ID",
        t("STATE", "状态"),
        t("WHAT", "识别"),
        t("CREATED", "创建时间"),
        t("TOOK", "用时"),
        t("WHY", "原因"),
    )
    rows = (
        (
            b.id,
            render.word(b.state),
            b.detected or b.runtime,
            render.when(b.created_at),
            render.took(b.started_at, b.finished_at),
            b.reason.message if b.reason else "",
        )
        for b in found
    )
    session.show(found, lambda: render.table(columns, rows, t("no build yet", "还没有构建")))
