"""Fills an empty home from a backup, and starts the platform in it.

    the file is read to its end and proven      nothing has been touched
    HOME/restoring is written                   the home is a half-made one from here on
    files, keys; the embedded database; rows    the rows in one transaction
    HOME/restoring is removed                   the home is a platform
    `gongfang up`                               which starts every app that ran

Killed anywhere, `restore` begins again: it clears a home that has `restoring` in it. `up` refuses such a home. An
error (not a kill) leaves the home as empty as it was.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from gongfang.domain.errors import Conflict, Invalid, Unavailable
from gongfang.domain.sizes import shown
from gongfang.main.backup import archive
from gongfang.main.backup.archive import Manifest, Readable
from gongfang.main.backup.noting import restored
from gongfang.main.backup.parts import may_be_restored
from gongfang.main.home import Home
from gongfang.settings import Settings
from gongfang.state.dump import DumpedSequence, DumpedTable, Load, loading
from gongfang.state.schema import revisions

Say = Callable[[str, Mapping[str, str | int | float]], None]
_LOCK = "control.lock"
_NO_MATTER = (_LOCK, "lost+found", "restoring.new")


def may_restore(home: Home) -> None:
    """Raises `Conflict`: `restore_home_runs`, `restore_home_not_empty`."""
    if (pid := home.running_pid()) is not None:
        raise Conflict("restore_home_runs", home=str(home.root), pid=pid)
    if home.restoring.exists() or not home.root.exists():
        return
    if not home.root.is_dir():
        raise Conflict("restore_home_not_empty", home=str(home.root), what=home.root.name)
    found = sorted(path.name for path in home.root.iterdir() if path.name not in _NO_MATTER)
    if found:
        raise Conflict("restore_home_not_empty", home=str(home.root), what=", ".join(found[:5]))


def check(path: Path, passphrase: bytes | None, say: Say) -> Manifest:
    """The proven backup. Raises `Invalid`: what `archive.verify` raises, `backup_schema_newer`."""
    try:
        with path.open("rb") as file:
            header = archive.read_header(file, passphrase)
            if header.schema not in revisions():
                raise Invalid("backup_schema_newer", schema=header.schema, version=header.version)
        say("backup_verifying", {"file": str(path), "size": shown(path.stat().st_size)})
        return archive.verify(path, passphrase)
    except OSError as error:
        raise Invalid("backup_unreadable", file=str(path), what=error.strerror or str(error)) from error


async def fill(
    settings: Settings, home: Home, path: Path, manifest: Manifest, passphrase: bytes | None, say: Say
) -> None:
    """Makes the home from a proven backup. The caller has the home's lock."""
    mark = await _begin(home)
    try:
        await _fill(settings, home, path, manifest, passphrase, mark, say)
    except BaseException:
        await _clear(home)
        home.restoring.unlink(missing_ok=True)
        raise
    home.restoring.unlink()
    _sync(home.root)


async def _begin(home: Home) -> str:
    """Marks the home as half made; clears what an earlier, killed restore left in it. The mark stays the same then,
    so that an outside database that it had filled is known again."""
    mark = home.restoring.read_text().strip() if home.restoring.exists() else ""
    if home.restoring.exists():
        await _clear(home)
    if not mark.isalnum():
        mark = secrets.token_hex(8)
    home.write_secret(home.restoring, mark)
    _sync(home.root)
    home.make()
    return mark


async def _clear(home: Home) -> None:
    from gongfang.runtimes.local import stop_everything

    await stop_everything(home.runtime, grace_s=5.0)
    for path in home.root.iterdir():
        if path.name in (home.restoring.name, _LOCK, "lost+found"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if home.run.exists() and home.run != home.root / "run":
        shutil.rmtree(home.run, ignore_errors=True)


async def _fill(
    settings: Settings, home: Home, path: Path, manifest: Manifest, passphrase: bytes | None, mark: str, say: Say
) -> None:
    from gongfang.main.backup.database import database

    _room_for(home, manifest)
    say("restore_database", {})
    async with database(settings, home, say) as url, loading(url, manifest.header.schema, mark) as load:
        with path.open("rb") as file:
            await _pour(home, file, passphrase, manifest, load, say)
        if load is not None:
            await load.sequences([DumpedSequence(**each) for each in manifest.more.get("sequences", ())])
            await load.settle(old_base=manifest.header.base_domain, new_base=settings.base_domain)
            await load.note(restored(manifest.header, path))


async def _pour(
    home: Home, file: BinaryIO, passphrase: bytes | None, manifest: Manifest, load: Load | None, say: Say
) -> None:
    tables = {name: DumpedTable(name, tuple(columns)) for name, columns in manifest.header.tables}
    files = 0
    for name, size, content in archive.parts_of(file, passphrase):
        kind, _, rest = name.partition("/")
        if kind == "database":
            table = tables.get(rest.split("/", 1)[0])
            if table is None:
                raise Invalid("backup_part_unknown", part=name)
            if load is not None:
                await load.piece(table, archive.whole(content, size))
        elif kind == "home":
            if not may_be_restored(rest):
                raise Invalid("backup_part_unknown", part=name)
            await asyncio.to_thread(_write, home.root / rest, content)
        elif kind == "blobs":
            await asyncio.to_thread(_write, home.root / "blobs" / "sha256" / rest[:2] / rest[2:], content)
            files += 1
            if files % max(1, manifest.header.blobs // 5) == 0 or files == manifest.header.blobs:
                say("restore_files", {"done": files, "all": manifest.header.blobs})


def _write(target: Path, content: Readable) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            archive.copy(content, file)
            file.flush()
            os.fsync(file.fileno())  # what rows name is on disk before the rows are
        _sync(target.parent)
    except OSError as error:
        raise Unavailable("backup_no_room", file=str(target), what=error.strerror or str(error)) from error


def _room_for(home: Home, manifest: Manifest) -> None:
    """Raises `Unavailable("restore_no_room")`; the database takes about twice the size of its rows."""
    found = os.statvfs(home.root)
    free = found.f_bavail * found.f_frsize
    rows = sum(part.size for part in manifest.parts if part.name.startswith("database/"))
    needed = manifest.size + rows + (64 << 20)
    if free < needed:
        raise Unavailable("restore_no_room", home=str(home.root), free_mb=free >> 20, needed_mb=needed >> 20)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
