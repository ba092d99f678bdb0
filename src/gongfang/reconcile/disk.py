"""Watches the disk of the home: warns, clears up by itself, and refuses what needs room before the disk is full.

Two marks of free space. Below `warn` the platform says so and clears up. Below `refuse` uploads, starts that have to
build, and builds are refused as well (`room` raises), while stopping, scaling, destroying and clearing up go on. What
is left below `refuse` is for the database, which needs room to record even that something was removed. It recovers by
itself: nothing is remembered but what was last seen.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from gongfang.domain.errors import Reason, Unavailable
from gongfang.domain.sizes import GB, MB, size_of

log = structlog.get_logger()

Level = Literal["ok", "warn", "refuse"]
LOOK_S = 5.0
AGAIN_S = 600.0  # seconds until clearing up is tried again while it stays short


@dataclass(frozen=True, slots=True)
class Marks:
    """Bytes that should stay free."""

    warn: int
    refuse: int

    @staticmethod
    def of(warn: str, refuse: str, whole: int) -> "Marks":
        """From settings; empty: a part of the disk, within bounds that make sense on small and on huge ones."""
        refused = size_of(refuse, whole) if refuse else max(512 * MB, min(whole * 2 // 100, 10 * GB))
        warned = size_of(warn, whole) if warn else max(GB, min(whole * 5 // 100, 25 * GB))
        return Marks(max(warned, refused), refused)

    def level(self, free: int) -> Level:
        if free < self.refuse:
            return "refuse"
        return "warn" if free < self.warn else "ok"


@dataclass(frozen=True, slots=True)
class DiskState:
    free: int  # bytes that this user may still write
    whole: int
    level: Level


class DiskWatch:
    """`folder`: any of the file system. The marks in percent are of its size at the start."""

    def __init__(self, folder: Path, warn: str = "", refuse: str = "") -> None:
        self._folder = folder
        self.marks = Marks.of(warn, refuse, self._look()[1])
        self._seen: Level = "ok"
        self._cleared_at: float | None = None

    def _look(self) -> tuple[int, int]:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def state(self) -> DiskState:
        free, whole = self._look()
        return DiskState(free, whole, self.marks.level(free))

    def reason(self) -> Reason | None:
        """What is to be said of it; None where all is well."""
        state = self.state()
        if state.level == "ok":
            return None
        code = "disk_full" if state.level == "refuse" else "disk_short"
        return Reason(code, self._facts(state))

    def room(self) -> None:
        """Raises `Unavailable("disk_full")`."""
        state = self.state()
        if state.level == "refuse":
            raise Unavailable("disk_full", retry_after=60, **self._facts(state))

    def _facts(self, state: DiskState) -> dict[str, str | int | float]:
        keep = self.marks.refuse if state.level == "refuse" else self.marks.warn
        return {"folder": str(self._folder), "free_mb": state.free >> 20, "keep_mb": keep >> 20}

    async def run(self, clear: Callable[[], Awaitable[object]]) -> None:
        """Looks until cancelled; `clear` is called when it gets short, and again while it stays so."""
        while True:
            await self.look(clear)
            await asyncio.sleep(LOOK_S)

    async def look(self, clear: Callable[[], Awaitable[object]]) -> None:
        state = self.state()
        now = asyncio.get_running_loop().time()
        if state.level != self._seen:
            say = log.info if state.level == "ok" else log.warning
            say("disk", level=state.level, **self._facts(state))
        worse = (self._seen, state.level) in (("ok", "warn"), ("ok", "refuse"), ("warn", "refuse"))
        self._seen = state.level
        due = self._cleared_at is None or now - self._cleared_at >= AGAIN_S
        if state.level != "ok" and (worse or due):
            self._cleared_at = now
            await clear()
