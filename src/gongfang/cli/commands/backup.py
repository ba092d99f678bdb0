"""`gongfang backup`, `gongfang restore`: of the platform of this machine, by whoever may read its home."""

from __future__ import annotations

import click

from gongfang.cli.commands.platform import server
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

backup = group(
    "backup",
    taught(
        "Make a backup of the running platform: database, packages, droplets, keys. One file, as of one moment.\n\n"
        "Apps run on meanwhile. The file holds the keys of all secrets: encrypt it, or keep it where only "
        "administrators read. Made on the platform's own machine, as the user that the platform runs as.",
        "备份运行中的平台：数据库、程序包、构建产物、密钥，合为一个文件，数据截至同一时刻。\n\n"
        "期间应用照常运行。文件包含全部机密的密钥：请加密，或保存在仅管理员可读之处。须在平台所在机器上、以平台运行用户执行。",
        "gongfang backup",
        "gongfang backup /mnt/backup/monday.tar.zst --passphrase-file /root/passphrase",
        "gongfang backup verify /mnt/backup/monday.tar.zst",
    ),
    default="make",
)
_encrypt = click.option(
    "--passphrase-file",
    metavar="FILE",
    help=t("Encrypt, with the first line of this file.", "用该文件首行作为口令加密。"),
)
_decrypt = click.option(
    "--passphrase-file",
    metavar="FILE",
    help=t(
        "Where it is encrypted: the passphrase is the first line of this file.",
        "备份已加密时，以该文件首行作为口令解密。",
    ),
)


@command(
    "make",
    taught(
        "Write a backup to FILE (default: gongfang-DATE-TIME.tar.zst here). A file that exists is not replaced. "
        "`deploy` never packs a file of that default name.",
        "将备份写入文件（默认当前目录下 gongfang-日期-时间.tar.zst）；不会覆盖已有文件；"
        "部署时不会打包以默认名称命名的备份。",
        "gongfang backup",
        "gongfang backup make monday.tar.zst --passphrase-file /root/passphrase",
    ),
    into=backup,
)
@click.argument("file", required=False)
@_encrypt
@click.pass_context
def make(ctx: click.Context, session: Session, file: str | None, passphrase_file: str | None) -> None:
    ctx.exit(server().backup(file, passphrase_file=passphrase_file, as_json=session.as_json))


@command(
    "verify",
    taught(
        "Read a backup to its end and compare every part with its digest. Nothing is changed; no platform is needed.",
        "完整读取备份并核对每个部分的摘要；不做任何更改，也无需平台运行。",
        "gongfang backup verify monday.tar.zst",
    ),
    into=backup,
)
@click.argument("file")
@_decrypt
@click.pass_context
def verify(ctx: click.Context, session: Session, file: str, passphrase_file: str | None) -> None:
    ctx.exit(server().verify_backup(file, passphrase_file=passphrase_file, as_json=session.as_json))


@command(
    "restore",
    taught(
        "Restore a backup into the empty GONGFANG_HOME, start the platform, and wait until the apps run again.\n\n"
        "The backup is read to its end and proven first. If it is interrupted, run it again. Ports and the base domain "
        "are those that are set here; the apps' host names follow.",
        "将备份恢复到空的 GONGFANG_HOME，启动平台，并等待应用重新运行。\n\n"
        "恢复前会完整检查备份；若中断，再次运行即可。端口和基础域名以此处设置为准，应用域名随之调整。",
        "GONGFANG_HOME=/srv/gongfang gongfang restore monday.tar.zst",
        "gongfang restore monday.tar.zst --passphrase-file /root/passphrase --no-start",
    ),
)
@click.argument("file")
@_decrypt
@click.option("--no-start", is_flag=True, help=t("Don't start the platform.", "恢复后不启动平台。"))
@click.pass_context
def restore(ctx: click.Context, _session: Session, file: str, passphrase_file: str | None, no_start: bool) -> None:
    ctx.exit(server().restore(file, passphrase_file=passphrase_file, start=not no_start))
