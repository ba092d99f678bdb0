"""Makes a backup of a running platform: one snapshot of the database, the files that its rows name, the home's own.

It is made beside the control plane, by whoever may read the home; nothing waits for it. Files that rows of the snapshot
name were stored before those rows, and `Guard` keeps them from being cleared away; a file never changes once it is
stored. So the whole is as of the moment at which the snapshot was taken.
"""

import fcntl
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from gongfang import __version__
from gongfang.domain.clock import utc_now
from gongfang.domain.errors import Conflict, Unavailable
from gongfang.domain.sizes import shown
from gongfang.main.backup.archive import ArchiveWriter, Header, Manifest
from gongfang.main.backup.parts import kept_files
from gongfang.main.guard import Guard
from gongfang.state.dump import Snapshot, snapshot

Say = Callable[[str, Mapping[str, str | int | float]], None]
MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A platform to be backed up. `blob`: a stored file's path, which may not exist."""

    root: Path
    database_url: str
    base_domain: str
    blob: Callable[[str], Path]
    guard: Guard


async def write_backup(source: Source, target: Path, passphrase: bytes | None, say: Say) -> Manifest:
    """Writes `target`, which is there when it is whole and on disk, and not before.

    Raises `Conflict`: `backup_exists`, `backup_under_way`; `Unavailable`: `database_away`, `backup_no_room`.
    """
    if target.exists():
        raise Conflict("backup_exists", file=str(target))
    with source.guard.keeping(), _partial(target) as file:
        async with snapshot(source.database_url) as taken:
            return await _write(source, taken, file, passphrase, say)


@contextmanager
def _partial(target: Path):
    """The file under another name, removed unless it becomes whole. What a killed run left is written over."""
    path = target.with_name(target.name + ".partial")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Conflict("backup_cannot_write", file=str(path), what=error.strerror or str(error)) from error
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("backup_under_way", file=str(path)) from None
        try:
            os.ftruncate(file.fileno(), 0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            path.rename(target)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise Unavailable("backup_no_room", file=str(path), what=error.strerror or str(error)) from error
            raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _write(source: Source, taken: Snapshot, file: BinaryIO, passphrase: bytes | None, say: Say) -> Manifest:
    header = Header(
        format=1,
        version=__version__,
        created_at=utc_now().isoformat(),
        schema=taken.revision,
        base_domain=source.base_domain,
        tables=[(table.name, list(table.columns)) for table in taken.tables],
        blobs=len(taken.blobs),
        host=socket.gethostname()[:64],
    )
    archive = ArchiveWriter(file, header, passphrase)
    say("backup_database", {"tables": len(taken.tables)})
    for table in taken.tables:
        number = 0

        def take(data: bytes, name: str = table.name) -> None:
            nonlocal number
            archive.bytes(f"database/{name}/{number:06d}", data)
            number += 1

        await taken.copy(table, take)
    sequences = [asdict(each) for each in await taken.sequences()]
    for name, path in kept_files(source.root):
        archive.bytes(f"home/{name}", path.read_bytes()) if path.stat().st_size < MB else _file(archive, name, path)
    lost = _blobs(source, taken, archive, say)
    return archive.finish(lost=tuple(lost), more={"sequences": sequences})


def _file(archive: ArchiveWriter, name: str, path: Path) -> None:
    with path.open("rb") as content:
        archive.stream(f"home/{name}", os.fstat(content.fileno()).st_size, content)


def _blobs(source: Source, taken: Snapshot, archive: ArchiveWriter, say: Say) -> list[str]:
    """Puts in all stored files; digests of those that are missing or damaged. The rest must not be without a backup
    because of one of them, but it is said."""
    lost: list[str] = []
    size = 0
    step = max(1, len(taken.blobs) // 10)
    for number, sha256 in enumerate(taken.blobs, 1):
        try:
            with source.blob(sha256).open("rb") as content:
                part = archive.stream(f"blobs/{sha256}", os.fstat(content.fileno()).st_size, content)
        except FileNotFoundError:
            lost.append(sha256)
            continue
        if part.sha256 != sha256:
            lost.append(sha256)
        size += part.size
        if number % step == 0 or number == len(taken.blobs):
            say("backup_files", {"done": number, "all": len(taken.blobs), "size": shown(size)})
    return lost
