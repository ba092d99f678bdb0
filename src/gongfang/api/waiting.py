"""`?wait=SECONDS`: the call stays until what it began has ended; told by wake-ups, and by looking."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, TypeVar

from fastapi import Query

from gongfang.api.call import KnownCall

T = TypeVar("T")

Wait = Annotated[
    float | None,
    Query(ge=0, le=300, description="Seconds to wait for the end: 200 with the result if it comes in time, else 202"),
]

LOOK_AGAIN_S = 2.0


async def either(changed: asyncio.Event, closing: asyncio.Event, timeout_s: float) -> None:
    """Returns when one of the events is set or the time is over."""
    tasks = [asyncio.create_task(changed.wait()), asyncio.create_task(closing.wait())]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(
    call: KnownCall,
    kind: str,
    key: str,
    look: Callable[[], Awaitable[T]],
    ended: Callable[[T], bool],
    seconds: float,
) -> T:
    """What `look` sees when it has ended, or when the time is over, or the server stops. Raises `Unauthenticated`
    where the caller was shut out in the meantime; what was begun goes on."""
    services = call.services
    confirmed_at = time.monotonic()
    deadline = time.monotonic() + seconds
    with services.database.hub.changes(kind, key) as changed:
        while True:
            changed.clear()
            if time.monotonic() - confirmed_at >= LOOK_AGAIN_S:
                await call.confirm()
                confirmed_at = time.monotonic()
            seen = await look()
            left = deadline - time.monotonic()
            if ended(seen) or left <= 0 or services.closing.is_set():
                return seen
            await either(changed, services.closing, min(left, LOOK_AGAIN_S))
