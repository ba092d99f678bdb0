"""Sentences about what a space's apps may reach."""

from gongfang.domain.messages import register

register(
    {
        "egress_target_wrong": (
            "{target} names no IPv4 target; write an address or a network with its ports, as in 10.1.2.0/24:5432.",
            "{target} 不是有效的 IPv4 目标，请写成地址或网段加端口，例如 10.1.2.0/24:5432。",
        ),
        "egress_never": (
            "{target} cannot be opened: loopback, link-local and metadata addresses stay closed for all apps. Leave it out.",
            "{target} 不能开放：回环、链路本地和元数据地址对所有应用始终关闭，请去掉。",
        ),
        "egress_private": (
            "{target} lies in a private range; ask an administrator of the platform to open it.",
            "{target} 属于私有网段，请联系平台管理员开放。",
        ),
    }
)
