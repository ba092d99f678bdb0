"""The command `gongfang`: names and one line a command here, their code in `gongfang.cli.commands`, loaded when run."""

import sys

import click

from gongfang import __version__
from gongfang.cli.framework import Entry, Root
from gongfang.cli.session import Session
from gongfang.cli.text import t

SECTIONS = {
    ("Every day", "日常"): {
        "deploy": Entry(
            "deploy:deploy", "Deploy the source in a folder, or a package", "部署文件夹中的源码或一个程序包"
        ),
        "apps": Entry("apps:apps", "List, create, show, change and destroy apps", "查看、创建、修改、销毁应用"),
        "logs": Entry("logs:logs", "Show an app's output", "查看应用输出"),
        "open": Entry("apps:open_app", "Print an app's address", "显示应用地址"),
        "run": Entry("tasks:run", "Run a command once in an app's environment", "在应用环境中运行一次命令"),
        "env": Entry("env:env", "Show and set environment variables", "查看和设置环境变量"),
        "domains": Entry("domains:domains", "Bind, attach and detach domains", "绑定、挂接和解绑域名"),
        "certificates": Entry("certificates:certificates", "Upload and renew certificates", "上传和更换证书"),
    },
    ("Running apps", "运行"): {
        "start": Entry("running:start", "Start an app with its newest package", "启动应用（最新程序包）"),
        "stop": Entry("running:stop", "Stop an app; everything is kept", "停止应用（保留全部内容）"),
        "restart": Entry("running:restart", "Replace every instance, without a gap", "不中断地更换全部实例"),
        "scale": Entry("running:scale", "Set instances and memory", "设置实例数和内存"),
        "rollback": Entry("running:rollback", "Go back to an earlier release", "回退到以前的发布"),
        "releases": Entry("running:releases", "List an app's releases", "列出应用的发布"),
        "ps": Entry("running:ps", "List an app's instances", "列出应用的实例"),
        "builds": Entry("running:builds", "List an app's builds", "列出应用的构建"),
        "build-log": Entry("logs:build_log", "Show the output of a build", "查看构建输出"),
        "tasks": Entry("tasks:tasks", "List and cancel one-off tasks", "查看和取消一次性任务"),
        "operations": Entry("work:operations", "List and follow what is being done", "查看和跟踪正在进行的操作"),
        "cancel": Entry("work:cancel", "Cancel an operation", "取消操作"),
        "events": Entry("events:events", "Show and export what happened, and who did it", "查看和导出事件及操作人"),
        "webhooks": Entry("webhooks:webhooks", "Send events to other systems", "将事件推送到其他系统"),
    },
    ("Services", "中间件"): {
        "services": Entry(
            "service_people:services", "Databases and other middleware for apps", "为应用提供数据库等中间件"
        ),
        "bind": Entry("bindings:bind", "Bind a service to an app", "将服务绑定到应用"),
        "unbind": Entry("bindings:unbind", "Unbind a service from an app", "解除应用与服务的绑定"),
        "rotate": Entry("bindings:rotate", "Give an app new credentials of a service", "更换应用的服务凭据"),
        "bindings": Entry("bindings:bindings", "What an app is bound to", "查看应用的服务绑定"),
    },
    ("People and places", "人员与组织"): {
        "login": Entry("login:login", "Log in to a platform", "登录平台"),
        "logout": Entry("login:logout", "Forget a saved login", "退出登录"),
        "logins": Entry("login:logins", "List saved logins, and choose one", "查看和选择已保存的登录"),
        "whoami": Entry("login:whoami", "Show who you are and what you may", "查看当前用户和权限"),
        "users": Entry("people:users", "List, create and change users", "管理用户"),
        "roles": Entry("people:roles", "Grant and revoke roles", "授予和收回角色"),
        "tokens": Entry("people:tokens", "List, create and revoke tokens", "管理访问令牌"),
        "tenants": Entry("tree:tenants", "Manage tenants", "管理租户"),
        "orgs": Entry("tree:orgs", "Manage organisations", "管理组织"),
        "spaces": Entry("tree:spaces", "Manage spaces", "管理空间"),
        "egress": Entry("egress:egress", "What a space's apps may reach", "空间的出站策略"),
        "quota": Entry("quotas:quota", "Show and set quotas of spaces and organisations", "查看和设置空间与组织的配额"),
    },
    ("The platform", "平台"): {
        "up": Entry("platform:up", "Start the platform on this machine", "在本机启动平台"),
        "down": Entry("platform:down", "Stop the platform on this machine", "停止本机平台"),
        "status": Entry("platform:status", "Show the platform's parts", "查看平台各部分状态"),
        "gc": Entry("housekeeping:gc", "Clear away what is no longer needed", "清理不再需要的内容"),
        "keys": Entry("housekeeping:keys", "Rotate the keys of secrets", "轮换机密密钥"),
        "service": Entry(
            "service:service", "Print a unit that starts the platform at boot", "输出开机启动的 systemd 单元"
        ),
        "backup": Entry("backup:backup", "Save the whole platform in one file", "将整个平台备份为一个文件"),
        "restore": Entry("backup:restore", "Restore a backup into an empty home", "将备份恢复到空主目录"),
        "demo": Entry("demo:demo", "Walk through the standard's way in", "演示标准的应用接入流程"),
        "conformance": Entry(
            "conformance:conformance", "Check a server against AII/002-2018", "按 AII/002-2018 检查任一服务器"
        ),
        "api": Entry("platform:api", "Call any endpoint", "直接调用任意接口"),
        "completion": Entry("platform:completion", "Print shell completion", "输出命令补全脚本"),
    },
}


@click.group(
    cls=Root,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=t(
        "Gongfang (工坊): applications of the industrial internet, from upload to retirement.\n\n"
        "In a folder with source, 'gongfang deploy' is all it takes.",
        "工坊：工业互联网应用，从上传到下线。\n\n在源码文件夹中运行 gongfang deploy 即可部署。",
    ),
    epilog=t("More on each: gongfang COMMAND --help", "详细说明：gongfang 命令 --help"),
)
@click.version_option(__version__, prog_name="gongfang", message="%(prog)s %(version)s")
@click.option("--url", metavar="URL", help=t("Address of the platform [GONGFANG_URL]", "平台地址 [GONGFANG_URL]"))
@click.option("--token", metavar="TOKEN", help=t("Token to use [GONGFANG_TOKEN]", "访问令牌 [GONGFANG_TOKEN]"))
@click.option("--context", metavar="NAME", help=t("A saved login by its name", "使用已保存的登录"))
@click.option(
    "--ca", metavar="FILE", help=t("Authorities to trust for HTTPS [GONGFANG_CA]", "HTTPS 信任的 CA 证书 [GONGFANG_CA]")
)
@click.pass_context
def cli(ctx: click.Context, url: str | None, token: str | None, context: str | None, ca: str | None) -> None:
    session = ctx.ensure_object(Session)
    session.url_option, session.token_option, session.context_option = url, token, context
    session.ca_option = ca
    ctx.call_on_close(session.close)


def main() -> None:
    """The console script."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"gongfang {__version__}\n")
        return
    cli(prog_name="gongfang")


if __name__ == "__main__":
    main()
