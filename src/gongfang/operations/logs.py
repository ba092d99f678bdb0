"""Output of an app's instances, tasks and builds as lines, several sources merged by time.

A runtime keeps bytes and marks that tie offsets to times; a workload's id is its instance's, task's or build's. Lines
are made here: invalid UTF-8 is replaced, ANSI sequences stay, and what is longer than 16 KiB is cut with a mark. A
cursor holds an offset a source, so a page goes on exactly where the last one ended, whatever was written since.
"""

import asyncio
import base64
import binascii
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, cast

import orjson

from gongfang.domain.errors import NotFound, invalid_field
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.values import App, Build, Instance, Permission, Task
from gongfang.operations.context import Context, find_app
from gongfang.operations.services import find_service
from gongfang.runtimes.interface import LogMark, Phase, Runtime
from gongfang.state import Reading

MAX_LINE = 16 * 1024  # bytes
CUT = " … [cut]"
_CHUNK = 64 * 1024
LOOK_AGAIN_S = 1.0
_PAGE = 256 * 1024
_MOST = 1 << 20  # bytes read back of one source for a page
_SOURCES = 100  # the newest so many instances of an app are read
_TASK = "task"


@dataclass(frozen=True, slots=True)
class Source:
    """A workload whose output is asked for. `name`: `web.0`, `task`, `build`. `since`: when it has no mark."""

    workload_id: str
    name: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    source: str
    instance_id: str
    text: str
    offset: int
    end: int  # offset of what comes after it


@dataclass(frozen=True, slots=True)
class LinesPage:
    lines: list[Line]
    cursor: str


@dataclass(slots=True)
class Splitter:
    """Cuts a stream of bytes into lines. Feed it in order; `flush` gives what is left without a line feed."""

    offset: int = 0
    _held: bytearray = field(default_factory=bytearray)
    _dropped: int = 0  # bytes of the present line that were not held

    def feed(self, data: bytes) -> list[tuple[int, int, str]]:
        """Whole lines as (offset, offset after it, text)."""
        found: list[tuple[int, int, str]] = []
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._hold(piece)
            found.append(self._take(newline=1))
        self._hold(rest)
        return found

    def flush(self) -> list[tuple[int, int, str]]:
        return [self._take(newline=0)] if self._held or self._dropped else []

    def _hold(self, piece: bytes) -> None:
        room = MAX_LINE + 1 - len(self._held)
        self._held += piece[:room]
        self._dropped += max(0, len(piece) - room)

    def _take(self, *, newline: int) -> tuple[int, int, str]:
        start = self.offset
        self.offset += len(self._held) + self._dropped + newline
        text = line_text(bytes(self._held))
        self._held.clear()
        self._dropped = 0
        return start, self.offset, text


def line_text(data: bytes) -> str:
    """One line's bytes as text. A cut falls between characters."""
    if len(data) <= MAX_LINE:
        return data.removesuffix(b"\r").decode("utf-8", "replace")
    end = MAX_LINE
    while end > MAX_LINE - 4 and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end].decode("utf-8", "replace") + CUT


def time_of(marks: Sequence[LogMark], offset: int, default: datetime) -> datetime:
    """When the output at an offset was seen, by marks that ascend."""
    place = bisect_right(marks, offset, key=attrgetter("offset"))
    return marks[place - 1].at if place else default


def merged(lines: Iterable[Line]) -> list[Line]:
    """By time; lines of one source stay in their order."""
    return sorted(lines, key=lambda line: (line.at, line.instance_id, line.offset))


def encode_cursor(offsets: Mapping[str, int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(dict(offsets))).decode("ascii").rstrip("=")


def decode_cursor(cursor: str) -> dict[str, int]:
    """Raises `Invalid` on what was never a cursor."""
    try:
        data = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise invalid_field("cursor", "cursor_invalid") from error
    if not isinstance(data, dict):
        raise invalid_field("cursor", "cursor_invalid")
    offsets = cast("dict[str, object]", data)
    if not all(isinstance(offset, int) and offset >= 0 for offset in offsets.values()):
        raise invalid_field("cursor", "cursor_invalid")
    return cast("dict[str, int]", offsets)


async def app_sources(
    context: Context, ref: str, *, process: str | None = None, instance_id: str | None = None
) -> list[Source]:
    """An app's instances and its one-off tasks (process `task`), ended ones too as long as they are on record, the
    oldest first. Takes `logs:read`."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref, Permission.logs_read)
        equals: dict[str, Any] = {"app_id": app.id}
        if process is not None:
            equals["process"] = process
        if instance_id is not None:
            equals["id"] = instance_id
        instances = await tx.find(Instance, descending=True, limit=_SOURCES, **equals)
        tasks: list[Task] = []
        equals.pop("process", None)
        if process in (None, _TASK):
            tasks = await tx.find(Task, descending=True, limit=_SOURCES, **equals)
    found = [Source(i.id, f"{i.process}.{i.index}", i.created_at) for i in instances]
    found += [Source(t.id, _TASK, t.created_at) for t in tasks]
    if instance_id is not None and not found:
        raise NotFound("instance_not_found", instance=instance_id)
    return sorted(found, key=lambda source: (source.since, source.workload_id))[-_SOURCES:]


async def task_source(context: Context, task_id: str) -> tuple[Task, Source]:
    """Takes `logs:read` at the task's app. Raises `NotFound("task_not_found")`."""
    async with context.database.reading() as tx:
        task = await tx.one(Task, task_id)
        if task is None:
            raise NotFound("task_not_found", task=task_id)
        await _require_of_app(tx, context, task.app_id, NotFound("task_not_found", task=task_id))
        return task, Source(task.id, "task", task.created_at)


async def build_source(context: Context, build_id: str) -> tuple[Build, Source]:
    """Takes `logs:read` at the build's app. Raises `NotFound("build_not_found")`."""
    async with context.database.reading() as tx:
        build = await tx.one(Build, build_id)
        if build is None:
            raise NotFound("build_not_found", build=build_id)
        await _require_of_app(tx, context, build.app_id, NotFound("build_not_found", build=build_id))
        return build, Source(build.id, "build", build.created_at)


async def service_sources(context: Context, ref: str) -> tuple[str, list[Source]]:
    """A service's server of the platform's own, as it runs now; none where it is of an outside broker, or between two
    starts. With the key that its changes are told under. Takes `logs:read` at the service instance."""
    async with context.database.reading() as tx:
        instance = await find_service(tx, context, ref, Permission.logs_read)
        own = await tx.find(HostedInstance, owner="", instance_id=instance.id, limit=1)
    if not own:
        return "", []
    server = own[0]
    source = [Source(server.workload_id, server.service, server.created_at)] if server.workload_id else []
    return server.id, source


async def _require_of_app(tx: Reading, context: Context, app_id: str, missing: NotFound) -> None:
    app = await tx.one(App, app_id)
    if app is None:
        raise missing
    context.require(Permission.logs_read, app.place, missing=missing)


class LogReader:
    """Reads one runtime's logs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def page(
        self,
        sources: Sequence[Source],
        *,
        tail: int,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
    ) -> LinesPage:
        """Without a cursor the last `tail` lines between the times; with one the next `tail` lines after it.

        A line that has not ended yet is left for the next page, unless its workload has ended.
        """
        if cursor is None:
            return await self._last(sources, tail, since, until)
        return await self._next(sources, tail, since, until, decode_cursor(cursor))

    async def _last(
        self, sources: Sequence[Source], tail: int, since: datetime | None, until: datetime | None
    ) -> LinesPage:
        lines: list[Line] = []
        ends: dict[str, int] = {}
        for source in sources:
            found, end = await self._last_of(source, tail, since, until)
            lines += found
            ends[source.workload_id] = end
        lines = merged(lines)
        return LinesPage(lines[-tail:] if tail else [], encode_cursor(ends))

    async def _last_of(
        self, source: Source, tail: int, since: datetime | None, until: datetime | None
    ) -> tuple[list[Line], int]:
        """The last lines of one source, reading back in growing steps; and the offset after the last whole line."""
        size = _CHUNK
        while True:
            chunk = await self._runtime.read_log(source.workload_id, offset=-size, limit=size)
            complete = len(chunk.data) < size  # there is no older output
            lines, end = await self._lines(source, chunk.data, chunk.offset)
            if not complete:
                lines = lines[1:]  # it may have begun before what was read
            chosen = [line for line in lines if _between(line.at, since, until)]
            old_enough = bool(lines) and since is not None and lines[0].at < since
            if complete or old_enough or len(chosen) >= tail or size >= _MOST:
                return chosen[-tail:] if tail else [], end
            size *= 4

    async def _next(
        self,
        sources: Sequence[Source],
        count: int,
        since: datetime | None,
        until: datetime | None,
        offsets: dict[str, int],
    ) -> LinesPage:
        lines: list[Line] = []
        reached: dict[str, int] = {}
        for source in sources:
            offset = offsets.get(source.workload_id, 0)
            chunk = await self._runtime.read_log(source.workload_id, offset=offset, limit=_PAGE)
            found, reached[source.workload_id] = await self._lines(
                source, chunk.data, chunk.offset, full=len(chunk.data) == _PAGE
            )
            lines += [line for line in found if _between(line.at, since, until)]
        lines = merged(lines)
        taken, left = lines[:count], lines[count:]
        for line in reversed(left):  # what was not taken is where its source goes on
            reached[line.instance_id] = line.offset
        return LinesPage(taken, encode_cursor(reached))

    async def _lines(self, source: Source, data: bytes, offset: int, *, full: bool = False) -> tuple[list[Line], int]:
        """Whole lines of what was read, and the offset after them. `full`: there is more; a line that fills all of
        what was read is given in pieces rather than never."""
        splitter = Splitter(offset)
        pieces = splitter.feed(data)
        if (full and not pieces) or (not full and await self._ended(source.workload_id)):
            pieces += splitter.flush()
        marks = await self._runtime.log_marks(source.workload_id)
        return [_line(source, marks, piece) for piece in pieces], splitter.offset

    async def known(self, workload_id: str) -> bool:
        """Whether it was started and its log is still there."""
        return (await self._runtime.observe(workload_id)).phase is not Phase.unknown

    async def _ended(self, workload_id: str) -> bool:
        return (await self._runtime.observe(workload_id)).phase is not Phase.running

    async def follow(self, source: Source, offset: int) -> AsyncGenerator[Line]:
        """Lines from an offset on as they are written, until the workload has ended or its log is forgotten."""
        splitter = Splitter(offset)
        position = offset
        while True:
            ended = await self._ended(source.workload_id)
            chunk = await self._runtime.read_log(source.workload_id, offset=position, limit=_CHUNK)
            if chunk.offset > position and chunk.data:  # older output is gone
                splitter = Splitter(chunk.offset)
            pieces = splitter.feed(chunk.data)
            position = chunk.next_offset
            if not chunk.data and ended:
                pieces += splitter.flush()
            if pieces:
                marks = await self._runtime.log_marks(source.workload_id)
                for piece in pieces:
                    yield _line(source, marks, piece)
            if not chunk.data:
                if ended:
                    return
                await self._runtime.log_grew(source.workload_id, position)


def _between(at: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or at >= since) and (until is None or at < until)


def _line(source: Source, marks: Sequence[LogMark], piece: tuple[int, int, str]) -> Line:
    start, end, text = piece
    return Line(time_of(marks, start, source.since), source.name, source.workload_id, text, start, end)


class Pumps:
    """Many sources followed at once into one queue. `changed` is set when there is a line to take, or when a source has
    ended."""

    def __init__(self, reader: LogReader, changed: asyncio.Event) -> None:
        self._reader = reader
        self._changed = changed
        self._queue: asyncio.Queue[Line] = asyncio.Queue(1000)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def add(self, source: Source, offset: int) -> None:
        """Begins to follow a source, unless it is followed already or its workload was never started yet."""
        if source.workload_id not in self._tasks and await self._reader.known(source.workload_id):
            self._tasks[source.workload_id] = asyncio.create_task(self._pump(source, offset))

    async def _pump(self, source: Source, offset: int) -> None:
        try:
            async for line in self._reader.follow(source, offset):
                await self._queue.put(line)
                self._changed.set()
        finally:
            self._changed.set()

    def waiting(self) -> list[Line]:
        lines: list[Line] = []
        while not self._queue.empty():
            lines.append(self._queue.get_nowait())
        return merged(lines)

    @property
    def ended(self) -> bool:
        return all(task.done() for task in self._tasks.values())

    async def close(self) -> None:
        """Ends them all; raises what a pump failed with."""
        for task in self._tasks.values():
            task.cancel()
        for result in await asyncio.gather(*self._tasks.values(), return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@dataclass(frozen=True, slots=True)
class FollowedLine:
    """A line, and the cursor that goes on after it."""

    line: Line
    cursor: str


async def follow_many(
    reader: LogReader,
    sources: Callable[[], Awaitable[Sequence[Source]]],
    first: LinesPage,
    changed: asyncio.Event,
    *,
    finished: Callable[[], Awaitable[bool]],
) -> AsyncGenerator[FollowedLine]:
    """The page's lines, then lines as they are written, of sources that may grow more.

    `changed`: set by whoever knows that something is new; it is looked again after a second anyway. Ends when
    `finished` says that nothing more will be started and all that was has ended.
    """
    offsets = decode_cursor(first.cursor)
    for line in first.lines:
        yield FollowedLine(line, first.cursor)
    pumps = Pumps(reader, changed)
    try:
        while True:
            changed.clear()
            last_look = await finished()
            for source in await sources():
                offsets.setdefault(source.workload_id, 0)
                await pumps.add(source, offsets[source.workload_id])
            over = last_look and pumps.ended
            for line in pumps.waiting():
                offsets[line.instance_id] = line.end
                yield FollowedLine(line, encode_cursor(offsets))
            if over:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), LOOK_AGAIN_S)
    finally:
        await pumps.close()
