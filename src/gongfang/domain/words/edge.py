"""Sentences about the edge and its domains."""

from gongfang.domain.messages import register

register(
    {
        "edge_away": (
            "The edge (Envoy) has not confirmed the change to {app} within {seconds} s; it is kept and sent again by "
            "itself. `gongfang status` shows whether the edge is running.",
            "边缘网关（Envoy）在 {seconds} 秒内未确认对 {app} 的变更；变更已保留并会自动重发。"
            "可用 `gongfang status` 查看网关是否在运行。",
        ),
        "edge_unreadable": (
            "The edge (Envoy) does not tell about its requests: {detail}. It is asked again by itself; `gongfang status` "
            "shows whether the edge is running.",
            "无法从边缘网关（Envoy）读取请求情况：{detail}。平台会自动重试；可用 `gongfang status` 查看网关是否在运行。",
        ),
        "edge_rejected": (
            "The edge (Envoy) refused the configuration of {app} and goes on with the one before: {detail} "
            "Change the app's domains or restart it.",
            "边缘网关（Envoy）拒绝了 {app} 的配置，继续使用之前的配置：{detail} 请修改应用的域名或重启应用。",
        ),
        "edge_host_invalid": (
            "{host} is no host name that the edge can serve for {app}: use lower-case letters, digits, hyphens and dots, "
            "without port or wildcard.",
            "{host} 不是有效的域名，无法用于应用 {app}：只能使用小写字母、数字、连字符和点，不带端口和通配符。",
        ),
        "edge_host_taken": (
            "{host} cannot be given to {app}: app {owner} has it. Detach it there first.",
            "{host} 无法用于应用 {app}：它已被应用 {owner} 占用，请先在那里解绑。",
        ),
    }
)
