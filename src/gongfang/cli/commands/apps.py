"""`gongfang apps …` and `gongfang open`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.tree import place_id, space_of, space_options
from gongfang.cli.errors import Failed
from gongfang.cli.framework import app_argument, command, group, pairs
from gongfang.cli.progress import finish
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import Memory

if TYPE_CHECKING:
    from gongfang.wire.models import AppOut, InstanceOut

TYPES = ("web", "worker", "task")
RUNTIMES = ("auto", "python", "node", "java", "go", "static", "binary")

apps = group(
    "apps",
    taught(
        "List, create, show, change and destroy apps. Alone, it lists them.",
        "查看、创建、修改、销毁应用；不带子命令时列出应用。",
        "gongfang apps",
        "gongfang apps --state crashed --label plant=suzhou",
        "gongfang apps show line-3-dashboard",
    ),
    default="list",
)


@command("list", t("List apps, with what they should be and what they are.", "列出应用及其期望和实际状态。"), into=apps)
@click.option("--name", help=t("Of this name.", "按名称筛选。"))
@click.option("--state", help=t("In this state: running, stopped, crashed …", "按状态筛选。"))
@click.option("--desired", "desired_state", type=click.Choice(["started", "stopped"]))
@click.option("--type", "kind", type=click.Choice(TYPES))
@click.option("--runtime", type=click.Choice(RUNTIMES))
@click.option("--space", metavar="NAME")
@click.option("--org", metavar="NAME")
@click.option("--tenant", metavar="NAME")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help=t("Carrying this label.", "按标签筛选。"))
def list_apps(
    session: Session,
    name: str | None,
    state: str | None,
    desired_state: str | None,
    kind: str | None,
    runtime: str | None,
    space: str | None,
    org: str | None,
    tenant: str | None,
    labels: tuple[str, ...],
) -> None:
    found = session.client.apps.list(
        name=name,
        state=state,
        desired_state=desired_state,
        type=kind,
        runtime=runtime,
        space_id=place_id(session, "space", space),
        organization_id=place_id(session, "organization", org),
        tenant_id=place_id(session, "tenant", tenant),
        labels=pairs(labels, "--label"),
    ).all()
    columns = (
        t("NAME", "名称"),
        t("STATE", "状态"),
        t("READY", "就绪"),
        t("RELEASE", "发布"),
        t("MEMORY", "内存"),
        t("ADDRESS", "地址"),
    )
    rows = ([a.name, render.word(a.state), ready(a), a.release or "-", memory(a), a.url or "-"] for a in found)
    empty = t(
        "no app yet; in a folder with source:  gongfang deploy", "还没有应用；在源码文件夹中运行：gongfang deploy"
    )

    def show() -> None:
        render.table(columns, rows, empty)
        for app in found:
            if app.reason is not None:
                session.note(f"{app.name}: {app.reason.message}")

    session.show(found, show)


@command(
    "create",
    taught(
        "Create an app without code; 'gongfang deploy' does this and the rest.",
        "创建空应用（gongfang deploy 会自动创建并部署）。",
        "gongfang apps create line-3-dashboard --runtime python --env LINE=3",
    ),
    into=apps,
)
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(TYPES))
@click.option("--runtime", type=click.Choice(RUNTIMES))
@click.option("--domain", help=t("A domain of the tenant to answer on.", "应用使用的租户域名。"))
@space_options
@click.option("-e", "--env", "env", multiple=True, metavar="K=V")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V")
@click.option("--memory", type=Memory(), help=t("For each instance, MiB or 1.5G.", "每实例内存（MiB 或 1.5G）。"))
@click.option("--instances", type=click.IntRange(min=0))
def create(
    session: Session,
    name: str,
    kind: str | None,
    runtime: str | None,
    domain: str | None,
    space: str | None,
    org: str | None,
    env: tuple[str, ...],
    labels: tuple[str, ...],
    memory: int | None,
    instances: int | None,
) -> None:
    settings = {key: value for key, value in (("memory_mb", memory), ("instances", instances)) if value is not None}
    app = session.client.apps.create(
        name,
        type=kind,
        runtime=runtime,
        domain=domain,
        space_id=space_of(session, space, org),
        environment=pairs(env, "--env") or None,
        labels=pairs(labels, "--label") or None,
        processes={main_process(kind or "web"): settings} if settings else None,
    )
    session.show(app, lambda: describe(app))


@command("show", t("Show one app: desired and actual state, instances, addresses.", "查看应用详情。"), into=apps)
@app_argument()
def show(session: Session, app: str) -> None:
    found = session.client.apps.get(app)
    session.show(found, lambda: describe(found))


@command(
    "change",
    taught(
        "Change an app. What concerns running instances is rolled out.",
        "修改应用；影响实例的修改会滚动生效。",
        "gongfang apps change line-3-dashboard --label plant=suzhou --label old=",
        "gongfang apps change line-3-dashboard --process web --command 'python serve.py' --health /healthz",
    ),
    into=apps,
)
@app_argument()
@click.option("--name", help=t("A new name.", "新名称。"))
@click.option("--runtime", type=click.Choice(RUNTIMES))
@click.option(
    "-l", "--label", "labels", multiple=True, metavar="K=V", help=t("An empty V removes.", "V 为空表示删除。")
)
@click.option("--process", default=None, help=t("Which process the rest is about.", "下列设置针对的进程。"))
@click.option("--command", "line", help=t("How it is started; '' is the build's default.", "启动命令；'' 为默认。"))
@click.option("--memory", type=Memory())
@click.option("--disk", type=Memory())
@click.option("--cpu", type=float, help=t("Cores for each instance.", "每实例核数。"))
@click.option("--instances", type=click.IntRange(min=0))
@click.option("--health", metavar="PATH", help=t("Ready when GET PATH answers well.", "以 GET PATH 作为就绪检查。"))
@click.option("--start-timeout", type=float, metavar="SECONDS")
@click.option("--no-wait", is_flag=True)
def change(
    session: Session,
    app: str,
    name: str | None,
    runtime: str | None,
    labels: tuple[str, ...],
    process: str | None,
    line: str | None,
    memory: int | None,
    disk: int | None,
    cpu: float | None,
    instances: int | None,
    health: str | None,
    start_timeout: float | None,
    no_wait: bool,
) -> None:
    settings: dict[str, object] = {}
    if line is not None:
        settings["command"] = line or None
    if health is not None:
        settings["readiness"] = {"kind": "http", "path": health}
    plain = {"memory_mb": memory, "disk_mb": disk, "cpu": cpu, "instances": instances, "start_timeout_s": start_timeout}
    settings.update({key: value for key, value in plain.items() if value is not None})
    processes = None
    if settings:
        processes = {process or main_process(session.client.apps.get(app).type): settings}
    changed = session.client.apps.change(
        app,
        name=name,
        runtime=runtime,
        labels={key: value or None for key, value in pairs(labels, "--label").items()} or None,
        processes=processes,
    )
    if changed.operation is not None:
        finish(session, changed.operation, wait=not no_wait)
    found = session.client.apps.get(changed.app.id)
    session.show(found, lambda: describe(found))


@command(
    "destroy",
    taught(
        "Destroy an app with all its code, releases and logs. This can't be undone.",
        "销毁应用及其全部代码、发布和日志，不可恢复。",
        "gongfang apps destroy line-3-dashboard",
        "gongfang apps destroy line-3-dashboard --yes",
    ),
    into=apps,
)
@app_argument()
@click.option("-y", "--yes", is_flag=True, help=t("Do not ask.", "不再询问。"))
@click.option("--no-wait", is_flag=True)
def destroy(session: Session, app: str, yes: bool, no_wait: bool) -> None:
    if not yes:
        sure = t("Destroy '{0}' for good?", "确定永久销毁“{0}”？").format(app)
        try:
            click.confirm(sure, abort=True, err=True)
        except click.Abort as stopped:
            hint = t("without asking: --yes", "不再询问：--yes")
            raise Failed(t("nothing was destroyed", "未销毁任何内容"), hint=hint) from stopped
    operation = finish(session, session.client.apps.destroy(app), wait=not no_wait)
    session.show(operation, lambda: session.note(t("destroyed {0}", "已销毁 {0}").format(app)) if not no_wait else None)


@command(
    "open",
    taught(
        "Print an app's address.", "显示应用地址。", "gongfang open line-3-dashboard", "curl $(gongfang open line-3)"
    ),
)
@app_argument()
def open_app(session: Session, app: str) -> None:
    found = session.client.apps.get(app)
    if found.url is None:
        raise Failed(t("{0} has no address", "{0} 没有访问地址").format(found.name))
    session.show({"url": found.url, "routes": found.routes}, lambda: click.echo(found.url))


def main_process(kind: str) -> str:
    """The process type that an app's settings are about where none is named: the one called as its type."""
    return kind if kind in TYPES else "web"


def ready(app: AppOut) -> str:
    return f"{app.instances_ready}/{app.instances_wanted}"


def memory(app: AppOut) -> str:
    """Of each instance of the process with the most."""
    most = max((process.memory_mb for process in app.processes.values()), default=None)
    return "-" if most is None else f"{most} MB"


def describe(app: AppOut) -> None:
    """Everything about one app, desired and actual side by side."""
    render.facts(
        [
            (t("Name", "名称"), app.name),
            ("Id", app.id),
            (t("Type", "类型"), f"{app.type} · {app.runtime}"),
            (t("Wanted", "期望"), render.word(app.desired_state)),
            (t("State", "状态"), render.word(app.state)),
            (t("Reason", "原因"), app.reason.message if app.reason else None),
            (t("Ready", "就绪"), ready(app)),
            (t("Release", "发布"), _release(app)),
            (t("Address", "地址"), app.url),
            (t("Note", "提示"), app.note),
            (t("Domains", "域名"), ", ".join(f"{r.domain} ({render.word(r.status)})" for r in app.routes) or None),
            (t("Labels", "标签"), ", ".join(f"{key}={value}" for key, value in app.labels.items()) or None),
            (t("Created", "创建时间"), render.when(app.created_at)),
        ]
    )
    if app.processes:
        click.echo()
        columns = (
            *(t("PROCESS", "进程"), t("COUNT", "数量"), t("MEMORY", "内存"), t("DISK", "磁盘"), t("COMMAND", "命令")),
        )
        rows = [
            (n, p.instances, f"{p.memory_mb} MB", f"{p.disk_mb} MB", p.command or "-") for n, p in app.processes.items()
        ]
        render.table(columns, rows)
    if app.instances:
        click.echo()
        instance_table(app.instances)


def _release(app: AppOut) -> str | None:
    if app.target_release is None or app.target_release == app.release:
        return None if app.release is None else str(app.release)
    return f"{app.release or '-'} → {app.target_release}"


def instance_table(instances: Iterable[InstanceOut]) -> None:
    columns = (
        t("INSTANCE", "实例"),
        t("STATE", "状态"),
        t("RELEASE", "发布"),
        t("UP", "运行时长"),
        t("RESTARTS", "重启"),
        t("WHY", "原因"),
        "ID",
    )
    rows = (
        (
            f"{i.process}.{i.index}",
            render.word(i.state),
            i.release,
            render.ago(i.started_at) if i.ended_at is None else "-",
            i.restarts,
            i.reason.message if i.reason else "",
            i.id,
        )
        for i in instances
    )
    render.table(columns, rows, t("no instance", "没有实例"))
