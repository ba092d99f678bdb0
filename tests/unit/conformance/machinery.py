"""A small server that honours the contract, on loopback, and can be told to lie about any part of it.

It keeps everything in dictionaries and finishes each operation at once, but whatever it claims to have done can be
seen: an app that was started answers with the page of its package, a repository can be cloned, visits are counted.
It shares nothing with the kit, and nothing with the platform.

A *lie* is a name: `CLAUSE:WHAT`, such as `5.1(3):nothing_runs`, looked up where it matters; or, for lies that any
endpoint can tell, `CLAUSE:envelope`, `CLAUSE:status`, `CLAUSE:data` and so on, told by `_answer`.
"""

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

TOKEN = "the-right-token"
BASE = "/api/v1"
STARTED = datetime.now(UTC)
TRACE = 'Traceback (most recent call last):\n  File "/srv/app.py", line 7, in handle\nKeyError: 7'


@dataclass
class Fault(Exception):
    status: int
    code: str
    field: str | None = None
    data: Any = None


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    user: str = "admin"

    def json(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Fault(400, "malformed_json") from error
        if not isinstance(found, dict):
            raise Fault(422, "validation_failed", "body")
        return found


@dataclass
class Response:
    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Route:
    clause: str | None
    method: str
    pattern: re.Pattern[str]
    path: str
    handler: Callable[..., Response]
    query: frozenset[str]


Listed = tuple[str | None, str, str, Callable[..., Response], tuple[str, ...]]
"""A route as it is written down: clause, method, path, handler, query parameters."""


def now() -> str:
    return datetime.now(UTC).isoformat()


def zipped_page(content: bytes) -> bytes | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read("index.html")
    except (zipfile.BadZipFile, KeyError):
        return None


MESSAGES = {
    "zh-CN": ("操作成功", "请求有误，请更正后重试"),
    "en": ("Done.", "That is wrong; correct it and try again."),
}


def language(header: str) -> str:
    """By `Accept-Language`, with its weights; zh-CN where it names nothing spoken here."""
    best, weight = "zh-CN", 0.0
    for part in header.split(","):
        tag, _, rest = part.strip().partition(";q=")
        given = float(rest or 1)
        spoken = {"zh-cn": "zh-CN", "zh": "zh-CN", "en": "en"}.get(tag.lower())
        if spoken and given > weight:
            best, weight = spoken, given
    return best


class Reference:
    """The state behind the server. `git`: a bare repository, served as every app's. `missing`: clauses it has not."""

    def __init__(self, routes: list[Listed], git: Path | None, lies: tuple[str, ...], missing: tuple[str, ...]) -> None:
        self.lies = frozenset(lies)
        self.missing = frozenset(missing)
        self.git = git
        self.url = ""
        self.counter = 0
        self.lock = threading.RLock()
        self.users: dict[str, dict[str, Any]] = {}
        self.tokens = {TOKEN: "admin"}
        self.apps: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, list[dict[str, Any]]] = {}
        self.domains: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.instances: dict[str, dict[str, Any]] = {}
        self.bindings: list[dict[str, Any]] = []
        self.policies: dict[str, dict[str, Any]] = {}
        self.repositories: set[str] = set()
        self.versions: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.credentials: dict[str, dict[str, Any]] = {}
        self.replays: dict[tuple[str, str, str], Response] = {}
        self.visits: dict[str, int] = {}
        self.bytes_out: dict[str, int] = {}
        self.calls: list[str] = []
        self.routes = [
            Route(
                clause, method, re.compile(re.sub(r"\{[^}]*\}", "([^/]+)", path) + "$"), path, handler, frozenset(query)
            )
            for clause, method, path, handler, query in routes
            if clause not in self.missing
        ]

    def lie(self, name: str) -> bool:
        return name in self.lies

    def id(self, kind: str) -> str:
        self.counter += 1
        return f"{kind}_{self.counter}"

    # --- answering ---------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """An answer, lies included."""
        if not request.path.startswith(BASE):
            return self.page(request)
        path = request.path.removeprefix(BASE)
        self.calls.append(f"{request.method} {path}")
        if path == "/openapi.json":
            return Response(200, raw=json.dumps(self.document()).encode(), headers={"content-type": "application/json"})
        clause: str | None = None
        try:
            route, ids = self.route(request.method, path)
            clause = route.clause
            response = self.work(route, ids, request)
        except Fault as fault:
            response = self.refusal(clause, fault, request)
        return self.worded(clause, response, request)

    def route(self, method: str, path: str) -> tuple[Route, list[str]]:
        found = [(route, match) for route in self.routes if (match := route.pattern.match(path))]
        for route, match in found:
            if route.method == method:
                return route, [unquote(text) for text in match.groups()]
        for route, _ in found:
            if route.clause and method == "PROPFIND" and self.lie(f"{route.clause}:any_method"):
                return replace(route, handler=lambda *_: Response(200, {})), []
        raise Fault(405, "method_not_allowed") if found else Fault(404, "path_not_found")

    def work(self, route: Route, ids: list[str], request: Request) -> Response:
        clause = route.clause
        if route.path != "/auth/login" and not (clause and self.lie(f"{clause}:no_auth")):
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if self.lie("auth:any_scheme"):
                token = token or scheme
            elif scheme != "Bearer":
                token = ""
            user = self.tokens.get(token)
            if self.lie("auth:prefix") and user is None:
                user = next((u for t, u in self.tokens.items() if token and t.startswith(token)), None)
            if user is None:
                raise Fault(401, "token_wrong")
            request.user = user
        unknown = set(request.query) - route.query
        if (
            unknown
            and not self.lie(f"{clause}:any_parameter")
            and not (route.path == "/apps" and self.lie("lists:any_parameter") and request.method == "GET")
        ):
            raise Fault(422, "validation_failed", min(unknown))
        self.permit(route, ids, request)
        if clause and self.lie(f"{clause}:crash"):
            raise Fault(500, "internal")
        key = request.headers.get("idempotency-key")
        if key and request.method == "POST" and not self.lie("idempotency:ignored"):
            known = (request.method, request.path, "" if self.lie("idempotency:any_key") else key)
            if known not in self.replays:
                self.replays[known] = route.handler(self, request, *ids)
            return self.replays[known]
        return route.handler(self, request, *ids)

    def permit(self, route: Route, ids: list[str], request: Request) -> None:
        """What may not be read is not there; a supervisor reads."""
        user = self.users.get(request.user)
        if user is None or route.path == "/auth/login":
            return
        if not user["roles"]:
            if "{app_id}" in route.path and not self.lie("auth:shown"):
                raise Fault(403 if self.lie("auth:forbidden") else 404, "app_not_found")
        elif request.method != "GET" and not self.lie("supervisor:may"):
            raise Fault(403, "forbidden")

    def refusal(self, clause: str | None, fault: Fault, request: Request) -> Response:
        """An error, and how a liar gets it wrong."""
        if fault.code == "malformed_json" and self.lie("errors:garbage_is_500"):
            fault = Fault(500, "internal")
        bad = fault.status in (400, 422)
        wide = {
            f"{clause}:accepts": bad and (fault.field or "") not in ("no_such_parameter", "body"),
            f"{clause}:accepts_broken_json": fault.code == "malformed_json",
        }
        if any(applies and self.lie(name) for name, applies in wide.items()):
            return Response(200, {"id": "anything"})
        status = fault.status
        if bad and self.lie(f"{clause}:bad_is_500"):
            status = 500
        if status == 404 and self.lie(f"{clause}:unknown_is_403"):
            status = 403
        return Response(status, {"__fault": fault.code, "field": fault.field, "data": fault.data})

    def worded(self, clause: str | None, response: Response, request: Request) -> Response:
        """The envelope around it, in a language."""
        if response.raw is not None:
            return Response(418, raw=b"") if self.lie(f"{clause}:status") else response
        fault = isinstance(response.data, dict) and response.data.get("__fault")
        tongue = language(request.headers.get("accept-language", ""))
        if self.lie("language:english_only"):
            tongue = "en"
        if self.lie("language:chinese_only"):
            tongue = "zh-CN"
        if self.lie("language:default_english") and "zh" not in request.headers.get("accept-language", ""):
            tongue = "en"
        if self.lie("language:first") and request.headers.get("accept-language", "").startswith("zh"):
            tongue = "zh-CN"
        self.counter += 1
        status = response.status
        document: dict[str, Any] = {
            "success": not fault,
            "code": fault or "OK",
            "message": MESSAGES[tongue][1 if fault else 0],
            "data": response.data["data"] if fault else response.data,
            "request_id": "req_1" if self.lie("envelope:one_id") else f"req_{self.counter}",
        }
        if fault and response.data["field"]:
            document["details"] = [{"field": response.data["field"], "message": document["message"]}]
        if status == 404 and self.lie("one_code_for_every_404"):  # no lie, really: the contract names no codes
            document["code"] = "not_found"
        self.lie_in_envelope(clause, document, bool(fault), request)
        if not fault and self.lie(f"{clause}:status"):
            status = 418
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {"content-type": "application/json", **response.headers}
        if clause and not fault and self.lie(f"{clause}:html"):
            body, headers["content-type"] = b"<html>fine</html>", "text/html"
        return Response(status, headers=headers, raw=body)

    def lie_in_envelope(self, clause: str | None, document: dict[str, Any], fault: bool, request: Request) -> None:
        plain = clause is None
        if not fault and self.lie(f"{clause}:envelope"):
            del document["request_id"]
        if not fault and self.lie(f"{clause}:failure"):
            document["success"] = False
        if not fault and self.lie(f"{clause}:data") and isinstance(document["data"], dict):
            document["data"] = {"something": "else"}
        if fault and self.lie(f"{clause}:trace"):
            document["message"] = TRACE
        if fault and self.lie(f"{clause}:secret"):
            document["message"] += f" {TOKEN}"
        if fault and self.lie(f"{clause}:success"):
            document["success"] = True
        if fault and self.lie(f"{clause}:code"):
            document["code"] = "Not Found"
        if plain and not fault and self.lie("envelope:no_code"):
            document["code"] = "fine"
        if plain and fault and self.lie("envelope:bare_error"):
            document.clear()
            document["detail"] = "Not Found"
        if plain and self.lie("envelope:bare_nowhere") and document["code"] == "path_not_found":
            document.clear()
        if self.lie("errors:no_details"):
            document.pop("details", None)
        if (
            plain
            and fault
            and self.lie("errors:unstable_code")
            and language(request.headers.get("accept-language", "")) == "en"
        ):
            document["code"] = "another_code"

    def document(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for route in self.routes:
            entry = paths.setdefault(BASE + route.path.replace("{app_id}", "{app}"), {})
            mark = {"x-aii-clause": route.clause} if route.clause else {}
            if self.lie("coverage:unmarked") and route.clause == "5.1(3)":
                mark = {}
            if self.lie("coverage:wrong_mark") and route.clause == "5.3(2)":
                mark = {"x-aii-clause": "5.3(3)"}
            entry[route.method.lower()] = {"summary": route.path, **mark}
        return {} if self.lie("coverage:none") else {"openapi": "3.1.0", "paths": paths}

    # --- pages -------------------------------------------------------------------------------------------------------

    def page(self, request: Request) -> Response:
        if request.path.startswith("/git/") and self.git is not None:
            file = self.git / request.path.split("/", 3)[3]
            if self.lie("5.2(1):no_clone") or not file.is_file():
                return Response(404, raw=b"no")
            return Response(200, raw=file.read_bytes(), headers={"content-type": "text/plain"})
        host = request.headers.get("host", "").rpartition(":")[0]
        attached = [d["app_id"] for d in self.domains.values() if d["domain"] == host]
        for app in self.apps.values():
            if app["domain"] == host or (app["id"] in attached and not self.lie("5.1(11):not_served")):
                if app["__page"] is None:
                    return Response(503, raw="已停止".encode())
                self.visits[app["id"]] = self.visits.get(app["id"], 0) + 1
                self.bytes_out[app["id"]] = self.bytes_out.get(app["id"], 0) + len(app["__page"])
                return Response(200, raw=app["__page"], headers={"content-type": "text/html"})
        return Response(404, raw=b"nobody")

    # --- helpers of handlers -----------------------------------------------------------------------------------------

    def app(self, key: str) -> dict[str, Any]:
        if key not in self.apps:
            raise Fault(404, "app_not_found")
        return self.apps[key]

    def shown(self, app: dict[str, Any]) -> dict[str, Any]:
        found = {k: v for k, v in app.items() if not k.startswith("__")}
        if self.lie("times:naive"):
            found["created_at"] = "2026-01-01 08:00:00"
        return found

    def tag(self, app: dict[str, Any]) -> dict[str, str]:
        return {"etag": f'"{app["__version"]}"'}

    def matching(self, request: Request, app: dict[str, Any]) -> None:
        wanted = request.headers.get("if-match")
        if wanted and wanted != f'"{app["__version"]}"' and not self.lie("if-match:ignored"):
            raise Fault(412, "changed_meanwhile")
        app["__version"] += 0 if self.lie("if-match:same_tag") else 1

    def waits(self, request: Request) -> float:
        text = request.query.get("wait")
        if text is None:
            return 0
        if not text.isdecimal() or int(text) > 300:
            if self.lie("operations:any_wait"):
                return 1
            raise Fault(422, "validation_failed", "wait")
        return int(text)

    def promised(self, request: Request, kind: str, failed: bool = False, **beside: Any) -> Response:
        """An operation that is done at once, told as the contract tells it."""
        step = {"name": kind, "message": kind, "started_at": now(), "finished_at": now()}
        end = {
            "id": self.id("op"),
            "kind": kind,
            "status": "failed" if failed else "succeeded",
            "steps": [] if self.lie("operations:no_steps") else [step],
            "reason": {"code": "package_broken", "message": "the package is no archive"} if failed else None,
            "created_at": now(),
        }
        if failed and self.lie("operations:no_reason"):
            end["reason"] = None
        self.operations[end["id"]] = end
        if self.waits(request):
            if failed and not self.lie("operations:failure_is_200"):
                raise Fault(422, "package_broken", data={**beside, "operation": end})
            if self.lie("operations:wait_ignored"):
                return Response(202, {**beside, "operation": {**end, "status": "running"}})
            return Response(200, {**beside, "operation": end})
        if self.lie("operations:not_202"):
            return Response(200, {**beside, "operation": end})
        return Response(202, {**beside, "operation": {**end, "status": "running", "steps": []}})

    def listing(self, request: Request, found: list[dict[str, Any]]) -> Response:
        text = request.query.get("limit", "50")
        cursor = request.query.get("cursor", "0")
        fine = text.isdecimal() and 1 <= int(text) <= 500 and cursor.isdecimal()
        if not fine:
            if not self.lie("lists:any_limit"):
                raise Fault(422, "validation_failed", "limit")
            text, cursor = "50", "0"
        if self.lie("lists:limit_ignored"):
            text = "500"
        start, limit = int(cursor), int(text)
        if self.lie("lists:cursor_ignored"):
            start = 0
        more = str(start + limit) if start + limit < len(found) else None
        if self.lie("lists:no_cursor"):
            more = None
        if self.lie("lists:bare"):
            return Response(200, found[start : start + limit])
        return Response(200, {"items": found[start : start + limit], "next_cursor": more})
