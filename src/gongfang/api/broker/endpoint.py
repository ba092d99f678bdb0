"""`/broker/v2`: this platform as a service broker for others, by HTTP.

The order of checks: the caller (401), whether they may (403), the version of the interface (412), the address (404,
405, 400), for whom it is asked (400), the body (400, 413), whether its sender can wait (422 `AsyncRequired`). Only then
the broker is asked; whatever was refused has changed nothing.

Who asks is a user of this platform, by an API token as the password of HTTP Basic; the user's name may be anything. One
platform is one user: what its tokens have made is seen by no other. Everything takes `service_write` at the platform,
reading too, since credentials are read.

Answers have the specification's form and not the envelope of `/api/v1`, which other platforms know nothing of. What is
changed leaves an event in the same transaction, in the user's name.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from gongfang.api.answers import STATUS
from gongfang.api.broker.answers import (
    DELETES,
    Said,
    absent,
    catalogue,
    failed,
    fetched_binding,
    fetched_instance,
    polled,
    said,
)
from gongfang.api.broker.requests import (
    METHODS,
    Address,
    Origin,
    Wish,
    address,
    check_version,
    kind_of_operation,
    origin_of,
    token_of,
    wish,
)
from gongfang.api.call import KnownCall, call_with, services_of, visit_of
from gongfang.api.endpoint import limited
from gongfang.api.validation import Malformed
from gongfang.brokers.interface import (
    ASYNC_REQUIRED,
    MAINTENANCE,
    Answer,
    Bind,
    Deprovision,
    Poll,
    Polled,
    Provision,
    Refused,
    Target,
    Unbind,
    Update,
)
from gongfang.domain.errors import Forbidden, GongfangError, NotFound, TooMany, Unauthenticated, Unavailable
from gongfang.domain.hosting import HostedBinding, HostedInstance
from gongfang.domain.messages import Language, words
from gongfang.domain.services import CallKind
from gongfang.domain.values import JsonObject, Permission, Place, User
from gongfang.reconcile.builtin import BuiltinBroker, KnownInstance
from gongfang.state import Writing

BROKER = "/broker"
BODY_LIMIT = 1 << 20
_IDENTITY = "x-broker-api-request-identity"
_LONGEST_IDENTITY = 200
_VERBS = {
    CallKind.provision: "create",
    CallKind.update: "configure",
    CallKind.deprovision: "delete",
    CallKind.bind: "bind",
    CallKind.unbind: "unbind",
}
_CHANGES = {
    ("instance", "PUT"): CallKind.provision,
    ("instance", "PATCH"): CallKind.update,
    ("instance", "DELETE"): CallKind.deprovision,
    ("binding", "PUT"): CallKind.bind,
    ("binding", "DELETE"): CallKind.unbind,
}
log = structlog.get_logger("api")


class BrokerEndpoint:
    """The ASGI application below `BROKER`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return
        request = Request(scope, receive)
        language = visit_of(request).language
        try:
            answer = await _answered(request)
        except GongfangError as error:
            answer = _of_error(error, language)
        except ClientDisconnect:
            answer = _of_error(Malformed("request_broken_off"), language)
        except Exception:
            request_id = visit_of(request).request_id
            log.exception("request_failed", request_id=request_id, method=request.method, path=scope["path"])
            answer = Said(500, {"description": words("internal", {"request_id": request_id}, language)})
        await _response(request, answer)(scope, receive, send)


def _response(request: Request, answer: Said) -> Response:
    headers = {"cache-control": "no-store", **answer.headers}
    identity = request.headers.get(_IDENTITY, "")
    if 0 < len(identity) <= _LONGEST_IDENTITY and identity.isascii() and identity.isprintable():
        headers[_IDENTITY] = identity
    if answer.status == 304:
        return Response(status_code=304, headers=headers)
    return Response(orjson.dumps(answer.body), answer.status, headers, "application/json")


def _of_error(error: GongfangError, language: Language) -> Said:
    """What can't be read is 400 here, where `/api/v1` says 422."""
    status = 400 if error.kind == "invalid" else STATUS.get(error.kind, 500)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="gongfang", charset="UTF-8"'
    if isinstance(error, Unavailable | TooMany):
        headers["retry-after"] = f"{max(1, round(error.retry_after))}"
    told = [words(error.code, error.facts, language)]
    told += [f"{fault.field}: {words(fault.code, fault.facts, language)}" for fault in error.details]
    return Said(status, {"description": " ".join(told)[:1000]}, headers)


async def _answered(request: Request) -> Said:
    make = services_of(request).broker
    token = token_of(request.headers.get("authorization", ""))
    if token is None:
        raise Unauthenticated("osb_token_missing")
    call = await call_with(request, token)
    if not call.context.caller.may(Permission.service_write, Place()):
        raise Forbidden("osb_forbidden")
    check_version(request.headers.get("x-broker-api-version"))
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    at = address(path.removeprefix(BROKER.encode()))
    if at is None or make is None:
        raise NotFound("path_not_found", path=request.scope["path"].replace("\0", "")[:200])
    if request.method not in METHODS[at.what]:
        allowed = ", ".join(METHODS[at.what])
        facts = {"path": request.scope["path"][:200], "method": request.method, "allowed": allowed}
        told = words("method_not_allowed", facts, call.language)
        return Said(405, {"description": told}, {"allow": allowed})
    origin = origin_of(request.headers.get("x-broker-api-originating-identity"))
    asked = _Asked(request, call, at, origin)
    return await asked.answer(make)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request of one platform, of the right form so far."""

    request: Request
    call: KnownCall
    at: Address
    origin: Origin | None

    async def answer(self, make: Callable[..., BuiltinBroker]) -> Said:
        broker = make(self.call.context.database, self.call.context.caller.user.id, self._note)
        kind = _CHANGES.get((self.at.what, self.request.method))
        if kind is not None:
            return await self._change(broker, kind)
        match self.at.what:
            case "catalog":
                return await self._catalogue(broker)
            case "instance":
                return fetched_instance(await self._known(broker), await broker.fetch_instance(self._poll(None)))
            case "binding":
                found = await broker.fetch_binding(self._poll(None))
                return fetched_binding(await self._known(broker), self._binding_id, found)
            case _:
                return await self._last_operation(broker)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _catalogue(self, broker: BuiltinBroker) -> Said:
        catalog = await broker.catalog()
        body = catalogue(catalog) if catalog is not None else {}
        etag = f'"{hashlib.sha256(orjson.dumps(body)).hexdigest()[:32]}"'
        # Not `no-store`: a platform keeps it, and asks whether it is still so.
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        wanted = self.request.headers.get("if-none-match", "")
        same = any(tag.strip().removeprefix("W/") in (etag, "*") for tag in wanted.split(","))
        return Said(304 if same else 200, body, headers)

    async def _last_operation(self, broker: BuiltinBroker) -> Said:
        operation = self._query("operation")
        kind = kind_of_operation(operation) if operation is not None else None
        found = await broker.last_operation(self._poll(operation))
        if kind is None:
            gone = isinstance(found, Polled) and found.state == "gone"
            if gone:
                return absent()
            raise Malformed("osb_operation")
        return polled(kind, await self._known(broker), self.at.binding_id, found)

    # --- changing ----------------------------------------------------------------------------------------------------

    async def _change(self, broker: BuiltinBroker, kind: CallKind) -> Said:
        if kind in DELETES:
            return await self._delete(broker, kind)
        asked = await self._wish(kind)
        known = await self._known(broker)
        if not self._can_wait:
            return self._async_required()
        answer: Answer | None = None
        service_id, plan_id = asked.service_id or "", asked.plan_id or ""
        if known is not None and kind is not CallKind.provision:
            service_id, plan_id = asked.service_id or known.service_id, asked.plan_id or known.plan_id
        if kind is not CallKind.bind:
            answer = await self._maintained(broker, asked, service_id, plan_id)
        if answer is None and known is None and kind is not CallKind.provision:
            return absent()
        target = Target(self.at.instance_id, service_id, plan_id)
        if answer is None:
            answer = await self._sent(broker, kind, asked, target, known)
        return said(kind, answer)

    async def _sent(
        self, broker: BuiltinBroker, kind: CallKind, asked: Wish, target: Target, known: KnownInstance | None
    ) -> Answer:
        who = self.origin.who if self.origin is not None else None
        request_id = self.call.visit.request_id
        if kind is CallKind.provision:
            self.call.context.room()
            return await broker.provision(
                Provision(target, asked.parameters or {}, asked.where, who, request_id, asked.maintenance_version)
            )
        if kind is CallKind.update:
            before = known.plan_id if known is not None else target.plan_id
            return await broker.update(
                Update(
                    target,
                    previous_plan_id=before,
                    plan_changed=before != target.plan_id,
                    parameters=asked.parameters,
                    where=asked.where,
                    who=who,
                    request_id=request_id,
                    maintenance_version=asked.maintenance_version,
                )
            )
        return await broker.bind(
            Bind(
                target,
                binding_id=self._binding_id,
                app_id=asked.app_id,
                app_name=None,
                parameters=_parameters(asked, known),
                predecessor_id=asked.predecessor_id,
                where=asked.where,
                who=who,
                request_id=request_id,
            )
        )

    async def _delete(self, broker: BuiltinBroker, kind: CallKind) -> Said:
        ids = {name: self._query(name) for name in ("service_id", "plan_id")}
        for name, value in ids.items():
            if not value:
                raise Malformed("osb_field_missing", field=name)
        known = await self._known(broker)
        target = Target(self.at.instance_id, str(ids["service_id"]), str(ids["plan_id"]))
        there = known is not None and (kind is CallKind.deprovision or self.at.binding_id in known.bindings)
        if known is not None and target.service_id != known.service_id:
            raise Malformed("osb_other_service")
        if there and not self._can_wait:
            return self._async_required()
        who = self.origin.who if self.origin is not None else None
        request_id = self.call.visit.request_id
        answer: Answer
        if kind is CallKind.deprovision:
            answer = await broker.deprovision(Deprovision(target, who, request_id))
        else:
            answer = await broker.unbind(Unbind(target, self._binding_id, who, request_id))
        return said(kind, answer)

    async def _wish(self, kind: CallKind) -> Wish:
        body = await Request(self.request.scope, limited(self.request.receive, BODY_LIMIT)).body()
        # What others send may be large: the loop goes on meanwhile.
        return await asyncio.to_thread(wish, kind, body) if len(body) > 16 << 10 else wish(kind, body)

    async def _maintained(self, broker: BuiltinBroker, asked: Wish, service_id: str, plan_id: str) -> Refused | None:
        """Whether the other side's picture of a plan is of today."""
        if asked.maintenance_version is None:
            return None
        catalog = await broker.catalog()
        offerings = catalog.offerings if catalog is not None else ()
        plans = [p for o in offerings if o.id == service_id for p in o.plans if p.id == plan_id]
        if not plans or plans[0].maintenance_version == asked.maintenance_version:
            return None
        return Refused(422, MAINTENANCE, words("osb_maintenance", {}, self.call.language))

    # --- what was asked ----------------------------------------------------------------------------------------------

    @property
    def _binding_id(self) -> str:
        return self.at.binding_id or ""

    @property
    def _can_wait(self) -> bool:
        return self._query("accepts_incomplete") == "true"

    def _async_required(self) -> Said:
        return failed(Refused(422, ASYNC_REQUIRED, words("osb_async", {}, self.call.language)))

    def _query(self, name: str) -> str | None:
        """Raises `Malformed` where it is said twice; names that are not known are left alone."""
        values = self.request.query_params.getlist(name)
        if len(values) > 1:
            raise Malformed("osb_query_twice", field=name)
        return values[0] if values else None

    def _poll(self, operation: str | None) -> Poll:
        target = Target(self.at.instance_id, self._query("service_id") or "", self._query("plan_id") or "")
        return Poll(target, self.at.binding_id, operation, self.call.visit.request_id)

    async def _known(self, broker: BuiltinBroker) -> KnownInstance | None:
        return await broker.known(self.at.instance_id)

    async def _note(self, tx: Writing, kind: CallKind, row: HostedInstance, binding: HostedBinding | None) -> None:
        """The event of a change, in its own transaction. Of no tenant: what was made is the other platform's. A user
        who is deleted meanwhile leaves nothing behind that nobody could reach."""
        if kind is CallKind.provision and await tx.lock(User, row.owner) is None:
            raise Unauthenticated("token_invalid")
        verb = "rotate" if binding is not None and binding.predecessor and kind is CallKind.bind else _VERBS[kind]
        told: JsonObject = {"service": row.service, "plan": row.plan, "instance_id": row.instance_id}
        if binding is not None:
            told["binding_id"] = binding.binding_id
        if self.origin is not None:
            told["for"] = {"platform": self.origin.platform, "user": self.origin.user or "-"}
        await self.call.context.event(
            tx,
            f"service:{verb}:requested",
            place=Place(),
            object_id=row.id,
            object_name=row.instance_id,
            data=told,
        )


def _parameters(asked: Wish, known: KnownInstance | None) -> JsonObject:
    """A rotation that says nothing of them has its predecessor's."""
    if asked.parameters is not None or asked.predecessor_id is None or known is None:
        return asked.parameters or {}
    before = known.bindings.get(asked.predecessor_id)
    return before.parameters if before is not None else {}
