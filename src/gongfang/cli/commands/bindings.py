"""`gongfang bind`, `gongfang unbind`, `gongfang bindings`: apps and the services that they use."""

from __future__ import annotations

import click

from gongfang.cli import render
from gongfang.cli.commands.services import no_wait_option, parameter_option, service_argument, values
from gongfang.cli.framework import app_argument, command, group, pairs
from gongfang.cli.progress import finish
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught


@command(
    "bind",
    taught(
        "Bind a service to an app: it gets credentials of its own, as variables (DATABASE_URL, VCAP_SERVICES) and as "
        "files below /bindings. A running app is replaced without a gap.",
        "将服务绑定到应用：应用通过环境变量（DATABASE_URL、VCAP_SERVICES）和 /bindings 下的文件获得专属凭据。"
        "运行中的应用会不中断地更换实例。",
        "gongfang bind line-3-dashboard orders",
        "gongfang bind line-3-dashboard orders --variable ORDERS_URL=uri",
    ),
)
@app_argument()
@service_argument
@click.option("--name", metavar="NAME", help=t("Of the binding; the service's if not said.", "绑定名称，默认服务名。"))
@click.option(
    "--variable",
    "variables",
    multiple=True,
    metavar="VAR=KEY",
    help=t("A variable and the key of the credentials in it; may be repeated.", "变量及其凭据键，可重复。"),
)
@parameter_option
@no_wait_option
def bind(
    session: Session,
    app: str,
    service: str,
    name: str | None,
    variables: tuple[str, ...],
    parameters: tuple[str, ...],
    no_wait: bool,
) -> None:
    wanted = pairs(variables, "--variable") or None
    answer = session.client.bindings.create(app, service, name=name, variables=wanted, parameters=values(parameters))
    operation = finish(session, answer.operation, wait=not no_wait)
    if no_wait:
        session.show(operation, lambda: None)
        return
    found = session.client.bindings.get(app, answer.binding.service_instance_id)
    names = ", ".join(sorted(found.variables))
    bound = t("bound; variables: {0}", "已绑定；变量：{0}").format(names or "VCAP_SERVICES")
    session.show(found, lambda: session.note(bound))


@command(
    "unbind",
    taught(
        "Unbind a service from an app. Its credentials and connections end at once; the service keeps its data.",
        "解除应用与服务的绑定。凭据与连接立即失效；服务保留其数据。",
        "gongfang unbind line-3-dashboard orders",
    ),
)
@app_argument()
@service_argument
@no_wait_option
def unbind(session: Session, app: str, service: str, no_wait: bool) -> None:
    operation = finish(session, session.client.bindings.delete(app, service), wait=not no_wait)
    session.show(operation, lambda: None if no_wait else session.note(t("unbound", "已解绑")))


@command(
    "rotate",
    taught(
        "Give an app new credentials of a service: it is replaced, without a gap, by one that has them, and then the "
        "old ones end. Where the app does not come up with them, it keeps the old ones. A user-provided service's are "
        "changed with 'gongfang services change'.",
        "更换应用访问服务的凭据：应用不中断地更换为使用新凭据的实例，随后旧凭据失效；若新实例无法启动，则保留旧凭据。"
        "用户自备服务的凭据用 gongfang services change 修改。",
        "gongfang rotate line-3-dashboard orders",
    ),
)
@app_argument()
@service_argument
@no_wait_option
def rotate(session: Session, app: str, service: str, no_wait: bool) -> None:
    operation = finish(session, session.client.bindings.rotate(app, service).operation, wait=not no_wait)
    if no_wait:
        session.show(operation, lambda: None)
        return
    found = session.client.bindings.get(app, service)
    done = t("{0} has new credentials; the old ones end now", "{0} 已使用新凭据；旧凭据随即失效").format(app)
    session.show(found, lambda: session.note(done))


bindings = group(
    "bindings",
    taught(
        "What an app is bound to, and what it gets of it.",
        "查看应用的服务绑定及其获得的内容。",
        "gongfang bindings line-3-dashboard",
        "gongfang bindings env line-3-dashboard orders",
    ),
    default="list",
)


@command("list", t("List an app's bindings.", "列出应用的绑定。"), into=bindings)
@app_argument()
def list_bindings(session: Session, app: str) -> None:
    found = session.client.bindings.list(app).all()
    columns = (
        t("SERVICE", "服务实例"),
        t("NAME", "绑定名称"),
        t("STATE", "状态"),
        t("VARIABLES", "变量"),
        t("CREATED", "创建时间"),
    )
    rows = (
        (
            b.service_instance_name,
            b.name,
            render.word(b.state),
            ", ".join(sorted(b.variables)),
            render.when(b.created_at),
        )
        for b in found
    )
    session.show(found, lambda: render.table(columns, rows, t("bound to nothing", "没有绑定")))


@command(
    "env",
    taught(
        "Show the variables and files that an app gets of a binding.",
        "查看应用通过绑定获得的变量和文件。",
        "gongfang bindings env line-3-dashboard orders",
    ),
    into=bindings,
)
@app_argument()
@service_argument
def env(session: Session, app: str, service: str) -> None:
    found = session.client.bindings.environment(app, service)

    def people() -> None:
        for name, value in sorted(found.environment.items()):
            click.echo(f"{name}={value}")
        for file in found.files:
            click.echo(file)
        if found.masked:
            session.note(t("values are hidden from your role", "当前角色无权查看变量值"))

    session.show(found, people)
