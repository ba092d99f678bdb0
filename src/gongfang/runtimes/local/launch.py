"""Starts a workload's processes without blocking and without running Python between fork and exec.

A small shell script goes first: it writes down which process it is (see `records`), enters the control groups, sets
the limit of open files, forbids core dumps, and then *becomes* the sandbox (`exec`), so that its pid is the sandbox's
pid. Values reach it as arguments, never as part of its text. `posix_spawn` shares memory with the child until the exec,
so that a big control plane starts a process as fast as a small one.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.runtimes.checks import MOST_FILES
from gongfang.runtimes.local.sandbox import FDS

SHELL = "/bin/sh"
LAUNCH_FAILED = 125
# Its exclusive creation of "$1" is the moment of the start. Arguments: record, open files, its weight when the kernel
# chooses what to end as the machine is out of memory, largest file in blocks, control groups…, --, words.
_BEGIN = """
read -r line </proc/$$/stat || exit 125
set -C
echo "$line" >"$1" || exit 125
set +C
files=$2
if [ -n "$3" ]; then echo "$3" >/proc/$$/oom_score_adj; fi 2>/dev/null
blocks=$4
shift 4
while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done
shift
ulimit -c 0
if [ -n "$blocks" ]; then trap '' XFSZ; ulimit -f "$blocks"; fi
if [ -n "$files" ]; then ulimit -n "$files" 2>/dev/null || ulimit -S -n "$(ulimit -H -n)"; fi
"""
_SANDBOXED = _BEGIN + 'exec "$@"\n'
# Without a sandbox the shell stays, to write the exit code. `stop` leaves it alone: it ends by itself. What it would
# say of a command's signal ("Terminated") is none of the output.
_PLAIN = (
    _BEGIN
    + f"""
exec {FDS.ready}>&- 9>&2 2>/dev/null
(exec 2>&9 9>&-; cd "$1" || exit 125; shift; exec {FDS.status}>&-; exec "$@")
code=$?
printf '{{ "exit-code": %d }}\\n' "$code" >&{FDS.status}
exit "$code"
"""
)
# Copies are made above every number that is handed over, so that none is overwritten before it is placed.
_SAFE_NUMBER = FDS.files + MOST_FILES
_GOES_FIRST = "500"  # of -1000 to 1000
_ULIMIT_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a start needs. `words`: the sandbox's command line, or without one the folder and the command.

    `data`: memory files by the number that they get. `groups`: files to write the pid to. `goes_first`: before the
    platform's own processes, where the machine runs out of memory. `file_bytes`: no file may be larger, its output
    neither; what would be is refused (EFBIG), and nobody is ended for it.
    """

    words: Sequence[str]
    variables: Mapping[str, str]
    sandboxed: bool
    launch_file: Path
    output: Path
    output_owner: int | None
    status: Path
    open_files: int | None
    goes_first: bool
    file_bytes: int | None
    groups: Sequence[Path]
    data: Mapping[int, bytes]
    locks: Sequence[int]


def spawn(launch: Launch) -> tuple[int, int]:
    """Starts it. Gives its pid, and a pipe that ends (after some words) when the sandbox stands or has failed.
    The pipe must be read to its end.

    Raises `Unavailable("workload_start_failed")` where the machine has no process or memory left.
    """
    opened: list[int] = []
    try:
        files = _files(launch, opened)
        ready, ready_end = os.pipe2(os.O_CLOEXEC)
        opened.append(ready_end)
        files[FDS.ready] = ready_end
        try:
            return _spawn(launch, files, opened), ready
        except BaseException:
            os.close(ready)
            raise
    finally:
        for number in opened:
            os.close(number)


def _files(launch: Launch, opened: list[int]) -> dict[int, int]:
    """Opens all that is handed over: number inside → descriptor here."""

    def keep(number: int) -> int:
        opened.append(number)
        return number

    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    output = keep(os.open(launch.output, append, 0o600))
    if launch.output_owner is not None:
        os.fchown(output, launch.output_owner, launch.output_owner)  # programs open /dev/stdout anew
    files = {
        0: keep(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)),
        1: output,
        2: output,
        FDS.status: keep(os.open(launch.status, append, 0o600)),
    }
    for number, data in launch.data.items():
        files[number] = keep(memory_file(f"gongfang-{number}", data))
    if launch.locks:
        files[FDS.locks] = keep(parcel(launch.locks))
    return files


def _spawn(launch: Launch, files: Mapping[int, int], opened: list[int]) -> int:
    actions: list[tuple[int, int, int]] = []
    for number, source in files.items():
        copy = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _SAFE_NUMBER)
        opened.append(copy)
        actions.append((os.POSIX_SPAWN_DUP2, copy, number))
    argv = [
        *(SHELL, "-c", _SANDBOXED if launch.sandboxed else _PLAIN, "gongfang-launch"),
        *(str(launch.launch_file), str(launch.open_files or ""), _GOES_FIRST if launch.goes_first else ""),
        "" if launch.file_bytes is None else str(launch.file_bytes // _ULIMIT_BLOCK),
        *(str(path) for path in launch.groups),
        *("--", *launch.words),
    ]
    try:
        return os.posix_spawn(
            SHELL, argv, dict(launch.variables), file_actions=actions, setsid=True, setsigmask=(), setsigdef=_DEFAULTS
        )
    except OSError as error:
        raise Unavailable("workload_start_failed", detail=error.strerror or str(error)) from error


# Python ignores these two; a workload starts with every signal as the system has it.
_DEFAULTS = (13, 25)  # SIGPIPE, SIGXFSZ


def keep_own_descriptors() -> None:
    """Makes sure that no descriptor that the platform itself was started with reaches a workload."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  (numbers, not paths)
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the one that this very listing used
                os.set_inheritable(int(name), False)


def memory_file(name: str, data: bytes) -> int:
    """A file that is nowhere, holding `data`, ready to be read. The caller closes it."""
    number = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(number, 0, os.SEEK_SET)
    except BaseException:
        os.close(number)
        raise
    return number


def take_locks(paths: Sequence[Path]) -> list[int]:
    """Locks each path exclusively. Raises `Rejected("path_in_use")`, holding none, where another has one of them."""
    held: list[int] = []
    try:
        for path in paths:
            held.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            try:
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Rejected("path_in_use", path=str(path)) from error
    except BaseException:
        for number in held:
            os.close(number)
        raise
    return held


def parcel(numbers: Sequence[int]) -> int:
    """One descriptor that keeps any number of others open: a socket with them unread in its queue.

    A sandbox keeps one descriptor for as long as it lives (`--sync-fd`); this way one is enough for all its locks.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here:
        socket.send_fds(here, [b"locks"], list(numbers))
        return there.detach()
