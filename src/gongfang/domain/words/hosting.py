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
    }
)
