"""A small real server on loopback that speaks the envelope: enough of a platform for the client and command line.

It keeps apps in a dictionary, records every call, and can be told to answer the next calls badly: with a status, or by
closing the connection before or after it has taken the call in.
"""

import hashlib
import itertools
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

NOW = "2026-03-01T08:00:00+08:00"
LATER = "2026-03-01T08:00:02+08:00"
_COUNTER = itertools.count()


@dataclass
class Call:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any
    size: int


@dataclass
class Trouble:
    """`status` None closes the connection. `taken`: only after the body has been read."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    code: str = "unavailable"
    raw: bytes | None = None


@dataclass
class Refusal(Exception):
    status: int
    code: str
    message: str
    details: list[dict[str, str]] | None = None


class Platform:
    """The state behind the server, for tests to look at and to change."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.troubles: list[Trouble] = []
        self.apps: dict[str, dict[str, Any]] = {}
        self.environment: dict[str, dict[str, str]] = {}
        self.packages: list[dict[str, Any]] = []
        self.operations: dict[str, dict[str, Any]] = {}
        self.domains: list[dict[str, Any]] = []
        # what a stream says on each connection: a list of messages, then the connection ends
        self.streams: dict[str, list[list[str]]] = {}
        self.parts = [{"name": "edge", "state": "ok", "message": "serves"}]
        self.tasks: dict[str, dict[str, Any]] = {}
        self.start_fails = False
        self.forbidden: set[str] = set()  # `create`, `start`
        self.spaces = [space_json("default"), space_json("line-3"), space_json("line-3", "org_2")]
        self.tokens = [token_json("ci"), token_json("twice"), token_json("twice")]
        self.routes = [(re.compile(f"^{method} {path}$"), handler) for method, path, handler in _ROUTES]

    def told(self, method: str, path: str) -> list[Call]:
        return [call for call in self.calls if call.method == method and call.path == path]

    def add_app(self, name: str, **fields: Any) -> dict[str, Any]:
        app = app_json(name, **fields)
        self.apps[app["id"]] = app
        return app

    def add_operation(self, kind: str, app: dict[str, Any], status: str = "succeeded", **fields: Any) -> dict[str, Any]:
        operation = operation_json(f"op_{len(self.operations):020d}", kind, app, status, **fields)
        self.operations[operation["id"]] = operation
        self.streams.setdefault(
            f"/operations/{operation['id']}/events",
            [[message(1, "operation", {**operation, "status": "running"}), message(2, "operation", operation)]],
        )
        return operation

    def app(self, key: str) -> dict[str, Any]:
        for app in self.apps.values():
            if key in (app["id"], app["name"]):
                return app
        raise Refusal(404, "app_not_found", f"there is no app {key}")


def _id(prefix: str) -> str:
    return f"{prefix}_{next(_COUNTER):020d}"


def space_json(name: str, organization: str = "org_1") -> dict[str, Any]:
    ids = {"id": _id("spc"), "tenant_id": "ten_1", "organization_id": organization}
    return {**ids, "name": name, "created_at": NOW}


def token_json(name: str) -> dict[str, Any]:
    moments = {"created_at": NOW, "expires_at": None, "last_used_at": None}
    return {"id": _id("tok"), "user_id": "usr_1", "name": name, "scopes": [], **moments}


def message(number: int | str, event: str, data: Any) -> str:
    return f"id: {number}\nevent: {event}\ndata: {json.dumps(data)}\n\n"


def line(number: int, text: str) -> str:
    return message(number, "line", {"at": NOW, "source": "web.0", "instance_id": "ins_1", "text": text})


def process_json(**fields: Any) -> dict[str, Any]:
    check = {"kind": "port", "path": "/", "timeout_s": 2, "interval_s": 10, "failures": 3}
    return {
        "command": None,
        "memory_mb": 512,
        "disk_mb": 1024,
        "cpu": None,
        "instances": 1,
        "readiness": check,
        "liveness": None,
        "start_timeout_s": 60,
        "drain_s": 30,
        "stop_timeout_s": 10,
    } | fields


def app_json(name: str, **fields: Any) -> dict[str, Any]:
    url = f"http://{name}.apps.localhost:7081"
    return {
        "id": f"app_{hashlib.sha1(name.encode()).hexdigest()[:20].translate(str.maketrans('ilou', 'wxyz'))}",
        "name": name,
        "type": "web",
        "runtime": "auto",
        "domain": f"{name}.apps.localhost",
        "url": url,
        "tenant_id": "ten_1",
        "organization_id": "org_1",
        "space_id": "spc_1",
        "labels": {},
        "desired_state": "started",
        "state": "running",
        "reason": None,
        "processes": {"web": process_json()},
        "instances": [],
        "instances_ready": 1,
        "instances_wanted": 1,
        "routes": [{"domain": f"{name}.apps.localhost", "url": url, "status": "active", "default": True}],
        "release": 1,
        "target_release": 1,
        "generation": 1,
        "observed_generation": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "a_field_of_a_newer_platform": True,
    } | fields


def operation_json(identifier: str, kind: str, app: dict[str, Any], status: str, **fields: Any) -> dict[str, Any]:
    step = {"name": "step_start", "message": "Starting", "started_at": NOW, "finished_at": LATER}
    return {
        "id": identifier,
        "kind": kind,
        "status": status,
        "app_id": app["id"],
        "app_name": app["name"],
        "steps": [step],
        "reason": None,
        "output": None,
        "release": 1,
        "build_id": None,
        "created_at": NOW,
        "created_by": None,
        "started_at": NOW,
        "finished_at": LATER if status not in ("pending", "running") else None,
        "deadline": LATER,
    } | fields


def task_json(**fields: Any) -> dict[str, Any]:
    return {
        "id": "task_1",
        "app_id": "app_1",
        "command": "true",
        "memory_mb": 512,
        "state": "running",
        "exit_code": None,
        "signal": None,
        "reason": None,
        "created_at": NOW,
        "created_by": None,
        "started_at": NOW,
        "finished_at": None,
    } | fields


# --- endpoints -------------------------------------------------------------------------------------------------------


def _paged(items: list[Any], call: Call) -> dict[str, Any]:
    query = dict(call.query)
    limit, start = int(query.get("limit", "50")), int(query.get("cursor", "0"))
    more = str(start + limit) if start + limit < len(items) else None
    return {"items": items[start : start + limit], "next_cursor": more}


def _list_apps(platform: Platform, call: Call) -> Any:
    return _paged(list(platform.apps.values()), call)


def _list_spaces(platform: Platform, call: Call) -> Any:
    wanted = dict(call.query).get("organization_id")
    return _paged([s for s in platform.spaces if wanted in (None, s["organization_id"])], call)


def _list_organizations(platform: Platform, call: Call) -> Any:
    return _paged(
        [
            {"id": f"org_{n}", "tenant_id": "ten_1", "name": name, "created_at": NOW}
            for n, name in ((1, "quality"), (2, "paint"))
        ],
        call,
    )


def _create_space(platform: Platform, call: Call) -> Any:
    return space_json(call.body["name"])


def _list_tokens(platform: Platform, call: Call) -> Any:
    return _paged(platform.tokens, call)


def _revoke_token(platform: Platform, call: Call, token: str) -> Any:
    platform.tokens = [t for t in platform.tokens if t["id"] != token]


def _create_user(platform: Platform, call: Call) -> Any:
    return _user(name=call.body["name"])


def _create_app(platform: Platform, call: Call) -> Any:
    if "create" in platform.forbidden:
        raise Refusal(403, "forbidden", "your role may not do this")
    name = call.body["name"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise Refusal(422, "validation_failed", "a value is at fault", [{"field": "name", "message": "not a name"}])
    if any(app["name"] == name for app in platform.apps.values()):
        raise Refusal(409, "name_taken", f"{name} is taken")
    app = platform.add_app(name, release=None, state="stopped", desired_state="stopped")
    platform.environment[app["id"]] = dict(call.body.get("environment", {}))
    return app


def _get_app(platform: Platform, call: Call, app: str) -> Any:
    return platform.app(app)


def _change_app(platform: Platform, call: Call, app: str) -> Any:
    found = platform.app(app)
    if call.headers.get("if-match") not in (None, '"1"'):
        raise Refusal(412, "changed_meanwhile", "somebody else changed it")
    if "processes" in call.body:
        return {"app": found, "operation": platform.add_operation("configure", found)}
    found["labels"].update(call.body.get("labels", {}))
    return found


def _destroy(platform: Platform, call: Call, app: str) -> Any:
    return {"operation": platform.add_operation("destroy", platform.app(app))}


def _upload(platform: Platform, call: Call, app: str) -> Any:
    package = {
        "id": f"pkg_{len(platform.packages)}",
        "app_id": platform.app(app)["id"],
        "seq": len(platform.packages) + 1,
        "filename": dict(call.query)["filename"],
        "size": call.size,
        "sha256": call.body,
        "created_at": NOW,
        "created_by": None,
    }
    platform.packages.append(package)
    return package


def _start(platform: Platform, call: Call, app: str) -> Any:
    found = platform.app(app)
    if "start" in platform.forbidden:
        raise Refusal(403, "forbidden", "your role may not do this")
    if platform.start_fails:
        reason = {"code": "instance_crashed", "message": "the instance ended with code 1"}
        operation = platform.add_operation("start", found, "failed", reason=reason, output="Traceback\nKeyError: 'X'\n")
    else:
        found |= {"release": 1, "state": "running", "desired_state": "started"}
        operation = platform.add_operation("start", found)
    return {"app": found, "operation": {**operation, "status": "pending"}}


def _act(platform: Platform, call: Call, app: str, verb: str) -> Any:
    if verb == "stop" and platform.app(app)["labels"].get("guarded"):
        raise Refusal(403, "forbidden", "your role may not do this")
    return {"app": platform.app(app), "operation": platform.add_operation("stop", platform.app(app))}


def _environment(platform: Platform, call: Call, app: str) -> Any:
    return {"variables": platform.environment.get(platform.app(app)["id"], {}), "masked": False}


def _set_environment(platform: Platform, call: Call, app: str) -> Any:
    known = platform.environment.setdefault(platform.app(app)["id"], {})
    for name, value in call.body["variables"].items():
        known.pop(name, None) if value is None else known.__setitem__(name, value)
    return {"variables": known, "masked": False}


def _operation(platform: Platform, call: Call, operation: str) -> Any:
    return platform.operations[operation]


def _operations(platform: Platform, call: Call) -> Any:
    return _paged(list(platform.operations.values()), call)


def _task(platform: Platform, call: Call, app: str) -> Any:
    return task_json(command=call.body["command"])


def _cancel_task(platform: Platform, call: Call, task: str) -> Any:
    return task_json(state="cancelled")


def _platform(platform: Platform, call: Call) -> Any:
    return {
        "version": "0.1.0",
        "base_domain": "apps.localhost",
        "edge_url": "http://127.0.0.1:7081",
        "parts": platform.parts,
        "guarantees": [{"name": "memory", "enforced": False, "message": "memory limits are not enforced"}],
        "apps": len(platform.apps),
        "instances": 0,
    }


def _user(**fields: Any) -> dict[str, Any]:
    base = {"id": "usr_1", "name": "wang.li", "display_name": "王莉", "disabled": False, "created_at": NOW, "roles": []}
    return base | fields


def _login(platform: Platform, call: Call) -> Any:
    if call.body["password"] != "correct horse":
        raise Refusal(401, "bad_credentials", "name or password is wrong")
    return {
        "id": "tok_1",
        "user_id": "usr_1",
        "name": "cli",
        "scopes": [],
        "created_at": NOW,
        "expires_at": None,
        "last_used_at": None,
        "token": "good",
    }


def _whoami(platform: Platform, call: Call) -> Any:
    if call.headers.get("authorization") != "Bearer good":
        raise Refusal(401, "token_invalid", "the token is not valid")
    return {"user": _user(), "token_id": "tok_1", "scopes": [], "default_space_id": None}


def _page_of_lines(platform: Platform, call: Call, app: str) -> Any:
    return {"items": [{"at": NOW, "source": "web.0", "instance_id": "i", "text": "hello"}], "next_cursor": "c1"}


def _ready(platform: Platform, call: Call) -> Any:
    return {"status": "ready", "checks": {}}


B = "/api/v1"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", f"{B}/spaces", _list_spaces),
    ("POST", f"{B}/spaces", _create_space),
    ("GET", f"{B}/organizations", _list_organizations),
    ("GET", f"{B}/tokens", _list_tokens),
    ("DELETE", f"{B}/tokens/([^/]+)", _revoke_token),
    ("POST", f"{B}/users", _create_user),
    ("GET", f"{B}/apps", _list_apps),
    ("POST", f"{B}/apps", _create_app),
    ("GET", f"{B}/apps/([^/]+)", _get_app),
    ("PATCH", f"{B}/apps/([^/]+)", _change_app),
    ("DELETE", f"{B}/apps/([^/]+)", _destroy),
    ("POST", f"{B}/apps/([^/]+)/package", _upload),
    ("POST", f"{B}/apps/([^/]+)/start", _start),
    ("POST", f"{B}/apps/([^/]+)/(stop|restart|rollback|instances)", _act),
    ("GET", f"{B}/apps/([^/]+)/environment", _environment),
    ("PATCH", f"{B}/apps/([^/]+)/environment", _set_environment),
    ("GET", f"{B}/apps/([^/]+)/logs", _page_of_lines),
    ("POST", f"{B}/apps/([^/]+)/tasks", _task),
    ("POST", f"{B}/tasks/([^/]+)/cancel", _cancel_task),
    ("GET", f"{B}/operations", _operations),
    ("GET", f"{B}/operations/([^/]+)", _operation),
    ("GET", f"{B}/platform", _platform),
    ("POST", f"{B}/auth/login", _login),
    ("GET", f"{B}/whoami", _whoami),
    ("GET", "/readyz", _ready),
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    platform: Platform

    def _serve(self) -> None:
        address = urlsplit(self.path)
        body, size = self._body()
        call = Call(
            self.command,
            address.path,
            parse_qsl(address.query, keep_blank_values=True),
            {name.lower(): value for name, value in self.headers.items()},
            body,
            size,
        )
        self.platform.calls.append(call)
        if self.platform.troubles:
            self._trouble(self.platform.troubles.pop(0))
            return
        turns = self.platform.streams.get(address.path.removeprefix(B))
        if turns is not None and "text/event-stream" in call.headers.get("accept", ""):
            self._stream(turns)
            return
        self._answer(call)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _body(self) -> tuple[Any, int]:
        """JSON as it is; anything else as its digest, never held in memory."""
        length = int(self.headers.get("content-length") or 0)
        if self.headers.get("content-type", "").startswith("application/json"):
            return json.loads(self.rfile.read(length)), length
        digest, size = hashlib.sha256(), 0
        for piece in self._chunks() if self.headers.get("transfer-encoding") == "chunked" else self._pieces(length):
            digest.update(piece)
            size += len(piece)
        return (digest.hexdigest(), size) if size else (None, 0)

    def _pieces(self, length: int) -> Iterator[bytes]:
        while length and (piece := self.rfile.read(min(length, 1 << 16))):
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _trouble(self, trouble: Trouble) -> None:
        if trouble.status is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if trouble.raw is not None:
            self._send(trouble.status, trouble.raw, trouble.headers)
            return
        self._json(trouble.status, False, trouble.code, "not now", None, trouble.headers)

    def _stream(self, turns: list[list[str]]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": keep-alive\n\n")
        for text in turns.pop(0) if turns else []:
            self.wfile.write(text.encode())
        self.close_connection = True

    def _answer(self, call: Call) -> None:
        for pattern, handler in self.platform.routes:
            match = pattern.match(f"{call.method} {call.path}")
            if match is not None:
                try:
                    data = handler(self.platform, call, *match.groups())
                except Refusal as no:
                    self._json(no.status, False, no.code, no.message, None, details=no.details)
                    return
                accepted = isinstance(data, dict) and "operation" in data
                self._json(202 if accepted else 200, True, "OK", "Done.", data, {"etag": '"1"'})
                return
        self._json(404, False, "not_found", f"no {call.method} {call.path}", None)

    def _json(
        self,
        status: int,
        success: bool,
        code: str,
        text: str,
        data: Any,
        headers: dict[str, str] | None = None,
        details: Any = None,
    ) -> None:
        envelope = {"success": success, "code": code, "message": text, "data": data, "request_id": "req_1"}
        if details:
            envelope["details"] = details
        self._send(status, json.dumps(envelope).encode(), {"content-type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def speaking() -> Iterator[Platform]:
    """The platform on a free port, until the end of the block."""
    platform = Platform()
    handler = type("Handler", (_Handler,), {"platform": platform})
    server = _Server(("127.0.0.1", 0), handler)
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
