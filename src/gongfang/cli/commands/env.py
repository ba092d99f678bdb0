"""`gongfang env …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gongfang.cli.framework import app_argument, command, group, pairs
from gongfang.cli.progress import finish
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.wire.models import OperationOut

env = group(
    "env",
    taught(
        "Show and set an app's environment variables. A change on a started app makes a new release.",
        "查看和设置应用的环境变量；运行中的应用会生成新发布。",
        "gongfang env line-3-dashboard",
        "gongfang env set line-3-dashboard LINE=3 PLANT=suzhou",
        "gongfang env unset line-3-dashboard PLANT",
    ),
    default="show",
)
no_wait_option = click.option("--no-wait", is_flag=True)


@command("show", t("Show the variables.", "查看环境变量。"), into=env)
@app_argument()
def show(session: Session, app: str) -> None:
    found = session.client.apps.environment(app)

    def people() -> None:
        for name, value in sorted(found.variables.items()):
            click.echo(f"{name}={value}")
        if found.masked and found.variables:
            session.note(t("values are hidden from your role", "当前角色无权查看变量值"))

    session.show(found, people)


@command("set", taught("Set variables.", "设置环境变量。", "gongfang env set line-3 LINE=3 PLANT=suzhou"), into=env)
@app_argument()
@click.argument("assignments", nargs=-1, required=True, metavar="K=V...")
@no_wait_option
def set_variables(session: Session, app: str, assignments: tuple[str, ...], no_wait: bool) -> None:
    operation = session.client.apps.set_environment(app, pairs(assignments, "env set"))
    _finish(session, app, operation, no_wait)


@command("unset", taught("Remove variables.", "删除环境变量。", "gongfang env unset line-3 PLANT"), into=env)
@app_argument()
@click.argument("names", nargs=-1, required=True, metavar="K...")
@no_wait_option
def unset(session: Session, app: str, names: tuple[str, ...], no_wait: bool) -> None:
    operation = session.client.apps.set_environment(app, dict.fromkeys(names))
    _finish(session, app, operation, no_wait)


def _finish(session: Session, app: str, operation: OperationOut | None, no_wait: bool) -> None:
    if operation is not None:
        finish(session, operation, wait=not no_wait)
    found = session.client.apps.environment(app)
    session.show(found, lambda: session.note(t("set", "已设置")))
