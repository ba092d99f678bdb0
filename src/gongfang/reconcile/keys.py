"""Rotation of the keys that seal secrets in the database, while everything runs.

    a fresh key goes in front of the file       from here on it seals; the older ones still open
    transactions that began before have ended   so nothing is written under an older key any more
    every sealed column is sealed anew          by pieces
    the older keys go from the file             only now

Killed anywhere, the file has more than one key, and whoever rotates next (or the next start) ends what was begun
instead of beginning another. Backups hold the keys of their own time.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog

from gongfang.domain.clock import Clock
from gongfang.domain.errors import Conflict
from gongfang.reconcile.gc import GcActor
from gongfang.state import Database, Keyring
from gongfang.state.sealed import SEALED, reseal

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rotation:
    """`resealed`: values that were under an older key. `resumed`: an earlier rotation was ended, no key was added."""

    resealed: int
    resumed: bool


class KeyRotation:
    """`clearing`: whether older keys may go just now: not while a backup is made, which would then hold values that
    none of its keys opens."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        path: Path,
        clock: Clock,
        clearing: Callable[[], AbstractContextManager[bool]],
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._path = path
        self._clock = clock
        self._clearing = clearing
        self._one = asyncio.Lock()

    async def rotate(self, actor: GcActor) -> Rotation:
        """Raises `Conflict("keys_backup_under_way")`; nothing has changed then."""
        async with self._one:
            with self._clearing() as may:
                if not may:
                    raise Conflict("keys_backup_under_way")
                return await self._rotate(actor)

    async def _rotate(self, actor: GcActor) -> Rotation:
        resumed = self._keyring.count > 1
        if not resumed:
            self._keyring.add_key(self._path)
        return await self._finish(actor, resumed=resumed)

    async def resume(self) -> None:
        """Ends a rotation that was broken off, or begun by hand. Does nothing where there is none."""
        async with self._one:
            with self._clearing() as may:
                if not may or self._keyring.count == 1:
                    return
                found = await self._finish(GcActor(), resumed=True)
                log.info("a rotation of keys is ended", resealed=found.resealed)

    async def _finish(self, actor: GcActor, *, resumed: bool) -> Rotation:
        await self._database.older_writers_ended()
        resealed = 0
        for column in SEALED:
            resealed += await reseal(self._database, self._keyring, column)
        self._keyring.drop_older(self._path)
        async with self._database.writing() as tx:
            await tx.event(
                "platform:keys:rotated",
                at=self._clock(),
                actor_id=actor.id,
                actor_name=actor.name or "platform",
                source=actor.source,
                request_id=actor.request_id,
                data={"resealed": resealed, "resumed": resumed},
            )
        return Rotation(resealed, resumed)
