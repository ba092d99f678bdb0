"""Sentences about clearing up, the disk, and keys."""

from gongfang.domain.messages import register

register(
    {
        "gc_beyond_newest": ("older than the newest that are kept", "早于保留的最新若干个"),
        "gc_unused": ("no kept release uses it", "没有保留的发布使用它"),
        "gc_unreferred": ("nothing refers to it", "没有任何记录引用它"),
        "gc_idle": ("not used in a long time; made again when needed", "长期未使用，需要时可重新生成"),
        "gc_over_limit": ("all caches together are over their limit", "全部缓存超过总量上限"),
        "gc_old": ("ended long ago", "早已结束"),
        "gc_backup_under_way": (
            "A backup is being made; no stored file was removed. Run gongfang gc again when it has ended.",
            "正在备份，未删除任何存储文件；备份结束后请再次运行 gongfang gc。",
        ),
        "gc_failed": ("A part could not be cleared: {what}", "部分内容未能清理：{what}"),
        "not_here": ("This platform does not offer that.", "该平台不提供此功能。"),
        "disk_short": (
            "The disk of {folder} has only {free_mb} MB free (warning below {keep_mb} MB). What is no longer needed is "
            "cleared away by itself; make room before uploads and builds are refused.",
            "{folder} 所在磁盘仅剩 {free_mb} MB 可用空间（低于 {keep_mb} MB 告警）。平台会自动清理不再需要的内容；"
            "请尽快腾出空间，以免上传和构建被拒绝。",
        ),
        "database_disk_full": (
            "The database has no room left on its disk, so nothing can be recorded just now; apps run on. "
            "Make room on the disk of the platform's home (gongfang gc, or remove other files), then try again.",
            "数据库所在磁盘已无可用空间，暂时无法记录任何更改；应用继续运行。"
            "请在平台主目录所在磁盘腾出空间（gongfang gc 或删除其他文件）后重试。",
        ),
        "keys_backup_under_way": (
            "A backup is being made, and the keys in it must open what it holds; nothing was changed. "
            "Rotate them when it has ended.",
            "正在备份，备份中的密钥须能打开其内容，因此未做任何更改；请在备份结束后再轮换密钥。",
        ),
        "part_disk": ("Disk", "磁盘"),
    }
)
