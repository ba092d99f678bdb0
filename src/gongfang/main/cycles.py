"""Python's search for cycles, without long stops.

Now and then Python looks through every object for those that hold one another and are held by nobody else; until it
has looked through all, nothing else runs. With 10,000 apps this took a second and a half, several times a minute.
What is there after a long search is nearly all there to stay: it is frozen, which means that later searches leave it
out, so that each looks only through what has come since. Objects that nobody holds go at once as before, frozen or
not. Cycles that were frozen, and are held by nobody later, stay; so once a day the next search looks through all.
"""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

LONG_S = 0.01  # CPU of this thread: a search that had to wait for a core is not long for it
WHOLE_EVERY_S = 86_400.0
_FULL = 2


class Cycles:
    """A callback of `gc`. `cpu`, `now`: clocks in seconds."""

    def __init__(
        self, *, cpu: Callable[[], float] = time.thread_time, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu = cpu
        self._now = now
        self._whole = now()
        self._begun = 0.0

    def __call__(self, phase: str, info: Mapping[str, Any]) -> None:
        if info["generation"] != _FULL:
            return
        if phase == "start":
            if self._now() - self._whole >= WHOLE_EVERY_S:
                self._whole = self._now()
                gc.unfreeze()
            self._begun = self._cpu()
        elif self._cpu() - self._begun >= LONG_S:
            gc.freeze()


def keep_searches_short() -> None:
    """For this process, from now on. What has been imported so far is there to stay."""
    gc.freeze()
    gc.callbacks.append(Cycles())
