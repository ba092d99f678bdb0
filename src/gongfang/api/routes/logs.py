"""Logs of apps, builds and tasks: a page, or a stream that follows."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from gongfang.api import sse
from gongfang.api.call import Call, KnownCall
from gongfang.api.documented import EVENT_STREAM, may_be_ambiguous
from gongfang.api.endpoint import Routes
from gongfang.api.present import build_out, line_out, task_out
from gongfang.api.routes.tasks import task_ended
from gongfang.domain.values import BuildState
from gongfang.operations import logs, packages, tasks
from gongfang.operations.events import app_id_of
from gongfang.operations.logs import LinesPage, LogReader, Source
from gongfang.wire.models import LogPage

routes = Routes("logs")

Tail = Annotated[int, Query(ge=0, le=10000, description="How many lines at most")]
Cursor = Annotated[str | None, Query(max_length=8192, description="Go on after these lines")]
Follow = Annotated[bool, Query(description="As server-sent events: `line`, and `end` when a task or build has ended")]
Since = Annotated[AwareDatetime | None, Query(description="From this time on")]
Until = Annotated[AwareDatetime | None, Query(description="Before this time")]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=8192)]

_STREAM: dict[int | str, dict[str, Any]] = {200: EVENT_STREAM}


def _page(call: KnownCall, page: LinesPage) -> Response:
    return call.ok(LogPage(items=[line_out(line) for line in page.lines], next_cursor=page.cursor))


async def _never() -> bool:
    return False


@routes.add("GET", "/apps/{app_id}/logs", LogPage, "Read or follow an app's logs", "应用日志", responses=_STREAM)
async def app_logs(
    call: Call,
    app_id: str,
    process: Annotated[str | None, Query(max_length=64)] = None,
    instance_id: Annotated[str | None, Query(max_length=64)] = None,
    since: Since = None,
    until: Until = None,
    tail: Tail = 100,
    cursor: Cursor = None,
    follow: Follow = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Lines of all instances, merged by time; those of ended instances as long as these are on record."""
    reader = LogReader(call.services.runtime)

    async def sources() -> Sequence[Source]:
        return await logs.app_sources(call.context, app_id, process=process, instance_id=instance_id)

    first = await reader.page(
        await sources(),
        tail=tail,
        since=since,
        until=until,
        cursor=last_event_id if follow and last_event_id else cursor,
    )
    if not follow:
        return _page(call, first)
    key = ("app", await app_id_of(call.context, app_id))
    return sse.stream(call, _followed(call, reader, sources, first, key, _never, None))


@routes.add("GET", "/builds/{build_id}/log", LogPage, "Read or follow a build's log", "构建日志", responses=_STREAM)
async def build_log(
    call: Call,
    build_id: str,
    tail: Tail = 1000,
    cursor: Cursor = None,
    follow: Follow = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Followed, it ends with `event: end`, whose data is the build."""
    reader = LogReader(call.services.runtime)
    _, source = await logs.build_source(call.context, build_id)

    async def finished() -> bool:
        state = (await packages.show_build(call.context, build_id)).state
        return state not in (BuildState.pending, BuildState.running)

    async def last() -> BaseModel:
        return build_out(await packages.show_build(call.context, build_id), call.language)

    return await _one_log(call, reader, source, tail, cursor, follow, last_event_id, "build", finished, last)


@routes.add("GET", "/tasks/{task_id}/log", LogPage, "Read or follow a task's log", "任务日志", responses=_STREAM)
async def task_log(
    call: Call,
    task_id: str,
    tail: Tail = 1000,
    cursor: Cursor = None,
    follow: Follow = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Followed, it ends with `event: end`, whose data is the task."""
    reader = LogReader(call.services.runtime)
    _, source = await logs.task_source(call.context, task_id)

    async def finished() -> bool:
        return task_ended(await tasks.show_task(call.context, task_id))

    async def last() -> BaseModel:
        return task_out(await tasks.show_task(call.context, task_id), call.language)

    return await _one_log(call, reader, source, tail, cursor, follow, last_event_id, "task", finished, last)


@routes.add(
    "GET",
    "/service-instances/{service_instance_id}/log",
    LogPage,
    "Read or follow a service's log",
    "服务实例日志",
    responses=_STREAM | may_be_ambiguous(),
)
async def service_log(
    call: Call,
    service_instance_id: str,
    tail: Tail = 100,
    cursor: Cursor = None,
    follow: Follow = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Of a server of the platform's own, since its last start."""
    reader = LogReader(call.services.runtime)

    async def sources() -> Sequence[Source]:
        return (await logs.service_sources(call.context, service_instance_id))[1]

    key, now = await logs.service_sources(call.context, service_instance_id)
    first = await reader.page(now, tail=tail, cursor=last_event_id if follow and last_event_id else cursor)
    if not follow:
        return _page(call, first)
    return sse.stream(call, _followed(call, reader, sources, first, ("hosted", key), _never, None))


async def _one_log(
    call: KnownCall,
    reader: LogReader,
    source: Source,
    tail: int,
    cursor: str | None,
    follow: bool,
    last_event_id: str | None,
    kind: str,
    finished: Callable[[], Awaitable[bool]],
    last: Callable[[], Awaitable[BaseModel]],
) -> Response:
    async def sources() -> Sequence[Source]:
        return [source]

    first = await reader.page([source], tail=tail, cursor=last_event_id if follow and last_event_id else cursor)
    if not follow:
        return _page(call, first)
    key = (kind, source.workload_id)
    return sse.stream(call, _followed(call, reader, sources, first, key, finished, last))


async def _followed(
    call: KnownCall,
    reader: LogReader,
    sources: Callable[[], Awaitable[Sequence[Source]]],
    first: LinesPage,
    key: tuple[str, str],
    finished: Callable[[], Awaitable[bool]],
    last: Callable[[], Awaitable[BaseModel]] | None,
) -> AsyncGenerator[sse.Message]:
    with call.services.database.hub.changes(*key) as changed:
        followed = logs.follow_many(reader, sources, first, changed, finished=finished)
        try:
            async for item in followed:
                yield sse.Message(item.cursor, "line", line_out(item.line))
        finally:
            await followed.aclose()
        if last is not None:
            yield sse.Message(None, "end", await last())
