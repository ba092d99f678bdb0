"""Sentences about backups and restores."""

from gongfang.domain.messages import register

register(
    {
        "backup_exists": (
            "{file} is there already; nothing was written. Name another file, or move that one away.",
            "文件 {file} 已存在，未写入任何内容。请换一个文件名，或先移走该文件。",
        ),
        "backup_under_way": (
            "Another backup is writing {file} just now; wait for it, or name another file.",
            "另一个备份正在写入 {file}；请等待其完成，或换一个文件名。",
        ),
        "backup_cannot_write": (
            "{file} can't be written ({what}); name a file in a folder that you may write to.",
            "无法写入 {file}（{what}）；请指定有写权限的目录中的文件。",
        ),
        "backup_no_room": (
            "{file} could not be written to its end ({what}), and was removed. Make room there, or choose another disk.",
            "{file} 未能写完（{what}），已删除。请清理该磁盘，或改用其他磁盘。",
        ),
        "backup_no_platform": (
            "No platform runs in {home}, and a backup is made of a running one: gongfang up --detach. "
            "Where it has an outside database, set GONGFANG_DATABASE_URL as for `up`.",
            "{home} 中没有运行中的平台；备份需要平台正在运行：gongfang up --detach。"
            "若使用外部数据库，请像 `up` 时一样设置 GONGFANG_DATABASE_URL。",
        ),
        "backup_not_noted": (
            "The backup is whole, but the platform's log of events could not be given its {tag}: the database went away. "
            "Note it by hand, or make the backup again.",
            "备份完整，但数据库已断开，事件日志中未能写入 {tag}。请人工记录，或重新备份。",
        ),
        "backup_no_schema": (
            "The database holds no platform yet; start it once with: gongfang up --detach",
            "数据库中还没有平台数据；请先启动一次：gongfang up --detach",
        ),
        "backup_passphrase_unusable": (
            "The passphrase in {file} can't be used ({what}); its first line must have 8 bytes or more.",
            "{file} 中的口令不可用（{what}）；其首行须不少于 8 字节。",
        ),
        "backup_database": ("Saving the database ({tables} tables) …", "正在保存数据库（{tables} 张表）…"),
        "backup_files": ("Saving files: {done} of {all}, {size}", "正在保存文件：{done}/{all}，{size}"),
        "backup_made": ("Backup made: {file} ({size}, {parts} parts)", "备份完成：{file}（{size}，{parts} 个部分）"),
        "backup_not_secret": (
            "It holds the keys to every secret of the platform, in clear: keep it where only administrators can read "
            "it, or make it with --passphrase-file.",
            "该文件包含可解开平台全部机密的密钥，且未加密：请保存在仅管理员可读之处，或使用 --passphrase-file 加密。",
        ),
        "backup_lost": (
            "! The stored file {sha256} was missing or damaged before the backup was made; "
            "the packages and releases that need it have to be uploaded and built again.",
            "！存储文件 {sha256} 在备份前已缺失或损坏；依赖它的程序包与发布需要重新上传和构建。",
        ),
        "backup_verifying": ("Reading {file} to its end ({size}) …", "正在完整检查 {file}（{size}）…"),
        "backup_whole": (
            "The backup is whole: made {created_at} by version {version}, {parts} parts, {size} unpacked.",
            "备份完整：由版本 {version} 于 {created_at} 生成，共 {parts} 个部分，展开后 {size}。",
        ),
        "backup_not_one": (
            "This is no backup made by gongfang; nothing was changed. Give the file that `gongfang backup` wrote.",
            "这不是 gongfang 生成的备份，未做任何更改。请指定 `gongfang backup` 生成的文件。",
        ),
        "backup_truncated": (
            "The backup is cut off: its end is missing. Copy it again from where it was made, or take an earlier one.",
            "备份不完整：文件末尾缺失。请从生成处重新复制，或改用更早的备份。",
        ),
        "backup_damaged": (
            "The backup is damaged ({what}). Copy it again from where it was made, or take an earlier one.",
            "备份已损坏（{what}）。请从生成处重新复制，或改用更早的备份。",
        ),
        "backup_part_unknown": (
            "The backup holds something that this version does not know ({part}); restore it with the version that made it.",
            "备份中含有当前版本无法识别的内容（{part}）；请用生成它的版本恢复。",
        ),
        "backup_format_newer": (
            "The backup has the format {format}, this version knows up to {known}: install a newer version first.",
            "备份格式为 {format}，当前版本最高支持 {known}：请先安装更新的版本。",
        ),
        "backup_schema_newer": (
            "The backup was made by version {version} with the schema {schema}, which this version does not know: "
            "install that version or a newer one first.",
            "备份由版本 {version} 生成（数据库结构 {schema}），当前版本不认识：请先安装该版本或更新的版本。",
        ),
        "backup_needs_passphrase": (
            "The backup is encrypted: give its passphrase with --passphrase-file FILE.",
            "备份已加密：请用 --passphrase-file 文件 提供口令。",
        ),
        "backup_passphrase_wrong": (
            "The passphrase does not open the backup: it is another one, or the file is damaged at its beginning.",
            "口令无法打开该备份：口令不对，或文件开头已损坏。",
        ),
        "backup_not_sealed": (
            "The backup is not encrypted; leave out --passphrase-file.",
            "备份未加密，请去掉 --passphrase-file。",
        ),
        "backup_unreadable": ("{file} can't be read: {what}", "无法读取 {file}：{what}"),
        "restore_home_runs": (
            "The platform in {home} runs (process {pid}); nothing was changed. A backup is restored into an empty home: "
            "set GONGFANG_HOME to a new folder, and other ports, or stop this one (gongfang down) and move its folder away.",
            "{home} 中的平台正在运行（进程 {pid}），未做任何更改。备份须恢复到空主目录：请将 GONGFANG_HOME 设为新目录并使用其他端口，"
            "或先停止该平台（gongfang down）并移走其目录。",
        ),
        "restore_home_not_empty": (
            "{home} is not empty (it holds {what}); nothing was changed. Set GONGFANG_HOME to an empty or new folder.",
            "{home} 不是空目录（其中有 {what}），未做任何更改。请将 GONGFANG_HOME 设为空目录或新目录。",
        ),
        "restore_database_not_empty": (
            "The database that GONGFANG_DATABASE_URL names is not empty; nothing was changed. Name a fresh one.",
            "GONGFANG_DATABASE_URL 指定的数据库不是空的，未做任何更改。请指定一个新的空数据库。",
        ),
        "restore_no_room": (
            "{home} has {free_mb} MB free, and the backup needs about {needed_mb} MB; make room, or choose another disk.",
            "{home} 可用空间 {free_mb} MB，恢复约需 {needed_mb} MB；请清理空间或改用其他磁盘。",
        ),
        "home_half_restored": (
            "{home} was being restored, and that did not come to its end. Run `gongfang restore FILE` again; "
            "it begins anew.",
            "{home} 的恢复没有完成。请再次运行 `gongfang restore 文件`，会重新开始。",
        ),
        "restore_database": ("Restoring the database …", "正在恢复数据库…"),
        "restore_files": ("Restoring files: {done} of {all}", "正在恢复文件：{done}/{all}"),
        "restore_done": ("Restored to {home}, as of {created_at}.", "已恢复到 {home}，数据截至 {created_at}。"),
        "restore_not_started": ("Start it with: gongfang up --detach", "启动：gongfang up --detach"),
        "restore_apps": ("Apps that run again: {running} of {all}", "已重新运行的应用：{running}/{all}"),
        "restore_apps_unknown": ("The platform does not answer: {what}", "平台没有应答：{what}"),
        "restore_app_not_running": (
            "! {app} does not run again ({state}); see: gongfang apps show {app}",
            "！应用 {app} 未能重新运行（{state}）；请查看：gongfang apps show {app}",
        ),
    }
)
