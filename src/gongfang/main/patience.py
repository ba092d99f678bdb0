"""Waiting for what may take long, but not for what stands still."""

import time
from collections.abc import Callable


class Patience:
    """Runs out when no measure of progress has been higher than ever for so many seconds. What goes forth and back,
    or fails and begins again, gets no further; so waiting ends."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._most: tuple[float, ...] = ()
        self._since = now()

    def goes_on(self, *progress: float) -> bool:
        """The measures, the same ones each time; False when it has run out."""
        most = tuple(map(max, self._most, progress)) if self._most else progress
        if most != self._most:
            self._most, self._since = most, self._now()
        return self._now() - self._since < self._seconds
