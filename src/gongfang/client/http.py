"""One call over HTTP: headers, retries, the envelope. The resources above it know paths and models, and no HTTP.

A call is repeated on broken connections and on 429, 502 and 503, with a back-off that grows and varies, or after the
time the platform asks for. That is safe because every POST carries an `Idempotency-Key`, the same through all its
tries, and the other methods say what should be rather than what to add. What has no key and an `If-Match` is not
repeated once it may have arrived: the second try would be refused because of the first.
"""

import random
import ssl
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import httpx2
from pydantic_core import from_json

from gongfang import __version__
from gongfang.client.bodies import Body
from gongfang.client.errors import ApiError, FieldFault, PlatformAway, error_class

BASE = "/api/v1"
WAIT_LIMIT = 300
"""The longest `?wait=` that the platform takes, in seconds."""
PATIENCE = 30.0
"""The longest `Retry-After` that is waited out, in seconds; a longer one is raised to the caller."""

Value = str | int | float | bool | datetime | Sequence[str] | None
Params = Mapping[str, Value]
Primitive = str | int | float | bool | None

_RETRIED = frozenset({429, 502, 503})
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the envelope's `data`, and what stood around it."""

    status: int
    data: Any
    code: str
    message: str
    request_id: str
    etag: str | None


def backoff(attempt: int) -> float:
    """Seconds before try `attempt` (from 1): doubling from 0.1 to 5, between half and all of it."""
    return min(5.0, 0.1 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, hides nothing)


def encode(params: Params | None) -> list[tuple[str, Primitive]]:
    """Query parameters as the platform reads them: None is left out, a list is repeated, times carry their offset."""
    pairs: list[tuple[str, Primitive]] = []
    for name, value in (params or {}).items():
        if value is None:
            continue
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, datetime):
            pairs.append((name, (value if value.tzinfo else value.astimezone()).isoformat()))
        elif isinstance(value, (str, int, float)):
            pairs.append((name, str(value)))
        else:
            pairs.extend((name, item) for item in value)
    return pairs


def trust(ca: str | None, pinned: str | None) -> ssl.SSLContext | bool:
    """Whom to believe: the machine's authorities, those of the PEM file `ca` as well, or one certificate alone.

    `pinned`: a PEM file whose certificate must be the server's own, whatever name it is reached by: that of a platform
    on this machine, in a file that the platform's settings name. Raises `OSError` (`ssl.SSLError` too) where a file
    can't be used.
    """
    if pinned is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the leaf itself is what is trusted
        context.load_verify_locations(cadata=_leaf(Path(pinned)))
        return context
    if ca is None:
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(ca)
    return context


def _leaf(file: Path) -> str:
    """The first certificate of a chain: those behind it sign others' too, and are not what is trusted."""
    text = file.read_text("ascii", "replace")
    start, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    if start < 0 or end < start:
        raise ssl.SSLError(f"no certificate in {file}")
    return text[start : end + len(ssl.PEM_FOOTER)]


class Http:
    """Calls to one platform as one caller. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        language: str = "zh-CN",
        timeout: float = 30.0,
        retries: int = 4,
        transport: httpx2.BaseTransport | None = None,
        ca: str | None = None,
        pinned: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retries = retries
        headers = {"accept": "application/json", "accept-language": language, "user-agent": f"gongfang/{__version__}"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        address = httpx2.URL(self.url)
        # Plain HTTP needs no certificates, and reading them takes longer than most calls; a proxy of the
        # environment can't reach this machine's own loopback.
        verify: ssl.SSLContext | bool = (
            trust(ca, pinned) if address.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._client = httpx2.Client(
            headers=headers,
            timeout=timeout,
            transport=transport,
            verify=verify,
            trust_env=address.host not in _LOCAL,
        )

    def close(self) -> None:
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        body: Body | None = None,
        wait: float | None = None,
        if_match: str | None = None,
        headers: Mapping[str, str] | None = None,
        longer: float = 0.0,
    ) -> Answer:
        """One call and its repetitions. `path` is under `/api/v1`, or absolute where it starts with `//`. `longer`:
        seconds more than usual that the answer may take.

        Raises `ApiError` (the class of its status) and `PlatformAway`.
        """
        request_headers = dict(headers or {})
        if method == "POST":
            request_headers.setdefault("idempotency-key", uuid.uuid4().hex)
        if if_match is not None:
            request_headers["if-match"] = if_match
        query = encode(params)
        if wait is not None:
            wait = min(max(wait, 0.0), WAIT_LIMIT)
            query.append(("wait", f"{wait:g}"))
        timeout = httpx2.Timeout(self.timeout, read=self.timeout + longer + (wait or 0.0))
        repeatable = if_match is None and (body is None or body.repeatable)
        deadline = time.monotonic() + self.timeout + longer + (wait or 0.0)
        attempt = 0
        while True:
            attempt += 1
            sent = dict(request_headers)
            if body is not None:
                sent.update(body.headers())
            try:
                response = self._client.request(
                    method,
                    self.address(path),
                    params=query,
                    json=json,
                    content=None if body is None else body.chunks(),
                    headers=sent,
                    timeout=timeout,
                )
            except httpx2.TransportError as error:
                never_arrived = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
                if (
                    attempt > self.retries
                    or _untrusted(error)
                    or not (never_arrived or (repeatable and _broken_off(error)))
                ):
                    raise self.away(error) from error
                time.sleep(backoff(attempt))
                continue
            if response.is_success:
                return _answer(response)
            failure = api_error(response)
            if failure.code == "idempotency_in_progress" and attempt > 1 and time.monotonic() < deadline:
                # The first try arrived after all, and is still at it: its answer is what this call is for.
                time.sleep(backoff(attempt))
                continue
            delay = failure.retry_after if failure.retry_after is not None else backoff(attempt)
            if response.status_code not in _RETRIED or attempt > self.retries or delay > PATIENCE:
                raise failure
            if body is not None and not body.repeatable:
                raise failure
            time.sleep(delay)

    @contextmanager
    def open_stream(
        self, path: str, params: Params | None, headers: Mapping[str, str], read_timeout: float
    ) -> Generator[httpx2.Response]:
        """A GET whose answer is read as it comes. Raises `ApiError` where it is not a success; network errors of the
        HTTP library go through as they are, since the reader of a stream knows whether to go on."""
        timeout = httpx2.Timeout(self.timeout, read=read_timeout)
        with self._client.stream(
            "GET", self.address(path), params=encode(params), headers=dict(headers), timeout=timeout
        ) as response:
            if not response.is_success:
                response.read()
                raise api_error(response)
            yield response

    def address(self, path: str) -> str:
        return self.url + path[1:] if path.startswith("//") else self.url + BASE + path

    def away(self, error: Exception) -> PlatformAway:
        return PlatformAway(self.url, str(error) or type(error).__name__)


def _broken_off(error: httpx2.TransportError) -> bool:
    """Whether the connection broke (then trying again makes sense), rather than the answer taking too long."""
    return isinstance(error, (httpx2.NetworkError, httpx2.RemoteProtocolError))


def _untrusted(error: httpx2.TransportError) -> bool:
    """Trying again would not make its certificate another, nor it speak HTTPS."""
    return any(word in str(error) for word in ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER"))


def _fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _envelope(response: httpx2.Response) -> dict[str, Any]:
    try:
        return _fields(from_json(response.content))
    except ValueError:
        return {}


def _answer(response: httpx2.Response) -> Answer:
    envelope = _envelope(response)
    if "success" not in envelope and response.content:
        raise ApiError(
            "not_an_envelope",
            f"{response.request.url} answered, but not as a Gongfang platform does; check the address",
            response.status_code,
        )
    return Answer(
        status=response.status_code,
        data=envelope.get("data"),
        code=str(envelope.get("code", "")),
        message=str(envelope.get("message", "")),
        request_id=str(envelope.get("request_id", "")),
        etag=response.headers.get("etag"),
    )


def api_error(response: httpx2.Response) -> ApiError:
    """The error of an answer, also where something else than the platform (a proxy) gave it."""
    status = response.status_code
    envelope = _envelope(response)
    raw: list[Any] = envelope.get("details") or []
    faults = tuple(FieldFault(str(_fields(item).get("field")), str(_fields(item).get("message"))) for item in raw)
    return error_class(status)(
        code=str(envelope.get("code") or f"http_{status}"),
        message=str(
            envelope.get("message") or f"{response.request.url.host} answered {status} {response.reason_phrase}"
        ),
        status=status,
        details=faults,
        request_id=str(envelope.get("request_id") or response.headers.get("x-request-id", "")),
        data=envelope.get("data"),
        retry_after=_retry_after(response.headers.get("retry-after")),
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds; the header's other form, a date, is read as well."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return None
