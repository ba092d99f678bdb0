"""`gongfang operations`, `gongfang cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gongfang.cli import progress, render
from gongfang.cli.errors import Failed
from gongfang.cli.framework import app_argument, command, complete_apps, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.domain.ids import is_id

if TYPE_CHECKING:
    from gongfang.wire.models import OperationOut

operations = group(
    "operations",
    taught(
        "List what is being done and what was done; show or follow one.",
        "列出进行中和已完成的操作；查看或跟踪某个操作。",
        "gongfang operations --app line-3-dashboard",
        "gongfang operations watch op_01k8…",
    ),
    default="list",
)


def app_id(session: Session, app: str | None) -> str | None:
    """The id of an app by its name, where one was named."""
    return app if app is None or is_id(app) else session.client.apps.get(app).id


@command("list", t("List operations, the newest first.", "列出操作，最新在前。"), into=operations)
@app_argument("named", required=False)
@click.option("-a", "--app", shell_complete=complete_apps)
@click.option("--status", type=click.Choice(["pending", "running", "succeeded", "failed", "cancelled"]))
@click.option("-n", "count", type=click.IntRange(1, 500), default=20, show_default=True)
def list_operations(session: Session, named: str | None, app: str | None, status: str | None, count: int) -> None:
    found = (
        session.client.operations.list(app_id=app_id(session, named or app), status=status, page_size=count)
        .page()
        .items
    )
    columns = (
        "ID",
        t("WHAT", "操作"),
        t("APP", "应用"),
        t("STATUS", "状态"),
        t("CREATED", "创建时间"),
        t("TOOK", "用时"),
        t("WHY", "原因"),
    )
    rows = (
        (
            o.id,
            o.kind,
            _about(o),
            render.word(o.status),
            render.when(o.created_at),
            render.took(o.created_at, o.finished_at),
            o.reason.message if o.reason else "",
        )
        for o in found
    )
    session.show(found, lambda: render.table(columns, rows))


@command("show", t("Show one operation with its steps.", "查看操作及其步骤。"), into=operations)
@click.argument("operation_id", metavar="ID")
def show(session: Session, operation_id: str) -> None:
    found = session.client.operations.get(operation_id)
    session.show(found, lambda: _describe(found))


@command("watch", t("Follow an operation to its end; exits as it ends.", "跟踪操作直到结束。"), into=operations)
@click.argument("operation_id", metavar="ID")
def watch(session: Session, operation_id: str) -> None:
    ended = progress.follow(session, session.client.operations.get(operation_id))
    session.show(ended, lambda: session.note(f"{ended.kind}: {render.coloured(render.word(ended.status))}"))


def _about(operation: OperationOut) -> str:
    """The app, the service, or both."""
    return " · ".join(name for name in (operation.app_name, operation.service_name) if name)


def _describe(operation: OperationOut) -> None:
    render.facts(
        [
            ("Id", operation.id),
            (t("What", "操作"), operation.kind),
            (t("App", "应用"), operation.app_name),
            (t("Service", "服务实例"), operation.service_name),
            (t("Status", "状态"), render.word(operation.status)),
            (t("Reason", "原因"), operation.reason.message if operation.reason else None),
            (t("Release", "发布"), operation.release),
            (t("Created", "创建时间"), render.when(operation.created_at)),
            (t("Took", "用时"), render.took(operation.created_at, operation.finished_at) or None),
        ]
    )
    for step in operation.steps:
        click.echo(
            f"  {'✓' if step.finished_at else '…'} {step.message}  {render.took(step.started_at, step.finished_at)}"
        )
    if operation.output:
        click.echo(operation.output.rstrip())


@command(
    "cancel",
    taught(
        "Cancel an operation, or whatever is being done with an app.",
        "取消某个操作，或取消应用正在进行的操作。",
        "gongfang cancel line-3-dashboard",
        "gongfang cancel op_01k8…",
    ),
)
@app_argument("what")
def cancel(session: Session, what: str) -> None:
    client = session.client
    if is_id(what) and what.startswith("op_"):
        cancelled = [client.operations.cancel(what)]
    else:
        app = client.apps.get(what)
        going_on = [
            operation
            for status in ("running", "pending")
            for operation in client.operations.list(app_id=app.id, status=status)
        ]
        if not going_on:
            raise Failed(t("nothing is being done with {0}", "{0} 没有正在进行的操作").format(app.name))
        cancelled = [client.operations.cancel(operation.id) for operation in going_on]
    session.show(
        cancelled,
        lambda: session.note(t("cancelling {0}", "正在取消 {0}").format(", ".join(o.id for o in cancelled))),
    )
