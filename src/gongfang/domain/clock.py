"""Time as a value that is handed in: aware UTC datetimes, and a clock that tests can turn.

A machine's clock may jump: a plant's computer with an empty battery wakes up in another year and is put right by NTP,
a virtual machine is suspended over night, somebody sets the date by hand. What is under way (deadlines, start
time-outs, draining) would then be over at once, or never. `SteadyClock` therefore tells no jump until somebody has
moved what is under way along with it (`reconcile.clock`) and accepted the jump.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

JUMP = timedelta(seconds=2)
"""What the clock may be put on by between two looks without being called a jump; less is followed at once."""


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class SteadyClock:
    """The machine's time, without its jumps until they are accepted. A `Clock`.

    Between two calls it expects `wall` to go on as `monotonic` (seconds) does. Small differences are followed. After a
    larger one it goes on by `monotonic` alone, and `jump` tells how far the machine's time is ahead of it (behind:
    negative), until `accept`.
    """

    def __init__(self, wall: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._base, self._at = wall(), monotonic()

    def __call__(self) -> datetime:
        wall, at = self._wall(), self._monotonic()
        expected = self._base + timedelta(seconds=at - self._at)
        self._base, self._at = (wall if abs(wall - expected) <= JUMP else expected), at
        return self._base

    def jump(self) -> timedelta | None:
        """How far the machine's time has jumped; None where it hasn't."""
        ahead = self._wall() - self()
        return ahead if abs(ahead) > JUMP else None

    def accept(self, jump: timedelta) -> None:
        """From now on the time after the jump is told."""
        self._base += jump


def lived(wall: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> Clock:
    """A clock for what is removed for its age: never further ahead than this process has lived, whatever jumps, so a
    clock that is put years ahead makes nothing old. (It may be late, by the time that a machine was suspended.)"""
    began, at = wall(), monotonic()
    return lambda: min(wall(), began + timedelta(seconds=monotonic() - at))
