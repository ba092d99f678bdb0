"""The platform's own upkeep, put together: clearing up, the watch on the disk, orphans, rotation of keys."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import structlog

from gongfang.api.services import PlatformPart
from gongfang.blobs import ObjectBlobs
from gongfang.builders import DropletCache
from gongfang.domain.clock import utc_now
from gongfang.domain.sizes import size_of
from gongfang.main.guard import Guard
from gongfang.main.home import Home
from gongfang.reconcile.disk import DiskWatch
from gongfang.reconcile.gc import Collector, GcActor, GcReport, GcSettings
from gongfang.reconcile.keys import KeyRotation, Rotation
from gongfang.reconcile.orphans import keep_removing_orphans
from gongfang.reconcile.plans.retention import Policy
from gongfang.runtimes.interface import Runtime
from gongfang.settings import Settings
from gongfang.state import Database, Keyring

log = structlog.get_logger()

ORPHANS_EVERY_S = 60.0
_FIRST_LOOK_S = 30.0  # after a start there is other work

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]], str], None]


def gc_settings(settings: Settings, home: Home, whole: int) -> GcSettings:
    """`whole`: bytes of the disk."""
    return GcSettings(
        cache=home.root / "cache",
        trash=home.root / "trash",
        policy=Policy(settings.keep_releases, settings.keep_packages, settings.keep_builds),
        operations=timedelta(days=settings.keep_operations_days),
        blob_grace=timedelta(seconds=settings.gc_grace_s),
        droplet_idle=timedelta(days=settings.keep_unpacked_days),
        cache_idle=timedelta(days=settings.keep_cache_days),
        cache_limit=size_of(settings.cache_limit, whole),
    )


class Housekeeping:
    """`begin` starts what goes on by itself."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        disk: DiskWatch,
        database: Database,
        keyring: Keyring,
        runtime: Runtime,
        blobs: ObjectBlobs,
        droplets: DropletCache,
    ) -> None:
        self._settings = settings
        self._disk = disk
        self._database = database
        self._runtime = runtime
        self._last = home.root / "gc.last"
        guard = Guard(home.guard)
        self._collector = Collector(
            database,
            runtime,
            blobs,
            droplets,
            utc_now,
            gc_settings(settings, home, disk.state().whole),
            guard.clearing,
        )
        self._keys = KeyRotation(database, keyring, home.keys, utc_now, guard.clearing)

    def begin(self, spawn: Spawn) -> None:
        spawn(self._daily, "gc")
        spawn(lambda: self._disk.run(self._make_room), "disk")
        spawn(lambda: keep_removing_orphans(self._database, self._runtime, ORPHANS_EVERY_S), "orphans")

    async def gc(self, dry_run: bool, actor: GcActor) -> GcReport:
        return await self._collector.run(dry_run=dry_run, actor=actor)

    async def rotate_keys(self, actor: GcActor) -> Rotation:
        return await self._keys.rotate(actor)

    def part(self) -> PlatformPart:
        """How the disk is shown in `gongfang status`."""
        state, reason = self._disk.state(), self._disk.reason()
        facts = {"free": state.free, "size": state.whole, "level": state.level}
        return PlatformPart("disk", "ok" if reason is None else "degraded", reason, facts)

    async def _make_room(self) -> None:
        report = await self._collector.run(short=True)
        log.warning("cleared up: the disk is short", freed=report.freed, items=len(report.items))

    async def _daily(self) -> None:
        """When it last ran is the time of a file, so that a control plane that is started every hour does it too."""
        while True:
            await asyncio.sleep(_FIRST_LOOK_S)
            await self._keys.resume()
            if self._age_s() < self._settings.gc_every_h * 3600:
                continue
            await self._collector.run()
            self._last.touch()
            os.utime(self._last)

    def _age_s(self) -> float:
        """Seconds since it last ran; a time in the future (a clock that was put back) counts as never."""
        try:
            age = time.time() - self._last.stat().st_mtime
        except FileNotFoundError:
            self._last.touch()  # a fresh platform has nothing to clear
            return 0.0
        return age if age >= 0 else float("inf")
