"""`gongfang login`, `gongfang logout`, `gongfang logins`, `gongfang whoami`."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from gongfang.cli import render
from gongfang.cli.commands.people import ask_password
from gongfang.cli.connection import Logins, normal
from gongfang.cli.errors import USAGE, Failed
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.client.errors import ApiError, PlatformAway


@command(
    "login",
    taught(
        "Log in to a platform, and keep the login for this user of this machine.",
        "登录平台，并为本机当前用户保存登录。",
        "gongfang login http://gongfang.plant.example:7080",
        "gongfang login gongfang.plant.example:7080 --username wang.li --name plant",
        "gongfang login http://127.0.0.1:7080 --with-token < token.txt",
        "gongfang --ca plant-ca.pem login https://gongfang.plant.example:7080",
    ),
)
@click.argument("url")
@click.option("-u", "--username", help=t("Asked for where not given.", "未给出时询问。"))
@click.option("--password", help=t("Asked for, or read from stdin, where not given.", "未给出时询问或从标准输入读取。"))
@click.option("--with-token", is_flag=True, help=t("Read a token from stdin instead.", "改为从标准输入读取令牌。"))
@click.option("--name", help=t("What to call this login.", "登录的名称。"))
def login(
    session: Session, url: str, username: str | None, password: str | None, with_token: bool, name: str | None
) -> None:
    session.url_option = normal(url)
    session.token_option = None
    session.logging_in = True
    ca = session.connection.ca  # a file that is not there is told before anything is asked
    if with_token:
        token = sys.stdin.readline().strip()
    else:
        user = username or click.prompt(t("User", "用户名"), err=True)
        made = session.client_for("").login(user, password or ask_password(), name=f"cli@{_machine()}")
        token = made.token or ""
    if not token:
        raise Failed(t("there was no token", "没有令牌"), code=USAGE)
    me = session.client_for(token).whoami()
    name = name or urlsplit(session.url_option).netloc
    logins = Logins.load()
    logins.contexts[name] = {"url": session.url_option, "token": token, "user": me.user.name}
    if ca is not None:
        logins.contexts[name]["ca"] = str(Path(ca).absolute())
    logins.current = name
    logins.save()
    text = t("logged in to {0} as {1}", "已以 {1} 登录 {0}").format(session.url_option, me.user.name)
    session.show(me, lambda: session.note(text))


def _machine() -> str:
    import platform

    return platform.node()[:48]


@command(
    "logout",
    taught(
        "Forget a saved login, and revoke its token.",
        "删除已保存的登录并吊销其令牌。",
        "gongfang logout",
        "gongfang logout plant",
    ),
)
@click.argument("name", required=False)
def logout(session: Session, name: str | None) -> None:
    logins = Logins.load()
    name = name or session.context_option or logins.current
    saved = logins.contexts.pop(name or "", None)
    if saved is None:
        raise Failed(t("there is no such login", "没有该登录"), hint="gongfang logins")
    session.url_option, session.context_option = saved["url"], None
    if logins.current == name:
        logins.current = next(iter(logins.contexts), None)
    logins.save()
    revoked = _revoke(session, saved.get("token", ""))

    def people() -> None:
        session.note(t("logged out of {0}", "已退出 {0}").format(saved["url"]))
        if not revoked:
            session.note(
                t(
                    "the login is forgotten here, but its token could not be revoked, since the platform does not "
                    "answer; revoke it later with: gongfang tokens, gongfang tokens revoke ID",
                    "本机已删除该登录；但平台没有应答，其令牌未能吊销。"
                    "请之后用 gongfang tokens、gongfang tokens revoke ID 吊销",
                )
            )
        if logins.current:
            url = logins.contexts[logins.current]["url"]
            session.note(t("the login in use is now {0} ({1})", "现在使用登录 {0}（{1}）").format(logins.current, url))
        else:
            session.note(
                t("no login is left; commands go to this machine's own platform", "已无保存的登录；命令将使用本机平台")
            )

    session.show({"name": name, "revoked": revoked, "current": logins.current}, people)


def _revoke(session: Session, token: str) -> bool:
    """Whether the token is worth nothing any more."""
    try:
        client = session.client_for(token)
        client.tokens.revoke(client.whoami().token_id)
    except ApiError as error:  # 401, 404: expired or revoked already, which is what was wanted
        return error.status in (401, 404)
    except (PlatformAway, Failed):
        return False
    return True


@command("whoami", taught("Show who you are and what you may.", "查看当前用户和权限。", "gongfang whoami"))
def whoami(session: Session) -> None:
    me = session.client.whoami()

    def people() -> None:
        roles = ", ".join(f"{r.role} ({r.level}{' ' + r.scope_id if r.scope_id else ''})" for r in me.user.roles)
        render.facts(
            [
                (t("User", "用户"), f"{me.user.name} {me.user.display_name}".strip()),
                (t("Roles", "角色"), roles or "-"),
                (t("Scopes", "令牌权限"), ", ".join(me.scopes) or t("all of the roles'", "角色的全部权限")),
                (t("Platform", "平台"), session.url),
                (t("By", "来源"), session.connection.source),
            ]
        )

    session.show(me, people)


logins = group(
    "logins",
    taught(
        "List the saved logins, and choose the one in use.",
        "列出已保存的登录，并选择当前使用的登录。",
        "gongfang logins",
        "gongfang logins use plant",
        "gongfang --context plant apps",
    ),
    default="list",
)


@command("list", t("List the saved logins; * marks the one in use.", "列出已保存的登录（* 为当前）。"), into=logins)
def list_logins(session: Session) -> None:
    saved = Logins.load()
    found = [
        {"name": name, "url": entry["url"], "user": entry.get("user", ""), "current": name == saved.current}
        for name, entry in sorted(saved.contexts.items())
    ]
    columns = ("", t("NAME", "名称"), t("PLATFORM", "平台"), t("USER", "用户"))
    rows = [("*" if one["current"] else "", one["name"], one["url"], one["user"]) for one in found]
    empty = t("no login is saved; log in with: gongfang login URL", "没有已保存的登录；请登录：gongfang login URL")

    def people() -> None:
        render.table(columns, rows, empty)
        for name in ("GONGFANG_URL", "GONGFANG_HOME"):
            if os.environ.get(name):
                session.note(t("{0} is set and goes before them", "已设置 {0}，优先于以上登录").format(name))

    session.show(found, people)


@command("use", t("Use this login from now on.", "以后使用该登录。"), into=logins)
@click.argument("name")
def use_login(session: Session, name: str) -> None:
    saved = Logins.load()
    if name not in saved.contexts:
        raise Failed(
            t("no saved login is called '{0}'", "没有名为“{0}”的登录").format(name), hint="gongfang logins", code=USAGE
        )
    saved.current = name
    saved.save()
    url = saved.contexts[name]["url"]
    session.show(
        {"name": name, "url": url},
        lambda: session.note(t("the login in use is now {0} ({1})", "现在使用登录 {0}（{1}）").format(name, url)),
    )
