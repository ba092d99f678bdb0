"""Server-sent events: messages with ids to go on from, a comment every 15 s, and an end when the server stops."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.responses import StreamingResponse

from gongfang.api.answers import Visit
from gongfang.api.call import PublicCall
from gongfang.domain.errors import GongfangError
from gongfang.domain.messages import words

KEEP_ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """`id` has no line breaks; `data` is anything that pydantic writes as JSON."""

    id: str | None
    event: str
    data: Any

    def encode(self) -> bytes:
        head = f"id: {self.id}\n" if self.id is not None else ""
        return f"{head}event: {self.event}\ndata: ".encode() + to_json(self.data) + b"\n\n"


def stream(call: PublicCall, messages: AsyncGenerator[Message]) -> StreamingResponse:
    """The answer that sends messages as they come. An error that arises midway is sent as `event: error`."""
    return StreamingResponse(
        _frames(messages, call.services.closing, call.visit),
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


async def _next(messages: AsyncGenerator[Message]) -> Message | None:
    return await anext(messages, None)


async def _frames(messages: AsyncGenerator[Message], closing: asyncio.Event, visit: Visit) -> AsyncIterator[bytes]:
    over = asyncio.create_task(closing.wait())
    coming: asyncio.Task[Message | None] | None = None
    try:
        yield b": hello\n\n"
        while not over.done():
            coming = coming or asyncio.create_task(_next(messages))
            await asyncio.wait({coming, over}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                message = coming.result()
                coming = None
                if message is None:
                    return
                yield message.encode()
            elif not over.done():
                yield b": keep-alive\n\n"
    except GongfangError as error:
        data = {"code": error.code, "message": words(error.code, error.facts, visit.language)}
        yield Message(None, "error", data).encode()
    finally:
        over.cancel()
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, GongfangError):
                await coming
        await messages.aclose()
