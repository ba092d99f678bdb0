"""Sentences about services that people run themselves, new credentials, and credentials for people."""

from gongfang.domain.messages import register

register(
    {
        "nothing_to_change": (
            "Say what to change: `name`, `tags`, or the `credentials` of a user-provided service.",
            "请指定要修改的内容：`name`、`tags`，或用户自备服务的 `credentials`。",
        ),
        "user_provided_has_no": (
            "A user-provided service has no {what}; leave it out, and give its `credentials`.",
            "用户自备服务没有 {what}，请去掉该项，并提供 `credentials`。",
        ),
        "credentials_needed": (
            "Give the `credentials` that bound apps shall get, as an object with at least one key, such as `uri`.",
            "请提供 `credentials`：绑定的应用将获得的凭据，对象至少含一个键，例如 `uri`。",
        ),
        "credentials_too_large": (
            "The credentials take {size} bytes; at most {limit} are taken. Keep large files elsewhere and give their "
            "address.",
            "凭据共 {size} 字节，上限 {limit} 字节。请将大文件存放在别处，并提供其地址。",
        ),
        "credentials_no_json": (
            "The credentials hold a text or a number that JSON can't; send well-formed UTF-8 and finite numbers.",
            "凭据中含有 JSON 无法表示的文本或数字，请使用合法的 UTF-8 文本和有限数值。",
        ),
        "credentials_of_broker": (
            "The credentials of {service} are made by the platform, a set for each binding; leave `credentials` out. "
            "New ones: `gongfang rotate`.",
            "{service} 的凭据由平台为每个绑定生成，请去掉 `credentials`；如需更换，请使用 `gongfang rotate`。",
        ),
        "credential_in_use": (
            "{app} takes its variable {variable} from the credential {key}; keep that key, or unbind the app first.",
            "应用 {app} 的变量 {variable} 取自凭据 {key}，请保留该键，或先解绑应用。",
        ),
        "credentials_not_rotatable": (
            "The credentials of {service} are not the platform's to change; give it new ones with "
            "`PATCH /api/v1/service-instances/{service}`, and its apps get them.",
            "{service} 的凭据不由平台管理；请通过 `PATCH /api/v1/service-instances/{service}` 提供新凭据，应用会随之更新。",
        ),
        "binding_not_rotatable": (
            "The plan of {service} can't give new credentials beside the old ones; unbind {app} and bind it anew.",
            "{service} 的套餐不支持在旧凭据有效期间签发新凭据；请将 {app} 解绑后重新绑定。",
        ),
        "binding_busy": (
            "{app} is getting new credentials of {service} by the operation {operation}; wait for its end.",
            "{app} 正在由操作 {operation} 更换 {service} 的凭据，请等待其结束。",
        ),
        # keys
        "key_name_taken": (
            "{service} has a key {name} already, or one that is still being revoked; choose another name.",
            "{service} 已有密钥 {name}，或同名密钥仍在撤销中；请更换名称。",
        ),
        "too_many_keys": (
            "{service} has {limit} keys, which is the most that a service may have; delete those that nobody needs.",
            "{service} 已有 {limit} 个密钥，达到上限；请删除不再需要的密钥。",
        ),
        "key_of_user_provided": (
            "{service} is run by somebody else, who gives its credentials; the platform can make no keys of it.",
            "{service} 由他人运行并提供凭据，平台无法为其创建密钥。",
        ),
        "service_key_not_found": (
            "There is no service key {key} that you may see; `GET /api/v1/service-instances/{{service_instance_id}}/keys` "
            "lists those of a service.",
            "没有您可见的服务密钥 {key}，可通过 `GET /api/v1/service-instances/{{service_instance_id}}/keys` 查看。",
        ),
    }
)
