"""Sentences about settings: the form that each has, and when a changed one takes effect."""

from gongfang.domain.messages import register

register(
    {
        "setting_form_port": (
            "it must be a port, 1 to 65535, such as {example}",
            "须为 1 到 65535 的端口号，例如 {example}",
        ),
        "setting_form_path": (
            "it must be a path, such as /srv/gongfang",
            "须为路径，例如 /srv/gongfang",
        ),
        "setting_form_icp": (
            "it must be required, optional or absent",
            "须为 required（必填）、optional（可选）或 absent（不用）",
        ),
        "setting_form_log_level": (
            "it must be debug, info, warning or error",
            "须为 debug、info、warning 或 error",
        ),
        "setting_form_bool": ("it must be true or false", "须为 true 或 false"),
        "setting_form_networks": (
            "it must be addresses or networks with commas between them, such as 10.0.0.5,192.168.7.0/24",
            "须为用逗号分隔的地址或网段，例如 10.0.0.5,192.168.7.0/24",
        ),
        "setting_form_range": (
            "it must be the first and the last port, as JSON, such as [20000, 29999]",
            "须为 JSON 形式的首末端口，例如 [20000, 29999]",
        ),
        "setting_form_size": (
            "it must be a size or a percentage of the disk, such as 512MB, 2.5GB or 5%",
            "须为大小或磁盘百分比，例如 512MB、2.5GB 或 5%",
        ),
        "setting_form_database": (
            "it must begin with postgresql://, such as postgresql://USER:PASSWORD@HOST:5432/DATABASE",
            "须以 postgresql:// 开头，例如 postgresql://用户:密码@主机:5432/数据库",
        ),
        "setting_form_days": (
            "it must be a number of days, 180 at least, such as {example}",
            "须为天数，不少于 180，例如 {example}",
        ),
        "setting_form_text": ("it must be text, such as {example}", "须为文本，例如 {example}"),
        "setting_form_number": (
            "it must be a number in the range that docs/operations.md gives, such as {example}",
            "须为 docs/operations.md 所述范围内的数值，例如 {example}",
        ),
        "settings_changed": (
            "Set otherwise here than when it started: {names}. It takes effect with: gongfang up --detach --restart (apps run "
            "on; where systemd started the platform: systemctl restart gongfang, with the setting in its unit)",
            "以下设置与启动时不同：{names}。执行 gongfang up --detach --restart 后生效（应用不中断；由 systemd 启动的平台请在单元中"
            "修改后执行 systemctl restart gongfang）",
        ),
        "restarting": (
            "Ending the control plane (process {pid}) to start it anew; apps run on …",
            "正在重启控制面（进程 {pid}），应用继续运行 …",
        ),
        "apps_still_starting": (
            "{count} apps are not running yet: {names}. Follow them with: gongfang apps",
            "有 {count} 个应用尚未运行：{names}。请用 gongfang apps 查看",
        ),
    }
)
