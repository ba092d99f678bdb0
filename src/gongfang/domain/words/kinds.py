"""Sentences about what single kinds of servers may say."""

from gongfang.domain.messages import register

register(
    {
        "service_script_runs": (
            "A script of an app keeps the server busy and can't be ended from outside; it is tried again. Stop the app, "
            "or wait for the server to be restarted.",
            "某应用的脚本一直占用服务器，无法从外部终止，系统会自动重试。请停止该应用，或等待服务器重启。",
        ),
        "service_connections_full": (
            "All connections of the server are taken, the administrator's too; it is tried again. Close some in the "
            "apps, or raise `max_connections` or the plan (`gongfang services configure`).",
            "服务器的连接已全部占满（包括管理员连接），系统会自动重试。请在应用中关闭部分连接，或调高 `max_connections` 或套餐"
            "（`gongfang services configure`）。",
        ),
    }
)
