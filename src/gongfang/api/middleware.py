"""Around every request: its id, its language, and the last net, which turns what nobody caught into a plain 500."""

import re
import secrets

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gongfang.api.answers import Visit, envelope
from gongfang.api.language import language_of

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,40}")
log = structlog.get_logger("api")


class Requests:
    """Pure ASGI: a request costs no extra task or stream. Leaves a `Visit` in the scope's state, as `visit`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _SANE.fullmatch(given) else f"req_{secrets.token_hex(10)}"
        visit = Visit(language_of(headers.get("accept-language")), request_id)
        scope.setdefault("state", {})["visit"] = visit
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                answered = MutableHeaders(scope=message)
                answered["x-request-id"] = request_id
                answered["content-language"] = visit.language
                answered["vary"] = "Accept-Language, Authorization"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request_failed", request_id=request_id, method=scope["method"], path=scope["path"])
            if started:
                raise
            answer = envelope(visit, 500, "internal", facts={"request_id": request_id})
            await answer(scope, receive, send_with_id)
