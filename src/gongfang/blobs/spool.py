"""Where a stream lands first: a local file that is hashed as it grows, and that is gone when the stream breaks off.

Bytes are gathered to a megabyte before they go to a worker thread, so that the event loop neither waits for the disk
nor hops for every packet. A writer holds a lock on its file; `sweep` removes what a killed process left behind.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from gongfang.domain.errors import Unavailable

_GATHER = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Spooled:
    """One file while it is written. `path` is complete and on disk after `finish`."""

    def __init__(self, path: Path, file: BinaryIO, keep_free: int) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._keep_free = keep_free
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    async def write(self, chunk: bytes) -> None:
        """Raises `Unavailable("disk_full")` before the disk is full."""
        self._waiting.append(chunk)
        self._waiting_size += len(chunk)
        self.size += len(chunk)
        if self._waiting_size >= _GATHER:
            await asyncio.to_thread(self._flush)

    async def finish(self) -> str:
        """Forces it to disk; its SHA-256 in hex."""
        await asyncio.to_thread(self._sync)
        return self._hash.hexdigest()

    def room_for(self, size: int) -> None:
        """Raises `Unavailable("disk_full")` where so many bytes more would leave less free than is to be kept."""
        free = free_bytes(self.path.parent)
        if free - size < self._keep_free:
            raise Unavailable(
                "disk_full",
                retry_after=60,
                folder=str(self.path.parent),
                free_mb=free >> 20,
                keep_mb=self._keep_free >> 20,
            )

    def take(self, source: BinaryIO) -> None:
        """Copies a whole local file, in the calling thread."""
        while chunk := source.read(_GATHER):
            self._waiting, self._waiting_size = [chunk], len(chunk)
            self.size += len(chunk)
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.room_for(self._waiting_size)
        self._waiting_size = 0
        with no_room_is_unavailable(self.path.parent):
            for chunk in waiting:
                self._hash.update(chunk)
                self._file.write(chunk)

    def _sync(self) -> None:
        self._flush()
        with no_room_is_unavailable(self.path.parent):
            self._file.flush()
            os.fsync(self._file.fileno())


@asynccontextmanager
async def spooled(folder: Path, keep_free: int) -> AsyncGenerator[Spooled]:
    """A new file in the folder, removed at the end unless it was moved away."""
    path, number = _make(folder)
    with os.fdopen(number, "wb") as file:
        try:
            yield Spooled(path, file, keep_free)
        finally:
            path.unlink(missing_ok=True)


def _make(folder: Path) -> tuple[Path, int]:
    """A new file and its descriptor, which holds its lock. A sweep may come between the making and the locking, and
    take it away: then another is made."""
    while True:
        path = folder / f"{secrets.token_hex(12)}.part"
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            if os.fstat(number).st_nlink:
                return path, number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def sweep(folder: Path) -> None:
    """Removes files whose writers are gone: nobody holds their locks."""
    for path in folder.glob("*.part"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except (BlockingIOError, FileNotFoundError):
            continue


def free_bytes(folder: Path) -> int:
    """What this user may still write there."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


@contextmanager
def no_room_is_unavailable(folder: Path):
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Unavailable(
                "disk_full", retry_after=60, folder=str(folder), free_mb=free_bytes(folder) >> 20, keep_mb=0
            ) from error
        raise
