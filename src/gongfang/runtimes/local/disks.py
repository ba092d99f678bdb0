"""A disk of its own size for each workload: a file system in a file without a name, mounted where nobody else sees it.

    template    `mkfs.ext4` makes an empty file system of a size once; what it wrote (some 100 KB) is kept in memory
    disk        an unnamed file (O_TMPFILE) in the home gets these bytes; the rest is a hole, so it takes no room until
                it is written to
    loop        a loop device of it that the kernel takes away with its last user
    mount       in the mount namespace of one thread, at a folder that exists only there

A sandbox that is started from that thread inherits the mount and keeps it; the thread then lets go of it. So nothing
needs to be cleaned up, whatever dies when: the thread's namespace goes with the control plane, the sandbox's with the
sandbox, the loop device with the last of them, and the file, which never had a name, with the loop device. What was
written is given up: it is a workload's throw-away layer.

Hard cases. No loop device, no `mkfs.ext4`, no root: `open` says why, and there are no disks. A workload that fills
its disk gets ENOSPC, and no other does. The machine's own disk is full: writes to a disk fail as on a broken one.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gongfang.domain.errors import Unavailable

T = TypeVar("T")
MIB = 1 << 20
SMALLEST_MB = 16
_CLONE_NEWNS = 0x0002_0000
_MS_NOSUID, _MS_NODEV, _MS_NOATIME, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x400, 0x4000, 0x8_0000
_MNT_DETACH = 2
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
# struct loop_config: fd, block size, struct loop_info64 (flags at its byte 52), eight reserved words.
_LOOP_CONFIG = struct.Struct("=II 52x I 176x 64x")
_TRIES = 50
_MOST_TEMPLATES = 16
# No journal (what is on it ends with the workload), nothing kept back for root, small files as in a source tree.
_MKFS = ("-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0", "-i", "8192", "-E", "lazy_itable_init=1")
# No barrier: a program's fsync needn't reach the machine's disk. Discard: what is deleted gives its room back.
_OPTIONS = b"noinit_itable,nobarrier,discard,errors=continue"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Disk:
    """Where one workload writes. One that is mounted is seen by the thread alone, and by what it starts."""

    folder: Path

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    @property
    def var_tmp(self) -> Path:
        return self.folder / "var-tmp"

    def make(self) -> None:
        for folder, mode in ((self.upper, 0o777), (self.work, 0o777), (self.tmp, 0o1777), (self.var_tmp, 0o1777)):
            folder.mkdir(parents=True)
            folder.chmod(mode)


class Disks:
    """The disks of one home. `open` before use; `why` says why there are none ("" where there are)."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "disks"
        self._templates: dict[int, tuple[tuple[int, bytes], ...]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self.why = "not tried yet"

    async def open(self) -> None:
        if os.geteuid() != 0:
            self.why = "only root may mount one"
            return
        self._folder.mkdir(exist_ok=True, mode=0o700)
        self._thread = ThreadPoolExecutor(1, "runtime-mounts")
        try:
            await self.run(self._begin)
            await self.run(self._try)
        except (OSError, Unavailable) as error:
            self.why = str(error)
            self.close()
            return
        self.why = ""

    def close(self) -> None:
        """The thread's namespace, and all that is mounted in it, goes with it."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    async def run(self, work: Callable[[], T]) -> T:
        """Does something in the thread that sees the disks; where there are none, in any."""
        if self._thread is None:
            return await asyncio.to_thread(work)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def make(self, workload_id: str, size_mb: int) -> Disk | None:
        """A fresh disk; None where there are none. Let go of it once the sandbox has begun, or has failed.

        Raises `Unavailable("workload_disk_failed")`.
        """
        if self._thread is None:
            return None
        return await self.run(lambda: self._make(workload_id, max(SMALLEST_MB, size_mb)))

    async def let_go(self, disk: Disk) -> None:
        """From now on the sandbox alone has it."""
        if self._thread is not None:
            await self.run(lambda: self._let_go(disk))

    async def forget(self, workload_id: str) -> None:
        """Removes its folder when the workload has ended. Not before: to remove a folder takes away what is mounted
        there, in every namespace, and a sandbox that is still being set up would not find it."""
        if self._thread is not None:
            await self.run(lambda: self._forget(Disk(self._folder / workload_id)))

    # --- in the thread ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """A mount namespace of its own, which hears of the machine's mounts and tells of none; folders for ours."""
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
        _mount("none", "/", "", _MS_REC | _MS_SLAVE, b"")
        _mount("disks", str(self._folder), "tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=0700,size=16m")

    def _try(self) -> None:
        disk = self._make("trial", SMALLEST_MB)
        self._let_go(disk)
        self._forget(disk)

    def _make(self, workload_id: str, size_mb: int) -> Disk:
        try:
            return self._mounted(workload_id, size_mb)
        except OSError as error:
            raise Unavailable("workload_disk_failed", detail=error.strerror or str(error)) from error

    def _mounted(self, workload_id: str, size_mb: int) -> Disk:
        disk = Disk(self._folder / workload_id)
        disk.folder.mkdir()
        try:
            # In the folder's parent, as the folder itself is in memory.
            file = os.open(self._folder.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(file, size_mb * MIB)
                for offset, data in self._template(size_mb):
                    os.pwrite(file, data, offset)
                loop, device = _loop_device(file)
            finally:
                os.close(file)
            try:
                _mount(device, str(disk.folder), "ext4", _MS_NOSUID | _MS_NODEV | _MS_NOATIME, _OPTIONS)
            finally:
                os.close(loop)
        except BaseException:
            disk.folder.rmdir()
            raise
        try:
            disk.make()
        except BaseException:
            self._let_go(disk)
            self._forget(disk)
            raise
        return disk

    def _let_go(self, disk: Disk) -> None:
        _libc.umount2(os.fsencode(disk.folder), _MNT_DETACH)

    def _forget(self, disk: Disk) -> None:
        with contextlib.suppress(OSError):
            disk.folder.rmdir()

    def _template(self, size_mb: int) -> tuple[tuple[int, bytes], ...]:
        found = self._templates.pop(size_mb, None) or _make_template(self._folder, size_mb)
        self._templates[size_mb] = found  # at the end, as the newest
        if len(self._templates) > _MOST_TEMPLATES:
            del self._templates[next(iter(self._templates))]
        return found


def _make_template(folder: Path, size_mb: int) -> tuple[tuple[int, bytes], ...]:
    """An empty file system of a size, as the pieces that are not zero."""
    mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if mkfs is None:
        raise FileNotFoundError(errno.ENOENT, "no mkfs.ext4 (install e2fsprogs)")
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.truncate(size_mb * MIB)
        done = subprocess.run([mkfs, *_MKFS, file.name], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise OSError(errno.EIO, lines[-1][:200] if lines else "mkfs.ext4 failed")
        return tuple(_pieces(file.fileno(), size_mb * MIB))


def _pieces(file: int, size: int) -> list[tuple[int, bytes]]:
    """The parts of a file that hold something, by offset."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < size:
        try:
            begin = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        at = os.lseek(file, begin, os.SEEK_HOLE)
        for offset in range(begin, at, 4096):
            data = os.pread(file, min(4096, at - offset), offset)
            if data.count(0) == len(data):
                continue
            if found and found[-1][0] + len(found[-1][1]) == offset:
                found[-1] = (found[-1][0], found[-1][1] + data)
            else:
                found.append((offset, data))
    return found


def _loop_device(file: int) -> tuple[int, str]:
    """A loop device of a file, open, and its name. It goes with its last user."""
    config = _LOOP_CONFIG.pack(file, 0, _LO_FLAGS_AUTOCLEAR)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(loop)
                if error.errno != errno.EBUSY:  # another took it in between
                    raise
            else:
                return loop, device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "every loop device is taken at once by somebody else")


def _mount(source: str, target: str, kind: str, flags: int, options: bytes) -> None:
    words = (os.fsencode(source), os.fsencode(target), os.fsencode(kind))
    _check(_libc.mount(*words, ctypes.c_ulong(flags), options), f"mount {kind}".strip())


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def remove_layer(folder: Path) -> None:
    """Removes a folder with what a workload wrote where it had no disk, whatever modes and depths it left: `rm` does
    not recurse, and an overlay leaves a folder that not even its owner may read."""
    if not folder.is_dir():
        return
    if not any(path.is_dir() for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)  # a workload's records: no process is needed for them
        return
    words = ["rm", "-rf", "--", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode != 0:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], check=False, capture_output=True)
        subprocess.run(words, check=False, capture_output=True)
