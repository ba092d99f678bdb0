"""Looks at how much workloads have written where no file system limits them, and tells of those that wrote too much.

That is: a build's folders, which are read when it has ended, and everything of a workload where it has no disk of its
own. To count a tree takes a `stat` a file, to ask how much of the file system is in use takes one call. So that is
asked four times a second, and the tree is counted only when the file system has lost as much room as the workload may
still take (before that it can't be over), and else every few seconds, in case others give room back meanwhile; of a
server that lives for months and has thousands of files, once a minute. What is unlinked but still open escapes the
count, not the file system's own: a build is ended, too, when the machine's disk has no room left but its reserve.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.25
RESERVE_BYTES = 384 << 20
COUNT_EVERY_S = 5.0
COUNT_SERVER_EVERY_S = 60.0
_BLOCK = 512
_DEEPEST = 200


@dataclass(slots=True)
class Watched:
    """`every_s`: it is counted at least so often. `counted`: bytes at the last count, `None` before it. `used`: of the
    file system, at that moment."""

    folders: tuple[Path, ...]
    limit: int
    keeps_reserve: bool
    every_s: float
    counted: int | None = None
    used: int = 0
    next_count: float = 0.0


@dataclass(slots=True)
class DiskWatch:
    """`over` is told the id of a workload that has more than its limit, once."""

    over: Callable[[str], None]
    every_s: float = EVERY_S
    _watched: dict[str, Watched] = field(default_factory=dict[str, Watched])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(
        self,
        workload_id: str,
        folders: Sequence[str],
        limit: int | None,
        *,
        keeps_reserve: bool,
        every_s: float = COUNT_EVERY_S,
    ) -> None:
        """Nothing to look at: nothing is watched."""
        if folders and limit is not None:
            self._watched[workload_id] = Watched(tuple(map(Path, folders)), limit, keeps_reserve, every_s)
            self._changed.set()

    def drop(self, workload_id: str) -> None:
        self._watched.pop(workload_id, None)

    async def run(self) -> None:
        """Looks until cancelled. Idle while nothing is watched."""
        while True:
            if not self._watched:
                self._changed.clear()
                await self._changed.wait()
            for workload_id, watched in list(self._watched.items()):
                if await self._is_over(watched) and self._watched.get(workload_id) is watched:
                    del self._watched[workload_id]
                    self.over(workload_id)
            await asyncio.sleep(self.every_s)

    async def _is_over(self, watched: Watched) -> bool:
        try:
            used, free = _file_system(watched.folders[0])
        except OSError:
            return False  # gone: it is being ended
        if watched.keeps_reserve and free < RESERVE_BYTES:
            return True
        loop = asyncio.get_running_loop()
        left = watched.limit - (watched.counted or 0)
        if watched.counted is not None and used - watched.used < left and loop.time() < watched.next_count:
            return False
        began = loop.time()
        watched.counted = await asyncio.to_thread(count, watched.folders, watched.limit)
        watched.used = used
        # A tree that takes long to count is counted more seldom.
        watched.next_count = loop.time() + watched.every_s + 20 * (loop.time() - began)
        return watched.counted > watched.limit


def _file_system(folder: Path) -> tuple[int, int]:
    """Bytes in use, and bytes that are free for all."""
    seen = os.statvfs(folder)
    return (seen.f_blocks - seen.f_bfree) * seen.f_frsize, seen.f_bavail * seen.f_frsize


def count(folders: Sequence[Path], enough: int) -> int:
    """Bytes on disk in these trees; more than `enough` is not counted to its end.

    The trees are a stranger's, and change meanwhile: folders are opened as what they are (a link is never followed, not
    even one that took a folder's place just now), nothing else is opened, and a file with several names counts once.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder in folders:
        try:
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        total += _count(number, enough - total, seen, 0)
        if total > enough:
            break
    return total


def _count(number: int, enough: int, seen: set[tuple[int, int]], depth: int) -> int:
    """Of the open folder `number`, which is closed."""
    total = 0
    below: list[str] = []
    try:
        with os.scandir(number) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                key = (found.st_dev, found.st_ino)
                if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                    if key in seen:
                        continue
                    seen.add(key)
                total += found.st_blocks * _BLOCK
                if total > enough:
                    return total
                if stat.S_ISDIR(found.st_mode) and depth < _DEEPEST:
                    below.append(entry.name)
        for name in below:
            try:
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=number)
            except OSError:
                continue
            total += _count(child, enough - total, seen, depth + 1)
            if total > enough:
                return total
    except OSError:
        pass  # it went away under our hands
    finally:
        os.close(number)
    return total
