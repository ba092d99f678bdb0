"""A workload's output: an append-only file that it writes by itself, bounded on disk, with offsets that never move.

The oldest output goes by punching a hole into the file's beginning: what is left keeps its place, and the writer
notices nothing. Where the file system can't do that, the file is emptied, and `output.base` counts what went.

Between two looks, and while no control plane is there, a limit on the size of a workload's files bounds it (`launch`):
past that its writes fail, as on a full disk. Holes count there, so a file that has grown tall is made shorter by the
holes at its beginning, a few seconds apart at least: what a flood writes in between is lost, and lost to it alone.
`marks` ties offsets to times: pairs (seconds since 1970, offset), meaning that output from there on was written at
that time or later.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from gongfang.runtimes.interface import LogChunk, LogMark

_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE = 1, 2, 8
_BLOCK = 4096
_MARK = struct.Struct("<dQ")
_MOST_MARKS = 4096
_TALL = 16  # times the limit
_SHORTEN_EVERY_S = 5.0

_logger = structlog.get_logger()
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def punch(file: int, length: int) -> bool:
    """Frees the first `length` bytes of a file without moving the rest. False where the file system can't."""
    return _allocate(file, _KEEP_SIZE | _PUNCH_HOLE, length)


def collapse(file: int, length: int) -> bool:
    """Takes the first `length` bytes (whole blocks) out of a file: the rest moves up. False where it can't be done."""
    return _allocate(file, _COLLAPSE, length)


def _allocate(file: int, mode: int, length: int) -> bool:
    if _libc.fallocate(file, mode, 0, length) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number))


class OutputLog:
    """The output of one workload. `limit`: bytes kept on disk (an eighth more for a while)."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._file = folder / "output.log"
        self._base_file = folder / "output.base"
        self._marks_file = folder / "marks"
        self.limit = limit
        self._base = self._read_base()
        self._marks: list[tuple[float, int]] | None = None
        self._looked: tuple[float, int] | None = None

    def end(self) -> int:
        """The offset after the newest output."""
        try:
            return self._base + self._file.stat().st_size
        except FileNotFoundError:
            return self._base

    def read(self, offset: int, limit: int) -> LogChunk:
        """Output from `offset` (negative: before the end), at most `limit` bytes."""
        try:
            file = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            start = max(offset, 0)
            return LogChunk(b"", start, start)
        try:
            size = os.fstat(file).st_size
            wanted = offset - self._base if offset >= 0 else size + offset
            start = max(wanted, _first_data(file, size), 0)
            data = os.pread(file, max(0, min(limit, size - start)), start)
            return LogChunk(data, self._base + start, self._base + start + len(data))
        finally:
            os.close(file)

    def look(self, now: datetime) -> int:
        """Marks the time where there is new output, and frees what is too much. Gives how many bytes came."""
        end = self.end()
        before = self._looked
        if before is not None and end != before[1]:
            self._add_mark(before)
        self._looked = (now.timestamp(), end)
        self._bound()
        return end - before[1] if before is not None else 0

    def is_tall(self) -> bool:
        """Whether it should be made shorter: holes count where a file's size is limited."""
        try:
            return self._file.stat().st_size > self.limit * _TALL
        except FileNotFoundError:
            return False

    def flush(self) -> None:
        """Writes it out: what `shorten` must wait for. Slow: not for the event loop."""
        with self._file.open("rb") as file:
            os.fdatasync(file.fileno())

    def shorten(self) -> None:
        """Takes the holes at its beginning out of the file. What is meant to be done is written down first: a control
        plane that dies on the way finds the file with its holes, or without, and knows which."""
        file = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        try:
            info = os.fstat(file)
            block = max(_BLOCK, info.st_blksize)
            length = _first_data(file, info.st_size) // block * block
            if not 0 < length < info.st_size:
                return
            self._write_base(length)
            if collapse(file, length):
                self._base += length
            self._write_base()
        finally:
            os.close(file)

    def mark_start(self, at: datetime) -> None:
        """The first mark: output from 0 on was written after the start."""
        self._looked = (at.timestamp(), 0)

    def marks(self) -> Sequence[LogMark]:
        marks = self._load_marks()
        if self._looked is not None and (not marks or marks[-1][1] < self._looked[1]):
            marks = [*marks, self._looked]
        return [LogMark(datetime.fromtimestamp(at, UTC), offset) for at, offset in marks]

    def _bound(self) -> None:
        try:
            file = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            info = os.fstat(file)
            if info.st_blocks * 512 <= self.limit + max(self.limit // 8, _BLOCK):
                return
            surplus = (info.st_size - self.limit) // _BLOCK * _BLOCK
            if surplus > 0 and not punch(file, surplus):
                self._empty(file, info.st_size)
        finally:
            os.close(file)

    def _empty(self, file: int, size: int) -> None:
        self._base += size
        self._write_base()
        os.ftruncate(file, 0)

    def _write_base(self, going: int = 0) -> None:
        """`going`: bytes that are about to be taken out."""
        draft = self._base_file.with_suffix(".new")
        draft.write_text(f"{self._base} {going}")
        draft.replace(self._base_file)

    def _read_base(self) -> int:
        try:
            words = self._base_file.read_text().split()
            base, going = int(words[0]), int(words[1]) if len(words) > 1 else 0
        except (FileNotFoundError, ValueError, IndexError):
            return 0
        if going and self._begins_with_data(going):
            base += going
        return base

    def _begins_with_data(self, length: int) -> bool:
        """Whether the holes that were `length` bytes long are gone."""
        try:
            file = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return _first_data(file, os.fstat(file).st_size) < length
        finally:
            os.close(file)

    def _load_marks(self) -> list[tuple[float, int]]:
        if self._marks is None:
            try:
                data = self._marks_file.read_bytes()
            except FileNotFoundError:
                data = b""
            whole = len(data) // _MARK.size * _MARK.size
            self._marks = list(_MARK.iter_unpack(data[:whole]))
        return self._marks

    def _add_mark(self, mark: tuple[float, int]) -> None:
        marks = self._load_marks()
        if marks and marks[-1][1] >= mark[1]:
            return
        marks.append(mark)
        if len(marks) <= _MOST_MARKS:
            with self._marks_file.open("ab") as file:
                file.write(_MARK.pack(*mark))
            return
        self._marks = thin(marks, self.end() - self.limit)
        draft = self._marks_file.with_suffix(".new")
        draft.write_bytes(b"".join(_MARK.pack(*each) for each in self._marks))
        draft.replace(self._marks_file)


def thin(marks: Sequence[tuple[float, int]], first: int) -> list[tuple[float, int]]:
    """About half of the marks: without those of output that is gone, or else every second; the newest stays."""
    kept = [mark for index, mark in enumerate(marks) if index + 1 == len(marks) or marks[index + 1][1] > first]
    if len(kept) > len(marks) // 2:
        kept = [mark for index, mark in enumerate(kept) if index % 2 == 0 or index + 1 == len(kept)]
    return kept


def _first_data(file: int, size: int) -> int:
    """Where the output that is left begins."""
    if size == 0:
        return 0
    try:
        return os.lseek(file, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but holes
            return size
        if error.errno == errno.EINVAL:  # a file system without holes
            return 0
        raise


class LogKeeper:
    """Looks at the output of all running workloads: twice a second, and faster where somebody waits for more.

    The kernel's file notifications are not used: a busy writer would cause an event a line, and this costs a `stat`.
    """

    def __init__(self, now: Callable[[], datetime], *, every_s: float = 0.5, followed_every_s: float = 0.05) -> None:
        self._now = now
        self._every_s = every_s
        self._followed_every_s = followed_every_s
        self._logs: dict[str, OutputLog] = {}
        self._waiting: dict[asyncio.Future[None], tuple[str, int]] = {}
        self._changed = asyncio.Event()
        self._shortened: dict[str, float] = {}

    def add(self, workload_id: str, log: OutputLog) -> None:
        self._logs[workload_id] = log
        self._changed.set()

    def drop(self, workload_id: str) -> None:
        """Looks a last time, and wakes whoever waits for more."""
        if workload_id in self._logs:
            self._look(workload_id)
            del self._logs[workload_id]
            self._shortened.pop(workload_id, None)
        self._wake()

    async def grew(self, workload_id: str, offset: int) -> None:
        """Returns when there is output past `offset`, or the workload is dropped."""
        log = self._logs.get(workload_id)
        if log is None or log.end() > offset:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = (workload_id, offset)
        self._changed.set()
        try:
            await future
        finally:
            self._waiting.pop(future, None)

    async def run(self) -> None:
        """Looks until cancelled. Idle while nothing runs."""
        loop = asyncio.get_running_loop()
        next_round = loop.time()
        while True:
            self._changed.clear()
            if not self._logs:
                await self._changed.wait()
            if loop.time() >= next_round:
                came = [self._look(workload_id) > log.limit // 2 for workload_id, log in self._logs.items()]
                # One that writes faster than it is bounded is looked at again soon.
                next_round = loop.time() + (self._followed_every_s if any(came) else self._every_s)
                await self._shorten(loop.time())
            self._wake()
            if self._waiting:
                await asyncio.sleep(self._followed_every_s)
            else:
                with contextlib.suppress(TimeoutError):
                    # Not `wait_for`: it may swallow a cancellation that comes together with the change.
                    async with asyncio.timeout(max(next_round - loop.time(), 0.001)):
                        await self._changed.wait()

    def _look(self, workload_id: str) -> int:
        """One look. A full disk must not end all looking: it is logged, and tried again next time."""
        try:
            return self._logs[workload_id].look(self._now())
        except OSError as error:
            _logger.warning("output_not_tended", workload=workload_id, error=str(error))
            return 0

    async def _shorten(self, now: float) -> None:
        for workload_id, log in list(self._logs.items()):
            if self._shortened.get(workload_id, 0.0) > now - _SHORTEN_EVERY_S or not log.is_tall():
                continue
            self._shortened[workload_id] = now
            try:
                await asyncio.to_thread(log.flush)
                if workload_id in self._logs:
                    log.shorten()
            except OSError as error:
                _logger.warning("output_not_tended", workload=workload_id, error=str(error))

    def _wake(self) -> None:
        for future, (workload_id, offset) in self._waiting.items():
            log = self._logs.get(workload_id)
            if not future.done() and (log is None or log.end() > offset):
                future.set_result(None)
