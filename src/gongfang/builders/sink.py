"""Where the entries of an archive are written: an empty folder that nothing gets out of.

All names are checked as text before anything is opened, and links are made last, when no file is written any more:
so no entry is ever written through a link. What a link leads to is found by walking the tree as it will be, link by
link, since `x/..` is not where it seems to be when `x` is a link.
"""

import os
import shutil
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from gongfang.domain.errors import Invalid, Unavailable

_CHUNK = 1 << 20
_KEEP_FREE = 256 << 20
_LOOK_AT_DISK_EVERY = 32 << 20
_LINKS_IN_A_ROW = 40  # what Linux follows
_JUNK = ("__MACOSX", ".DS_Store")

PathParts = tuple[str, ...]


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Kind(Enum):
    file = "file"
    folder = "folder"
    symlink = "symlink"
    hardlink = "hardlink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive. `size`: as declared. `link`: what a link says. `open`: a file's content."""

    name: str
    kind: Kind
    mode: int
    size: int
    mtime: float
    link: str = ""
    open: Callable[[], Readable] | None = None


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """`total_bytes`: of all files unpacked. `ratio`: unpacked to packed, looked at from `ratio_floor` bytes on."""

    total_bytes: int = 8 << 30
    entries: int = 250_000
    ratio: int = 200
    ratio_floor: int = 256 << 20
    name_bytes: int = 255
    path_bytes: int = 1024


class Sink:
    """Takes entries in any order, then `finish`.

    `packed`: the archive's size, for the ratio. `droplet`: symbolic links may point out of the tree, since they are
    only followed inside a sandbox, and names are what the build made them. `strip`: a single top folder is taken off.
    """

    def __init__(
        self,
        root: Path,
        packed: int,
        limits: ArchiveLimits,
        *,
        droplet: bool = False,
        strip: bool = True,
        cancelled: threading.Event | None = None,
    ) -> None:
        self._root = root
        self._packed = packed
        self._limits = limits
        self._droplet = droplet
        self._strip = strip
        self._cancelled = cancelled
        self._kinds: dict[PathParts, Kind] = {(): Kind.folder}
        self._links: dict[PathParts, str] = {}
        self._folder_times: dict[PathParts, float] = {}
        self._entries = 0
        self._written = 0
        self._disk_looked_at = -_LOOK_AT_DISK_EVERY

    def add(self, entry: Entry) -> None:
        """Raises `Invalid`, with a code that says what is wrong with the entry."""
        self._entries += 1
        if self._entries > self._limits.entries:
            raise Invalid("archive_too_many", limit=self._limits.entries)
        self._check_cancelled()
        parts = self._parts(entry.name)
        if not parts or (self._strip and (parts[0] in _JUNK or parts[-1] == ".DS_Store")):
            return
        self._claim_parents(parts, entry.name)
        if entry.kind is Kind.folder:
            self._folder(parts, entry.name)
            self._folder_times[parts] = entry.mtime
            return
        if parts in self._kinds:
            raise Invalid("archive_duplicate", entry=shown(entry.name))
        self._kinds[parts] = Kind.file if entry.kind is Kind.hardlink else entry.kind
        if entry.kind is Kind.symlink:
            self._links[parts] = entry.link
        elif entry.kind is Kind.hardlink:
            self._copy_of_earlier(parts, entry)
        else:
            self._file(parts, entry)

    def finish(self) -> None:
        """Takes off a single top folder, makes the links, sets the times of folders."""
        root = self._root
        top = self._single_top() if self._strip else None
        depth = 0
        if top is not None:
            _move_up(root, top)
            depth = 1
        links = {parts[depth:]: link for parts, link in self._links.items()}
        for parts, link in links.items():
            self._check_link(parts, link, links)
            root.joinpath(*parts).symlink_to(link)
        for parts, mtime in self._folder_times.items():
            if len(parts) > depth:
                os.utime(root.joinpath(*parts[depth:]), (mtime, mtime))

    # --- names

    def _parts(self, name: str) -> PathParts:
        if name.startswith("/"):
            raise Invalid("archive_absolute", entry=shown(name))
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            raise Invalid("archive_outside", entry=shown(name))
        if not self._droplet and any(
            ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in name
        ):
            raise Invalid("archive_name", entry=shown(name))
        sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
        if max(sizes, default=0) > self._limits.name_bytes or sum(sizes) + len(sizes) > self._limits.path_bytes:
            raise Invalid("archive_name_long", entry=shown(name))
        return parts

    def _claim_parents(self, parts: PathParts, name: str) -> None:
        for depth in range(1, len(parts)):
            self._folder(parts[:depth], name)

    def _folder(self, parts: PathParts, name: str) -> None:
        known = self._kinds.get(parts)
        if known is Kind.folder:
            return
        if known is not None:
            raise Invalid("archive_duplicate", entry=shown(name))
        self._kinds[parts] = Kind.folder
        path = self._root.joinpath(*parts)
        path.mkdir()
        path.chmod(0o777)

    # --- content

    def _file(self, parts: PathParts, entry: Entry) -> None:
        if entry.open is None:
            raise ValueError("a file's entry has content")
        self._check_total(entry.size)
        path = self._root.joinpath(*parts)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with closing(entry.open()) as content, os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            real, start = 0, b""
            while chunk := content.read(_CHUNK):
                start = start or chunk[:4]
                real += len(chunk)
                if real > entry.size:
                    raise Invalid("archive_lies", entry=shown(entry.name), declared=entry.size, real=real)
                self._count(len(chunk))
                file.write(chunk)
            if real != entry.size:
                raise Invalid("archive_lies", entry=shown(entry.name), declared=entry.size, real=real)
            file.flush()
            os.fchmod(file.fileno(), file_mode(entry.mode, start))
            os.utime(file.fileno(), (entry.mtime, entry.mtime))

    def _copy_of_earlier(self, parts: PathParts, entry: Entry) -> None:
        """A hard link becomes a copy: of a file of this archive that came before, and of nothing else."""
        try:
            target = self._parts(entry.link)
        except Invalid:
            target = ()
        source = self._root.joinpath(*target)
        if self._kinds.get(target) is not Kind.file or target == parts:
            raise Invalid("archive_hard_link", entry=shown(entry.name), link=shown(entry.link))
        size = source.stat(follow_symlinks=False).st_size
        self._check_total(size)
        self._count(size)
        shutil.copy2(source, self._root.joinpath(*parts), follow_symlinks=False)

    def _check_total(self, more: int) -> None:
        if self._written + more > self._limits.total_bytes:
            raise Invalid("archive_too_big", limit_mb=self._limits.total_bytes >> 20)

    def _count(self, more: int) -> None:
        self._check_total(more)
        self._check_cancelled()
        self._written += more
        if self._written > max(self._limits.ratio_floor, self._limits.ratio * self._packed):
            raise Invalid("archive_bomb", ratio=self._limits.ratio, packed=self._packed)
        if self._written - self._disk_looked_at >= _LOOK_AT_DISK_EVERY:
            self._disk_looked_at = self._written
            found = os.statvfs(self._root)
            free = found.f_bavail * found.f_frsize
            if free < _KEEP_FREE:
                raise Unavailable("disk_full", retry_after=60, free_mb=free >> 20, keep_mb=_KEEP_FREE >> 20)

    def _check_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise CancelledInThread

    # --- links and the end

    def _check_link(self, parts: PathParts, link: str, links: dict[PathParts, str]) -> None:
        name = "/".join(parts)
        if not link or "\0" in link or len(link.encode("utf-8", "surrogateescape")) > 4095:
            raise Invalid("archive_name", entry=shown(name))
        if self._droplet:
            return
        if link.startswith("/"):
            raise Invalid("archive_link_outside", entry=shown(name), link=shown(link))
        at: list[str] = list(parts[:-1])
        ahead = link.split("/")[::-1]
        followed = 1
        while ahead:
            step = ahead.pop()
            if step in ("", "."):
                continue
            if step == "..":
                if not at:
                    raise Invalid("archive_link_outside", entry=shown(name), link=shown(link))
                at.pop()
                continue
            at.append(step)
            further = links.get(tuple(at))
            if further is not None:
                followed += 1
                if followed > _LINKS_IN_A_ROW:
                    raise Invalid("archive_link_loop", entry=shown(name))
                if further.startswith("/"):
                    raise Invalid("archive_link_outside", entry=shown(name), link=shown(link))
                at.pop()
                ahead.extend(further.split("/")[::-1])

    def _single_top(self) -> str | None:
        tops = {parts[0] for parts in self._kinds if parts}
        if len(tops) != 1:
            return None
        top = next(iter(tops))
        return top if self._kinds[(top,)] is Kind.folder and any(len(parts) > 1 for parts in self._kinds) else None


class CancelledInThread(Exception):
    """The caller doesn't want the result any more; never seen outside this package."""


def _move_up(root: Path, top: str) -> None:
    """The content of `root/top` becomes the content of `root`; a child may have its parent's name."""
    aside = root / f".{os.urandom(8).hex()}"
    (root / top).rename(aside)
    for child in list(aside.iterdir()):
        child.rename(root / child.name)
    aside.rmdir()


def file_mode(mode: int, start: bytes) -> int:
    """Any user id may read and write (a sandbox's throw-away layer is above it); set-id bits never survive. What
    begins as a program is executable even if its archive knew no modes, as those of Windows don't."""
    return 0o777 if mode & stat.S_IXUSR or start[:4] == b"\x7fELF" or start[:2] == b"#!" else 0o666


def shown(name: str) -> str:
    """A name as it may be shown: no control characters, no half characters, not endless."""
    clean = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in name[:200])
    return clean.encode("utf-8", "replace").decode() + ("…" if len(name) > 200 else "")
