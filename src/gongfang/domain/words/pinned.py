"""Sentences about workloads that keep their place: their ports, and the files that they are handed."""

from gongfang.domain.messages import register

register(
    {
        "port_invalid": (
            "{port} is no port; give one from 1 to 65535.",
            "{port} 不是有效端口，请填写 1 至 65535 之间的端口。",
        ),
        "port_out_of_range": (
            "Port {port} is none that a server may keep: those are every {step}th from {first} to {last}. Choose one of "
            "them, or change GONGFANG_SERVICE_PORT_RANGE.",
            "端口 {port} 不可固定给服务使用：可用端口为 {first} 至 {last} 之间每隔 {step} 个取一个。请换用其中之一，或修改 GONGFANG_SERVICE_PORT_RANGE。",
        ),
        "port_in_use": (
            "Port {port} is in use by something else on this machine; it is tried again. If that stays so, see what "
            "listens there (`ss -ltnp`), or change GONGFANG_SERVICE_PORT_RANGE.",
            "端口 {port} 正被本机其他程序占用，系统会自动重试。若长期如此，请用 `ss -ltnp` 查看占用者，或修改 GONGFANG_SERVICE_PORT_RANGE。",
        ),
        "network_outgrown": (
            "The network {network} has no room for this workload beside all others ({slots} in all). One that was chosen "
            "by the platform is chosen anew after `gongfang down`; one of GONGFANG_NETWORK must be made wider, or the "
            "ranges of ports narrower.",
            "网段 {network} 容纳不下该工作负载（共需 {slots} 个地址）。若网段由平台自动选择，执行 `gongfang down` 后再启动即可重新选择；若由 "
            "GONGFANG_NETWORK 指定，请扩大该网段或缩小端口范围。",
        ),
        "files_too_many": (
            "{count} files are more than the {most} that a workload can be handed; give fewer.",
            "文件数 {count} 超过每个工作负载最多 {most} 个的上限，请减少文件。",
        ),
        "files_too_large": (
            "The files that the workload is handed are {bytes} bytes together, more than {most}; make them smaller.",
            "交给工作负载的文件共 {bytes} 字节，超过上限 {most} 字节，请缩小文件。",
        ),
    }
)
