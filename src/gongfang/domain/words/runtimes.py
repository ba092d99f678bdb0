"""Sentences about workloads and how they end."""

from gongfang.domain.messages import register

register(
    {
        # runtime
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
    }
)
