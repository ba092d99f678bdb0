"""Server-sent events: messages with ids to go on from, a comment every 15 s, and an end when the server stops.

A stream ends, with an `error`, when its caller is no longer who may call: the token was revoked or has expired, the
user was disabled or lost a role. That is asked for when something of the kind was done here, and every few seconds.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.responses import StreamingResponse

from gongfang.api.call import KnownCall
from gongfang.domain.errors import GongfangError
from gongfang.domain.messages import words

KEEP_ALIVE_S = 15.0
CONFIRM_S = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """`id` has no line breaks; `data` is anything that pydantic writes as JSON."""

    id: str | None
    event: str
    data: Any

    def encode(self) -> bytes:
        head = f"id: {self.id}\n" if self.id is not None else ""
        return f"{head}event: {self.event}\ndata: ".encode() + to_json(self.data) + b"\n\n"


def stream(call: KnownCall, messages: AsyncGenerator[Message]) -> StreamingResponse:
    """The answer that sends messages as they come. An error that arises midway is sent as `event: error`."""
    return StreamingResponse(
        _frames(call, messages),
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


async def _next(messages: AsyncGenerator[Message]) -> Message | None:
    return await anext(messages, None)


async def _frames(call: KnownCall, messages: AsyncGenerator[Message]) -> AsyncIterator[bytes]:
    over = asyncio.create_task(call.services.closing.wait())
    coming: asyncio.Task[Message | None] | None = None
    sent_at = confirmed_at = time.monotonic()
    user_id = call.context.caller.user.id
    try:
        with call.services.database.hub.changes("access", user_id) as changed:
            yield b": hello\n\n"
            while not over.done():
                coming = coming or asyncio.create_task(_next(messages))
                await _first(coming, over, changed)
                if changed.is_set() or time.monotonic() - confirmed_at >= CONFIRM_S:
                    changed.clear()
                    await call.confirm()
                    confirmed_at = time.monotonic()
                if coming.done():
                    message = coming.result()
                    coming = None
                    if message is None:
                        return
                    sent_at = time.monotonic()
                    yield message.encode()
                elif not over.done() and time.monotonic() - sent_at >= KEEP_ALIVE_S:
                    sent_at = time.monotonic()
                    yield b": keep-alive\n\n"
    except GongfangError as error:
        data = {"code": error.code, "message": words(error.code, error.facts, call.language)}
        yield Message(None, "error", data).encode()
    finally:
        over.cancel()
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, GongfangError):
                await coming
        await messages.aclose()


async def _first(coming: asyncio.Task[Message | None], over: asyncio.Task[bool], changed: asyncio.Event) -> None:
    """Returns when there is a message, or an end, or a change of access, or it is time to ask again."""
    access = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait({coming, over, access}, timeout=CONFIRM_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        access.cancel()
        with suppress(asyncio.CancelledError):
            await access
