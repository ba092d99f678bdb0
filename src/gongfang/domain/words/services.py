"""Sentences of calls about services: what an organisation may use, service instances, and bindings."""

from gongfang.domain.messages import register

register(
    {
        "broker_not_supported": (
            "This platform can't use outside brokers yet; leave `broker` out and name one of its own services "
            "(`GET /api/v1/services`).",
            "本平台暂不支持外部服务代理，请去掉 `broker`，使用平台自带的服务（`GET /api/v1/services`）。",
        ),
        "service_unknown": (
            "There is no service {service} in the catalogue; it has: {known}.",
            "服务目录中没有 {service}，可选：{known}。",
        ),
        "plan_unknown": (
            "There is no plan {plan} here; choose one of: {known}.",
            "没有套餐 {plan}，可选：{known}。",
        ),
        "service_not_found": (
            "This organisation has no service {service}; `GET /api/v1/organizations/{{organization_id}}/services` lists "
            "those it has.",
            "该组织没有服务 {service}，可通过 `GET /api/v1/organizations/{{organization_id}}/services` 查看已接入的服务。",
        ),
        "service_not_enabled": (
            "The space's organisation does not have the service {service}; it has: {known}. Bring it in first "
            "(`gongfang services enable`).",
            "空间所属组织未接入服务 {service}，已接入：{known}。请先接入（`gongfang services enable`）。",
        ),
        "service_in_use": (
            "{service} still has {count} instance(s) in this organisation; delete those first.",
            "该组织中还有 {count} 个 {service} 实例，请先删除。",
        ),
        "service_unavailable": (
            "This machine can't run {service} ({missing}); `GET /api/v1/platform` says what it lacks.",
            "本机无法运行 {service}（{missing}），缺少的条件见 `GET /api/v1/platform`。",
        ),
        "service_instance_not_found": (
            "There is no service instance {service} that you may see; `GET /api/v1/service-instances` lists them.",
            "没有您可见的服务实例 {service}，可通过 `GET /api/v1/service-instances` 查看。",
        ),
        "service_name_ambiguous": (
            "You see several service instances called {service}; use the id.",
            "您可见多个名为 {service} 的服务实例，请使用 id。",
        ),
        "service_name_taken": (
            "This space has a service instance {service} already; choose another name.",
            "该空间已有服务实例 {service}，请更换名称。",
        ),
        "service_changed_meanwhile": (
            "{service} was changed by somebody else in the meantime; look at it again, then repeat.",
            "{service} 已被他人修改，请重新查看后再试。",
        ),
        "service_being_deleted": (
            "{service} is being deleted; create another one if you need it.",
            "{service} 正在删除；如有需要，请另建一个。",
        ),
        "service_busy": (
            "{service} is being changed by the operation {operation}; wait for its end, then repeat.",
            "{service} 正在由操作 {operation} 变更，请等待其结束后再试。",
        ),
        "service_failed": (
            "{service} could not be created, so it can only be deleted; delete it and create another one.",
            "{service} 创建失败，只能删除；请删除后重新创建。",
        ),
        "service_unusable": (
            "{service} can't be used at present; `gongfang services status {service}` says why.",
            "{service} 当前不可用，原因见 `gongfang services status {service}`。",
        ),
        "service_not_configurable": (
            "{service} has no plan that could be changed; create another one instead.",
            "{service} 没有可变更的套餐，请另建一个服务实例。",
        ),
        "plan_or_parameters_needed": (
            "Say what to change: `plan`, `parameters`, or both.",
            "请指定要变更的内容：`plan`、`parameters` 或两者。",
        ),
        "plan_not_updateable": (
            "The plan of {service} can't be changed; create another instance with the plan you need.",
            "{service} 的套餐不可变更，请以所需套餐另建一个服务实例。",
        ),
        "parameters_too_large": (
            "The parameters take {size} bytes; at most {limit} are taken.",
            "参数共 {size} 字节，上限 {limit} 字节。",
        ),
        "service_bound": (
            "{service} is bound to {count} app(s) or key(s): {names}. Unbind it and delete its keys first, or delete it "
            "with `force`.",
            "{service} 已绑定到 {count} 个应用或密钥：{names}。请先解绑并删除密钥，或使用 `force` 删除。",
        ),
        "service_bound_to": ("It is bound to {name}.", "已绑定到 {name}。"),
        "operation_cannot_cancel": (
            "A {kind} of {service} can't be cancelled; delete the service, or unbind it, once it has ended or now.",
            "{service} 的操作 {kind} 无法取消；可直接删除该服务或解除绑定。",
        ),
        # bindings
        "service_elsewhere": (
            "{service} lies in another space than {app}; bind a service of the app's own space.",
            "{service} 与应用 {app} 不在同一空间，请绑定应用所在空间的服务。",
        ),
        "service_not_bindable": (
            "Apps can't be bound to {service}; its plan has no credentials to give.",
            "{service} 不支持绑定应用，其套餐不提供访问凭据。",
        ),
        "already_bound": (
            "{app} is bound to {service} already; unbind it first to bind it anew.",
            "{app} 已绑定 {service}；如需重新绑定，请先解绑。",
        ),
        "too_many_bindings": (
            "{app} has {limit} bindings, which is the most that an app may have; unbind one that it doesn't need.",
            "{app} 已有 {limit} 个绑定，达到单个应用的上限；请先解除不需要的绑定。",
        ),
        "binding_name_taken": (
            "{app} has a binding called {name} already; give this one another `name`.",
            "{app} 已有名为 {name} 的绑定，请用 `name` 另取名称。",
        ),
        "variable_taken": (
            "{app} has a variable {name} already; choose another name, or remove that one first.",
            "{app} 已有变量 {name}，请更换名称，或先移除该变量。",
        ),
        "binding_not_found": (
            "{app} is not bound to {service}; `GET /api/v1/apps/{app}/bindings` lists what it is bound to.",
            "{app} 未绑定 {service}，可通过 `GET /api/v1/apps/{app}/bindings` 查看其绑定。",
        ),
        "binding_not_ready": (
            "The binding of {app} to {service} has no credentials at present; look again when its operation has ended.",
            "{app} 与 {service} 的绑定当前没有凭据，请在其操作结束后再查看。",
        ),
    }
)
