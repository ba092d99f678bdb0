"""The pages that the edge itself answers with: what happened and what to do next, in Chinese and English.

Each is told apart by its status and by the header `x-gongfang-reason`. Clients that accept `application/json` get a
small document in place of the page. A page stays under 4,096 bytes: Envoy refuses a longer direct response.
"""

import json
from dataclasses import dataclass

REASON_HEADER = "x-gongfang-reason"
HTML = "text/html; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the edge. `title` and `advice`: (Chinese, English)."""

    reason: str
    status: int
    title: tuple[str, str]
    advice: tuple[str, str]

    def html(self) -> str:
        return (
            '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{self.status} {self.title[0]}</title>"
            "<style>body{font:16px/1.6 system-ui,sans-serif;max-width:36em;margin:12vh auto;padding:0 1.2em;"
            "color:#222;background:#fff}h1{font-size:1.5em;margin:0 0 .3em}section+section{margin-top:2em;"
            "padding-top:1.5em;border-top:1px solid #ddd}code,footer{color:#777}"
            "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}}</style></head><body>"
            f"<section><h1>{self.title[0]}</h1><p>{self.advice[0]}</p></section>"
            f'<section lang="en"><h1>{self.title[1]}</h1><p>{self.advice[1]}</p></section>'
            f"<footer><p>{self.status} <code>{self.reason}</code> · 工坊 Gongfang</p></footer></body></html>\n"
        )

    def json(self) -> str:
        message = f"{self.title[0]}。{self.advice[0]} {self.title[1]}. {self.advice[1]}"
        return json.dumps({"success": False, "code": self.reason, "message": message}, ensure_ascii=False) + "\n"


HOST_UNKNOWN = Page(
    "host_unknown",
    404,
    ("没有应用使用这个域名", "No app answers on this name"),
    (
        "请检查地址的拼写；如果这是您的域名，请先在平台上将它绑定到应用。",
        "Check the address. If the domain is yours, attach it to an app on the platform first.",
    ),
)
APP_STOPPED = Page(
    "app_stopped",
    503,
    ("应用已停止", "The app is stopped"),
    ("需要时，其负责人可以重新启动它。", "Its operator can start it again when it is needed."),
)
NO_HEALTHY_INSTANCE = Page(
    "no_healthy_instance",
    502,
    ("应用没有可用的实例", "The app has no healthy instance"),
    (
        "应用应当在运行，但目前没有就绪的实例：可能正在启动，或者已经崩溃。请稍后重试；负责人请查看应用的日志和事件。",
        "It should be running, but no instance is ready: it may still be starting, or it has crashed. Try again "
        "shortly; its operator finds the cause in the app's logs and events.",
    ),
)
UPSTREAM_FAILED = Page(
    "upstream_failed",
    502,
    ("应用没有完成这个请求", "The app did not finish this request"),
    (
        "实例在回答之前关闭了连接，或者无法连接。请重试；负责人请查看应用的日志。",
        "The instance closed the connection before it answered, or could not be reached. Try again; its operator "
        "finds the cause in the app's logs.",
    ),
)
ALL = (HOST_UNKNOWN, APP_STOPPED, NO_HEALTHY_INSTANCE, UPSTREAM_FAILED)
