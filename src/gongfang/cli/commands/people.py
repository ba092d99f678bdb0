"""`gongfang users`, `gongfang roles`, `gongfang tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.commands.tree import place_id
from gongfang.cli.errors import Failed
from gongfang.cli.framework import Function, command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import span
from gongfang.domain.ids import is_id

if TYPE_CHECKING:
    from gongfang.wire.models import RoleOut, TokenOut, UserOut

ROLES = ("developer", "operator", "service_manager", "supervisor", "administrator")

users = group(
    "users",
    taught(
        "List, create and change users.",
        "管理用户。",
        "gongfang users",
        "gongfang users create wang.li --role operator --space default",
        "gongfang users password wang.li",
    ),
    default="list",
)
roles = group(
    "roles",
    taught(
        "Grant and revoke the roles of clause 6: developer, operator, service_manager, supervisor, administrator.",
        "授予和收回标准第 6 章的角色：developer 开发、operator 运维、"
        "service_manager 服务管理、supervisor 监管、administrator 管理员。",
        "gongfang roles wang.li",
        "gongfang roles grant wang.li supervisor --org quality",
        "gongfang roles revoke wang.li supervisor",
    ),
    default="list",
)
tokens = group(
    "tokens",
    taught(
        "List, create and revoke API tokens.",
        "管理访问令牌。",
        "gongfang tokens",
        "gongfang tokens create ci --scope app:read --scope app:deploy --expires 90d",
    ),
    default="list",
)


def level_options(function: Function) -> Function:
    """`--tenant`, `--org`, `--space`: where a role holds; none of them is the whole platform."""
    for option in (
        click.option("--space", metavar="NAME"),
        click.option("--org", metavar="NAME"),
        click.option(
            "--tenant", metavar="NAME", help=t("Where it holds; none: everywhere.", "生效范围；不填为整个平台。")
        ),
    ):
        function = option(function)
    return function


def scope(session: Session, tenant: str | None, org: str | None, space: str | None) -> tuple[str, str | None]:
    """Level and id of the place that was named. Raises a usage error for more than one."""
    named = [(level, name) for level, name in (("tenant", tenant), ("organization", org), ("space", space)) if name]
    if len(named) > 1:
        raise click.UsageError(t("give one of --tenant, --org, --space", "--tenant、--org、--space 只能选一个"))
    if not named:
        return "platform", None
    level, name = named[0]
    return level, place_id(session, level, name)


def find_user(session: Session, name: str) -> UserOut:
    """A user by name or id. Raises `Failed` where there is none."""
    if is_id(name):
        return session.client.users.get(name)
    for user in session.client.users.list():
        if user.name == name:
            return user
    raise Failed(t("there is no user {0}", "没有用户 {0}").format(name), hint="gongfang users")


def _role(role: RoleOut) -> str:
    return role.role if role.scope_id is None else f"{role.role}@{role.level}:{role.scope_id}"


def _state(user: UserOut) -> str:
    if user.locked_until is not None and not user.disabled:
        return t("locked until {0}", "锁定至 {0}").format(render.when(user.locked_until))
    return render.word("disabled" if user.disabled else "active")


def _show_user(session: Session, found: UserOut) -> None:
    """One: an object for programs, where `list` prints a list."""
    session.show(found, lambda: _table([found]))


def _table(found: list[UserOut]) -> None:
    columns = (t("NAME", "用户名"), t("CALLED", "姓名"), t("STATE", "状态"), t("ROLES", "角色"), "ID")
    rows = [
        (
            u.name,
            u.display_name,
            _state(u),
            ", ".join(map(_role, u.roles)),
            u.id,
        )
        for u in found
    ]
    render.table(columns, rows)


@command("list", t("List users.", "列出用户。"), into=users)
def list_users(session: Session) -> None:
    found = session.client.users.list().all()
    session.show(found, lambda: _table(found))


@command(
    "create",
    taught(
        "Create a user. Without --password, it is asked for (or read from stdin).",
        "创建用户；未给出 --password 时会询问（或从标准输入读取）。",
        "gongfang users create wang.li --name 王莉 --role operator",
    ),
    into=users,
)
@click.argument("user")
@click.option("--name", "display_name", help=t("What people call them.", "姓名。"))
@click.option("--password", help=t("At least 10 characters.", "至少 10 个字符。"))
@click.option("--role", type=click.Choice(ROLES))
@level_options
def create_user(
    session: Session,
    user: str,
    display_name: str | None,
    password: str | None,
    role: str | None,
    tenant: str | None,
    org: str | None,
    space: str | None,
) -> None:
    if role is None and (tenant or org or space):
        option = "--tenant" if tenant else "--org" if org else "--space"
        raise click.UsageError(
            t("{0} says where a role holds: it needs --role", "{0} 指定角色的生效范围，须同时给出 --role").format(
                option
            )
        )
    level, scope_id = scope(session, tenant, org, space)
    binding: dict[str, str | None] = {"role": role, "level": level, "scope_id": scope_id}
    made = session.client.users.create(
        user, password or ask_password(confirm=True), display_name=display_name, roles=[binding] if role else []
    )
    _show_user(session, made)


@command("disable", t("Disable a user; tokens stop working.", "停用用户，其令牌失效。"), into=users)
@click.argument("user")
def disable(session: Session, user: str) -> None:
    _show_user(session, session.client.users.change(find_user(session, user).id, disabled=True))


@command("enable", t("Enable a user again.", "重新启用用户。"), into=users)
@click.argument("user")
def enable(session: Session, user: str) -> None:
    _show_user(session, session.client.users.change(find_user(session, user).id, disabled=False))


@command(
    "unlock",
    t("Let a user log in again whom failed log-ins locked out.", "解除因多次登录失败造成的锁定。"),
    into=users,
)
@click.argument("user")
def unlock(session: Session, user: str) -> None:
    _show_user(session, session.client.users.change(find_user(session, user).id, unlock=True))


@command(
    "password",
    t(
        "Set a user's password; logins made with the old one end.",
        "设置用户密码；用旧密码登录的会话随之失效。",
    ),
    into=users,
)
@click.argument("user")
@click.option("--password")
@click.option(
    "--end-tokens",
    is_flag=True,
    help=t("End the user's API tokens, too, but the one in use.", "同时吊销该用户的其他 API 令牌。"),
)
def set_password(session: Session, user: str, password: str | None, end_tokens: bool) -> None:
    found = find_user(session, user)
    password = password or ask_password(confirm=True)
    _show_user(session, session.client.users.change(found.id, password=password, end_tokens=end_tokens or None))


@command("remove", t("Remove a user.", "删除用户。"), into=users)
@click.argument("user")
def remove_user(session: Session, user: str) -> None:
    found = find_user(session, user)
    session.client.users.remove(found.id)
    session.show(found, lambda: session.note(t("removed {0}", "已删除 {0}").format(found.name)))


def ask_password(confirm: bool = False) -> str:
    """Asked for unseen on a terminal, else one line of stdin."""
    import sys

    if sys.stdin.isatty():
        return click.prompt(t("Password", "密码"), hide_input=True, confirmation_prompt=confirm, err=True)
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError(
            t("no password: give --password or one line on stdin", "缺少密码：请用 --password 或标准输入")
        )
    return line


@command("list", t("List a user's roles.", "列出用户的角色。"), into=roles)
@click.argument("user", required=False)
def list_roles(session: Session, user: str | None) -> None:
    found = find_user(session, user) if user else session.client.whoami().user
    columns = (t("ROLE", "角色"), t("LEVEL", "层级"), t("WHERE", "范围"), "ID")
    rows = [(r.role, r.level, r.scope_id or "-", r.id) for r in found.roles]
    session.show(found.roles, lambda: render.table(columns, rows))


@command("grant", t("Grant a role.", "授予角色。"), into=roles)
@click.argument("user")
@click.argument("role", type=click.Choice(ROLES))
@level_options
def grant(session: Session, user: str, role: str, tenant: str | None, org: str | None, space: str | None) -> None:
    level, scope_id = scope(session, tenant, org, space)
    made = session.client.users.grant(find_user(session, user).id, role, level=level, scope_id=scope_id)
    session.show(made, lambda: session.note(t("{0} is now {1}", "{0} 已获得角色 {1}").format(user, _role(made))))


@command("revoke", t("Revoke a role (by name, or by the id of its grant).", "收回角色。"), into=roles)
@click.argument("user")
@click.argument("role")
@level_options
def revoke(session: Session, user: str, role: str, tenant: str | None, org: str | None, space: str | None) -> None:
    found = find_user(session, user)
    place = scope(session, tenant, org, space)
    anywhere = place == ("platform", None)
    fitting = [
        r for r in found.roles if r.id == role or (r.role == role and (anywhere or (r.level, r.scope_id) == place))
    ]
    if not fitting:
        raise Failed(t("{0} has no such role", "{0} 没有该角色").format(user), hint=f"gongfang roles {user}")
    if len(fitting) > 1:
        raise Failed(t("{0} has it at several places; say where", "{0} 在多处拥有该角色，请指定范围").format(user))
    session.client.users.revoke(found.id, fitting[0].id)
    session.show(fitting[0], lambda: session.note(t("revoked {0}", "已收回 {0}").format(_role(fitting[0]))))


@command("list", t("List tokens.", "列出令牌。"), into=tokens)
@click.option("--user", metavar="NAME", help=t("Another user's (administrators).", "其他用户的令牌（管理员）。"))
def list_tokens(session: Session, user: str | None) -> None:
    found = session.client.tokens.list(user_id=find_user(session, user).id if user else None).all()
    columns = (t("NAME", "名称"), t("SCOPES", "权限"), t("EXPIRES", "到期"), t("LAST USED", "最近使用"), "ID")
    rows = [
        (k.name, ", ".join(k.scopes) or t("all", "全部"), render.when(k.expires_at), render.when(k.last_used_at), k.id)
        for k in found
    ]
    session.show(found, lambda: render.table(columns, rows))


@command("create", t("Create a token; it is shown once.", "创建令牌，仅显示一次。"), into=tokens)
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, metavar="PERMISSION", help=t("None: all you may.", "不填为全部权限。")
)
@click.option("--expires", metavar="SPAN", default="90d", show_default=True, help=t("Or: never.", "或 never（永不）。"))
@click.option("--user", help=t("For another user (administrators).", "为其他用户创建（管理员）。"))
def create_token(session: Session, name: str, scopes: tuple[str, ...], expires: str, user: str | None) -> None:
    try:
        seconds = None if expires == "never" else round(span(expires))
    except ValueError:
        raise click.UsageError(
            t("--expires: a span such as 90d, or never", "--expires：时长（如 90d）或 never")
        ) from None
    user_id = find_user(session, user).id if user else None
    made = session.client.tokens.create(name, scopes=scopes, expires_in_s=seconds, user_id=user_id)
    session.show(made, lambda: _token(session, made))


def _token(session: Session, made: TokenOut) -> None:
    session.note(t("keep it; it is not shown again", "请妥善保存，不会再次显示"))
    click.echo(made.token or made.id)


@command(
    "revoke",
    taught(
        "Revoke a token, by its name where only one has it, or by its id.",
        "吊销令牌：按名称（唯一时）或 ID。",
        "gongfang tokens revoke ci",
        "gongfang tokens revoke ci --user wang.li",
    ),
    into=tokens,
)
@click.argument("token", metavar="NAME")
@click.option("--user", metavar="NAME", help=t("Another user's (administrators).", "其他用户的令牌（管理员）。"))
def revoke_token(session: Session, token: str, user: str | None) -> None:
    token_id = token if is_id(token) else _token_called(session, token, user)
    session.client.tokens.revoke(token_id)
    session.show({"revoked": token_id}, lambda: session.note(t("revoked", "已吊销")))


def _token_called(session: Session, name: str, user: str | None) -> str:
    """Raises `Failed` where none or several fit."""
    found = session.client.tokens.list(user_id=find_user(session, user).id if user else None)
    fitting = [token.id for token in found if token.name == name]
    if len(fitting) == 1:
        return fitting[0]
    listed = "gongfang tokens" + (f" list --user {user}" if user else "")
    if fitting:
        raise Failed(
            t("several tokens are called {0}; give the id", "有多个名为 {0} 的令牌，请用 ID 指定").format(name),
            hint=listed,
        )
    raise Failed(t("there is no token called {0}", "没有名为 {0} 的令牌").format(name), hint=listed)
