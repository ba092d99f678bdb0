"""Packs a built tree as a droplet: a tar.zst that is the same for the same tree.

The tree is what a build left, so nothing in it is trusted: links are kept and never followed, what is neither file,
folder nor link is left out, set-id bits are dropped. The same walk puts the tree in order, because it is kept and used
as it is: every user id may read it, it belongs to nobody's sandbox, and no file in it shares its content with one
outside (a hard link into the build's cache would let a later build change a droplet).
"""

import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from gongfang.builders.sink import ArchiveLimits, CancelledInThread, file_mode, shown
from gongfang.domain.errors import Invalid

_LEVEL = 1
_THREADS = 2
_THREADS_FROM = 8 << 20
_PATH_LIMIT = 3000  # the kernel's is 4096, with the folder above it


def pack(root: Path, target: Path, limits: ArchiveLimits, cancelled: threading.Event | None = None) -> None:
    """Writes the tree under `root` to the file `target`, and puts the tree in order on the way.

    Raises `Invalid("droplet_too_big")` and `Invalid("droplet_too_many")` at the limits.
    """
    members, total = _settle(root, limits, cancelled)
    threads = _THREADS if total >= _THREADS_FROM else 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=threads, write_checksum=True)
    with (
        target.open("wb") as file,
        compressor.stream_writer(file, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 18) as archive,
    ):
        for name, path in members:
            if cancelled is not None and cancelled.is_set():
                raise CancelledInThread
            _add(archive, name, path)


def _settle(root: Path, limits: ArchiveLimits, cancelled: threading.Event | None) -> tuple[list[tuple[str, Path]], int]:
    """The members in order of their names, and the size of all files."""
    root.chmod(0o777)
    members: list[tuple[str, Path]] = []
    total = 0
    for name, path in _walk(root):
        found = path.lstat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            path.unlink()  # a socket, a pipe or a device: of no use to an instance, and a danger to who reads it
            continue
        if stat.S_ISREG(found.st_mode):
            total += found.st_size
            if total > limits.total_bytes:
                raise Invalid("droplet_too_big", limit_mb=limits.total_bytes >> 20)
        members.append((name, path))
        if len(members) > limits.entries:
            raise Invalid("droplet_too_many", limit=limits.entries)
        if cancelled is not None and cancelled.is_set():
            raise CancelledInThread
        _normalise(path, found)
    return members, total


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """All below a folder, in order, a folder before what is in it; it is opened after it was handed out. Without
    recursion: a build may leave folders deeper than Python's."""
    open_folders = [_entries(root, "")]
    while open_folders:
        found = next(open_folders[-1], None)
        if found is None:
            open_folders.pop()
            continue
        name, path, is_folder = found
        yield name, path
        if is_folder:
            open_folders.append(_entries(path, f"{name}/"))


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, Path, bool]]:
    for entry in sorted(os.scandir(folder), key=lambda each: os.fsencode(each.name)):
        name = f"{prefix}{entry.name}"
        if len(os.fsencode(name)) > _PATH_LIMIT:
            raise Invalid("droplet_deep", entry=shown(name))
        yield name, Path(entry.path), entry.is_dir(follow_symlinks=False)


def _normalise(path: Path, found: os.stat_result) -> None:
    if os.geteuid() == 0 and (found.st_uid, found.st_gid) != (0, 0):
        os.lchown(path, 0, 0)
    if stat.S_ISLNK(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        path.chmod(0o777)
        return
    if found.st_nlink > 1:
        _own_copy(path)
    wanted = file_mode(found.st_mode, b"")
    if stat.S_IMODE(found.st_mode) != wanted or found.st_nlink > 1:
        path.chmod(wanted)


def _own_copy(path: Path) -> None:
    aside = path.with_name(f".{os.urandom(8).hex()}")
    shutil.copy2(path, aside, follow_symlinks=False)
    aside.replace(path)


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mtime = int(found.st_mtime)
    info.mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(info)
    elif stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        info.size = found.st_size
        with _open_file(path) as content:
            archive.addfile(info, content)


def _open_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
