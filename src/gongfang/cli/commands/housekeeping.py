"""`gongfang gc`, `gongfang keys`: upkeep of the platform."""

from __future__ import annotations

import click

from gongfang.cli import render
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

_KINDS = {
    "release": "发布",
    "package": "程序包",
    "droplet": "构建产物",
    "build": "构建",
    "blob": "存储文件",
    "unpacked": "已展开的构建产物",
    "cache": "构建缓存",
    "operations": "操作记录",
    "answers": "幂等应答",
}


@command(
    "gc",
    taught(
        "Clear away what is no longer needed: releases, packages, droplets and builds beyond the newest that are kept, "
        "files that nothing refers to, unpacked droplets and caches that were not used for long.\n\n"
        "What is in use, and what can be rolled back to among the kept releases, is never removed. The platform does "
        "this by itself once a day, and when its disk gets short. For administrators.",
        "清理不再需要的内容：超出保留数量的发布、程序包、构建产物和构建，无人引用的文件，长期未用的缓存。\n\n"
        "正在使用的内容和保留的发布不会被删除。平台每天自动清理，磁盘不足时也会清理。仅限管理员。",
        "gongfang gc --dry-run",
        "gongfang gc",
    ),
)
@click.option("--dry-run", is_flag=True, help=t("Only show what would go, and why.", "仅显示将删除的内容及原因。"))
def gc(session: Session, dry_run: bool) -> None:
    found = session.client.housekeeping.gc(dry_run=dry_run)

    def people() -> None:
        render.table(
            (t("WHAT", "类型"), t("ID", "标识"), t("APP", "应用"), t("SIZE", "大小"), t("WHY", "原因")),
            (
                (
                    t(item.kind, _KINDS.get(item.kind, item.kind)),
                    item.id[:26],
                    item.app or item.app_id or "",
                    render.size(item.size) if item.size else "",
                    item.why,
                )
                for item in found.items
            ),
            empty=t("nothing to clear away", "没有可清理的内容"),
        )
        if found.items:
            said = (
                t("{0} would be removed, {1} freed.", "将删除 {0} 项，可释放 {1}。")
                if dry_run
                else t("{0} removed, {1} freed.", "已删除 {0} 项，释放 {1}。")
            )
            click.echo(said.format(len(found.items), render.size(found.freed)))
        for problem in found.problems:
            session.note(f"! {problem}")

    session.show(found, people)


keys = group(
    "keys",
    taught(
        "Rotate the keys that seal environment variables and other secrets in the database.",
        "轮换数据库中环境变量等机密的加密密钥。",
        "gongfang keys rotate",
    ),
    default="rotate",
)


@command(
    "rotate",
    taught(
        "Make a fresh key, seal every secret anew with it, and throw the older keys away. Everything runs on; "
        "run it again if it was interrupted. Backups hold the keys of their own time. For administrators.",
        "生成新密钥，用它重新加密全部机密，并删除旧密钥；期间一切照常运行，若中断可再次执行。备份中保存其当时的密钥。仅限管理员。",
        "gongfang keys rotate",
    ),
    into=keys,
)
def rotate(session: Session) -> None:
    done = session.client.housekeeping.rotate_keys()

    def people() -> None:
        if done.resumed:
            click.echo(t("An earlier rotation was ended.", "已完成先前中断的轮换。"))
        click.echo(
            t("{0} sealed values in the database sealed anew.", "已重新加密数据库中的 {0} 项密文。").format(
                done.resealed
            )
        )

    session.show(done, people)
