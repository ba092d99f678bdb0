"""Sentences about the servers that the platform runs for tenants, and of the built-in broker."""

from gongfang.domain.messages import register

register(
    {
        "service_admin_refused": (
            "The server does not take its administrator's password: its data are another server's. Put the right data "
            "back, or delete the service instance.",
            "服务器拒绝了管理员密码：其数据属于另一台服务器。请恢复正确的数据，或删除该服务实例。",
        ),
        "service_server_away": (
            "The service's server does not answer just now ({what}); it is tried again.",
            "服务的服务器暂时没有响应（{what}），系统会自动重试。",
        ),
        "service_server_failed": (
            "The service's server could not do it (code {what}); it is tried again. Its log says more "
            "(`gongfang services logs`).",
            "服务的服务器未能完成该操作（代码 {what}），系统会自动重试。详情见其日志（`gongfang services logs`）。",
        ),
        "service_server_busy": (
            "Connections of this binding could not be ended yet; it is tried again.",
            "该绑定的连接尚未全部断开，系统会自动重试。",
        ),
        "service_seed_invalid": (
            "The kept credentials of this binding are damaged; unbind it and bind again.",
            "该绑定保存的凭据已损坏；请解绑后重新绑定。",
        ),
        "service_cannot_shrink": (
            "Plan {plan} has {storage_mb} MiB of storage, less than the {now} MiB of now: storage only grows. Make a "
            "new instance with the smaller plan and move the data.",
            "套餐 {plan} 的存储为 {storage_mb} MiB，小于当前的 {now} MiB：存储只能扩大。请用较小的套餐新建实例并迁移数据。",
        ),
        "service_data_missing": (
            "The data of this service instance are missing on the machine, so its server is not started: an empty one "
            "would be taken for the old one. Put its folder below `services` back, or delete the instance.",
            "该服务实例的数据在本机上已缺失，因此未启动服务器，以免空的新库被当成原来的库。"
            "请恢复 `services` 下对应的目录，或删除该实例。",
        ),
        "service_start_timeout": (
            "The server did not answer within {seconds} seconds of its start (last: {what}). Its log says more "
            "(`gongfang services logs`).",
            "服务器启动后 {seconds} 秒内没有响应（最近一次：{what}）。详情见其日志（`gongfang services logs`）。",
        ),
        "service_no_answer": (
            "The server ran and did not answer {count} times in a row (last: {what}); it was started again.",
            "服务器在运行，但连续 {count} 次没有响应（最近一次：{what}），已重新启动。",
        ),
        "service_storage_full": (
            "The server took more than the {storage_mb} MiB of storage that its plan has. Choose a plan with more "
            "(`gongfang services configure`).",
            "服务器占用的存储超过了套餐的 {storage_mb} MiB。请换用更大的套餐（`gongfang services configure`）。",
        ),
        "service_other_major": (
            "The data were written by version {had}, and this platform has version {has}, which can't read them. "
            "Install the release of the platform that has version {had}.",
            "数据由 {had} 版本写入，而本平台只有 {has} 版本，无法读取。请安装带有 {had} 版本的平台发行版。",
        ),
        "service_broken": (
            "The service instance does not work just now; its status says why.",
            "该服务实例目前不可用，原因见其状态。",
        ),
        "service_needs": (
            "This machine can't run this service: it lacks {what}. Run the platform as root.",
            "本机无法运行该服务：缺少 {what}。请以 root 身份运行平台。",
        ),
        "service_ports_taken": (
            "All {count} places for servers are taken; delete service instances, or widen GONGFANG_SERVICE_PORT_RANGE.",
            "{count} 个服务器位置已全部占用；请删除部分服务实例，或扩大 GONGFANG_SERVICE_PORT_RANGE。",
        ),
        "schema_refused": (
            "The plan does not take this value: {rule} = {what}.",
            "该套餐不接受此值：{rule} = {what}。",
        ),
        "schema_none": (
            "The schema of this plan's parameters is not valid; ask whoever runs the broker.",
            "该套餐的参数模式无效；请联系代理的维护者。",
        ),
        "schema_too_large": (
            "The schema of this plan's parameters is larger than {limit_kb} KiB.",
            "该套餐的参数模式超过 {limit_kb} KiB。",
        ),
        "schema_without_draft": (
            "The schema of this plan's parameters does not say of which draft it is (`$schema`).",
            "该套餐的参数模式没有声明所用的草案（`$schema`）。",
        ),
    }
)
