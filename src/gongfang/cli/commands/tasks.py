"""`gongfang run` and `gongfang tasks`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.logs import print_lines
from gongfang.cli.errors import Failed
from gongfang.cli.framework import app_argument, command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import Memory

if TYPE_CHECKING:
    from gongfang.wire.models import TaskOut


@command(
    "run",
    taught(
        "Run a command once in an app's own environment, show its output, and exit with its exit code.",
        "在应用自身环境中运行一次命令，显示输出并返回其退出码。",
        "gongfang run line-3-dashboard -- python manage.py migrate",
        "gongfang run line-3-dashboard 'ls -l && env'",
        "gongfang run mes --detach -- python nightly.py",
    ),
    context_settings={"ignore_unknown_options": True},
)
@click.option("-d", "--detach", is_flag=True, help=t("Do not wait for its end.", "不等待结束。"))
@click.option("--memory", type=Memory())
@click.option("--timeout", type=float, metavar="SECONDS", help=t("Ended after so long [3600].", "超时秒数 [3600]。"))
@app_argument()
@click.argument("line", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@click.pass_context
def run(
    ctx: click.Context,
    session: Session,
    app: str,
    line: tuple[str, ...],
    detach: bool,
    memory: int | None,
    timeout: float | None,
) -> None:
    shell_line = line[0] if len(line) == 1 else shlex.join(line)
    task = session.client.tasks.create(app, shell_line, memory_mb=memory, timeout_s=timeout)
    if detach:
        session.show(task, lambda: click.echo(task.id))
        session.note(t("its output:  gongfang tasks log {0} -f", "查看输出：gongfang tasks log {0} -f").format(task.id))
        return
    ended = _follow(session, task)
    if ended.exit_code is not None:
        ctx.exit(ended.exit_code)
    if ended.signal is not None:
        if ended.reason is not None:  # out of memory, out of time, cancelled
            session.note(ended.reason.message)
        ctx.exit(128 + ended.signal)
    if ended.state != "succeeded":
        raise Failed(ended.reason.message if ended.reason else t("the task {0}", "任务{0}").format(ended.state))


def _follow(session: Session, task: TaskOut) -> TaskOut:
    ended: list[TaskOut] = []
    try:
        print_lines(session, session.client.tasks.log(task.id, follow=True, on_end=ended.append), bare=True)
    except KeyboardInterrupt:
        session.client.tasks.cancel(task.id)
        session.note(t("cancelled {0}", "已取消 {0}").format(task.id))
        raise
    return ended[0] if ended else session.client.tasks.get(task.id)


tasks = group(
    "tasks",
    taught(
        "List an app's one-off tasks, show their output, cancel one.",
        "列出应用的一次性任务，查看输出或取消。",
        "gongfang tasks line-3-dashboard",
        "gongfang tasks log task_01k8… -f",
        "gongfang tasks cancel task_01k8…",
    ),
    default="list",
)


@command("list", t("List an app's tasks.", "列出应用的任务。"), into=tasks)
@app_argument()
def list_tasks(session: Session, app: str) -> None:
    found = session.client.tasks.list(app).all()
    columns = (
        "ID",
        t("STATE", "状态"),
        t("EXIT", "退出码"),
        t("COMMAND", "命令"),
        t("CREATED", "创建时间"),
        t("TOOK", "用时"),
    )
    rows = (
        (
            task.id,
            render.word(task.state),
            task.exit_code if task.exit_code is not None else "",
            task.command,
            render.when(task.created_at),
            render.took(task.started_at, task.finished_at),
        )
        for task in found
    )
    session.show(found, lambda: render.table(columns, rows, t("no task yet", "还没有任务")))


@command("log", t("Show a task's output.", "查看任务输出。"), into=tasks)
@click.argument("task_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True)
def log(session: Session, task_id: str, follow: bool) -> None:
    print_lines(session, session.client.tasks.log(task_id, follow=follow), bare=True)


@command("cancel", t("Cancel a task.", "取消任务。"), into=tasks)
@click.argument("task_id", metavar="ID")
def cancel(session: Session, task_id: str) -> None:
    found = session.client.tasks.cancel(task_id)
    session.show(found, lambda: session.note(t("cancelling {0}", "正在取消 {0}").format(task_id)))
