"""The client of somebody else's broker.

Hard cases. Whether a request has left decides what may have come of it: the connection tells when its first bytes are
sent (`_Sent`), so what fails before is `NotSent` and what fails after is `Unsure`. A connection is used once: of one
that was kept, nobody could say whether the broker had closed it before it read. The broker drips its answer, sends
gigabytes, or nothing: one time limit for all of a request, and one for its length. It sends us elsewhere: nothing is
followed. What it says may repeat what only it and we know: the password, and texts among the parameters, are taken out
of everything that is passed on.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpcore2

from gongfang import __version__
from gongfang.brokers.interface import (
    Answer,
    Bind,
    Bound,
    Catalog,
    Deprovision,
    Failure,
    NotSent,
    Poll,
    Polled,
    Provision,
    Provisioned,
    Target,
    Unbind,
    Unsure,
    Update,
    Where,
    Who,
)
from gongfang.brokers.osb import answers, catalogue
from gongfang.brokers.osb.bodies import MOST_BYTES
from gongfang.domain.errors import Reason, Rejected, Unavailable
from gongfang.domain.services import CallKind
from gongfang.domain.values import JsonObject
from gongfang.outbound import AddressRefused, Allowed, CheckedBackend, Fault, Resolve, resolve, why

VERSIONS = ("2.17", "2.16", "2.15", "2.14", "2.13")
PLATFORM = "gongfang"
TIMEOUT_S = 60.0
CATALOGUE_TIMEOUT_S = 25.0
_CONNECT_S = 10.0
_SHORTEST_SECRET_VALUE = 8
_CODES: dict[Fault, str] = {
    "refused": "broker_nothing_listens",
    "broken_off": "broker_broken_off",
    "certificate": "broker_certificate",
    "no_tls": "broker_no_tls",
    "name_unknown": "broker_name_unknown",
    "no_route": "broker_no_route",
    "unreachable": "broker_unreachable",
}

_Heard = tuple[int, dict[str, str], bytes | None]


class _Sent:
    """Whether anything of the request has left."""

    def __init__(self) -> None:
        self.begun = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.begun = True


class _Failed(Exception):
    """No answer came."""

    def __init__(self, reason: Reason, *, sent: bool) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.sent = sent


class OsbClient:
    """Implements `Broker`. `url`: without `/v2`. `allowed`: addresses that may be spoken with. `timeout_s`: for all of
    one request. Keeps nothing open between requests, so there is nothing to close."""

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        allowed: Allowed,
        resolve: Resolve = resolve,
        timeout_s: float = TIMEOUT_S,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._authorization = f"Basic {token}"
        self._secrets = (password, quote(password, safe=""), token)
        self._version = VERSIONS[0]
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify or ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=CheckedBackend(resolve, allowed),
        )

    # --- the protocol ------------------------------------------------------------------------------------------------

    async def catalog(self, etag: str | None = None) -> Catalog | None:
        more = {"if-none-match": etag} if etag is not None else {}
        try:
            status, headers, body = await self._speak(
                "GET", "/v2/catalog", {}, None, more, most=catalogue.MOST_CATALOGUE_BYTES
            )
        except _Failed as error:
            facts: dict[str, Any] = {**error.reason.facts}
            raise Unavailable(error.reason.code, **facts) from None
        if status == 304 and etag is not None:
            return None
        if status in (401, 403):
            raise Rejected("broker_credentials_refused", status=answers.phrase(status))
        if status == 200:
            return await asyncio.to_thread(catalogue.parse, body, headers.get("etag"))
        if 300 <= status < 500 and status not in (408, 429):
            said = answers.refused(status, None, body, self._secrets)
            raise Rejected("broker_no_catalog", what=said.description)
        raise Unavailable("broker_status", status=answers.phrase(status))

    async def provision(self, ask: Provision) -> Answer:
        body: JsonObject = {
            **_ids(ask.target),
            **_place(ask.where),
            "context": _context(ask.where),
            "parameters": ask.parameters,
        }
        if ask.maintenance_version is not None:
            body["maintenance_info"] = {"version": ask.maintenance_version}
        return await self._ask(CallKind.provision, "PUT", _instance(ask.target), {}, body, ask.who, ask.request_id)

    async def update(self, ask: Update) -> Answer:
        previous: JsonObject = {
            "plan_id": ask.previous_plan_id,
            "service_id": ask.target.service_id,
            "organization_id": ask.where.organization_id,
            "space_id": ask.where.space_id,
        }
        if ask.previous_maintenance_version is not None:
            previous["maintenance_info"] = {"version": ask.previous_maintenance_version}
        body: JsonObject = {
            "service_id": ask.target.service_id,
            "context": _context(ask.where),
            "previous_values": previous,
        }
        if ask.plan_changed:
            body["plan_id"] = ask.target.plan_id
        if ask.parameters is not None:
            body["parameters"] = ask.parameters
        if ask.maintenance_version is not None:
            body["maintenance_info"] = {"version": ask.maintenance_version}
        return await self._ask(CallKind.update, "PATCH", _instance(ask.target), {}, body, ask.who, ask.request_id)

    async def deprovision(self, ask: Deprovision) -> Answer:
        path, query = _instance(ask.target), _ids(ask.target)
        return await self._ask(CallKind.deprovision, "DELETE", path, query, None, ask.who, ask.request_id)

    async def bind(self, ask: Bind) -> Answer:
        if ask.predecessor_id is not None:  # all else is the predecessor's
            body: JsonObject = {"predecessor_binding_id": ask.predecessor_id}
        else:
            body = {**_ids(ask.target), "context": _context(ask.where), "parameters": ask.parameters}
            if ask.app_id is not None:
                body |= {"app_guid": ask.app_id, "bind_resource": {"app_guid": ask.app_id}}
        path = _binding(ask.target, ask.binding_id)
        return await self._ask(CallKind.bind, "PUT", path, {}, body, ask.who, ask.request_id, ask.requires)

    async def unbind(self, ask: Unbind) -> Answer:
        path, query = _binding(ask.target, ask.binding_id), _ids(ask.target)
        return await self._ask(CallKind.unbind, "DELETE", path, query, None, ask.who, ask.request_id)

    async def last_operation(self, ask: Poll) -> Polled | Failure:
        query = _ids(ask.target) | ({"operation": ask.operation} if ask.operation is not None else {})
        heard = await self._look(f"{_of(ask)}/last_operation", query, ask.request_id)
        return answers.polled(*heard, self._secrets) if isinstance(heard, tuple) else heard

    async def fetch_binding(self, ask: Poll) -> Bound | Failure:
        heard = await self._look(_of(ask), _ids(ask.target), ask.request_id)
        if not isinstance(heard, tuple):
            return heard
        return answers.fetched_binding(*heard, ask.requires, self._secrets)

    async def fetch_instance(self, ask: Poll) -> Provisioned | Failure:
        heard = await self._look(_instance(ask.target), _ids(ask.target), ask.request_id)
        return answers.fetched_instance(*heard, self._secrets) if isinstance(heard, tuple) else heard

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        kind: CallKind,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: JsonObject | None,
        who: Who | None,
        request_id: str,
        requires: tuple[str, ...] | None = None,
    ) -> Answer:
        headers = {"x-broker-api-request-identity": request_id}
        if who is not None:
            headers["x-broker-api-originating-identity"] = _identity(who)
        given = _texts(body.get("parameters")) if body is not None else []
        try:
            status, said, content = await self._speak(
                method, path, {**query, "accepts_incomplete": "true"}, body, headers
            )
        except _Failed as error:
            return answers.lost(kind, error.reason) if error.sent else NotSent(error.reason)
        return answers.interpret(kind, status, said, content, requires=requires, secrets=(*self._secrets, *given))

    async def _look(self, path: str, query: Mapping[str, str], request_id: str) -> _Heard | Unsure | NotSent:
        try:
            return await self._speak("GET", path, query, None, {"x-broker-api-request-identity": request_id})
        except _Failed as error:
            return answers.lost(None, error.reason) if error.sent else NotSent(error.reason)

    async def _speak(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: JsonObject | None,
        headers: Mapping[str, str],
        *,
        most: int = MOST_BYTES,
    ) -> _Heard:
        """One request in the newest version that the broker takes. A 412 has done nothing, so the next older one is
        tried, and kept."""
        url = self._url + path + ("?" + urlencode(query) if query else "")
        content = json.dumps(body, ensure_ascii=False).encode() if body is not None else b""
        first = VERSIONS.index(self._version)
        heard: _Heard | None = None
        for version in VERSIONS[first:]:
            heard = await self._send(method, url, {**headers, "x-broker-api-version": version}, content, most)
            if heard[0] != 412:
                self._version = version
                break
        assert heard is not None
        return heard

    async def _send(self, method: str, url: str, headers: dict[str, str], content: bytes, most: int) -> _Heard:
        sent = _Sent()
        every = {
            **headers,
            "authorization": self._authorization,
            "accept": "application/json",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": f"gongfang/{__version__}",
        }
        if method in ("PUT", "PATCH"):
            every |= {"content-type": "application/json", "content-length": str(len(content))}
        # Short of the whole, so that what is being connected is closed by those who opened it.
        more = {"trace": sent, "timeout": {"connect": min(_CONNECT_S, self._timeout_s / 2)}}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.stream(
                    method,
                    url,
                    headers=list(every.items()),
                    content=content or None,
                    extensions=more,
                ) as response,
            ):
                said = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
                return response.status, said, await _read(response, most)
        except (TimeoutError, httpcore2.TimeoutException):
            reason = Reason("broker_timed_out", {"seconds": round(self._timeout_s)})
        except AddressRefused as error:
            reason = Reason("broker_address_refused", {"host": str(error)})
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol, OSError) as error:
            reason = _why(error, self._url)
        except ValueError as error:  # an address that can't be written as one
            reason = _why(error, self._url)
        raise _Failed(reason, sent=sent.begun) from None


async def _read(response: httpcore2.Response, most: int) -> bytes | None:
    """The body; None: it is longer than `most`."""
    found = bytearray()
    async for chunk in response.aiter_stream():
        found += chunk
        if len(found) > most:
            return None
    return bytes(found)


def _why(error: Exception, url: str) -> Reason:
    fault, facts = why(error, url)
    return Reason(_CODES[fault], facts)


def _ids(target: Target) -> dict[str, str]:
    return {"service_id": target.service_id, "plan_id": target.plan_id}


def _place(where: Where) -> JsonObject:
    """As platforms told it before there was a context; brokers ask for it still."""
    return {"organization_guid": where.organization_id, "space_guid": where.space_id}


def _context(where: Where) -> JsonObject:
    return {
        "platform": PLATFORM,
        "tenant_guid": where.tenant_id,
        "organization_guid": where.organization_id,
        "organization_name": where.organization_name,
        "space_guid": where.space_id,
        "space_name": where.space_name,
        "instance_name": where.instance_name,
    }


def _identity(who: Who) -> str:
    told = json.dumps({"user_id": who.user_id or who.user_name, "user_name": who.user_name}, ensure_ascii=False)
    return f"{PLATFORM} {base64.b64encode(told.encode()).decode()}"


def _instance(target: Target) -> str:
    return f"/v2/service_instances/{quote(target.instance_id, safe='')}"


def _binding(target: Target, binding_id: str) -> str:
    return f"{_instance(target)}/service_bindings/{quote(binding_id, safe='')}"


def _of(ask: Poll) -> str:
    return _instance(ask.target) if ask.binding_id is None else _binding(ask.target, ask.binding_id)


def _texts(found: Any) -> list[str]:
    """Texts among the parameters that may be secrets: short ones are words that a broker's sentence needs."""
    if isinstance(found, dict):
        return [text for value in found.values() for text in _texts(value)]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(found, list):
        return [text for value in found for text in _texts(value)]  # pyright: ignore[reportUnknownVariableType]
    return [found] if isinstance(found, str) and len(found) >= _SHORTEST_SECRET_VALUE else []
