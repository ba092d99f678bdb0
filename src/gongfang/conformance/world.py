"""What a clause needs before it can be tried, made when it is first asked for.

Whatever cannot be had raises `Blocked` with its cause, every time it is asked for.
"""

import io
import re
import secrets
import ssl
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from gongfang.conformance.expect import Failure, resource
from gongfang.conformance.texts import Text, same
from gongfang.conformance.undoing import Undoing
from gongfang.conformance.web import Answer, Call, Web, at

T = TypeVar("T")

ICP = "京ICP备12345678号-1"
_ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Options:
    """What to try, and how. Times are seconds.

    `package`: a name and the bytes of a package that answers GET / with a 2xx; none: a page made here, whose bytes are
    compared. `settle_s`: how long an effect may take to be seen after it was accepted. `measured_s`: how long a figure.
    """

    url: str
    token: str
    select: tuple[str, ...] = ()
    edge: str | None = None
    base_domain: str | None = None
    app_type: str = "web"
    runtime: str = "static"
    package: tuple[str, bytes] | None = None
    service: str = "postgresql"
    git_url: str | None = None
    build_type: str | None = None
    alarm_metric: str = "cpu"
    other_token: str | None = None
    supervisor_token: str | None = None
    answer_s: float = 30.0
    operation_s: float = 180.0
    settle_s: float = 15.0
    measured_s: float = 30.0
    git_s: float = 60.0
    trust: ssl.SSLContext | None = None  # whom to believe over HTTPS; none: the machine's authorities
    language: str | None = None  # of the words in answers that are shown


class Blocked(Exception):
    """It could not be tried. `missing`: because the server has no such interface, rather than because one failed."""

    def __init__(self, cause: Text, *, missing: bool) -> None:
        super().__init__(cause.english)
        self.cause = cause
        self.missing = missing


@dataclass(slots=True)
class App:
    """An app that was made here. `page`: the bytes that its address has to answer; None where they are not known."""

    id: str
    name: str
    domain: str
    data: dict[str, Any]
    page: bytes | None = None
    package: str = ""


@dataclass(slots=True)
class World:
    """One run's surroundings."""

    options: Options
    web: Web
    nonce: str = field(default_factory=lambda: secrets.token_hex(4))
    undoing: Undoing = field(default_factory=Undoing)
    visits: dict[str, int] = field(default_factory=dict[str, int])
    _made: dict[str, Any] = field(default_factory=dict[str, Any])
    _count: int = 0

    def __post_init__(self) -> None:
        self.web.observers.append(self.undoing.remember)

    # --- the server itself -------------------------------------------------------------------------------------------

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once; what blocked it the first time blocks it again."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except Blocked as blocked:
                self._made[key] = blocked
        found = self._made[key]
        if isinstance(found, Blocked):
            raise found
        return cast("T", found)

    @property
    def platform(self) -> dict[str, Any]:
        """What the server says about itself at `GET /platform`, where it does."""

        def ask() -> dict[str, Any]:
            return self.web.send(Call("GET", "/platform")).fields

        return self.once("platform", ask)

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document; empty where there is none."""

        def ask() -> dict[str, Any]:
            for url in (f"{self.web.url}/api/v1/openapi.json", f"{self.web.url}/openapi.json"):
                document = self.web.get(url, {"accept": "application/json"}).document
                if isinstance(document, dict) and "paths" in document:
                    return cast("dict[str, Any]", document)
            return {}

        return self.once("openapi", ask)

    def documented(self, method: str, path: str) -> dict[str, Any] | None:
        """What the OpenAPI document says about an endpoint, whatever it calls the ids in its path."""
        wanted = _nameless(path)
        for found, methods in cast("dict[str, dict[str, Any]]", self.openapi.get("paths", {})).items():
            if _nameless(found) == wanted and method.lower() in methods:
                return methods[method.lower()]
        return None

    def absent(self, answer: Answer, method: str, path: str) -> bool:
        """Whether an answer says that there is no such interface. All ids in the call were right, or could not matter.

        A 404 does so under the code `path_not_found`, or under the code (or without any) that a path has that nobody
        could serve, unless the server's own document has the endpoint: some servers have one code for every 404.
        """
        if answer.status in (405, 501):
            return True
        if answer.status != 404:
            return False
        if answer.code == "path_not_found":
            return True
        nowhere = self.once("nowhere", lambda: self.web.send(Call("GET", f"/no-such-interface-{self.nonce}")))
        return answer.code == nowhere.code and self.documented(method, path) is None

    # --- names and addresses -----------------------------------------------------------------------------------------

    def name(self) -> str:
        self._count += 1
        return f"conf-{self.nonce}-{self._count}"

    def domain(self) -> str:
        """A domain that nobody has."""
        return f"{self.name()}.conformance.example"

    @property
    def base_domain(self) -> str:
        return self.options.base_domain or str(self.platform.get("base_domain") or "conformance.example")

    @property
    def edge(self) -> str:
        """Where apps answer. Names under `.localhost` and addresses of this machine are taken to be where the API is:
        they need not resolve here."""
        url = self.options.edge or self.platform.get("edge_url")
        if not isinstance(url, str) or not url:
            return self.web.url
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not self.options.edge and (host == "localhost" or host.endswith(".localhost")):
            host = self.web.host
        host = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")

    def visit(self, domain: str) -> Answer:
        """GET / of a domain, at the edge."""
        parts = urlsplit(self.edge)
        host = f"{domain}:{parts.port}" if parts.port else domain
        answer = self.web.get(f"{self.edge}/", {"host": host, "accept": "*/*"}, {"sni_hostname": domain})
        self.visits[domain] = self.visits.get(domain, 0) + 1
        return answer

    def shows(self, app: App, answer: Answer) -> bool:
        """Whether a page is this app's."""
        return answer.good if app.page is None else answer.status == 200 and answer.body == app.page

    def answers(self, app: App, domain: str | None = None) -> Answer:
        """The app's page, once it answers. Raises `Failure`."""
        expected = Text("the app's page at {d}, with the bytes of its package", "{d} 返回程序包中的页面内容").fill(
            d=domain or app.domain
        )
        return self.eventually(lambda: self.visit(domain or app.domain), lambda a: self.shows(app, a), expected)

    def silent(self, app: App, domain: str | None = None) -> Answer:
        """What answers when the app's page does so no more. Raises `Failure`."""
        expected = Text("that the app's page answers no more at {d}", "{d} 不再返回该应用的页面").fill(
            d=domain or app.domain
        )
        return self.eventually(
            lambda: self.visit(domain or app.domain), lambda a: a.status != 0 and not a.good, expected
        )

    def eventually(
        self, look: Callable[[], Answer], fine: Callable[[Answer], bool], expected: Text, within: float | None = None
    ) -> Answer:
        """The first answer that is fine. Raises `Failure` with the last one that was not."""
        within = self.options.settle_s if within is None else within
        latest = time.monotonic() + within
        pause = 0.02
        while True:
            answer = look()
            if fine(answer):
                return answer
            left = latest - time.monotonic()
            if left <= 0:
                late = Text("{what} (within {s} s)", "{what}（{s} 秒内）").fill(what=expected, s=round(within, 1))
                raise Failure(late, answer)
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 1.0)

    # --- what clauses need -------------------------------------------------------------------------------------------

    def need(self, interface: str, call: Call, template: str | None = None) -> Answer:
        """The answer of a call that a clause builds on: good, or `Blocked` under the interface's name."""
        answer = self.web.send(call)
        if answer.good:
            return answer
        if self.absent(answer, call.method, template or call.path):
            raise Blocked(
                Text("the server has no {name} ({seen})", "服务器没有 {name}（{seen}）").fill(
                    name=interface, seen=same(f"{answer.request}: {answer.status}")
                ),
                missing=True,
            )
        raise self.failed(interface, answer)

    def failed(self, interface: str, answer: Answer) -> Blocked:
        return Blocked(
            Text("{name} failed: {request} answered {seen}", "{name} 失败：{request} 返回 {seen}").fill(
                name=interface, request=answer.request, seen=answer.seen
            ),
            missing=False,
        )

    def needed_id(self, interface: str, answer: Answer, *names: str) -> str:
        found = resource(answer.data, *names)
        value = cast("dict[str, Any]", found).get("id") if isinstance(found, dict) else None
        if not isinstance(value, str) or not value or value in self.undoing.kept:
            raise self.failed(interface, answer)
        return value

    def app_request(self) -> dict[str, Any]:
        """The body that creates an app: the four parameters that 5.1(1) names."""
        name = self.name()
        return {
            "name": name,
            "type": self.options.app_type,
            "runtime": self.options.runtime,
            "domain": f"{name}.{self.base_domain}",
        }

    def new_app(self) -> App:
        body = self.app_request()
        answer = self.need("5.1(1)", Call("POST", "/apps", json=body))
        return self.app_of(answer, body)

    def app_of(self, answer: Answer, body: dict[str, Any]) -> App:
        identifier = self.needed_id("5.1(1)", answer, "app")
        return App(identifier, body["name"], body["domain"], resource(answer.data, "app"))

    def app(self) -> App:
        """An app that nothing is done with."""
        return self.once("app", self.new_app)

    def package(self) -> tuple[str, bytes, bytes | None]:
        """A package: its file name, its bytes, and the page it answers with."""
        if self.options.package is not None:
            return (*self.options.package, None)
        page = f"<!doctype html><title>conformance</title><p>{secrets.token_hex(16)}</p>\n".encode()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.html", page)
        return "site.zip", packed.getvalue(), page

    def upload(self, app: App) -> Answer:
        """A new package; the app's page is that of it from now on."""
        filename, content, page = self.package()
        path = at("/apps/{app_id}/package", app_id=app.id)
        answer = self.need("5.1(2)", Call("POST", path, file=(filename, content)), "/apps/{app_id}/package")
        app.package, app.page = self.needed_id("5.1(2)", answer), page
        return answer

    def uploaded(self) -> App:
        """A fresh app with a package, stopped."""
        app = self.new_app()
        self.upload(app)
        return app

    def new_running(self) -> App:
        """A fresh app that answers."""
        app = self.uploaded()
        path = at("/apps/{app_id}/start", app_id=app.id)
        answer = self.need("5.1(3)", Call("POST", path), "/apps/{app_id}/start")
        try:
            self.finish(answer)
            self.answers(app)
        except Failure as failure:
            cause = Text(
                "5.1(3) failed: {request}: expected {expected}, seen {seen}",
                "5.1(3) 失败：{request}：预期 {expected}，实际 {seen}",
            )
            raise Blocked(
                cause.fill(request=failure.request, expected=failure.expected, seen=failure.seen), missing=False
            ) from failure
        return app

    def running(self) -> App:
        """An app that answers and is left running."""
        return self.once("running", self.new_running)

    def finish(self, answer: Answer) -> dict[str, Any] | None:
        """Waits for the operation of an answer. None where the answer has none, or it cannot be looked at: whether it
        came to something then shows in its effect. Raises `Failure` where it ended otherwise than well."""
        identifier = operation_id(answer)
        if identifier is None:
            return None
        path = at("/operations/{id}", id=identifier)
        last: Answer | None = None
        ended = False

        def look() -> Answer:
            nonlocal last, ended
            last = self.web.send(Call("GET", path))
            ended = last.fields.get("status") not in ("pending", "running")
            return last

        expected = Text("that the operation comes to an end", "操作能够结束")
        found = self.eventually(look, lambda _: ended, expected, self.options.operation_s)
        operation = found.fields
        if not operation or not found.good:
            return None
        if operation.get("status") in ("failed", "cancelled"):
            raise Failure(Text("that the operation of {r} succeeds", "{r} 的操作成功").fill(r=answer.request), found)
        return operation

    def tenant(self) -> str:
        return self._place("tenant_id", "/tenants")

    def organization(self) -> str:
        return self._place("organization_id", "/organizations")

    def space(self) -> str:
        return self._place("space_id", "/spaces")

    def _place(self, name: str, path: str) -> str:
        """Where the apps are that are made here: by the app's own field, else the first of the list."""

        def find() -> str:
            try:
                value = self.app().data.get(name)
            except Blocked:
                value = None
            if isinstance(value, str) and value:
                return value
            answer = self.need(f"GET {path}", Call("GET", path))
            for item in items(answer):
                if isinstance(item.get("id"), str):
                    return item["id"]
            raise self.failed(f"GET {path}", answer)

        return self.once(name, find)

    def all_items(self, path: str, most: int = 40) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page, at most `most` pages of 500. Raises `Failure` where it is no list."""
        cursor: str | None = None
        for _ in range(most):
            call = Call("GET", path).with_query(limit="500")
            answer = self.web.send(call.with_query(cursor=cursor) if cursor else call)
            if not answer.good or "items" not in answer.fields:
                raise Failure(Text("a list with `items`", "含 `items` 的列表"), answer)
            yield from items(answer)
            following = answer.fields.get("next_cursor")
            if not isinstance(following, str) or following == cursor:
                return
            cursor = following

    def listed(self, path: str, **fields: str) -> bool:
        """Whether a list has an item with these fields."""
        return any(all(item.get(k) == v for k, v in fields.items()) for item in self.all_items(path))

    def needs_listed(self, interface: str, answer: Answer, path: str, **fields: str) -> None:
        """Raises `Blocked` under the interface's name where what it claims to have made is in no list."""
        with suppress(Failure):
            if self.listed(path, **fields):
                return
        raise self.failed(interface, answer)


def _nameless(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path).removeprefix("/api/v1")


def items(answer: Answer) -> list[dict[str, Any]]:
    """The objects of a list; none where it is none."""
    found = answer.fields.get("items")
    return [item for item in cast("list[Any]", found) if isinstance(item, dict)] if isinstance(found, list) else []


def operation_id(answer: Answer) -> str | None:
    operation = resource(answer.data, "operation")
    if operation is answer.data or not isinstance(operation, dict):
        return None
    value = cast("dict[str, Any]", operation).get("id")
    return value if isinstance(value, str) and value else None
