"""`gongfang services user-provided`, `change`, `keys`: what people say of services, and what they get of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gongfang.cli import render
from gongfang.cli.commands.services import (
    finished,
    no_wait_option,
    parameter_option,
    service_argument,
    services,
    space_id,
    values,
)
from gongfang.cli.errors import Failed
from gongfang.cli.framework import command, group
from gongfang.cli.progress import finish
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.wire.services import KeyOut

__all__ = ["services"]

credential_option = click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="KEY=VALUE",
    help=t(
        "VALUE is JSON, else text; may be repeated. For what is no secret: the shell keeps it.",
        "VALUE 为 JSON，否则按文本；可重复。命令会留在 shell 历史中，请勿用于机密。",
    ),
)
secret_option = click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="KEY",
    help=t("A credential that is asked for, unseen; may be repeated.", "交互输入的机密凭据（不回显），可重复。"),
)
file_option = click.option(
    "--file",
    type=click.File("rb"),
    metavar="FILE",
    help=t("Credentials as a JSON object; '-' reads standard input.", "JSON 对象形式的凭据；'-' 读取标准输入。"),
)
tag_option = click.option("--tag", "tags", multiple=True, metavar="TEXT", help=t("May be repeated.", "可重复。"))


def _credentials(given: tuple[str, ...], secrets: tuple[str, ...], file: Any) -> dict[str, Any] | None:
    """From all three ways together; what is named by itself wins over the file. None: nothing was given."""
    found: dict[str, Any] = {}
    if file is not None:
        try:
            read = json.loads(file.read())
        except ValueError:
            read = None
        if not isinstance(read, dict):
            example = '{"uri": "mysql://…"}'
            raise Failed(t("the file holds no JSON object", "文件内容不是 JSON 对象"), hint=example)
        found |= {str(key): value for key, value in read.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    found |= values(given, "--credential") or {}
    for key in secrets:
        found[key] = click.prompt(key, hide_input=True, err=True)
    return found or None


@command(
    "user-provided",
    taught(
        "Tell the platform of a service that somebody else runs (the plant's MES, a database of the company), so that "
        "apps are bound to it as to any other. An app reaches it where the space's egress policy lets it (gongfang "
        "egress): credentials open nothing by themselves.",
        "登记由他人运行的服务（如工厂 MES、公司数据库），应用可像其他服务一样绑定。"
        "能否访问由空间的外访策略决定（gongfang egress），凭据本身不会开放网络。",
        "gongfang services user-provided mes --credential uri=https://mes.example.cn --secret token",
        "gongfang services user-provided erp-db --file erp-db.json",
        "gongfang bind line-3-dashboard mes --variable MES_URL=uri",
    ),
    into=services,
)
@click.argument("name")
@credential_option
@secret_option
@file_option
@click.option("--space", metavar="NAME", help=t("The space; 'default' if not said.", "空间，默认 default。"))
@tag_option
@no_wait_option
def user_provided(
    session: Session,
    name: str,
    credentials: tuple[str, ...],
    secrets: tuple[str, ...],
    file: Any,
    space: str | None,
    tags: tuple[str, ...],
    no_wait: bool,
) -> None:
    given = _credentials(credentials, secrets, file)
    if given is None:
        words = t(
            "say what apps shall get: --credential, --secret or --file", "请提供 --credential、--secret 或 --file"
        )
        raise click.UsageError(words)
    answer = session.client.services.create(
        space_id(session, space), "user-provided", name=name, tags=list(tags) or None, credentials=given
    )
    finished(session, answer.service_instance.id, finish(session, answer.operation, wait=not no_wait), no_wait)


@command(
    "change",
    taught(
        "Change a service instance's name or tags, and the credentials of a user-provided one, as a whole. Apps that "
        "are bound are replaced, without a gap, by ones that have the new credentials.",
        "修改服务实例的名称或标签，以及用户自备服务的全部凭据。已绑定的应用会不中断地更换为使用新凭据的实例。",
        "gongfang services change orders --name orders-2026",
        "gongfang services change mes --credential uri=https://mes.example.cn --secret token",
    ),
    into=services,
)
@service_argument
@click.option("--name", metavar="NAME", help=t("The new name.", "新名称。"))
@tag_option
@credential_option
@secret_option
@file_option
def change(
    session: Session,
    service: str,
    name: str | None,
    tags: tuple[str, ...],
    credentials: tuple[str, ...],
    secrets: tuple[str, ...],
    file: Any,
) -> None:
    given = _credentials(credentials, secrets, file)
    if name is None and not tags and given is None:
        raise click.UsageError(t("say what to change, e.g. --name", "请指定要修改的内容，例如 --name"))
    found = session.client.services.change(service, name=name, tags=list(tags) or None, credentials=given)
    session.show(found, lambda: session.note(t("{0} was changed", "已修改 {0}").format(found.name)))


# --- keys ------------------------------------------------------------------------------------------------------------

keys = group(
    "keys",
    taught(
        "Credentials of a service for people, and for programs outside of the platform: a user of the database that is "
        "no app's. The address is one of this machine; from elsewhere it takes a tunnel (ssh -L).",
        "供人员或平台外程序使用的服务凭据：不属于任何应用的独立账号。地址为本机地址，远程访问需用隧道（ssh -L）。",
        "gongfang services keys orders",
        "gongfang services keys create orders wang-li",
        "gongfang services keys show orders wang-li",
        "gongfang services keys delete orders wang-li",
    ),
    default="list",
)
services.add_command(keys)
key_argument = click.argument("key", metavar="KEY")


def _key_id(session: Session, service: str, key: str) -> str:
    """Of a key's name; an id is one already."""
    found = session.client.services.keys(service).all()
    for one in found:
        if key in (one.name, one.id):
            return one.id
    known = ", ".join(one.name for one in found) or "-"
    words = t("{0} has no key {1}", "{0} 没有密钥 {1}").format(service, key)
    raise Failed(words, hint=t("it has: {0}", "已有：{0}").format(known))


@command("list", t("List a service's keys.", "列出服务的密钥。"), into=keys)
@service_argument
def list_keys(session: Session, service: str) -> None:
    found = session.client.services.keys(service).all()
    columns = (t("NAME", "名称"), t("STATE", "状态"), t("CREATED", "创建时间"), t("BY", "操作人"))
    rows = ((k.name, render.word(k.state), render.when(k.created_at), k.created_by or "") for k in found)
    session.show(found, lambda: render.table(columns, rows, t("no key yet", "还没有密钥")))


@command(
    "create",
    taught(
        "Make a key and show its credentials.",
        "创建密钥并显示其凭据。",
        "gongfang services keys create orders wang-li",
    ),
    into=keys,
)
@service_argument
@click.argument("name")
@parameter_option
@no_wait_option
def create_key(session: Session, service: str, name: str, parameters: tuple[str, ...], no_wait: bool) -> None:
    answer = session.client.services.create_key(service, name, parameters=values(parameters))
    operation = finish(session, answer.operation, wait=not no_wait)
    if no_wait:
        session.show(operation, lambda: None)
        return
    _shown(session, session.client.services.key(answer.key.id))


@command(
    "show",
    taught(
        "Show a key with its credentials, where your role may change services.",
        "显示密钥及其凭据（需服务管理权限）。",
        "gongfang services keys show orders wang-li",
        'psql "$(gongfang services keys show orders wang-li --json | jq -r .credentials.uri)"',
    ),
    into=keys,
)
@service_argument
@key_argument
def show_key(session: Session, service: str, key: str) -> None:
    _shown(session, session.client.services.key(_key_id(session, service, key)))


def _shown(session: Session, found: KeyOut) -> None:
    def people() -> None:
        given = found.credentials or {}
        texts = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in given.items()}
        render.facts(((t("name", "名称"), found.name), (t("state", "状态"), render.word(found.state)), *texts.items()))
        if found.credentials is None and found.state == "ready":
            session.note(t("credentials are hidden from your role", "当前角色无权查看凭据"))

    session.show(found, people)


@command(
    "delete",
    taught(
        "Delete a key: its credentials and connections end.",
        "删除密钥：其凭据与连接随即失效。",
        "gongfang services keys delete orders wang-li",
    ),
    into=keys,
)
@service_argument
@key_argument
@no_wait_option
def delete_key(session: Session, service: str, key: str, no_wait: bool) -> None:
    operation = session.client.services.delete_key(_key_id(session, service, key))
    operation = finish(session, operation, wait=not no_wait)
    session.show(operation, lambda: None if no_wait else session.note(t("{0} is gone", "已删除 {0}").format(key)))
