"""Ids of ended workloads, told to any number of readers, each from the moment it began to listen."""

import asyncio
import weakref
from collections.abc import AsyncIterator


class Listener(AsyncIterator[str]):
    """One reader. It hears from its making on, not from its first `await`; it ends when the runtime is closed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(self, workload_id: str | None) -> None:
        self._queue.put_nowait(workload_id)

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> str:
        workload_id = await self._queue.get()
        if workload_id is None:
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        return workload_id


class Broadcast:
    """The speaker. A reader that was dropped is forgotten by itself."""

    def __init__(self) -> None:
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()

    def listen(self) -> Listener:
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def tell(self, workload_id: str) -> None:
        for listener in list(self._listeners):
            listener.tell(workload_id)

    def close(self) -> None:
        for listener in list(self._listeners):
            listener.tell(None)
