"""Sentences of `/broker/v2`, where other platforms ask."""

from gongfang.domain.messages import register

register(
    {
        "osb_token_missing": (
            "Give an API token of this platform as the password of HTTP Basic authentication; the user name may be "
            "anything. `gongfang tokens create` makes one.",
            "请将本平台的 API 令牌作为 HTTP Basic 认证的密码（用户名任意），可用 `gongfang tokens create` 创建令牌。",
        ),
        "osb_forbidden": (
            "The token's user needs the role service manager (or administrator) at the platform, and the token the scope "
            "`service:write`, to use this platform as a service broker.",
            "将本平台用作服务代理，令牌所属用户须具有平台级服务管理人员（或管理员）角色，令牌范围须含 `service:write`。",
        ),
        "osb_version": (
            "X-Broker-API-Version is {given}; this broker speaks {spoken} and takes requests from {oldest} on.",
            "X-Broker-API-Version 为 {given}；本服务代理使用 {spoken}，接受 {oldest} 及以上版本的请求。",
        ),
        "osb_id_invalid": (
            "An id in the path must be 1 to {longest} characters of UTF-8, percent-encoded, without a zero byte.",
            "路径中的标识须为 1 至 {longest} 个 UTF-8 字符（百分号编码），且不含零字节。",
        ),
        "osb_identity": (
            "X-Broker-API-Originating-Identity must be the platform's name, a space, and a JSON object in base64.",
            "X-Broker-API-Originating-Identity 须为平台名称、空格及经 base64 编码的 JSON 对象。",
        ),
        "osb_body": (
            "The body must be a JSON object, of numbers and texts that every reader takes alike.",
            "请求体须为 JSON 对象，且其中的数字与文本须能被各方一致读取。",
        ),
        "osb_field_missing": (
            "{field} is missing; the Open Service Broker API wants it here.",
            "缺少 {field}，Open Service Broker API 要求提供该字段。",
        ),
        "osb_field_text": (
            "{field} must be a text of 1 to {longest} characters.",
            "{field} 须为 1 至 {longest} 个字符的文本。",
        ),
        "osb_field_object": (
            "{field} must be a JSON object.",
            "{field} 须为 JSON 对象。",
        ),
        "osb_query_twice": (
            "{field} is given twice in the query.",
            "查询参数 {field} 重复。",
        ),
        "osb_operation": (
            "Give `operation` as the 202 answer said it.",
            "请原样提供 202 应答中的 `operation`。",
        ),
        "osb_other_service": (
            "service_id is not that of this instance; nothing was deleted. `GET` of the instance says which it is.",
            "service_id 与该实例不符，未删除任何内容；可通过 `GET` 该实例查看其 service_id。",
        ),
        "osb_async": (
            "This broker answers before the work is done: send `accepts_incomplete=true` and poll `last_operation`.",
            "本服务代理异步执行操作：请加上 `accepts_incomplete=true` 并轮询 `last_operation`。",
        ),
        "osb_maintenance": (
            "maintenance_info.version is not that of the plan; fetch the catalogue again.",
            "maintenance_info.version 与该套餐不符，请重新获取服务目录。",
        ),
        "osb_absent": (
            "It is not there, or not there yet.",
            "对象不存在，或尚未创建完成。",
        ),
        "osb_at_work": (
            "It is being changed; try again.",
            "对象正在变更，请稍后重试。",
        ),
        "user_has_services": (
            "{user} is another platform's user here, and {count} service instance(s) of that platform would be lost to "
            "it. Delete them from there first, through `/broker/v2`.",
            "{user} 是其他平台在本平台的用户，其名下仍有 {count} 个服务实例。请先由该平台通过 `/broker/v2` 删除。",
        ),
    }
)
