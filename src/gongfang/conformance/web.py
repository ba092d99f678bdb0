"""One call, one answer. An answer is data even where there is none: `send` never raises for what a server does.

No call outlasts its limit, whatever the server does: the HTTP library limits each read, so that a byte now and then
(in a header, say) could hold it up for ever; therefore it works in a thread that is left alone once the time is over.
A body is read to 16 MB. Redirects are answers, not followed: a token must not go where a server under test points.
"""

import json
import queue
import ssl
import threading
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
_GRACE = 1.0  # seconds after its limit that a call may take to find out by itself
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
        """An empty value leaves a header out that every call has."""
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


class _Aside:
    """Does one thing after the other in a thread beside this one. What takes too long, or is interrupted, is left
    behind there, and a fresh thread does the next; none keeps the program from ending."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Answer], queue.SimpleQueue[Answer]] | None] | None = None

    def run(self, job: Callable[[], Answer], within: float) -> Answer | None:
        """What the job gives; None where it gave nothing in time."""
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), daemon=True, name="conformance-calls").start()
        done: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._jobs.put((job, done))
        try:
            return done.get(timeout=within)
        except queue.Empty:
            self.leave()
            return None
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Lets the thread end when it can."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


def _work(jobs: "queue.SimpleQueue[tuple[Callable[[], Answer], queue.SimpleQueue[Answer]] | None]") -> None:
    while (next_one := jobs.get()) is not None:
        job, done = next_one
        done.put(job())


class Web:
    """A server under test: its API, and its edge. `observers` see every answer of the API."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        limit_s: float,
        trust: ssl.SSLContext | None = None,
        language: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/").removesuffix(BASE)
        self.host = parts.hostname or "127.0.0.1"
        self.token = token
        self.observers: list[Callable[[Answer], None]] = []
        self._limit_s = limit_s
        self._languages = {"accept-language": language} if language else {}
        self._aside = _Aside()
        self._client = httpx2.Client(
            trust_env=self.host not in _LOCAL,
            timeout=httpx2.Timeout(limit_s, connect=min(10.0, limit_s)),
            headers={"user-agent": "aii-conformance"},
            verify=trust or _certificates(),
        )

    def close(self) -> None:
        self._aside.leave()
        self._client.close()

    def send(self, call: Call) -> Answer:
        """The answer to a call of the API."""
        body: dict[str, Any] = {}
        headers = {"accept": "application/json", **self._languages, **self._authority(call.token)}
        if call.file is not None:
            body["files"] = {"file": (call.file[0], call.file[1], "application/octet-stream")}
        elif call.content is not None:
            body["content"] = call.content
            headers["content-type"] = "application/octet-stream"
        elif call.json is not NOTHING:
            body["content"] = json.dumps(call.json, ensure_ascii=False).encode()
            headers["content-type"] = "application/json"
        headers.update(call.headers)
        headers = {name: value for name, value in headers.items() if value}
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

        def read_it() -> Answer:
            return self._read_all(method, url, Answer(request, call), {**headers}, latest, timeout, body)

        return self._aside.run(read_it, limit + _GRACE) or Answer(
            request, call, trouble=f"no whole answer within {limit:.0f} s"
        )

    def _read_all(
        self,
        method: str,
        url: str,
        empty: Answer,
        headers: dict[str, str],
        latest: float,
        timeout: httpx2.Timeout,
        body: dict[str, Any],
    ) -> Answer:
        request, call = empty.request, empty.call
        try:
            with self._client.stream(method, url, headers=headers, timeout=timeout, **body) as response:
                read = bytearray()
                for chunk in response.iter_bytes():
                    read += chunk
                    if time.monotonic() > latest:
                        return Answer(request, call, trouble=f"no end of the body within {timeout.read:.0f} s")
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

        def listen() -> Answer:
            return self._listen(call, headers, within, latest, found)

        head = self._aside.run(listen, within + _GRACE)
        return head or Answer(call.name, call, trouble=f"no end of the stream within {within:.0f} s"), list(found)

    def _listen(
        self, call: Call, headers: dict[str, str], within: float, latest: float, found: list[Message]
    ) -> Answer:
        try:
            timeout = httpx2.Timeout(within, connect=min(10.0, self._limit_s))
            with self._client.stream("GET", self._address(call), headers=headers, timeout=timeout) as response:
                head = Answer(call.name, call, response.status_code, _lower(response.headers))
                for message in _messages(_lines(response.iter_bytes(), latest)):
                    found.append(message)  # one by one: what came before a break counts
        except (httpx2.HTTPError, ValueError) as error:
            return Answer(call.name, call, trouble=str(error) or type(error).__name__)
        return head

    def _address(self, call: Call) -> str:
        return self.url + BASE + call.path + (f"?{urlencode(call.query)}" if call.query else "")

    def _authority(self, token: str | None) -> dict[str, str]:
        if token is None:
            return {}
        return {"authorization": f"Bearer {self.token if token == OWN else token}"}


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _lines(chunks: Iterator[bytes], latest: float) -> Iterator[str]:
    """The lines of a stream, until it ends, its time is over, or it has said too much."""
    read = 0
    rest = b""
    for chunk in chunks:
        read += len(chunk)
        if time.monotonic() > latest or read > BODY_LIMIT:
            return
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")


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
