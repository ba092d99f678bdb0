"""The event log: what happened, who did it, from where."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated

from fastapi import Header, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from gongfang.api import sse
from gongfang.api.call import Call, KnownCall
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import event_out
from gongfang.operations import events
from gongfang.wire.envelope import Page
from gongfang.wire.models import EventOut

routes = Routes("events")

_LOOK_AGAIN_S = 5.0
_BACK = 200  # sequence numbers looked at again: a transaction that took a lower one may commit later

AppRef = Annotated[str | None, Query(description="An app's id or name; one that is gone by its id")]
Tag = Annotated[str | None, Query(max_length=64, description="`app:create`, or `app:*`", examples=["app:*"])]


@routes.add("GET", "/events", Page[EventOut], "List events", "事件列表")
async def list_events(
    call: Call,
    pages: Pages,
    app_id: AppRef = None,
    tag: Tag = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Response:
    """The newest first."""
    found = await events.list_events(
        call.context,
        app_ref=app_id,
        tag=tag,
        since=since,
        until=until,
        before=pages.after_number,
        limit=pages.one_more,
    )
    return call.ok(pages.page(found, lambda e: e.seq, event_out))


@routes.add(
    "GET",
    "/events/stream",
    EventOut,
    "Follow events",
    "订阅事件",
    streams=True,
)
async def stream_events(
    call: Call,
    app_id: AppRef = None,
    tag: Tag = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=32)] = None,
) -> Response:
    """Server-sent events from now on, or from after `Last-Event-ID`; `id` is the event's `seq`."""
    known = last_event_id is not None and last_event_id.isdecimal() and len(last_event_id) <= 18
    start = int(last_event_id or 0) if known else await events.newest_event(call.context)
    wanted = await events.app_id_of(call.context, app_id) if app_id is not None else None
    return sse.stream(call, _events(call, start, wanted, tag))


async def _events(call: KnownCall, start: int, app_id: str | None, tag: str | None) -> AsyncGenerator[sse.Message]:
    highest = start
    given: deque[int] = deque(maxlen=2 * _BACK)
    with call.services.database.hub.changes("event") as changed:
        while True:
            changed.clear()
            after = max(start, highest - _BACK)
            found = await events.events_after(call.context, after, app_id=app_id, tag=tag, limit=2 * _BACK)
            for event in found:
                if event.seq not in given:
                    given.append(event.seq)
                    highest = max(highest, event.seq)
                    yield sse.Message(str(highest), "event", event_out(event))
            if len(found) < 2 * _BACK:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LOOK_AGAIN_S)
