"""Sentences about workloads: how they end, why they can't start, and what a machine cannot promise."""

from gongfang.domain.messages import register

register(
    {
        # how it ended
        "exit_code": ("It ended by itself with exit code {code}.", "进程自行退出，退出码 {code}。"),
        "exit_signal": ("It was ended by signal {signal}.", "进程被信号 {signal} 终止。"),
        "exit_oom": (
            "It ran out of memory at its limit of {memory_mb} MB; give it more with `gongfang scale --memory`.",
            "内存超出 {memory_mb} MB 限额，已被终止；可用 `gongfang scale --memory` 调高。",
        ),
        "exit_lost": (
            "It disappeared without a record of its end (a reboot of the machine, or a kill from outside).",
            "进程已消失且没有退出记录（可能是机器重启或被外部终止）。",
        ),
        "exit_disk": (
            "It wrote more than its disk limit of {disk_mb} MB; write less, or give it more with `gongfang scale --disk`.",
            "写入超出 {disk_mb} MB 磁盘限额，已被终止；请减少写入，或用 `gongfang scale --disk` 调高。",
        ),
        # why it was not started
        "workload_disk_failed": (
            "No disk could be made for it: {detail}. It is tried again.",
            "无法为其创建磁盘：{detail}。系统会自动重试。",
        ),
        "workload_id_invalid": (
            "{id} cannot name a workload: use 1 to 64 of A-Z a-z 0-9 . _ - and no dot at the start.",
            "{id} 不能用作工作负载标识：请使用 1 至 64 个字符（A-Z a-z 0-9 . _ -），且不以点开头。",
        ),
        "command_empty": ("There is no command to run; name one.", "没有可执行的命令，请指定命令。"),
        "value_has_nul": (
            "{field} holds a zero byte, which no process can be given; remove it.",
            "{field} 含有空字节，无法传给进程，请删除。",
        ),
        "environment_name_invalid": (
            "{name} cannot be the name of an environment variable; it may not be empty or hold `=`.",
            "{name} 不能用作环境变量名：不得为空，也不得包含“=”。",
        ),
        "path_invalid": (
            "{path} must be an absolute path without `..`, and not the root itself.",
            "{path} 必须是绝对路径，不得包含“..”，也不得为根目录。",
        ),
        "limit_invalid": ("The limit {name} must be more than zero.", "限额 {name} 必须大于零。"),
        "uid_invalid": (
            "User id {uid} cannot be given to a workload; use one above zero.",
            "用户号 {uid} 不可用于工作负载，请使用大于零的用户号。",
        ),
        "mount_missing": (
            "{path} is to be shown to a workload but is not there; create it first.",
            "需要挂载的 {path} 不存在，请先创建。",
        ),
        "path_in_use": (
            "{path} is in use by another running workload; stop that one first.",
            "{path} 正被另一个运行中的工作负载占用，请先停止它。",
        ),
        "workload_running": (
            "{id} is still running; stop it before removing it.",
            "{id} 仍在运行，请先停止再删除。",
        ),
        "workload_launcher_missing": (
            "Neither `setpriv` nor a system Python is on this machine, so a workload can't be given a user of its own; "
            "install util-linux.",
            "本机没有 `setpriv`，也没有系统 Python，无法让工作负载使用独立用户运行，请安装 util-linux。",
        ),
        "ports_exhausted": (
            "No port is free between {first} and {last}; stop something or widen GONGFANG_PORT_RANGE.",
            "{first} 至 {last} 之间没有空闲端口，请停止部分实例或扩大 GONGFANG_PORT_RANGE。",
        ),
        "workload_start_failed": (
            "The machine could not start another process: {detail}. Free memory or processes; it is tried again.",
            "本机无法再启动进程：{detail}。请释放内存或进程，系统会自动重试。",
        ),
        # what this machine cannot promise
        "no_cgroup": (
            "This limit is not enforced: no {controller} control group can be written here (that usually takes root).",
            "该限额不生效：本机无法写入 {controller} 控制组（通常需要 root 权限）。",
        ),
        "no_sandbox": (
            "Workloads run without a sandbox, and can see this machine's files: {detail}. "
            "Run the platform as root or allow unprivileged user namespaces.",
            "工作负载未在沙箱中运行，可以看到本机文件：{detail}。请以 root 运行平台，或允许非特权用户命名空间。",
        ),
        "no_own_user": (
            "Workloads run as the platform's own user; run the platform as root to give each its own.",
            "工作负载以平台自身的用户运行；以 root 运行平台可让其各用独立用户。",
        ),
        "no_overlay": (
            "The folder /app is read-only, since this kernel allows no overlay here: {detail}.",
            "/app 为只读，因为此内核不允许在此使用叠加文件系统：{detail}。",
        ),
        "no_disk": (
            "Workloads have no disk of their own ({detail}): one that writes more than its limit is ended within "
            "seconds, instead of being told that its disk is full.",
            "工作负载没有独立磁盘（{detail}）：写入超限的会在数秒内被终止，而不是收到磁盘已满的错误。",
        ),
        "no_disk_but_memory": (
            "Workloads have no disk of their own ({detail}): what they write to /app and /tmp is kept in memory.",
            "工作负载没有独立磁盘（{detail}）：写入 /app 与 /tmp 的内容保存在内存中。",
        ),
        "no_filter": (
            "System calls of workloads are not filtered: {detail}.",
            "工作负载的系统调用未被过滤：{detail}。",
        ),
        "not_a_real_runtime": (
            "This runtime only pretends; it starts no process.",
            "此运行时仅为模拟，不会启动进程。",
        ),
    }
)
