"""Sentences about the platform's own parts: what starting and stopping say, and what `status` shows."""

from gongfang.domain.messages import register

register(
    {
        "server_not_ready": (
            "{server} did not become ready. The end of its output:\n{output}",
            "{server} 未能就绪。其最后的输出：\n{output}",
        ),
        "database_away": (
            "The database cannot be reached; it is tried again. `gongfang status` shows its state.",
            "数据库暂时无法连接，平台会自动重试；可用 `gongfang status` 查看。",
        ),
        "edge_waiting": (
            "The edge has not acknowledged its configuration yet.",
            "边缘代理尚未确认配置。",
        ),
        "sweep_waiting": (
            "The reconciler has not swept recently.",
            "调谐器近期未完成全量检查。",
        ),
        "already_running": (
            "The platform in {home} runs already (process {pid}).",
            "{home} 中的平台已在运行（进程 {pid}）。",
        ),
        "port_taken": (
            "Port {port} on {host} is taken by another program; set {variable} to a free one.",
            "{host} 的端口 {port} 已被其他程序占用，请用 {variable} 指定空闲端口。",
        ),
        "home_unusable": (
            "The home folder {home} cannot be used: {what}",
            "主目录 {home} 无法使用：{what}",
        ),
        "setting_wrong": (
            "{variable} has a value that cannot be used: {what}",
            "{variable} 的取值无效：{what}",
        ),
        "starting_part": ("Starting {part} …", "正在启动 {part} …"),
        "fetching_tool": ("Fetching {tool} (first time only) …", "正在获取 {tool}（仅首次）…"),
        "platform_ready": (
            "Gongfang is ready. API: {api}  Apps: {apps}  Home: {home}",
            "工坊已就绪。API：{api}  应用：{apps}  主目录：{home}",
        ),
        "platform_stopped": ("Stopped; {count} workloads were ended.", "已停止，共结束 {count} 个进程组。"),
        "platform_not_running": ("The platform in {home} does not run.", "{home} 中的平台未在运行。"),
        "platform_start_failed": (
            "The platform did not start. The end of {log}:\n{output}",
            "平台启动失败。{log} 的最后内容：\n{output}",
        ),
        "not_enforced": ("Not enforced on this machine:", "本机无法保证："),
        "not_enforced_one": ("! {what}", "！{what}"),
        "database_unreachable": (
            "The database cannot be reached ({what}). Check the address, user and password in GONGFANG_DATABASE_URL.",
            "无法连接数据库（{what}）。请检查 GONGFANG_DATABASE_URL 中的地址、用户名和密码。",
        ),
        "part_database": ("PostgreSQL", "PostgreSQL 数据库"),
        "part_edge": ("Envoy, the edge", "边缘代理 Envoy"),
        "part_control": ("Control plane", "控制面"),
        "part_runtime": ("Runtime", "运行时"),
    }
)
