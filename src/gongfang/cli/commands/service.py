"""`gongfang service`: how the machine's service manager starts the platform at boot, and again when it died."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

import click

from gongfang.cli.connection import home
from gongfang.cli.errors import USAGE, Failed
from gongfang.cli.framework import command
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

UNIT = """\
[Unit]
Description=Gongfang platform ({home})
Documentation=https://www.freedesktop.org/software/systemd/man/systemd.service.html
After=network-online.target local-fs.target time-sync.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
{user}Environment=GONGFANG_HOME={home}
{environment}# Settings that hold secrets (GONGFANG_DATABASE_URL) belong into this file, mode 0600. It need not exist.
EnvironmentFile=-{home}.env
ExecStart={program} up
# Stopping or restarting the unit ends the control plane alone: apps, Envoy and PostgreSQL run on and are adopted by
# the next start. `gongfang down` ends them all.
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec=30
# `gongfang down` ends it with 0, and it stays down; anything else is a death.
Restart=on-failure
RestartSec=2
Delegate=yes
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy={target}
"""


@command(
    "service",
    taught(
        "Print a systemd unit that starts the platform at boot and again whenever its control plane dies, with this "
        "installation, GONGFANG_HOME, and the GONGFANG_ settings that are set now. Apps run on across restarts of it. "
        "Databases for apps are 'gongfang services'.",
        "输出 systemd 单元：开机启动平台，控制面异常退出时自动重启；使用当前安装、GONGFANG_HOME 和 GONGFANG_ 变量。"
        "重启该单元不影响应用。应用的数据库等中间件见 gongfang services。",
        "gongfang service > /etc/systemd/system/gongfang.service",
        "systemctl daemon-reload && systemctl enable --now gongfang",
        "gongfang service --user > ~/.config/systemd/user/gongfang.service",
    ),
)
@click.option(
    "--user", "as_user", is_flag=True, help=t("For this user's own service manager.", "用于当前用户的服务管理器。")
)
def service(session: Session, as_user: bool) -> None:
    program = Path(sys.argv[0]).absolute()
    if program.name != "gongfang" or not os.access(program, os.X_OK):
        program = Path(sys.executable).with_name("gongfang")
    text = unit(home().absolute(), program, as_user=as_user)
    session.show({"unit": text}, lambda: click.echo(text, nl=False))


def unit(home: Path, program: Path, *, as_user: bool) -> str:
    """The unit's text. Raises `Failed` for paths that a unit can't name."""
    settings = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith("GONGFANG_")
        and name not in ("GONGFANG_HOME", "GONGFANG_URL", "GONGFANG_TOKEN", "GONGFANG_DATABASE_URL", "GONGFANG_LANG")
    }
    for text in (str(home), str(program), *settings.values()):
        if any(not c.isprintable() or c in "\"'\\" for c in text) or " " in str(home) + str(program):
            raise Failed(
                t("a unit can't hold this: {0!r}", "单元中不能包含：{0!r}").format(text),
                hint=t("no spaces, quotes or line ends in paths and settings", "路径与设置中不能有空格、引号或换行"),
                code=USAGE,
            )
    environment = "".join(f'Environment="{name}={value}"\n' for name, value in settings.items()).replace("%", "%%")
    return UNIT.format(
        home=str(home).replace("%", "%%"),
        program=str(program).replace("%", "%%"),
        environment=environment,
        user="" if as_user else f"User={getpass.getuser()}\n",
        target="default.target" if as_user else "multi-user.target",
    )
