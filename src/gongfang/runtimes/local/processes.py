"""Processes as the kernel tells of them in /proc, named so that a pid used again is never taken for the old one.

A process is (pid, start time in clock ticks since boot); with the boot's id that pair is unique for good. Signals go
through a pidfd that is opened first and compared after, so that nothing can slip in between.
"""

import asyncio
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@cache
def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class Process:
    """One process, for good. `start`: clock ticks after boot."""

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that are used here. CPU times in clock ticks, with those of awaited children."""

    process: Process
    state: str
    parent: int
    session: int
    cpu_ticks: int
    resident_pages: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"


def parse_stat(line: str) -> Stat:
    """Reads a line of /proc/PID/stat. The name (field 2) may hold blanks and parentheses: the last `)` ends it."""
    pid = int(line[: line.index(" ")])
    rest = line[line.rindex(")") + 2 :].split()
    return Stat(
        process=Process(pid, int(rest[19])),
        state=rest[0],
        parent=int(rest[1]),
        session=int(rest[3]),
        cpu_ticks=sum(int(field) for field in rest[11:15]),
        resident_pages=int(rest[21]),
    )


def stat(pid: int) -> Stat | None:
    """What the kernel says of a pid now; None where there is no such process."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(process: Process) -> bool:
    """Whether this very process (not another with its pid) still runs. A zombie does not."""
    seen = stat(process.pid)
    return seen is not None and seen.process == process and seen.alive


@contextmanager
def pidfd(process: Process) -> Generator[int | None]:
    """A pidfd of this very process for as long as the block lasts; None where it is gone."""
    fd = open_pidfd(process)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def open_pidfd(process: Process) -> int | None:
    """A pidfd of this very process, zombie or not; None where it is gone. The caller closes it."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    seen = stat(process.pid)
    if seen is None or seen.process != process:
        os.close(fd)
        return None
    return fd


def send(process: Process, number: signal.Signals) -> bool:
    """Sends a signal; False where the process is gone."""
    with pidfd(process) as fd:
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        return True


async def gone(process: Process) -> None:
    """Returns when the process has ended, without polling; at once where it is gone."""
    with pidfd(process) as fd:
        if fd is not None:
            await readable(fd)


async def readable(fd: int) -> None:
    """Returns when a descriptor can be read; a pidfd can when its process has ended."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def fire() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, fire)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def read_all(fd: int) -> bytes:
    """All that comes through a pipe until its last writer closes it. Sets it non-blocking; the caller closes it."""
    os.set_blocking(fd, False)
    parts: list[bytes] = []
    while True:
        await readable(fd)
        part = os.read(fd, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


def reap(pid: int) -> int | None:
    """The wait status of an ended child of ours; None where it runs on, is another's child, or was reaped before."""
    try:
        waited, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if waited else None


def children(pid: int) -> list[int]:
    """Pids of the direct children of all of a process' threads."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  (names are all that is wanted)
            try:
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread ended between the two looks
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def descendants(pid: int) -> list[Stat]:
    """All processes below one, parents first. In a PID namespace whose first process it is, these are all there are."""
    found: list[Stat] = []
    left = [pid]
    while left:
        for child in children(left.pop()):
            seen = stat(child)
            if seen is not None and seen.alive:
                found.append(seen)
                left.append(child)
    return found


def every_process() -> Iterator[Stat]:
    """All processes that can be seen."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and (seen := stat(int(name))) is not None:
            yield seen


def in_session(leader: Process) -> list[Stat]:
    """Living processes of the session that a process began, without itself. Its number is not used again while any
    is left; once it was, there are none."""
    seen = stat(leader.pid)
    if seen is not None and seen.process != leader:
        return []
    return [each for each in every_process() if each.session == leader.pid and each.process != leader and each.alive]


def has_mark(pid: int, mark: bytes) -> bool:
    """Whether the environment that a process was started with holds `mark` (a whole `NAME=value`)."""
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # another user's, or gone: not one of ours then


def is_first_of_namespace(pid: int) -> bool:
    """Whether a process is number 1 of a PID namespace of its own."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    for line in lines:
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == "1"
    return False
