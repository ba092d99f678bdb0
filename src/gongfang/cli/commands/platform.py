"""The platform itself: `up`, `down`, `status`, `completion`, and the way to any endpoint, `api`."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from gongfang.cli import render
from gongfang.cli.connection import home, platform_file
from gongfang.cli.errors import AWAY, FAILED, USAGE, Failed, away_hint, speaks
from gongfang.cli.framework import command
from gongfang.cli.session import Session
from gongfang.cli.text import language, t, taught
from gongfang.client.errors import PlatformAway

if TYPE_CHECKING:
    from gongfang.wire.models import PlatformOut


def server() -> ModuleType:
    """The part of Gongfang that is the platform. Raises `Failed` where only the command line is installed."""
    needed = ("sqlalchemy", "fastapi", "uvicorn", "pydantic_settings")
    if any(find_spec(name) is None for name in needed):
        raise Failed(
            t("this installation is the command line only", "当前只安装了命令行部分"),
            hint="pip install 'gongfang[server]'",
        )
    return import_module("gongfang.main")


@command(
    "up",
    taught(
        "Start the platform on this machine, in GONGFANG_HOME (~/.gongfang). Runs until Ctrl-C; --detach returns when "
        "it is ready.",
        "在本机启动平台（GONGFANG_HOME，默认 ~/.gongfang）；--detach 就绪后返回并在后台运行。",
        "gongfang up --detach",
        "gongfang up --detach --restart",
        "GONGFANG_HOME=/srv/gongfang GONGFANG_API_PORT=8080 gongfang up",
    ),
)
@click.option("-d", "--detach", is_flag=True, help=t("Return when it is ready.", "就绪后返回。"))
@click.option(
    "--restart",
    is_flag=True,
    help=t(
        "Where it runs already: end its control plane first, so that changed settings or a new version take effect. "
        "Apps run on.",
        "平台已运行时先结束其控制面，使修改的设置或新版本生效；应用不中断。",
    ),
)
@click.pass_context
def up(ctx: click.Context, session: Session, detach: bool, restart: bool) -> None:
    ctx.exit(server().up(detach=detach, restart=restart, as_json=session.as_json))


@command("down", taught("Stop the platform of this machine, and its apps.", "停止本机平台及其应用。", "gongfang down"))
@click.pass_context
def down(ctx: click.Context, _session: Session) -> None:
    ctx.exit(server().down())


@command(
    "status",
    taught(
        "Show the platform's parts, its addresses, and what this machine can't enforce.\n\n"
        "Exits with 0 where all is well, 1 where something is not, 3 where the platform does not run, 4 where you "
        "may not see it.",
        "查看平台各部分状态、地址以及本机无法保证的事项。\n\n退出码：0 正常，1 有异常，3 平台未运行，4 无权查看。",
        "gongfang status",
        "gongfang status --local",
    ),
)
@click.option("--local", is_flag=True, help=t("Of this machine, whatever you are logged in to.", "查看本机平台。"))
@click.pass_context
def status(ctx: click.Context, session: Session, local: bool) -> None:
    if local:
        os.environ.pop("GONGFANG_URL", None)
        os.environ["GONGFANG_HOME"] = str(home())
        session.url_option = session.token_option = session.context_option = None
    if session.connection.local and not platform_file():
        session.show({"running": False, "url": session.url}, lambda: None)
        raise Failed(
            t("the platform in {0} does not run", "{0} 中的平台未在运行").format(home()),
            hint=t("start it with: gongfang up --detach", "启动：gongfang up --detach"),
            code=AWAY,
        )
    try:
        found = session.quick_client().platform()
    except PlatformAway as away:
        session.show({"running": None if speaks(away) else False, "url": session.url}, lambda: None)
        if speaks(away):
            raise Failed(
                t("{0} answers, but not as was expected of it ({1})", "{0} 有应答，但无法建立可信连接（{1}）").format(
                    session.url, away.reason
                ),
                hint=away_hint(session, away),
                code=AWAY,
            ) from away
        raise Failed(
            t("the platform does not run at {0} ({1})", "平台未在 {0} 运行（{1}）").format(session.url, away.reason),
            hint=t("start it with: gongfang up --detach", "启动：gongfang up --detach")
            if session.connection.local
            else None,
            code=AWAY,
        ) from away
    session.show(found, lambda: _describe(session, found))
    ctx.exit(0 if all(part.state == "ok" for part in found.parts) else FAILED)


def _part(name: str) -> str:
    """A part's name in the language of the terminal."""
    from gongfang.domain.messages import CATALOGUE, words

    code = f"part_{name}"
    return words(code, {}, language()) if code in CATALOGUE else name


def _https_address(platform: PlatformOut) -> str:
    if platform.edge_https_url is None:
        return "-"
    return platform.edge_https_url.replace("://", "://NAME.", 1).rstrip("/")


def _describe(session: Session, platform: PlatformOut) -> None:
    render.facts(
        [
            (t("Version", "版本"), platform.version),
            (t("API", "接口"), session.url),
            (t("Apps answer at", "应用地址"), platform.edge_url.replace("://", "://NAME.", 1).rstrip("/")),
            (t("And over HTTPS at", "HTTPS 地址"), _https_address(platform)),
            (t("Base domain", "基础域名"), platform.base_domain),
            (t("Apps", "应用"), platform.apps),
            (t("Instances", "实例"), platform.instances),
        ]
    )
    click.echo()
    render.table(
        (t("PART", "部分"), t("STATE", "状态"), ""),
        (
            (_part(part.name), render.word(part.state), "" if part.state == "ok" else part.message)
            for part in platform.parts
        ),
    )
    missing = [guarantee for guarantee in platform.guarantees if not guarantee.enforced]
    if missing:
        click.echo()
        click.echo(t("Not enforced on this machine:", "本机无法保证："))
        for guarantee in missing:
            click.echo(f"  {click.style('!', fg='yellow')} {guarantee.message}")


@command(
    "api",
    taught(
        "Call any endpoint by its path under /api/v1, and print its data as JSON.",
        "按 /api/v1 下的路径直接调用任意接口，以 JSON 输出数据。",
        "gongfang api GET /apps",
        "gongfang api GET '/events?app_id=app_01k8…'",
        'gongfang api POST /apps -d \'{"name": "line-3"}\'',
        "gongfang api POST /domains -d @domain.json",
    ),
)
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option(
    "-d", "--data", metavar="JSON", help=t("The body; @FILE reads one, - stdin.", "请求体；@文件 或 -（标准输入）。")
)
def api(session: Session, method: str, path: str, data: str | None) -> None:
    from urllib.parse import parse_qs

    body = None if data is None else _body(data)
    path, _, query = path.partition("?")
    path = "/" + path.removeprefix("/api/v1").lstrip("/")
    answer = session.client.request(method, path, params=parse_qs(query, keep_blank_values=True), json=body)
    render.print_json(answer.data)


def _body(data: str) -> Any:
    if data == "-":
        data = sys.stdin.read()
    elif data.startswith("@"):
        data = Path(data[1:]).read_text("utf-8")
    try:
        return json.loads(data)
    except ValueError as error:
        raise Failed(t("the body is not JSON: {0}", "请求体不是 JSON：{0}").format(error), code=USAGE) from error


@command(
    "completion",
    taught(
        "Print the script that teaches a shell to complete gongfang's commands.",
        "输出命令补全脚本。",
        'bash:  eval "$(gongfang completion bash)"      # in ~/.bashrc',
        'zsh:   eval "$(gongfang completion zsh)"       # in ~/.zshrc',
        "fish:  gongfang completion fish > ~/.config/fish/completions/gongfang.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, _session: Session, shell: str) -> None:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "gongfang", "_GONGFANG_COMPLETE").source())
