"""One endpoint: what is checked before its function runs, and how its errors become answers.

The order: the caller (401), the query's names (422), the body's size (413), the idempotency key, then FastAPI's own
parsing and the function. The checks live in the route and not in dependencies, because they hold for every endpoint
and some need the request before FastAPI reads it.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import orjson
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive

from gongfang.api.answers import envelope, error_answer
from gongfang.api.bodies import parsed
from gongfang.api.call import Anybody, Call, KnownCall, known_call, public_call, visit_of
from gongfang.api.documented import EVENT_STREAM, EventStream, Responses, errors_of, waits
from gongfang.api.idempotency import Replays
from gongfang.api.refusals import Refusals
from gongfang.api.validation import Malformed, WrongType, error_of
from gongfang.domain.errors import FieldError, GongfangError, Invalid, NotFound, TooLarge
from gongfang.wire.envelope import AnyEnvelope, Envelope

BASE = "/api/v1"
BODY_LIMIT = 20 << 20
"""Bytes of a JSON body; the largest that the models allow fits."""
PUBLIC_LIMIT = 64 << 10
"""The same of a body by anybody: nobody unknown has the server hold and parse megabytes."""

Handler = Callable[[Request], Awaitable[Response]]
F = TypeVar("F", bound=Callable[..., Awaitable[Response]])


class Endpoint(APIRoute):
    """`public`: no token is asked for. `upload`: the function reads the body itself, as it comes."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, public: bool, upload: bool, **more: Any) -> None:
        self._public = public
        self._upload = upload
        super().__init__(path, endpoint, **more)

    def get_route_handler(self) -> Callable[[Request], Any]:
        inner: Handler = super().get_route_handler()
        known = frozenset(_query_names(self.dependant))
        repeatable = frozenset({"label"}) & known
        takes_json = self.body_field is not None

        async def handle(request: Request) -> Response:
            call = None
            try:
                if not self._public:
                    call = request.state.call = await known_call(request)
                _check_address(request, known, repeatable)
                body = None
                if not self._upload and request.method not in ("GET", "DELETE"):
                    request = Request(
                        request.scope, limited(request.receive, PUBLIC_LIMIT if self._public else BODY_LIMIT)
                    )
                    body = await _body(request, json=takes_json)
                answer = await self._answer(request, call, inner, body)
            except GongfangError as error:
                answer = error_answer(visit_of(request), error)
            except Exception:
                if call is not None:
                    await _note(request, call, 500, "internal")
                raise
            if call is not None and answer.status_code >= 400:
                await _note(request, call, answer.status_code, _code_of(answer))
            return answer

        return handle

    async def _answer(self, request: Request, call: KnownCall | None, inner: Handler, body: bytes | None) -> Response:
        key = request.headers.get("idempotency-key")
        if call is None or key is None or request.method != "POST":
            return await worded(request, inner)
        replays: Replays = request.app.state.replays
        return await replays.answer(call, key, body, lambda: worded(request, inner))


async def _note(request: Request, call: KnownCall, status: int, code: str) -> None:
    refusals: Refusals = request.app.state.refusals
    await refusals.note(call, request, status, code)


def _code_of(answer: Response) -> str:
    """The code in an error's envelope, which this package wrote itself."""
    return str(orjson.loads(bytes(answer.body)).get("code", "")) if answer.body else ""


async def worded(request: Request, inner: Handler) -> Response:
    """The function's answer, or the error that it ended with as one."""
    try:
        return await inner(request)
    except GongfangError as error:
        return error_answer(visit_of(request), error)
    except RequestValidationError as error:
        return error_answer(visit_of(request), error_of(error.errors()))
    except ClientDisconnect:
        return error_answer(visit_of(request), Malformed("request_broken_off"))
    except HTTPException as error:
        return http_answer(request, error)


def http_answer(request: Request, error: HTTPException) -> Response:
    """What the framework itself refuses, in the envelope."""
    visit = visit_of(request)
    path = request.url.path[:200]
    if error.status_code == 404:
        return envelope(visit, 404, "path_not_found", facts={"path": path})
    headers = error.headers or {}
    if error.status_code == 405:
        facts = {"path": path, "method": request.method, "allowed": headers.get("Allow", "")}
        return envelope(visit, 405, "method_not_allowed", facts=facts, headers=headers)
    return envelope(visit, error.status_code, "http_error", facts={"status": error.status_code}, headers=headers)


async def _body(request: Request, *, json: bool) -> bytes:
    """Reads it whole (FastAPI then finds it read, and where it is JSON parsed)."""
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise Malformed("request_broken_off") from error
    if json and body:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise WrongType("content_type_not_json", given=kind[:64] or "-")
        vars(request)["_json"] = parsed(body)  # where Starlette keeps what it has parsed
    return body


def limited(receive: Receive, limit: int) -> Receive:
    """A body's bytes, as long as they are no more than these; then `TooLarge`."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise TooLarge("body_too_large", limit=limit)
        return message

    return counted


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for below in dependant.dependencies:
        yield from _query_names(below)


def _check_address(request: Request, known: frozenset[str], repeatable: frozenset[str]) -> None:
    """An unknown parameter is an error, not ignored; so is one given twice, unless it is a list."""
    path: str = request.scope["path"]  # decoded; to have it of `request.url` would take an address apart at each call
    if "\0" in path or "%00" in path:
        raise NotFound("path_not_found", path=path.replace("\0", "")[:200])
    if not request.scope["query_string"]:
        return
    faults: dict[str, FieldError] = {}
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if "\0" in value:
            faults[name] = FieldError(name[:100], "v_zero_byte", {})
        if name not in known:
            names = ", ".join(sorted(known)) or "-"
            faults[name] = FieldError(name[:100], "parameter_unknown", {"known": names})
        elif name in seen and name not in repeatable:
            faults[name] = FieldError(name, "parameter_repeated", {})
        seen.add(name)
    if faults:
        raise Invalid("validation_failed", details=list(faults.values())[:20])


def _settled(model: Any, status: int, function: Callable[..., Any]) -> Responses:
    """A call that answers 202 answers 200 where it waited for the end."""
    if status != 202 or not waits(function):
        return {}
    return {200: {"model": model, "description": "With `?wait=`: the end was waited for. 已等待完成"}}


def _given_call(function: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """The function as FastAPI gets it: it asks for the request where it asks for its call, which was made of it before.

    As a dependency the call would have FastAPI look for parameters twice, in each request.
    """
    signature = inspect.signature(function)
    name = next(iter(signature.parameters))
    kind = signature.parameters[name].annotation
    if kind not in (Call, Anybody):
        raise TypeError(f"{function!r} must take its call first")
    known = kind is Call

    async def called(**values: Any) -> Response:
        request: Request = values.pop(name)
        call = request.state.call if known else public_call(request)
        return await function(call, **values)

    asked = [p.replace(annotation=Request) if p.name == name else p for p in signature.parameters.values()]
    called.__signature__ = signature.replace(parameters=asked)  # pyright: ignore[reportFunctionMemberAccess]
    called.__name__, called.__doc__, called.__module__ = function.__name__, function.__doc__, function.__module__  # pyright: ignore[reportFunctionMemberAccess, reportAttributeAccessIssue]
    return called


class Routes:
    """A module's endpoints, gathered by decorators. `tag` groups them in the document."""

    def __init__(self, tag: str, *, base: str = BASE) -> None:
        self.routes: list[Endpoint] = []
        self._tag = tag
        self._base = base

    def add(
        self,
        method: str,
        path: str,
        answers: Any,
        summary: str,
        chinese: str,
        *,
        status: int = 200,
        clause: str | None = None,
        public: bool = False,
        upload: bool = False,
        streams: bool = False,
        extra: dict[str, Any] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
    ) -> Callable[[F], F]:
        """`answers`: the model of `data`; None = no data. `clause`: of AII/002-2018, e.g. `5.1(1)`. `streams`: answers
        server-sent events and no JSON."""
        openapi_extra = dict(extra or {})
        if clause is not None:
            openapi_extra["x-aii-clause"] = clause
        if public:
            openapi_extra["security"] = []

        def register(function: F) -> F:
            details = (function.__doc__ or "").strip()
            model: Any = AnyEnvelope if answers is None else Envelope[answers]
            self.routes.append(
                Endpoint(
                    self._base + path,
                    _given_call(function),
                    public=public,
                    upload=upload,
                    methods=[method],
                    status_code=status,
                    response_model=None if streams else model,
                    response_class=EventStream if streams else JSONResponse,
                    tags=[self._tag],
                    summary=summary,
                    description=f"{chinese}。\n\n{details}".strip(),
                    operation_id=getattr(function, "__name__", None),
                    responses=errors_of(method, path, function, public=public, upload=upload)
                    | _settled(model, status, function)
                    | ({200: EVENT_STREAM} if streams else {})
                    | (responses or {}),
                    openapi_extra=openapi_extra,
                )
            )
            return function

        return register
