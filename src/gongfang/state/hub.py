"""Wake-ups and news inside one control plane, published after a commit. Losing one does no harm: sweeps find all."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wake:
    """Something of this kind and key may not be as it should.

    Kinds: `app`, `build`, `task`, `operation`, `event`; `egress` (key: a space's id); of services `service` (a service
    instance's id), `binding`, `hosted` (a server of the built-in broker), `orphan`, `broker`.
    """

    kind: str
    key: str


class Hub:
    """Who wants to know registers; `publish` calls everybody on the event loop, at once, and never blocks."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Callable[[str], None]]] = defaultdict(set)

    def publish(self, wakes: Iterable[Wake]) -> None:
        for wake in wakes:
            for listener in tuple(self._listeners[wake.kind]):
                listener(wake.key)

    def listen(self, kind: str, listener: Callable[[str], None]) -> Callable[[], None]:
        """Registers; the answer unregisters."""
        self._listeners[kind].add(listener)
        return lambda: self._listeners[kind].discard(listener)

    @contextmanager
    def changes(self, kind: str, key: str | None = None):
        """An event that is set by each wake-up of the kind (of one key); the waiter clears it, looks, and waits."""
        changed = asyncio.Event()

        def note(woken: str) -> None:
            if key is None or woken == key:
                changed.set()

        forget = self.listen(kind, note)
        try:
            yield changed
        finally:
            forget()

    async def keys(self, kind: str) -> AsyncIterator[str]:
        """Keys as they are woken, each once while it waits to be taken."""
        queue: dict[str, None] = {}
        arrived = asyncio.Event()

        def note(key: str) -> None:
            queue[key] = None
            arrived.set()

        forget = self.listen(kind, note)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                while queue:
                    key = next(iter(queue))
                    del queue[key]
                    yield key
        finally:
            forget()
