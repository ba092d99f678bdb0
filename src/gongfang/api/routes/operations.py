"""Operations: what is being done, by whom, how far it is, and why it failed."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from gongfang.api import sse
from gongfang.api.call import Call, KnownCall
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import line_out, operation_out
from gongfang.api.waiting import Wait, until
from gongfang.domain.values import OperationStatus
from gongfang.operations import operation_queries as queries
from gongfang.operations.logs import LOOK_AGAIN_S, LogReader, Pumps, Source
from gongfang.wire.envelope import Page
from gongfang.wire.models import OperationOut

routes = Routes("operations")

_REST_OF_LOG_S = 5.0  # how long an ended operation's stream waits for the end of its build's output


@routes.add("GET", "/operations", Page[OperationOut], "List operations", "操作列表")
async def list_operations(
    call: Call,
    pages: Pages,
    app_id: Annotated[str | None, Query(description="An app's id or name; one that is gone by its id")] = None,
    status: OperationStatus | None = None,
) -> Response:
    """The newest first."""
    found = await queries.list_operations(
        call.context, app_ref=app_id, status=status, after=pages.after, limit=pages.one_more
    )
    return call.ok(pages.page(found, lambda v: v.operation.id, lambda v: operation_out(v, call.language)))


@routes.add("GET", "/operations/{operation_id}", OperationOut, "Show an operation", "查看操作")
async def show_operation(call: Call, operation_id: str, wait: Wait = None) -> Response:
    """With `?wait=` when it has ended, or when the time is over, however it ended: 200."""

    view = await until(
        call,
        "operation",
        operation_id,
        lambda: queries.show_operation(call.context, operation_id),
        lambda seen: seen.operation.status.ended,
        wait or 0.0,
    )
    return call.ok(operation_out(view, call.language))


@routes.add("POST", "/operations/{operation_id}/cancel", OperationOut, "Cancel an operation", "取消操作")
async def cancel_operation(call: Call, operation_id: str) -> Response:
    """What it has changed is put back as it was; one that has ended is a conflict."""
    return call.ok(operation_out(await queries.cancel_operation(call.context, operation_id), call.language))


@routes.add(
    "GET",
    "/operations/{operation_id}/events",
    OperationOut,
    "Follow an operation",
    "跟踪操作进度",
    streams=True,
    responses={204: {"description": "All was seen before"}},
)
async def operation_events(
    call: Call,
    operation_id: str,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)] = None,
) -> Response:
    """Server-sent events: `operation` (each change), `log` (each line of its build). Ends after the last; 204 where
    all was seen before."""
    view = await queries.show_operation(call.context, operation_id)
    sequence, offset = _position(last_event_id)
    if view.operation.status.ended and sequence >= view.operation.sequence:
        return Response(status_code=204)
    return sse.stream(call, _progress(call, operation_id, sequence, offset))


def _position(last_event_id: str | None) -> tuple[int, int]:
    """Sequence of the operation and offset in the build's log that were seen; what is no id counts as none."""
    sequence, _, offset = (last_event_id or "").partition(".")
    if not sequence.isdecimal() or not (offset or "0").isdecimal():
        return -1, 0
    return int(sequence), int(offset or 0)


async def _progress(call: KnownCall, operation_id: str, sequence: int, offset: int) -> AsyncGenerator[sse.Message]:
    reader = LogReader(call.services.runtime)
    may_read_logs = await queries.may_read_logs(call.context, operation_id)
    give_up_at: float | None = None
    with call.services.database.hub.changes("operation", operation_id) as changed:
        pumps = Pumps(reader, changed)
        try:
            while True:
                changed.clear()
                view = await queries.show_operation(call.context, operation_id)
                operation = view.operation
                if operation.build_id and may_read_logs:
                    await pumps.add(Source(operation.build_id, "build", operation.created_at), offset)
                log_ended = pumps.ended
                for line in pumps.waiting():
                    offset = line.end
                    yield sse.Message(f"{max(sequence, 0)}.{offset}", "log", line_out(line))
                ended = operation.status.ended
                if ended and give_up_at is None:
                    give_up_at = time.monotonic() + _REST_OF_LOG_S
                over = ended and (log_ended or time.monotonic() >= (give_up_at or 0))
                if operation.sequence > sequence and (over or not ended):
                    sequence = operation.sequence
                    at = f"{sequence}.{offset}" if offset else str(sequence)
                    yield sse.Message(at, "operation", operation_out(view, call.language))
                if over:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), LOOK_AGAIN_S)
        finally:
            await pumps.close()
