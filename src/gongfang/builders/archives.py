"""Unpacks what people upload, and packs and unpacks droplets. Nothing in an archive is believed.

A package may be a zip, a tar (plain, gz, bz2, xz, zst), a jar or war or wheel (which stay files), or any single file;
its content says which, not its name. What is refused, and why, is in `sink`. The work is done in a thread; cancelling
the caller ends it at the next entry or megabyte, and only then is the cancellation passed on, so that the folder may
be removed at once.
"""

import asyncio
import re
import subprocess
import threading
import zipfile
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from gongfang.builders.readers import damage_is_invalid, open_zip, sniff, tar_entries, zip_entries
from gongfang.builders.sink import ArchiveLimits, Entry, Kind, Sink
from gongfang.domain.errors import Invalid

T = TypeVar("T")

DEFAULT_LIMITS = ArchiveLimits()
DROPLET_LIMITS = ArchiveLimits(total_bytes=16 << 30, entries=500_000, ratio=1_000_000, path_bytes=4000)

_JARS = (".jar", ".war", ".ear")
_WHEEL_INFO = re.compile(r"([A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+)\.dist-info/WHEEL")
_WHEEL_NAME = re.compile(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl")


async def unpack_package(archive: Path, target: Path, *, filename: str, limits: ArchiveLimits = DEFAULT_LIMITS) -> str:
    """Unpacks an upload into the empty folder `target`; the kind that it was (`zip`, `tar`, `gz`, …, `file`).

    A single top folder is taken off. Files end as 0666 or 0777, folders as 0777. Raises `Invalid` (`archive_…`) with
    the entry at fault, and then leaves in `target` what it had written.
    """
    return await in_thread(lambda cancelled: _unpack(archive, target, filename, limits, cancelled))


async def unpack_droplet(archive: Path, target: Path, *, limits: ArchiveLimits = DROPLET_LIMITS) -> None:
    """Unpacks a droplet (tar.zst). Checked like an upload, but its links may lead out of it: they are only followed
    in the sandbox, where a virtual environment's `python` is."""

    def work(cancelled: threading.Event) -> None:
        sink = Sink(target, archive.stat().st_size, limits, droplet=True, strip=False, cancelled=cancelled)
        _pour(tar_entries(archive, "zst", guess_names=False), sink)

    await in_thread(work)


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Runs it in a thread, and does not return before it has ended, not even when cancelled."""
    cancelled = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(work, cancelled))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # seen: the caller is told of the cancellation instead
        raise


def _unpack(archive: Path, target: Path, filename: str, limits: ArchiveLimits, cancelled: threading.Event) -> str:
    kind = sniff(archive)
    packed = archive.stat().st_size
    if kind == "file":
        _keep_as_file(archive, safe_filename(filename), Sink(target, packed, limits, strip=False, cancelled=cancelled))
        return kind
    if kind != "zip":
        _pour(tar_entries(archive, kind), Sink(target, packed, limits, cancelled=cancelled))
    else:
        with open_zip(archive, limits) as opened:
            whole = _stays_whole(opened, safe_filename(filename))
            if whole is None:
                _pour(zip_entries(opened), Sink(target, packed, limits, cancelled=cancelled))
        if whole is not None:
            _keep_as_file(archive, whole, Sink(target, packed, limits, strip=False, cancelled=cancelled))
    if not any(target.iterdir()):
        raise Invalid("archive_empty")
    return kind


def _pour(entries: Generator[Entry], sink: Sink) -> None:
    with damage_is_invalid(), closing(entries):
        for entry in entries:
            sink.add(entry)
        sink.finish()


def _keep_as_file(archive: Path, name: str, sink: Sink) -> None:
    found = archive.stat()
    if found.st_size == 0:
        raise Invalid("archive_empty")
    with archive.open("rb") as content:
        sink.add(Entry(name, Kind.file, 0o644, found.st_size, found.st_mtime, open=lambda: content))
        sink.finish()


def _stays_whole(archive: zipfile.ZipFile, filename: str) -> str | None:
    """The file name under which a jar or a wheel is kept as it is; None for an archive of source."""
    names = archive.namelist()
    if filename.endswith(_JARS) and "META-INF/MANIFEST.MF" in names:
        return filename
    if names[:2] and names[0].startswith("META-INF/") and "META-INF/MANIFEST.MF" in names[:3]:
        return f"{filename.rpartition('.')[0] or filename}.{'war' if 'WEB-INF/web.xml' in names else 'jar'}"
    wheel = next((found for name in names if (found := _WHEEL_INFO.fullmatch(name))), None)
    if wheel is None:
        return None
    return filename if _WHEEL_NAME.fullmatch(filename) else _wheel_name(archive, wheel[1])


def _wheel_name(archive: zipfile.ZipFile, stem: str) -> str:
    """A wheel's name tells its installer what it fits, so an upload by another name gets its own back."""
    with archive.open(f"{stem}.dist-info/WHEEL") as file:
        head = file.read(1 << 16).decode("utf-8", "replace")
    tag = re.search(r"^Tag: *([\w.]+-[\w.]+-[\w.]+) *$", head, re.MULTILINE)
    return f"{stem}-{tag[1] if tag else 'py3-none-any'}.whl"


def safe_filename(name: str) -> str:
    """The last part of an uploaded file's name, as a name that can do no harm; `app` where nothing is left of it."""
    base = re.split(r"[/\\]", name)[-1]
    clean = "".join(char if char.isprintable() and char not in "\x7f" else "_" for char in base).strip()
    clean = clean.encode("utf-8", "replace")[-200:].decode("utf-8", "ignore")
    return clean if clean.strip(".") else "app"


def remove_tree(path: Path) -> None:
    """Removes a folder that a build may have filled, whatever modes and depths it left there. Links are not followed.

    `rm` does it, since a hostile tree is deeper than Python's recursion.
    """
    if not path.is_dir():
        return
    remove = ["rm", "-rf", "--", str(path)]
    if subprocess.run(remove, check=False, capture_output=True).returncode != 0:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], check=False, capture_output=True)
        subprocess.run(remove, check=True, capture_output=True)
