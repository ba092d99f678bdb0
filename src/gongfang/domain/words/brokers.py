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
