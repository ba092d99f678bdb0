"""Keyed workers: one key in order, keys in parallel; wake-ups, timers, back-off and the sweep.

A handler looks at one key and answers in how many seconds it wants to look again (None: when woken). A handler that
raises is tried again with back-off, and the error is logged once with its traceback (`Unavailable`: in one line).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from gongfang.domain.errors import Unavailable
from gongfang.state import Hub

log = structlog.get_logger()

Handler = Callable[[str], Awaitable[float | None]]
Keys = Callable[[], Awaitable[Iterable[str]]]

SWEEP_RETRY_S = 2.0
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 60.0


class KeyedWorkers:
    """Runs a handler for each woken key of one kind. `keys`: all there are, for the sweep."""

    def __init__(
        self, kind: str, handler: Handler, keys: Keys, hub: Hub, *, sweep_s: float, concurrency: int = 16
    ) -> None:
        self.kind = kind
        self.last_sweep: float | None = None  # by the event loop's clock, which doesn't jump
        self._handler = handler
        self._keys = keys
        self._hub = hub
        self._sweep_s = sweep_s
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._freed = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._closing = False
        self._unseen: set[str] | None = None

    @property
    def looked_once(self) -> bool:
        """Whether every key of the first sweep has had its turn: what the rows say is no older than this process."""
        return self._unseen is not None and not self._unseen

    async def run(self) -> None:
        """Until cancelled; then waits for the handlers under way, which are cancelled too."""
        self._closing = False
        forget = self._hub.listen(self.kind, self.wake)
        try:
            while True:
                begun = asyncio.get_running_loop().time()
                try:
                    keys = list(await self._keys())
                    self.last_sweep = asyncio.get_running_loop().time()
                    if self._unseen is None:
                        self._unseen = set(keys)
                    await self._feed(keys)
                    took = asyncio.get_running_loop().time() - begun
                    log.debug("swept", kind=self.kind, keys=len(keys), seconds=took)
                except Exception as error:
                    self._put_off(error)
                    await asyncio.sleep(min(SWEEP_RETRY_S, self._sweep_s))
                    continue
                await asyncio.sleep(self._sweep_s)
        finally:
            self._closing = True
            forget()
            for timer in self._timers.values():
                timer.cancel()
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, keys: Iterable[str]) -> None:
        """A sweep's keys, as there is room for them: what is woken meanwhile does not wait behind thousands."""
        for key in keys:
            while len(self._running) >= self._concurrency:
                self._freed.clear()
                await self._freed.wait()
            self.wake(key)

    def _put_off(self, error: Exception) -> None:
        if isinstance(error, Unavailable):
            log.warning("sweep put off", kind=self.kind, reason=str(error))
        else:
            log.error("sweep failed", kind=self.kind, exc_info=error)

    def wake(self, key: str) -> None:
        """The key is looked at soon; once more if it is being looked at now."""
        if self._closing:
            return
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._running:
            self._again.add(key)
            return
        self._running[key] = asyncio.get_running_loop().create_task(self._work(key), name=f"{self.kind}:{key}")

    async def _work(self, key: str) -> None:
        later: float | None = None
        try:
            async with self._slots:
                self._again.discard(key)
                later = await self._handler(key)
            self._failures.pop(key, None)
        except Exception as error:
            later = self._backoff(key, error)
            self._again.discard(key)  # often the handler's own doing before it failed: it would go round for ever
        finally:
            del self._running[key]
            if self._unseen:
                self._unseen.discard(key)
            self._freed.set()
            if not self._closing:
                self._next(key, later)

    def _backoff(self, key: str, error: Exception) -> float:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        if isinstance(error, Unavailable):
            log.warning("put off", kind=self.kind, key=key, reason=str(error))
        else:
            log.error("reconciling failed", kind=self.kind, key=key, exc_info=error)
        return min(_FIRST_BACKOFF_S * 2**count, _LONGEST_BACKOFF_S)

    def _next(self, key: str, later: float | None) -> None:
        if key in self._again:
            self._again.discard(key)
            self.wake(key)
        elif later is not None:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(max(later, 0.0), self._fire, key)

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        self.wake(key)
