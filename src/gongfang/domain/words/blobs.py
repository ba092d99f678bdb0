"""Sentences about files and archives."""

from gongfang.domain.messages import register

register(
    {
        "upload_too_large": (
            "The upload has {size} bytes or more; the limit is {limit} bytes. "
            "Leave out what the build makes again, or have GONGFANG_UPLOAD_LIMIT raised.",
            "上传内容已达 {size} 字节，超过上限 {limit} 字节。"
            "请去掉可由构建重新生成的文件，或请管理员调高 GONGFANG_UPLOAD_LIMIT。",
        ),
        "upload_truncated": (
            "{size} bytes arrived where {expected} were announced; nothing was kept. Upload the file again.",
            "声明为 {expected} 字节，实际收到 {size} 字节，未保存任何内容。请重新上传。",
        ),
        "disk_full": (
            "The disk of {folder} has only {free_mb} MB free, and {keep_mb} MB of it are kept free. An administrator can "
            "clear away what is no longer needed (gongfang gc) or make room there; then try again.",
            "{folder} 所在磁盘仅剩 {free_mb} MB 可用空间，其中需保留 {keep_mb} MB。请管理员清理不再需要的内容（gongfang gc）"
            "或腾出空间后重试。",
        ),
        "blob_not_found": (
            "The stored file {sha256} is not there any more; upload the package again.",
            "存储的文件 {sha256} 已不存在，请重新上传程序包。",
        ),
        "blob_corrupt": (
            "The stored file {sha256} is damaged (its content has the digest {found}); upload the package again.",
            "存储的文件 {sha256} 已损坏（内容摘要为 {found}），请重新上传程序包。",
        ),
        "blob_store_failed": (
            "The store of files does not answer as it should: {detail} Try again; if it stays so, look at the store.",
            "文件存储工作异常：{detail} 请稍后重试；若持续如此，请检查存储服务。",
        ),
        "blob_spool_elsewhere": (
            "{spool} and {folder} are not on one file system ({detail}); put them on one, under the platform's home.",
            "{spool} 与 {folder} 不在同一文件系统（{detail}）；请将二者放在平台主目录所在的文件系统上。",
        ),
    }
)
