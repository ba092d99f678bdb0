"""One call, one answer. An answer is data even where there is none: `send` never raises for what a server does.

No call outlasts its limit by more than one read: the limit holds for the whole answer, so that a server that sends a
byte now and then holds nobody up. A body is read to 16 MB. Redirects are answers, not followed: a token must not go
where a server under test points.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from gongfang.conformance.texts import Text, same

BASE = "/api/v1"
BODY_LIMIT = 16 << 20
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


class _Nothing:
    """No body; tells it apart from the JSON `null`."""


NOTHING: Final = _Nothing()
OWN = "own"
"""As a token: the caller's."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API. `path` is below the base path. `token`: `OWN`, another, or None for none."""

    method: str
    path: str
    json: Any = NOTHING
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    file: tuple[str, bytes] | None = None
    token: str | None = OWN
    patience: float = 0.0

    @property
    def name(self) -> str:
        """`GET /api/v1/apps?limit=1`, as a reader would repeat it."""
        return f"{self.method} {BASE}{self.path}" + (f"?{urlencode(self.query)}" if self.query else "")

    def with_query(self, **more: str) -> "Call":
        return replace(self, query=(*((k, v) for k, v in self.query if k not in more), *more.items()))

    def with_headers(self, **more: str) -> "Call":
        given = tuple((name.replace("_", "-"), value) for name, value in more.items())
        return replace(self, headers=(*self.headers, *given))

    def waiting(self, seconds: float) -> "Call":
        """The same with `?wait=`, and with the patience for it."""
        whole = max(1, min(300, round(seconds)))
        return replace(self.with_query(wait=str(whole)), patience=whole)


def at(template: str, **ids: str) -> str:
    """A path with its ids put in, whatever characters they have."""
    return template.format(**{name: quote(value, safe="") for name, value in ids.items()})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` 0: nothing did, and `trouble` says why."""

    request: str
    call: Call | None
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    trouble: str | None = None

    @property
    def document(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def data(self) -> Any:
        document = self.document
        return cast("dict[str, Any]", document).get("data") if isinstance(document, dict) else None

    @property
    def fields(self) -> dict[str, Any]:
        """The envelope's `data` where it is an object, else nothing."""
        data = self.data
        return cast("dict[str, Any]", data) if isinstance(data, dict) else {}

    @property
    def code(self) -> str | None:
        document = self.document
        code = cast("dict[str, Any]", document).get("code") if isinstance(document, dict) else None
        return code if isinstance(code, str) else None

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def seen(self) -> Text:
        """In words: the status and the beginning of the body."""
        if self.status == 0:
            return Text("no answer: {why}", "没有应答：{why}").fill(why=self.trouble or "")
        text = " ".join(self.body[:4000].decode("utf-8", "replace").split())
        shown = text if len(text) <= 240 else text[:240] + "…"
        return same(f"{self.status} {shown}".rstrip())


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event."""

    id: str
    event: str
    data: str


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: that takes longer than many a call."""
    return httpx2.create_ssl_context()


class Web:
    """A server under test: its API, and its edge. `observers` see every answer of the API."""

    def __init__(self, url: str, token: str, *, limit_s: float) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/").removesuffix(BASE)
        self.host = parts.hostname or "127.0.0.1"
        self.token = token
        self.observers: list[Callable[[Answer], None]] = []
        self._limit_s = limit_s
        self._client = httpx2.Client(
            trust_env=self.host not in _LOCAL,
            timeout=httpx2.Timeout(limit_s, connect=min(10.0, limit_s)),
            headers={"user-agent": "aii-conformance"},
            verify=_certificates(),
        )

    def close(self) -> None:
        self._client.close()

    def send(self, call: Call) -> Answer:
        """The answer to a call of the API."""
        body: dict[str, Any] = {}
        headers = {"accept": "application/json", **self._authority(call.token)}
        if call.file is not None:
            body["files"] = {"file": (call.file[0], call.file[1], "application/octet-stream")}
        elif call.content is not None:
            body["content"] = call.content
            headers["content-type"] = "application/octet-stream"
        elif call.json is not NOTHING:
            body["content"] = json.dumps(call.json, ensure_ascii=False).encode()
            headers["content-type"] = "application/json"
        headers.update(call.headers)
        answer = self._read(call.method, self._address(call), call, headers, call.patience, body)
        for observer in self.observers:
            observer(answer)
        return answer

    def get(self, url: str, headers: Mapping[str, str], extensions: Mapping[str, Any] | None = None) -> Answer:
        """A plain GET of any address, without a token: a page at the edge, an OpenAPI document."""
        return self._read("GET", url, None, headers, 0.0, {"extensions": dict(extensions or {})})

    def _read(
        self, method: str, url: str, call: Call | None, headers: Mapping[str, str], extra: float, body: dict[str, Any]
    ) -> Answer:
        request = call.name if call else f"GET {url}" + (f" (Host: {headers['host']})" if "host" in headers else "")
        limit = self._limit_s + extra
        latest = time.monotonic() + limit
        timeout = httpx2.Timeout(limit, connect=min(10.0, self._limit_s))
        try:
            with self._client.stream(method, url, headers=dict(headers), timeout=timeout, **body) as response:
                read = bytearray()
                for chunk in response.iter_bytes():
                    read += chunk
                    if time.monotonic() > latest:
                        return Answer(request, call, trouble=f"no end of the body within {limit:.0f} s")
                    if len(read) > BODY_LIMIT:
                        return Answer(request, call, trouble=f"a body of more than {BODY_LIMIT} bytes")
                return Answer(request, call, response.status_code, _lower(response.headers), bytes(read))
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            return Answer(request, call, trouble=str(error) or type(error).__name__)

    def events(self, path: str, last_id: str | None, within: float) -> "tuple[Answer, list[Message]]":
        """A stream of server-sent events, until the server ends it or the time is over: its head, and what it said."""
        call = Call("GET", path)
        headers = {"accept": "text/event-stream", **self._authority(OWN)}
        if last_id is not None:
            headers["last-event-id"] = last_id
        latest = time.monotonic() + within
        found: list[Message] = []
        try:
            timeout = httpx2.Timeout(within, connect=min(10.0, self._limit_s))
            with self._client.stream("GET", self._address(call), headers=headers, timeout=timeout) as response:
                head = Answer(call.name, call, response.status_code, _lower(response.headers))
                for message in _messages(response.iter_lines()):
                    found.append(message)
                    if time.monotonic() > latest:
                        break
        except (httpx2.HTTPError, ValueError) as error:
            head = Answer(call.name, call, trouble=str(error) or type(error).__name__)
        return head, found

    def _address(self, call: Call) -> str:
        return self.url + BASE + call.path + (f"?{urlencode(call.query)}" if call.query else "")

    def _authority(self, token: str | None) -> dict[str, str]:
        if token is None:
            return {}
        return {"authorization": f"Bearer {self.token if token == OWN else token}"}


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _messages(lines: Iterator[str]) -> Iterator[Message]:
    """Server-sent events as the WHATWG reads them; a message without `data` is none."""
    identifier, event, data = "", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Message(identifier, event or "message", "\n".join(data))
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            identifier = value
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
