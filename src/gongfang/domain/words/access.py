"""Sentences about who may what: log-in, users, roles, tokens, the tree, domains, and operations as they are seen."""

from gongfang.domain.messages import register

register(
    {
        "forbidden": (
            "You may not do this: it takes the permission {permission}. Ask an administrator for a role that has it.",
            "无权执行此操作：需要权限 {permission}。请联系管理员授予相应角色。",
        ),
        "validation_failed": (
            "Some values cannot be accepted.",
            "部分参数不合法。",
        ),
        # log-in and tokens
        "token_missing": (
            "This takes a token: send the header `Authorization: Bearer TOKEN`. `POST /api/v1/auth/login` gives one.",
            "此操作需要令牌：请发送请求头 `Authorization: Bearer TOKEN`，可通过 `POST /api/v1/auth/login` 获取。",
        ),
        "token_invalid": (
            "The token is not known here, or was revoked; log in again or ask for a new one.",
            "令牌无效或已被吊销，请重新登录或申请新令牌。",
        ),
        "token_expired": (
            "The token has expired; log in again or make a new one.",
            "令牌已过期，请重新登录或创建新令牌。",
        ),
        "user_disabled": (
            "This user is disabled; ask an administrator to enable it.",
            "该用户已被停用，请联系管理员启用。",
        ),
        "login_failed": (
            "The name or the password is not right, or there were too many failures: after five the user is locked "
            "for 15 minutes or more. Wait, or have an administrator set a new password.",
            "用户名或密码错误，或失败次数过多：连续失败五次后用户将被锁定 15 分钟以上。请稍后再试，或请管理员重设密码。",
        ),
        "token_not_found": ("There is no token {id} of yours.", "没有属于您的令牌 {id}。"),
        "scopes_exceed": (
            "A token can't make one that may more than itself; give scopes among these: {scopes}.",
            "令牌不能创建权限大于自身的令牌，请在以下范围内指定 scopes：{scopes}。",
        ),
        # users and roles
        "user_not_found": (
            "There is no user {user} whom you may see; `GET /api/v1/users` lists them.",
            "没有您可见的用户 {user}，可通过 `GET /api/v1/users` 查看。",
        ),
        "role_not_found": (
            "This user has no role binding {id}; look at the user's `roles`.",
            "该用户没有角色绑定 {id}，请查看用户的 `roles`。",
        ),
        "last_administrator": (
            "{user} is the platform's last administrator; give that role to somebody else first.",
            "{user} 是平台最后一名管理员，请先将该角色授予其他用户。",
        ),
        "scope_of_platform": (
            "A role at the level `platform` has no scope; leave `scope_id` out.",
            "platform 级角色没有作用域，请勿填写 `scope_id`。",
        ),
        # the tree
        "tenant_not_found": (
            "There is no tenant {id} that you may see; `GET /api/v1/tenants` lists them.",
            "没有您可见的租户 {id}，可通过 `GET /api/v1/tenants` 查看。",
        ),
        "organization_not_found": (
            "There is no organisation {id} that you may see; `GET /api/v1/organizations` lists them.",
            "没有您可见的组织 {id}，可通过 `GET /api/v1/organizations` 查看。",
        ),
        "space_not_found": (
            "There is no space {id} that you may see; `GET /api/v1/spaces` lists them.",
            "没有您可见的空间 {id}，可通过 `GET /api/v1/spaces` 查看。",
        ),
        "tenant_ambiguous": (
            "You see several tenants; say which with `tenant_id`.",
            "您可见多个租户，请用 `tenant_id` 指定。",
        ),
        "organization_ambiguous": (
            "You see several organisations; say which with `organization_id`.",
            "您可见多个组织，请用 `organization_id` 指定。",
        ),
        "space_ambiguous": (
            "You see several spaces; say which with `space_id`.",
            "您可见多个空间，请用 `space_id` 指定。",
        ),
        "tenant_none": (
            "You see no tenant; ask an administrator for a role in one.",
            "您没有可见的租户，请联系管理员授予角色。",
        ),
        "organization_none": (
            "You see no organisation; ask an administrator for a role in one.",
            "您没有可见的组织，请联系管理员授予角色。",
        ),
        "space_none": (
            "You see no space; ask an administrator for a role in one.",
            "您没有可见的空间，请联系管理员授予角色。",
        ),
        "name_in_use": ("The name {name} is taken; choose another.", "名称 {name} 已被占用，请更换。"),
        "not_empty": (
            "{name} still holds <<{organizations} organisation(s)|{spaces} space(s)|{apps} app(s)|{services} service(s)|{domains} domain(s)>>; "
            "delete those first.",
            "{name} 中还有 <<{organizations} 个组织|{spaces} 个空间|{apps} 个应用|{services} 个服务实例|{domains} 个域名>>，请先删除。",
        ),
        "timezone_unknown": (
            "{timezone} is no time zone; use a name like Asia/Shanghai.",
            "{timezone} 不是有效的时区，请使用 Asia/Shanghai 这样的名称。",
        ),
        "timezone_of_tenants": (
            "Only a tenant has a time zone; set it there.",
            "只有租户可以设置时区，请在租户上设置。",
        ),
        # domains
        "domain_not_found": (
            "There is no domain {domain} that you may see; `GET /api/v1/domains` lists them.",
            "没有您可见的域名 {domain}，可通过 `GET /api/v1/domains` 查看。",
        ),
        "domain_invalid": (
            "{domain} is no host name; use a full one like mes.example.cn.",
            "{domain} 不是有效的域名，请使用 mes.example.cn 这样的完整域名。",
        ),
        "domain_wildcard": (
            "A domain stands for one host name; wildcards are not accepted, bind each name.",
            "域名必须是单个主机名，不支持通配符，请逐个绑定。",
        ),
        "domain_is_address": ("An IP address is no domain; use a host name.", "IP 地址不是域名，请使用主机名。"),
        "domain_is_base": (
            "{domain} is the platform's own base domain; use a name under it, or a domain of yours.",
            "{domain} 是平台的基础域名，请使用其下的名称或您自己的域名。",
        ),
        "domain_too_deep": (
            "Under {base} a name has exactly one label, like line-3.{base}.",
            "{base} 之下只能有一级名称，例如 line-3.{base}。",
        ),
        "domain_needs_web": (
            "{app} is of the type {type}; only apps of the type web have domains.",
            "{app} 的类型为 {type}，只有 web 类型的应用可以绑定域名。",
        ),
        "domain_taken": (
            "{domain} is in use already; choose another, or have it released first.",
            "{domain} 已被占用，请更换，或先将其释放。",
        ),
        "domain_attached": (
            "{domain} is attached to the app {app}; detach it there first.",
            "{domain} 已绑定到应用 {app}，请先在该应用上解绑。",
        ),
        "domain_not_attached": (
            "The domain {domain} is not attached to {app}; the app's `routes` show what is.",
            "域名 {domain} 未绑定到 {app}，请查看应用的 `routes`。",
        ),
        "domain_is_default": (
            "{domain} is its app's own address and goes with the app; detach it instead of deleting it.",
            "{domain} 是应用的默认地址，随应用一同删除；如不需要请解绑。",
        ),
        "icp_invalid": (
            "An ICP number looks like 京ICP备12345678号 or 京ICP备12345678号-1.",
            "ICP 备案号格式应为 京ICP备12345678号 或 京ICP备12345678号-1。",
        ),
        "tenant_not_of_app": (
            "The app {app} lies in another tenant; leave `tenant_id` out.",
            "应用 {app} 属于其他租户，请勿填写 `tenant_id`。",
        ),
        # operations and logs
        "operation_not_found": (
            "There is no operation {operation} that you may see.",
            "没有您可见的操作 {operation}。",
        ),
        "operation_ended": (
            "The operation has ended already ({status}); there is nothing to cancel.",
            "该操作已结束（{status}），无法取消。",
        ),
        "instance_not_found": (
            "There is no instance {instance} of this app on record any more.",
            "该应用没有实例 {instance} 的记录。",
        ),
        "cursor_invalid": (
            "This is no cursor of this list; take `next_cursor` of the page before as it is.",
            "游标无效，请原样使用上一页的 `next_cursor`。",
        ),
    }
)
