"""What the OpenAPI document says of an endpoint's answers beside its own: each status that it may give, and when.

Derived from what the endpoint is, since the checks before a function are the same for all: who calls, names of
parameters, the body's size and form, the state of what is changed. `tests/trust/test_schema_fuzz.py` holds the
answers to it.
"""

import inspect
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

Responses = dict[int | str, dict[str, Any]]

EVENT_STREAM: dict[str, Any] = {
    "description": "Server-sent events; the schema is that of one of them",
    "content": {
        "text/event-stream": {
            "schema": {
                "type": "object",
                "required": ["data"],
                "properties": {
                    "id": {"type": "string", "description": "For `Last-Event-ID`"},
                    "event": {"type": "string"},
                    "data": {"type": "string", "contentMediaType": "application/json"},
                },
            }
        }
    },
}


class EventStream(Response):
    """For the document alone: what answers is a `StreamingResponse` of this type."""

    media_type = "text/event-stream"


# As `AnyEnvelope`, in JSON whatever the endpoint itself answers in.
_ENVELOPE: dict[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope_Any_"}}}
_SAID = {
    400: "The body can't be read: not JSON, not UTF-8, broken off. 请求体无法解析",
    401: "No token, or one that is not valid any more. 缺少令牌或令牌失效",
    403: "The caller may see it and may not do this, or a quota is used up. 无权限或超出配额",
    404: "What was named is not there, or the caller may not know of it. 对象不存在或不可见",
    409: "Right in itself, but not in the present state. 与当前状态冲突",
    412: "It has changed since (`If-Match`). 对象已被他人修改",
    413: "The body is larger than may be. 请求体过大",
    415: "The body is not of a kind that is taken here. 请求体类型不受支持",
    422: "A value is at fault; `details` says which. 参数不合法，见 details",
    429: "Too often; `Retry-After` says when again. 调用过于频繁",
    503: "Not now; `Retry-After` says when again. 暂不可用",
}


def errors_of(method: str, path: str, function: Callable[..., Any], *, public: bool, upload: bool) -> Responses:
    """The errors that an endpoint of this method and path may answer."""
    parameters = inspect.signature(function).parameters
    changes = method != "GET"
    body = "body" in parameters or upload
    of_an_app = "{app_id}" in path or "app_id" in parameters
    statuses = {
        400: body,
        401: not public or "/auth/" in path,
        403: not public,
        404: True,
        409: changes or of_an_app,
        412: "if_match" in parameters,
        413: changes,
        415: body,
        422: True,
        429: "/auth/" in path,
        503: True,
    }
    return {status: {"description": _SAID[status], "content": _ENVELOPE} for status, may in statuses.items() if may}


def may_be_ambiguous() -> Responses:
    """For what is asked for by an id or a name, where the path alone does not tell so."""
    return {409: {"description": "Several have this name. 名称不唯一", "content": _ENVELOPE}}


def waits(function: Callable[..., Any]) -> bool:
    """Whether the call can be told to wait for the end of what it begins."""
    return "wait" in inspect.signature(function).parameters
