"""The event log: what happened, who did it, from where."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import Header, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from gongfang.api import exports, sse
from gongfang.api.call import Call, KnownCall
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import event_out
from gongfang.operations import events
from gongfang.wire.envelope import Page
from gongfang.wire.models import EventOut

routes = Routes("events")

_LOOK_AGAIN_S = 5.0
_SOON_S = 0.02  # events before the newest one are being committed just now

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
    position = start
    with call.services.database.hub.changes("event") as changed:
        while True:
            changed.clear()
            found, position, more = await events.events_after(call.context, position, app_id=app_id, tag=tag)
            for event in found:
                yield sse.Message(str(event.seq), "event", event_out(event))
            if not found:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _SOON_S if more else _LOOK_AGAIN_S)


@routes.add(
    "GET",
    "/events/export",
    EventOut,
    "Export events",
    "导出事件",
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in exports.TYPES.values()}}},
)
async def export_events(
    call: Call,
    format_: Annotated[Literal["jsonl", "csv"], Query(alias="format", description="One JSON object a line, or CSV")],
    app_id: AppRef = None,
    tag: Tag = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    bom: Annotated[bool, Query(description="CSV: begin with a mark by which Excel and WPS know UTF-8")] = False,
) -> Response:
    """The oldest first, all that the caller may read, as a file. Cells that a spreadsheet would take for a formula
    begin with an apostrophe. Compressed where `Accept-Encoding` has gzip."""
    pages = await events.export(call.context, app_ref=app_id, tag=tag, since=since, until=until)
    return exports.download(call, pages, format_, bom=bom)
