"""Sentences about what brokers answer, and the steps of services' operations."""

from gongfang.domain.messages import register

register(
    {
        "broker_refused": (
            "The service's broker refused it: {what}. Change the request accordingly, or ask whoever runs the broker.",
            "服务代理拒绝了请求：{what}。请据此修改请求，或联系代理的运维人员。",
        ),
        "broker_failed": (
            "The service's broker could not do it: {what}. Try again, or ask whoever runs the broker.",
            "服务代理未能完成：{what}。请重试，或联系代理的运维人员。",
        ),
        "broker_not_spoken": (
            "The broker {name} can't be asked by this platform; use a service of the platform's own.",
            "本平台无法访问服务代理 {name}，请改用平台自带的服务。",
        ),
        "broker_status": (
            "The service's broker answered {status}, so it is not known what came of the request. Ask whoever runs the "
            "broker.",
            "服务代理返回 {status}，请求的结果未知。请联系代理的运维人员。",
        ),
        "broker_malformed": (
            "The answer of the service's broker is not as the Open Service Broker API has it ({what}). Tell whoever "
            "runs the broker.",
            "服务代理的应答不符合 Open Service Broker API（{what}）。请告知代理的运维人员。",
        ),
        "broker_timed_out": (
            "The service's broker did not answer within {seconds} seconds. Ask whoever runs the broker.",
            "服务代理在 {seconds} 秒内没有应答。请联系代理的运维人员。",
        ),
        "broker_nothing_listens": (
            "Nothing listens at the broker's address (connection refused); check the port and that it runs.",
            "服务代理的地址上没有服务（连接被拒绝）；请检查端口以及代理是否在运行。",
        ),
        "broker_broken_off": (
            "The service's broker broke the connection off before it had answered. Ask whoever runs the broker.",
            "服务代理在应答之前断开了连接。请联系代理的运维人员。",
        ),
        "broker_certificate": (
            "The broker's certificate is not trusted ({what}); have it signed by an authority that this machine trusts.",
            "服务代理的证书不受信任（{what}）；请使用本机信任的机构签发的证书。",
        ),
        "broker_no_tls": (
            "The broker does not speak TLS at this address ({what}); check the port, or use http.",
            "该地址上的服务代理不支持 TLS（{what}）；请检查端口，或改用 http。",
        ),
        "broker_name_unknown": (
            "The name {host} of the broker is not known; check its spelling and this machine's resolver.",
            "无法解析服务代理的域名 {host}；请检查拼写和本机的域名解析。",
        ),
        "broker_no_route": (
            "This machine has no way to the broker's network; check its routes and firewalls.",
            "本机无法到达服务代理所在的网络；请检查路由和防火墙。",
        ),
        "broker_unreachable": (
            "The broker can't be connected to ({what}); check its address and that it runs.",
            "无法连接服务代理（{what}）；请检查地址以及代理是否在运行。",
        ),
        "broker_address_refused": (
            "{host} leads to this machine or into a private network, where brokers may not lie. An administrator of the "
            "platform may register it, or set GONGFANG_BROKER_PRIVATE=true.",
            "{host} 指向本机或内网，服务代理不允许位于其中。可由平台管理员注册，或设置 GONGFANG_BROKER_PRIVATE=true。",
        ),
        "broker_credentials_refused": (
            "The broker does not take this user name and password ({status}); check them with whoever runs it.",
            "服务代理不接受该用户名和密码（{status}）；请与代理的运维人员核对。",
        ),
        "broker_no_catalog": (
            "The broker gives no catalogue ({what}); check that the address is the broker's, without `/v2`.",
            "服务代理没有返回目录（{what}）；请检查地址是否为代理的地址（不含 `/v2`）。",
        ),
        "catalog_invalid": (
            "The broker's catalogue is not valid at {place}: {what}. Whoever runs the broker has to correct it.",
            "服务代理的目录在 {place} 处无效：{what}。请代理的运维人员修正。",
        ),
        "service_plan_gone": (
            "The plan is no longer in the broker's catalogue; choose another one.",
            "该套餐已不在服务代理的目录中，请选择其他套餐。",
        ),
        "service_failed": (
            "{service} could not be created, so it can only be deleted; delete it and create another one.",
            "{service} 创建失败，只能删除；请删除后重新创建。",
        ),
        "service_unusable": (
            "{service} can't be used at present; `gongfang services status {service}` says why.",
            "{service} 当前不可用，原因见 `gongfang services status {service}`。",
        ),
        "binding_key_unknown": (
            "The credentials have no {key}; they have {keys}. Bind again with one of these.",
            "凭据中没有 {key}，可用的有 {keys}。请用其中之一重新绑定。",
        ),
        "step_broker_asked": ("Asking the service's broker", "请求服务代理"),
        "step_broker_works": ("The broker works on it: {what}", "服务代理处理中：{what}"),
        "step_wait_service": ("Waiting for the service", "等待服务就绪"),
        "step_credentials": ("Making credentials", "生成凭据"),
        "step_roll_app": ("Replacing the app's instances", "替换应用实例"),
        "step_revoke": ("Taking the credentials back", "收回凭据"),
        "step_unbind": ("Waiting until nothing is bound any more", "等待解除绑定"),
    }
)
