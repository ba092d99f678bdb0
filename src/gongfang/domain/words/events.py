"""What is said about events, their export, and webhooks."""

from gongfang.domain.messages import register

register(
    {
        "webhook_not_found": (
            "There is no webhook {webhook}; `gongfang webhooks` (GET /webhooks) lists those you may see.",
            "没有 Webhook {webhook}；可用 gongfang webhooks（GET /webhooks）查看您有权查看的 Webhook。",
        ),
        "webhook_url_invalid": (
            "This is no address to send to: it begins with http:// or https://, in ASCII without spaces and without a #part, such as "
            "https://mes.example.com/events.",
            "地址无效：须以 http:// 或 https:// 开头，为不含空格和 # 片段的 ASCII 文本，例如 https://mes.example.com/events。",
        ),
        "webhook_url_userinfo": (
            "The address holds a user name or password; the signature says who sends, so leave them out.",
            "地址中不能带用户名或密码；接收方可用签名验证来源，请去掉它们。",
        ),
        "webhook_url_private": (
            "The address is of this machine or a private network; an administrator may allow those with GONGFANG_WEBHOOK_PRIVATE=true.",
            "地址属于本机或内网；如确需使用，请管理员设置 GONGFANG_WEBHOOK_PRIVATE=true。",
        ),
        "webhook_secret_invalid": (
            "A secret is whsec_ and 24 to 64 bytes in base64; leave it out and one is made.",
            "密钥格式为 whsec_ 加 24 到 64 字节的 base64；不填则自动生成。",
        ),
        "webhook_tag_invalid": (
            "A tag is such as app:create; app:* means all that begin so, and * everything.",
            "标签形如 app:create；app:* 匹配所有以此开头的标签，* 匹配全部。",
        ),
        "webhook_tag_unknown": (
            "No event has a tag that fits {tag}, so nothing would ever be sent. Did you mean {nearest}? docs/events.md lists "
            "the tags.",
            "没有与 {tag} 匹配的事件标签，永远不会推送。是否为 {nearest}？标签列表见 docs/events.md。",
        ),
        "webhook_refused": (
            "Nothing listens at the receiver's address (connection refused); check the port and that it runs.",
            "接收方地址上没有服务（连接被拒绝）；请检查端口以及接收方是否在运行。",
        ),
        "webhook_name_unknown": (
            "The receiver's name {host} is not known to this machine's DNS; check its spelling, or ask your network's people.",
            "本机 DNS 无法解析接收方域名 {host}；请检查拼写或联系网络管理员。",
        ),
        "webhook_no_route": (
            "This machine has no way to the receiver (network unreachable); check the network and the firewall.",
            "本机无法到达接收方（网络不可达）；请检查网络和防火墙。",
        ),
        "webhook_broken_off": (
            "The receiver broke the connection off before it answered; look at its log.",
            "接收方在应答前断开了连接；请查看接收方日志。",
        ),
        "webhook_certificate": (
            "The receiver's certificate is not believed ({what}); it must be valid, for this name, and of an authority that "
            "this machine trusts.",
            "接收方的证书不受信任（{what}）；证书须在有效期内、与域名相符，并由本机信任的机构签发。",
        ),
        "webhook_no_tls": (
            "HTTPS with the receiver fails ({what}); check that it speaks HTTPS at this port.",
            "与接收方的 HTTPS 握手失败（{what}）；请确认该端口提供 HTTPS。",
        ),
        "webhook_scope_level": (
            "Give scope_id for a tenant, organisation or space, and none for the platform.",
            "租户、组织、空间级需要填写 scope_id；平台级不填。",
        ),
        "too_many_webhooks": (
            "There are {limit} webhooks at this place already; remove one that is not needed.",
            "此处已有 {limit} 个 Webhook，请先删除不再需要的。",
        ),
        "webhook_answered": (
            "The receiver answered {status}; it must answer 2xx within 15 seconds. Redirects are not followed.",
            "接收方返回 {status}；须在 15 秒内返回 2xx，不跟随重定向。",
        ),
        "webhook_unreachable": (
            "The receiver could not be reached ({what}); check its address and that it runs.",
            "无法连接接收方（{what}）；请检查地址以及接收方是否在运行。",
        ),
        "webhook_timed_out": (
            "The receiver did not answer within {seconds} seconds; it should take the message and work on it later.",
            "接收方在 {seconds} 秒内没有应答；应先收下消息再处理。",
        ),
        "webhook_address_refused": (
            "{host} leads to this machine or a private network; an administrator may allow those with GONGFANG_WEBHOOK_PRIVATE=true.",
            "{host} 指向本机或内网地址；如确需使用，请管理员设置 GONGFANG_WEBHOOK_PRIVATE=true。",
        ),
        "webhook_gone": (
            "The receiver answered 410, which means that it wants no more; enable the webhook again when it does.",
            "接收方返回 410，表示不再接收；需要时请重新启用。",
        ),
        "webhook_given_up": (
            "Sending failed for a day, {attempts} times (last: {last}); mend the receiver, then enable the webhook: it goes on where it stopped.",
            "一天内发送失败 {attempts} 次（最后一次：{last}）；请修复接收方后重新启用，将从中断处继续。",
        ),
        "period_inverted": (
            "`since` must be before `until`.",
            "since 必须早于 until。",
        ),
    }
)
