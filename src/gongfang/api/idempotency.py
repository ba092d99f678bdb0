"""`Idempotency-Key`: a POST that is sent again gets the first answer again, and is done once.

A key is claimed before the work and answered after it, in transactions of their own: what a crash leaves claimed and
unanswered is free again after ten minutes. An answer is kept for a day. A 5xx frees the key, so that trying again does
try again. Keys are a user's own, for one method and path.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from gongfang.api.call import KnownCall
from gongfang.domain.errors import Conflict, Invalid, Unavailable
from gongfang.state import Idempotent

log = structlog.get_logger("api")

_WORKING = timedelta(minutes=10)
_KEPT = timedelta(hours=24)
_PURGE_EVERY = timedelta(hours=1)


class Replays:
    """The answers of one platform."""

    def __init__(self) -> None:
        self._purged_at: datetime | None = None

    async def answer(
        self, call: KnownCall, key: str, body: bytes | None, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The stored answer, or the work's. `body` None: an upload, which is not part of the fingerprint.

        Raises `Invalid("idempotency_key_reused")`, `Conflict("idempotency_in_progress")`.
        """
        if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise Invalid("idempotency_key_invalid")
        name = _name(call, key)
        earlier = await self._claim(call, name, _fingerprint(call.request, body))
        if earlier is not None:
            return _replay(earlier)
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
                await tx.forget_idempotency(before=now - _KEPT)
            if await tx.claim_idempotency(name, fingerprint, now):
                return None
            found = await tx.idempotent(name)
            if found is not None and now - found.created_at > (_WORKING if found.status is None else _KEPT):
                await tx.forget_idempotency(key=name)
                if await tx.claim_idempotency(name, fingerprint, now):
                    return None
        if found is not None and found.fingerprint != fingerprint:
            raise Invalid("idempotency_key_reused")
        if found is None or found.status is None:
            raise Conflict("idempotency_in_progress")
        return found

    async def _keep(self, call: KnownCall, name: str, response: Response) -> None:
        answer = {"answer": orjson.loads(response.body), "etag": response.headers.get("etag")}
        async with call.services.database.writing() as tx:
            await tx.answer_idempotency(name, response.status_code, answer)

    async def _forget(self, call: KnownCall, name: str) -> None:
        async with call.services.database.writing() as tx:
            await tx.forget_idempotency(key=name)


def _name(call: KnownCall, key: str) -> str:
    request = call.request
    parts = (call.context.caller.user.id, request.method, request.url.path, key)
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
