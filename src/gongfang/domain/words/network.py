"""Sentences about the networks of workloads and what they may reach."""

from gongfang.domain.messages import register

register(
    {
        "network_needs_root": (
            "Workloads share this machine's network, and reach all that it reaches; run the platform as root to give "
            "each its own.",
            "工作负载与本机共用网络，本机能访问的它们也能访问；以 root 运行平台可让其各用独立网络。",
        ),
        "network_needs_sandbox": (
            "Workloads share this machine's network, since they run without a sandbox here.",
            "工作负载在此未使用沙箱，因此与本机共用网络。",
        ),
        "network_not_wanted": (
            "Workloads share this machine's network, as GONGFANG_NETWORK=host asks for; leave it out to give each its own.",
            "按 GONGFANG_NETWORK=host 的设置，工作负载与本机共用网络；去掉该设置可让其各用独立网络。",
        ),
        "no_network": (
            "Workloads share this machine's network, since it could not give them one of their own: {detail}. It takes "
            "network namespaces, veth and nftables in the kernel, and no firewall that drops their packets.",
            "工作负载与本机共用网络，因为本机无法为其建立独立网络：{detail}。需要内核支持网络命名空间、veth 与 nftables，且没有其他防火墙丢弃其数据包。",
        ),
        "network_too_small": (
            "Workloads share this machine's network: {network} has no room for {slots} of them. Make GONGFANG_NETWORK "
            "wider or GONGFANG_PORT_RANGE narrower.",
            "工作负载与本机共用网络：{network} 容纳不下 {slots} 个工作负载，请扩大 GONGFANG_NETWORK 或缩小 GONGFANG_PORT_RANGE。",
        ),
        "network_taken": (
            "Workloads share this machine's network: all of 10.0.0.0/8 is in use here. Name a free one in GONGFANG_NETWORK.",
            "工作负载与本机共用网络：10.0.0.0/8 已全部被占用，请在 GONGFANG_NETWORK 中指定空闲网段。",
        ),
        "workload_network_failed": (
            "The machine could not make a network for it: {detail}. It is tried again; the platform's log says more.",
            "本机无法为其建立网络：{detail}。系统会自动重试，详见平台日志。",
        ),
        "network_kind_fixed": (
            "{id} runs, and keeps the kind of network that it was started with; start another one.",
            "{id} 正在运行，其网络类型不能更改，请重新启动一个。",
        ),
    }
)
