"""Sentences about who may what."""

from gongfang.domain.messages import register

register(
    {
        "forbidden": (
            "You may not do this: it takes the permission {permission}. Ask an administrator for a role that has it.",
            "无权执行此操作：需要权限 {permission}。请联系管理员授予相应角色。",
        ),
        "validation_failed": (
            "Some values cannot be accepted; `details` says which and why.",
            "部分参数不合法，详见 details。",
        ),
    }
)
