"""`Idempotency-Key`: a POST that is sent again gets the first answer again, and is done once.

A key is claimed before the work and answered after it, in transactions of their own; the work's own transaction marks
the key as done (`operations.context`). So after a crash anywhere between, the same call sent again is not done twice:

- claimed by a control plane that is gone, not done: it is done now;
- done, and the answer was lost: `idempotency_answer_lost` names what was made, and nothing is done;
- being worked on: `idempotency_in_progress`, and the client tries again.

An answer is kept for a day. A 5xx frees the key where nothing was done, so that trying again does try again. Keys are
a user's own, for one method and path and tokens of the same scopes. One control plane works in a home, so an owner that
isn't this one is gone.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from gongfang.api.call import KnownCall
from gongfang.domain.errors import Conflict, Invalid, Unavailable
from gongfang.state import ANSWERS_KEPT, Idempotent

log = structlog.get_logger("api")

_WORKING = timedelta(minutes=10)
_PURGE_EVERY = timedelta(hours=1)


class Replays:
    """The answers of one platform."""

    def __init__(self) -> None:
        self._purged_at: datetime | None = None
        self._owner = secrets.token_hex(16)

    async def answer(
        self, call: KnownCall, key: str, body: bytes | None, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The stored answer, or the work's. `body` None: an upload, which is not part of the fingerprint.

        Raises `Invalid("idempotency_key_reused")`, `Conflict("idempotency_in_progress")`,
        `Conflict("idempotency_answer_lost")`.
        """
        if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise Invalid("idempotency_key_invalid")
        name = _name(call, key)
        earlier = await self._claim(call, name, _fingerprint(call.request, body))
        if earlier is not None:
            return _replay(earlier)
        caller = replace(call.context.caller, claim=name)
        call.request.state.call = replace(call, context=replace(call.context, caller=caller))
        try:
            response = await work()
        except BaseException:
            await self._forget(call, name)
            raise
        if response.status_code >= 500:
            await self._forget(call, name)
            return response
        try:
            await self._keep(call, name, response)
        except Unavailable:
            # The work is done and its answer is here; the claim stays, so that the same key doesn't do it again soon.
            log.warning("idempotent_answer_not_kept", request_id=call.visit.request_id)
        return response

    async def _claim(self, call: KnownCall, name: str, fingerprint: str) -> Idempotent | None:
        """None where the work is this call's to do, else the answer that there is already."""
        now = call.services.clock()
        async with call.services.database.writing() as tx:
            if self._purged_at is None or now - self._purged_at > _PURGE_EVERY:
                self._purged_at = now
                await tx.purge_idempotency(now - ANSWERS_KEPT)
            if await tx.claim_idempotency(name, fingerprint, now, self._owner):
                return None
            found = await tx.idempotent(name)
            if found is not None and self._is_over(found, now):
                await tx.forget_idempotency(name, found.fingerprint)
                if await tx.claim_idempotency(name, fingerprint, now, self._owner):
                    return None
        if found is not None and found.fingerprint != fingerprint:
            raise Invalid("idempotency_key_reused")
        if found is not None and found.status is not None:
            return found
        if found is None or (found.owner == self._owner and now - found.created_at <= _WORKING):
            raise Conflict("idempotency_in_progress")
        raise Conflict("idempotency_answer_lost", object=found.done or "-")

    def _is_over(self, found: Idempotent, now: datetime) -> bool:
        """Whether the key is free: its answer is old, or nobody works on it and nothing was done."""
        age = now - found.created_at
        if found.status is not None or found.done is not None:
            return age > ANSWERS_KEPT
        return age > _WORKING or found.owner != self._owner

    async def _keep(self, call: KnownCall, name: str, response: Response) -> None:
        answer = {"answer": orjson.loads(response.body), "etag": response.headers.get("etag")}
        async with call.services.database.writing() as tx:
            await tx.answer_idempotency(name, response.status_code, answer)

    async def _forget(self, call: KnownCall, name: str) -> None:
        async with call.services.database.writing() as tx:
            await tx.forget_idempotency(name)


def _name(call: KnownCall, key: str) -> str:
    request = call.request
    caller = call.context.caller
    # With the token's scopes: an answer may hold what a token that is cut down further may not see.
    parts = (caller.user.id, ",".join(sorted(caller.token.scopes)), request.method, request.url.path, key)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _fingerprint(request: Request, body: bytes | None) -> str:
    query = sorted((k, v) for k, v in request.query_params.multi_items() if k != "wait")
    return hashlib.sha256(
        orjson.dumps([query, hashlib.sha256(body).hexdigest() if body is not None else None])
    ).hexdigest()


def _replay(earlier: Idempotent) -> Response:
    stored = earlier.body or {}
    headers = {"idempotent-replayed": "true"}
    if stored.get("etag"):
        headers["etag"] = stored["etag"]
    return Response(orjson.dumps(stored.get("answer")), earlier.status or 200, headers, "application/json")
