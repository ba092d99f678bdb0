"""Refused changes leave an event too: who tried what, from where, and why it was refused.

It is written at the edge, in a transaction of its own, since the call's has been rolled back. So that a flood of
refused calls doesn't fill the database, of the same (user, endpoint, code) one event is written at once and the rest of
that minute are counted; when the minute is over, one more event says how many there were (`data.count`). A user who
is refused in more ways than `WAYS` within a minute shares one count for the rest. Counts not written yet are lost
where the control plane is killed; the first event of each kind is not.

The events belong to the place that the call was about, as far as it came, so those who may read that place's events
see who tried what there.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog
from starlette.requests import Request

from gongfang.api.call import KnownCall
from gongfang.domain.audit import kind_of
from gongfang.domain.errors import GongfangError
from gongfang.domain.ids import is_id
from gongfang.domain.values import JsonObject, Outcome

log = structlog.get_logger("api")

REFUSED = frozenset({403, 404, 409, 412, 413, 429})
"""Statuses that mean: not you, or not now. What is merely misspelt (400, 422) was never a change."""
WINDOW_S = 60.0
WAYS = 60
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OTHER = "other"

Way = tuple[str, str, str]  # user, endpoint, code


@dataclass
class _Window:
    event: JsonObject
    more: int = 0


@dataclass
class Refusals:
    """Those of one platform."""

    window_s: float = WINDOW_S
    _open: dict[Way, _Window] = field(default_factory=dict[Way, _Window])
    _ways: Counter[str] = field(default_factory=Counter[str])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def note(self, call: KnownCall, request: Request, status: int, code: str) -> None:
        """Writes down a call that was answered with an error, where it wanted to change something."""
        if request.method in _READS or not (status in REFUSED or status == 500):
            return
        user = call.context.caller.user.id
        route: Any = request.scope.get("route")
        way = (user, getattr(route, "operation_id", None) or request.url.path[:100], code)
        if way not in self._open and self._ways[user] >= WAYS:
            way = (user, _OTHER, _OTHER)
        window = self._open.get(way)
        if window is not None:
            window.more += 1
            return
        event = _event(call, request, way, status, code)
        self._open[way] = _Window(event)
        self._ways[user] += 1
        task = asyncio.create_task(self._close_later(call, way))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._write(call, event, 1)

    async def flush(self) -> None:
        """Writes the counts now, for the end of the platform."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close_later(self, call: KnownCall, way: Way) -> None:
        try:
            await asyncio.sleep(self.window_s)
        finally:
            window = self._open.pop(way)
            self._ways[way[0]] -= 1
            if not self._ways[way[0]]:
                del self._ways[way[0]]
            if window.more:
                await self._write(call, window.event, window.more)

    async def _write(self, call: KnownCall, event: JsonObject, count: int) -> None:
        try:
            async with call.services.database.writing() as tx:
                told: dict[str, Any] = {**event, "data": {**event["data"], "count": count}}
                await tx.event(**told, at=call.context.clock())
        except GongfangError as error:
            # The answer is the caller's all the same; that nothing was changed is true without the event.
            log.warning("refusal_not_written", code=error.code, tag=event["tag"])


def _event(call: KnownCall, request: Request, way: Way, status: int, code: str) -> JsonObject:
    context, trace = call.context, call.context.trace
    app = trace.app
    place = app.place if app else trace.place
    named = next(iter(request.path_params.values()), None)
    object_id = str(named) if named is not None and is_id(str(named)) else (app.id if app else None)
    outcome = Outcome.failed if status >= 500 else Outcome.refused
    return {
        "tag": f"api:{way[1]}"[:56] + f":{outcome.value}",
        "outcome": outcome,
        "actor_id": context.caller.user.id,
        "actor_name": context.caller.user.name,
        "source": call.source,
        "tenant_id": place.tenant_id,
        "organization_id": place.organization_id,
        "space_id": place.space_id,
        "app_id": app.id if app else None,
        "object_id": object_id,
        "object_kind": kind_of(object_id, "api") if object_id else None,
        "object_name": app.name if app else (str(named)[:255] if named is not None else None),
        "data": {"method": request.method, "path": request.url.path[:200], "status": status, "code": code},
        "request_id": call.visit.request_id,
        "token_id": context.caller.token.id,
        "user_agent": call.user_agent,
    }
