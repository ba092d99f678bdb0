"""`gongfang services …`: middleware that the platform runs, and the instances of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gongfang.cli import render
from gongfang.cli.commands.logs import print_lines
from gongfang.cli.commands.tree import place_id
from gongfang.cli.errors import Failed
from gongfang.cli.framework import command, group, pairs
from gongfang.cli.progress import finish
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.wire.services import AmountOut, PlanOut, ServiceInstanceOut, ServiceStatusOut

services = group(
    "services",
    taught(
        "Databases and other middleware for your apps. An organisation brings a service in once; then its spaces have "
        "instances of it, and apps are bound to these (gongfang bind). The unit that starts the platform at boot is "
        "'gongfang service'.",
        "为应用提供数据库等中间件。组织先接入服务，其空间即可创建实例，再绑定到应用（gongfang bind）。"
        "开机启动平台的命令是 gongfang service。",
        "gongfang services catalog",
        "gongfang services enable postgresql",
        "gongfang services create postgresql orders --plan small",
        "gongfang bind line-3-dashboard orders",
    ),
    default="list",
)
no_wait_option = click.option("--no-wait", is_flag=True, help=t("Return once it is accepted.", "受理后立即返回。"))


def complete_services(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of service instances, where the platform answers at once; a completion never explains an error."""
    from gongfang.client.errors import ClientError

    try:
        client = ctx.ensure_object(Session).quick_client(timeout=1.0)
        found = client.services.list(page_size=500).page().items
        return [service.name for service in found if service.name.startswith(incomplete)]
    except (ClientError, click.ClickException, OSError):
        return []


service_argument = click.argument("service", metavar="SERVICE", shell_complete=complete_services)
parameter_option = click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help=t("VALUE is JSON, else text; may be repeated.", "VALUE 为 JSON，否则按文本；可重复。"),
)


def values(given: tuple[str, ...], option: str = "--parameter") -> dict[str, Any] | None:
    """`KEY=JSON` arguments; what is no JSON is text. None where there are none."""
    found: dict[str, Any] = {}
    for key, text in pairs(given, option).items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found or None


def _organization(session: Session, name: str | None) -> str:
    return place_id(session, "organization", name or "default") or ""


def _space(session: Session, name: str | None) -> str:
    return place_id(session, "space", name or "default") or ""


@command("list", taught("List service instances.", "列出服务实例。", "gongfang services"), into=services)
@click.option("--space", metavar="NAME", help=t("Only this space.", "仅此空间。"))
@click.option("--service", metavar="NAME", help=t("Only of this service.", "仅此服务。"))
def list_services(session: Session, space: str | None, service: str | None) -> None:
    space_id = place_id(session, "space", space) if space else None
    found = session.client.services.list(space_id=space_id, service=service).all()
    columns = (
        t("NAME", "名称"),
        t("SERVICE", "服务"),
        t("PLAN", "套餐"),
        t("STATE", "状态"),
        t("BOUND TO", "绑定应用"),
        t("CREATED", "创建时间"),
    )
    rows = (
        (
            s.name,
            s.service,
            s.plan or "",
            render.word(s.state),
            ", ".join(b.app_name or b.name for b in s.bindings),
            render.when(s.created_at),
        )
        for s in found
    )
    session.show(found, lambda: render.table(columns, rows, t("no service yet", "还没有服务实例")))


def _plans(plans: list[PlanOut]) -> str:
    return ", ".join(plan.name for plan in plans)


@command(
    "catalog",
    taught(
        "List what the platform offers, and whether this machine can run it; with --org, what an organisation has.",
        "列出平台提供的服务及本机是否可运行；--org 列出组织已接入的服务。",
        "gongfang services catalog",
        "gongfang services catalog --org default",
    ),
    into=services,
)
@click.option("--org", metavar="NAME", help=t("What this organisation has brought in.", "该组织已接入的服务。"))
def catalog(session: Session, org: str | None) -> None:
    client = session.client.services
    found = client.enabled(_organization(session, org)).all() if org else client.catalogue().all()
    columns = (t("SERVICE", "服务"), t("PLANS", "套餐"), t("AVAILABLE", "可用"), t("WHAT", "说明"))
    rows = (
        (
            s.name,
            _plans(s.plans),
            t("yes", "是") if s.available else s.reason.message if s.reason else t("no", "否"),
            s.description,
        )
        for s in found
    )
    session.show(found, lambda: render.table(columns, rows, t("no service there", "暂无服务")))


@command(
    "enable",
    taught(
        "Bring a service into an organisation, so that its spaces can have instances of it.",
        "将服务接入组织，组织下的空间即可创建其实例。",
        "gongfang services enable postgresql",
        "gongfang services enable postgresql --org quality --plan small --plan medium",
    ),
    into=services,
)
@click.argument("name")
@click.option("--org", metavar="NAME", help=t("The organisation; 'default' if not said.", "组织，默认 default。"))
@click.option(
    "--plan",
    "plans",
    multiple=True,
    metavar="NAME",
    help=t("Only these plans; may be repeated.", "仅开放这些套餐，可重复。"),
)
def enable(session: Session, name: str, org: str | None, plans: tuple[str, ...]) -> None:
    found = session.client.services.enable(_organization(session, org), name, plans=list(plans) or None)
    words = t("{0} is there, with the plans {1}", "已接入 {0}，套餐：{1}").format(found.name, _plans(found.plans))
    session.show(found, lambda: session.note(words))


@command(
    "disable",
    taught(
        "Take a service out of an organisation; refused while there are instances of it.",
        "从组织移除服务；仍有实例时不可移除。",
        "gongfang services disable postgresql",
    ),
    into=services,
)
@click.argument("name")
@click.option("--org", metavar="NAME", help=t("The organisation; 'default' if not said.", "组织，默认 default。"))
def disable(session: Session, name: str, org: str | None) -> None:
    session.client.services.disable(_organization(session, org), name)
    session.show({"disabled": name}, lambda: session.note(t("{0} was taken out", "已移除 {0}").format(name)))


@command(
    "create",
    taught(
        "Create an instance of a service. Without a plan: the catalogue's first; without a name: the service's own.",
        "创建服务实例。未指定套餐时使用目录中的第一个；未指定名称时使用服务名。",
        "gongfang services create postgresql",
        "gongfang services create postgresql orders --plan medium -p max_connections=50",
    ),
    into=services,
)
@click.argument("service")
@click.argument("name", required=False)
@click.option("--plan", metavar="NAME", help=t("See 'services catalog'.", "见 services catalog。"))
@click.option("--space", metavar="NAME", help=t("The space; 'default' if not said.", "空间，默认 default。"))
@click.option("--tag", "tags", multiple=True, metavar="TEXT", help=t("May be repeated.", "可重复。"))
@parameter_option
@no_wait_option
def create(
    session: Session,
    service: str,
    name: str | None,
    plan: str | None,
    space: str | None,
    tags: tuple[str, ...],
    parameters: tuple[str, ...],
    no_wait: bool,
) -> None:
    given = values(parameters)
    answer = session.client.services.create(
        _space(session, space), service, name=name, plan=plan, parameters=given, tags=list(tags) or None
    )
    _finish(session, answer.service_instance.id, finish(session, answer.operation, wait=not no_wait), no_wait)


def _finish(session: Session, service: str, operation: Any, no_wait: bool) -> None:
    if no_wait:
        session.show(operation, lambda: None)
        return
    found = session.client.services.get(service)
    session.show(found, lambda: _one_line(session, found))


def _one_line(session: Session, found: ServiceInstanceOut) -> None:
    state = render.coloured(render.word(found.state))
    session.note(f"{found.name}: {found.service} {found.plan or ''} · {state}")


@command("show", taught("Show a service instance.", "查看服务实例。", "gongfang services show orders"), into=services)
@service_argument
def show(session: Session, service: str) -> None:
    found = session.client.services.get(service)

    def people() -> None:
        render.facts(
            (
                (t("name", "名称"), found.name),
                ("id", found.id),
                (t("service", "服务"), found.service),
                (t("plan", "套餐"), found.plan),
                (t("state", "状态"), render.word(found.state)),
                (t("reason", "原因"), found.reason.message if found.reason else None),
                (t("parameters", "参数"), json.dumps(found.parameters, ensure_ascii=False)),
                (t("tags", "标签"), ", ".join(found.tags) or None),
                (t("bound to", "绑定应用"), ", ".join(b.app_name or b.name for b in found.bindings) or "-"),
                (t("created", "创建时间"), render.when(found.created_at)),
                (t("by", "操作人"), found.created_by),
            )
        )

    session.show(found, people)


@command(
    "status",
    taught(
        "Show a service instance at work: where it answers, and what it takes.",
        "查看服务实例的运行状态：地址与资源占用。",
        "gongfang services status orders",
    ),
    into=services,
)
@service_argument
def status(session: Session, service: str) -> None:
    found = session.client.services.status(service)
    session.show(found, lambda: render.facts(_status(found)))


@command(
    "logs",
    taught(
        "Show the output of a service instance's server, since it was started last.",
        "查看服务实例自上次启动以来的输出。",
        "gongfang services logs orders -f",
    ),
    into=services,
)
@service_argument
@click.option("-f", "--follow", is_flag=True, help=t("Go on as lines come.", "持续输出。"))
@click.option("-n", "--tail", type=click.IntRange(min=0), default=100, help=t("The last N lines.", "最后 N 行。"))
def show_log(session: Session, service: str, follow: bool, tail: int) -> None:
    print_lines(session, session.client.services.log(service, tail=tail, follow=follow))


def _status(found: ServiceStatusOut) -> tuple[tuple[str, object], ...]:
    cpu = None
    if found.cpu is not None and found.cpu.cores is not None:
        limit = f" / {found.cpu.limit_cores:g}" if found.cpu.limit_cores else ""
        cpu = f"{found.cpu.cores:.2f}{limit}"
    connections = None
    if found.connections is not None and found.connections.used is not None:
        connections = f"{found.connections.used} / {found.connections.most or '-'}"
    return (
        (t("name", "名称"), found.name),
        (t("state", "状态"), render.word(found.state)),
        (t("reason", "原因"), found.reason.message if found.reason else None),
        (t("address", "地址"), f"{found.host}:{found.port}" if found.host else None),
        (t("CPU cores", "CPU 核"), cpu),
        (t("memory", "内存"), _amount(found.memory)),
        (t("storage", "存储"), _amount(found.storage)),
        (t("connections", "连接"), connections),
        (t("version", "版本"), found.version),
        (t("restarts", "重启次数"), found.restarts),
        (t("ready since", "就绪时间"), render.when(found.ready_at) or None),
        (t("last output", "最后输出"), found.last_output),
    )


def _amount(amount: AmountOut | None) -> str | None:
    if amount is None or amount.bytes is None:
        return None
    limit = f" / {render.size(amount.limit_bytes)}" if amount.limit_bytes else ""
    return render.size(amount.bytes) + limit


@command(
    "configure",
    taught(
        "Give a service instance another plan, or other parameters; null removes one. Its data and credentials stay.",
        "变更服务实例的套餐或参数（null 表示移除）。数据与凭据保持不变。",
        "gongfang services configure orders --plan medium",
        "gongfang services configure orders -p max_connections=100 -p statement_timeout_ms=null",
    ),
    into=services,
)
@service_argument
@click.option("--plan", metavar="NAME", help=t("See 'services catalog'.", "见 services catalog。"))
@parameter_option
@no_wait_option
def configure(session: Session, service: str, plan: str | None, parameters: tuple[str, ...], no_wait: bool) -> None:
    given = values(parameters)
    if plan is None and given is None:
        raise click.UsageError(t("say what to change: --plan, or -p KEY=VALUE", "请指定 --plan 或 -p KEY=VALUE"))
    answer = session.client.services.configure(service, plan=plan, parameters=given)
    _finish(session, answer.service_instance.id, finish(session, answer.operation, wait=not no_wait), no_wait)


@command(
    "delete",
    taught(
        "Delete a service instance with all its data. --force unbinds it from its apps first.",
        "删除服务实例及其全部数据；--force 会先从应用解绑。",
        "gongfang services delete orders",
        "gongfang services delete orders --force --yes",
    ),
    into=services,
)
@service_argument
@click.option("--force", is_flag=True, help=t("Unbind it first.", "先解绑。"))
@click.option("-y", "--yes", is_flag=True, help=t("Do not ask.", "不再询问。"))
@no_wait_option
def delete(session: Session, service: str, force: bool, yes: bool, no_wait: bool) -> None:
    found = session.client.services.get(service)
    if not yes:
        asked = t("Delete {0} and all its data?", "删除 {0} 及其全部数据？").format(found.name)
        try:
            click.confirm(asked, abort=True, err=True)
        except click.Abort as stopped:
            hint = t("without asking: --yes", "不再询问：--yes")
            raise Failed(t("nothing was deleted", "未删除任何内容"), hint=hint) from stopped
    operation = finish(session, session.client.services.delete(found.id, force=force), wait=not no_wait)
    gone = t("{0} is gone", "已删除 {0}").format(found.name)
    session.show(operation, lambda: None if no_wait else session.note(gone))
