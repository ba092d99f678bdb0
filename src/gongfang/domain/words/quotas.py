"""Sentences about quotas, passwords that are refused, and calls that come too often."""

from gongfang.domain.messages import register

register(
    {
        "quota_exceeded": (
            "More than the quota of {name} allows ({what}): {used} used, {asked} more asked for, limit {limit}. "
            "Stop, shrink or destroy something, or ask an administrator of the level above for more "
            "(`gongfang quota set`).",
            "超出 {name} 的配额（{what}）：已用 {used}，还需 {asked}，上限 {limit}。"
            "请停止、缩减或销毁部分应用，或请上一级管理员提高配额（`gongfang quota set`）。",
        ),
        "quota_apps_space": (
            "The space {name} may hold {limit} apps and holds {used}; {asked} more was asked for.",
            "空间 {name} 最多可有 {limit} 个应用，已有 {used} 个，还需 {asked} 个。",
        ),
        "quota_apps_organization": (
            "The organisation {name} may hold {limit} apps and holds {used}; {asked} more was asked for.",
            "组织 {name} 最多可有 {limit} 个应用，已有 {used} 个，还需 {asked} 个。",
        ),
        "quota_instances_space": (
            "The space {name} may run {limit} instances and wants {used}; {asked} more were asked for.",
            "空间 {name} 最多可运行 {limit} 个实例，已用 {used} 个，还需 {asked} 个。",
        ),
        "quota_instances_organization": (
            "The organisation {name} may run {limit} instances and wants {used}; {asked} more were asked for.",
            "组织 {name} 最多可运行 {limit} 个实例，已用 {used} 个，还需 {asked} 个。",
        ),
        "quota_memory_mb_space": (
            "The instances of the space {name} may take {limit} MiB and take {used}; {asked} more were asked for.",
            "空间 {name} 的实例内存上限为 {limit} MiB，已用 {used} MiB，还需 {asked} MiB。",
        ),
        "quota_memory_mb_organization": (
            "The instances of the organisation {name} may take {limit} MiB and take {used}; {asked} more were "
            "asked for.",
            "组织 {name} 的实例内存上限为 {limit} MiB，已用 {used} MiB，还需 {asked} MiB。",
        ),
        "quota_from_above": (
            "A quota is set by the administrators of the level above (it takes {permission} there): a space's by its "
            "organisation's, an organisation's by its tenant's. Ask one of them.",
            "配额由上一级管理员设置（需在上一级拥有 {permission} 权限）：空间的配额由组织管理员设置，"
            "组织的配额由租户管理员设置。请联系他们。",
        ),
        "password_common": (
            "This password is among those that are guessed first; take a longer one of words that don't belong together.",
            "该密码过于常见，极易被猜中；请使用由几个互不相关的词组成的更长密码。",
        ),
        "password_repeats": (
            "This password repeats a few characters; take one with more different ones.",
            "该密码只由少数几个字符重复组成；请使用更多不同的字符。",
        ),
        "password_is_name": (
            "This password is the user's name with little added; take another one.",
            "该密码与用户名过于接近，请更换。",
        ),
        "login_too_often": (
            "Too many log-ins failed from your address; try again in {seconds} seconds.",
            "来自您所在地址的登录失败次数过多，请在 {seconds} 秒后重试。",
        ),
        "login_busy": (
            "Too many log-ins are being checked just now; try again in a few seconds.",
            "当前登录请求过多，请几秒后重试。",
        ),
        "roles_changed": (
            "A role of yours was taken away in the meantime; call again to get what you may still see.",
            "您的某个角色已被撤销；请重新调用以获取仍可访问的内容。",
        ),
        "scopes_below_role": (
            "This token is cut down to some permissions and can't give what it doesn't have ({missing}); "
            "use a token without scopes.",
            "此令牌的权限范围受限，不能授予其不具备的权限（{missing}）；请使用未限定范围的令牌。",
        ),
        "deleted_meanwhile": (
            "What this belongs to was deleted in the meantime; look again and choose another place.",
            "所属对象已被删除，请重新查看并选择其他位置。",
        ),
    }
)
