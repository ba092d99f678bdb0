"""Sentences about builds: what is wrong with an upload, with a tree, with a Procfile."""

from gongfang.domain.messages import register

register(
    {
        # archives
        "archive_absolute": (
            "The archive's entry {entry} has an absolute path; pack with relative paths.",
            "归档中的条目 {entry} 使用绝对路径；请用相对路径重新打包。",
        ),
        "archive_outside": (
            "The archive's entry {entry} leads out of the archive (`..`); pack from inside the application's folder.",
            "归档中的条目 {entry} 指向归档之外（`..`）；请在应用目录内重新打包。",
        ),
        "archive_link_outside": (
            "The link {entry} in the archive leads out of it ({link}); pack the file itself in its place.",
            "归档中的链接 {entry} 指向归档之外（{link}）；请改为打包文件本身。",
        ),
        "archive_link_loop": (
            "The link {entry} in the archive leads to itself; remove it.",
            "归档中的链接 {entry} 循环指向自身；请删除它。",
        ),
        "archive_hard_link": (
            "The hard link {entry} in the archive leads to {link}, which is no earlier file of the archive; "
            "pack the file itself in its place.",
            "归档中的硬链接 {entry} 指向 {link}，而它不是归档中更早的文件；请改为打包文件本身。",
        ),
        "archive_special": (
            "The archive's entry {entry} is a device, a pipe or a socket; only files, folders and links are taken.",
            "归档中的条目 {entry} 是设备、管道或套接字；只接受文件、目录和链接。",
        ),
        "archive_too_big": (
            "The archive unpacks to more than {limit_mb} MB; leave out what the build makes again.",
            "归档解包后超过 {limit_mb} MB；请去掉可由构建重新生成的文件。",
        ),
        "archive_bomb": (
            "The archive unpacks to more than {ratio} times its {packed} bytes, as no application does; "
            "leave out files of mere zeros.",
            "归档解包后超过其 {packed} 字节的 {ratio} 倍，不像正常的应用；请去掉大量重复内容的文件。",
        ),
        "archive_too_many": (
            "The archive has more than {limit} entries; leave out what the build fetches again, like node_modules.",
            "归档中的条目超过 {limit} 个；请去掉可由构建重新获取的内容，例如 node_modules。",
        ),
        "archive_lies": (
            "The archive says that {entry} has {declared} bytes, but it has {real} or more; pack it again.",
            "归档声明 {entry} 为 {declared} 字节，实际至少 {real} 字节；请重新打包。",
        ),
        "archive_encrypted": (
            "The archive's entry {entry} is encrypted; pack it without a password.",
            "归档中的条目 {entry} 已加密；请不设密码重新打包。",
        ),
        "archive_duplicate": (
            "The archive has {entry} twice, or as a file and a folder at once; pack it again from the folder.",
            "归档中 {entry} 出现两次，或同时是文件和目录；请从目录重新打包。",
        ),
        "archive_name": (
            "The archive's entry {entry} has a name with control characters or in an unknown encoding; rename it.",
            "归档中条目 {entry} 的名称含控制字符或编码无法识别；请改名后重新打包。",
        ),
        "archive_name_long": (
            "The archive's entry {entry} has too long a name; a part may have 255 bytes, a path 1024.",
            "归档中条目 {entry} 的名称过长；每段最多 255 字节，整个路径最多 1024 字节。",
        ),
        "archive_damaged": (
            "The archive is damaged or cut off ({detail}); pack and upload it again.",
            "归档已损坏或不完整（{detail}）；请重新打包并上传。",
        ),
        "archive_method": (
            "The archive's entry {entry} can't be unpacked ({detail}); pack it with the ordinary method (deflate).",
            "归档中的条目 {entry} 无法解包（{detail}）；请使用常规压缩方式（deflate）重新打包。",
        ),
        "archive_not_tar": (
            "The upload is {compression}-compressed, but there is no tar archive in it; "
            "upload the file itself, or a zip or tar.",
            "上传内容是 {compression} 压缩文件，但其中没有 tar 归档；请直接上传文件，或上传 zip、tar。",
        ),
        "archive_empty": (
            "The upload has no files in it; pack the application's folder and upload it again.",
            "上传内容中没有任何文件；请打包应用目录后重新上传。",
        ),
        # droplets
        "droplet_too_big": (
            "What the build made has more than {limit_mb} MB; let it remove what is not needed to run.",
            "构建产物超过 {limit_mb} MB；请在构建中删除运行时不需要的文件。",
        ),
        "droplet_too_many": (
            "What the build made has more than {limit} files; let it remove what is not needed to run.",
            "构建产物超过 {limit} 个文件；请在构建中删除运行时不需要的文件。",
        ),
        "droplet_deep": (
            "The build made folders too deep to be kept ({entry}); shorten their names.",
            "构建生成的目录层次过深，无法保存（{entry}）；请缩短名称。",
        ),
    }
)
