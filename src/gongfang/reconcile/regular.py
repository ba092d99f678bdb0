"""A check at its interval, for as long as its instance is there.

There may be tens of thousands. So while all is well, one of them is a few words of memory and a place in a timetable
that all share: no task, no future, no timer, nothing new that Python would have to look through again and again. Only
what is not well, or can not be said at once, takes a task for that one look. The timetable looks at a few at a time,
and others get their turn in between.

When this process does not get its turn, its probes run out of their time, which is no fault of the instances': a look
that comes late by more than `LATE_S` is put off. Those put off together are spread, and so, over time, are those that
happen to come together: else all would be looked at in one moment for ever.
"""

import asyncio
import heapq
import math
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable

from gongfang.domain.values import HealthCheck
from gongfang.reconcile.probes import Probe, passes_at_once, probe

LATE_S = 0.3
TICK_S = 0.02
PART = 20  # looks before others get their turn
_SPREAD = 0.1  # of the interval
_SPREAD_LATE = 0.5

Judge = Callable[[Probe], Awaitable[bool]]


class Timetable:
    """When which check is due, to the next tick."""

    def __init__(self) -> None:
        self._due: defaultdict[int, list[RegularCheck]] = defaultdict(list)
        self._ticks: list[int] = []  # a heap of the keys
        self._timer: asyncio.Handle | None = None
        self._armed = math.inf  # the tick that the timer is for

    def put(self, check: "RegularCheck", due: float) -> None:
        tick = math.ceil(due / TICK_S)
        if tick not in self._due:
            heapq.heappush(self._ticks, tick)
        self._due[tick].append(check)
        if tick < self._armed:
            self._arm(tick)

    def close(self) -> None:
        self._due.clear()
        self._ticks.clear()
        self._disarm()

    def _arm(self, tick: int) -> None:
        self._disarm()
        self._armed = tick
        self._timer = asyncio.get_running_loop().call_at(tick * TICK_S, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed = math.inf

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._armed = -math.inf  # whatever is put meanwhile is seen below
        for _ in range(PART):
            if not self._ticks or self._ticks[0] * TICK_S > loop.time():
                break
            checks = self._due[self._ticks[0]]
            check = checks.pop()
            if not checks:
                del self._due[heapq.heappop(self._ticks)]
            check.look()
        else:
            self._timer = loop.call_soon(self._look)
            return
        self._disarm()
        if self._ticks:
            self._arm(self._ticks[0])


class RegularCheck:
    """`judge`: told what was seen; answers whether all is well. It is not told while all was well and the check
    passes. `failed`: called with an error of `judge`, or of ours; the check has ended then."""

    __slots__ = ("_check", "_due", "_ended", "_failed", "_host", "_judge", "_port", "_table", "_task", "_well")

    def __init__(
        self,
        table: Timetable,
        check: HealthCheck,
        host: str,
        port: int,
        judge: Judge,
        failed: Callable[[BaseException], None],
        *,
        well: bool = True,
    ) -> None:
        self._table = table
        self._check = check
        self._host = host
        self._port = port
        self._judge = judge
        self._failed = failed
        self._well = well
        self._task: asyncio.Task[None] | None = None
        self._due = 0.0
        self._ended = False

    def begin(self, delay: float) -> None:
        """The first look is in so many seconds."""
        self._due = asyncio.get_running_loop().time() + delay
        self._table.put(self, self._due)

    def end(self) -> asyncio.Task[None] | None:
        """No look any more. Answers the one under way, which is cancelled."""
        self._ended = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def look(self) -> None:
        """For the timetable: it is due. Never raises."""
        if self._ended:
            return
        try:
            self._look()
        except Exception as error:
            self._failed(error)

    def _look(self) -> None:
        interval = self._check.interval_s
        if asyncio.get_running_loop().time() - self._due > LATE_S:
            self.begin(LATE_S + interval * _SPREAD_LATE * random.random())  # noqa: S311
        elif self._well and passes_at_once(self._check, self._host, self._port):
            self._again()
        else:
            self._task = asyncio.create_task(self._closely())
            self._task.add_done_callback(self._looked)

    def _again(self) -> None:
        self.begin(self._check.interval_s * (1 + _SPREAD * (random.random() - 0.5)))  # noqa: S311

    async def _closely(self) -> None:
        self._well = await self._judge(await probe(self._check, self._host, self._port))

    def _looked(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if self._ended:
            return
        self._task = None
        if error is not None:
            self._failed(error)
        else:
            self._again()
