"""Droplets as folders: unpacked once, shown read-only to any number of instances.

A folder `sha256` in the cache is always whole: it appears by a rename. A build's own tree becomes the folder of the
droplet that was packed from it, so what was just built need not be unpacked to be run.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gongfang.builders.archives import DROPLET_LIMITS, in_thread, remove_tree, unpack_droplet
from gongfang.builders.packing import pack
from gongfang.builders.sink import ArchiveLimits


def tree_size(top: Path) -> int:
    """Bytes that a folder takes on disk. What is removed meanwhile doesn't matter."""
    size = 0
    for folder, _, files in os.walk(top):
        for name in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118  (a million of them)
    return size


class StoredBlob(Protocol):
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PackedDroplet:
    sha256: str
    size: int  # bytes, packed


class DropletCache:
    """`folder`: where the unpacked droplets lie, on the file system where builds are made.

    `fetch`: writes a blob to a local file (`BlobStore.fetch`). `put`: stores a local file (`BlobStore.put_file`).
    """

    def __init__(
        self,
        folder: Path,
        *,
        fetch: Callable[[str, Path], Awaitable[None]],
        put: Callable[[Path], Awaitable[StoredBlob]],
        limits: ArchiveLimits = DROPLET_LIMITS,
    ) -> None:
        self._folder = folder
        self._fetch = fetch
        self._put = put
        self._limits = limits
        self._locks: dict[str, asyncio.Lock] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        for left in (*folder.glob("*.part"), *folder.glob("*.gone")):
            if left.is_dir():
                remove_tree(left)
            else:
                left.unlink()

    @property
    def folder(self) -> Path:
        return self._folder

    async def path(self, sha256: str) -> Path:
        """The droplet's folder, fetched and unpacked first where it isn't there. Many callers at once do it once.

        Errors are those of the blob store (`blob_not_found`, `blob_corrupt`) and of `unpack_droplet`.
        """
        target = self._folder / sha256
        lock = self._locks.setdefault(sha256, asyncio.Lock())
        async with lock:
            if not target.is_dir():
                await self._unpack(sha256, target)
            os.utime(target)  # when it was last asked for
        return target

    async def make(self, tree: Path) -> PackedDroplet:
        """Packs a built tree, stores it, and moves the tree into the cache; a link to it stays in its old place.

        So it can be done again where the control plane died before it could record the droplet.
        """
        packed = self._folder / f"{secrets.token_hex(8)}.part"
        try:
            await in_thread(lambda cancelled: pack(tree, packed, self._limits, cancelled))
            blob = await self._put(packed)
        finally:
            packed.unlink(missing_ok=True)
        target = self._folder / blob.sha256
        async with self._locks.setdefault(blob.sha256, asyncio.Lock()):
            if not tree.is_symlink():
                if target.is_dir():
                    await asyncio.to_thread(remove_tree, tree)
                else:
                    tree.rename(target)
                tree.symlink_to(target)
        return PackedDroplet(blob.sha256, blob.size)

    async def evict(self, keep: set[str]) -> None:
        """Removes the folders of all droplets but these. An instance that runs on one must be among them."""
        for path in list(self._folder.iterdir()):
            if len(path.name) != 64 or path.name in keep:
                continue
            lock = self._locks.setdefault(path.name, asyncio.Lock())
            async with lock:
                aside = path.with_name(f"{path.name}.gone")
                path.rename(aside)
                await asyncio.to_thread(remove_tree, aside)

    def unpacked(self) -> dict[str, float]:
        """Digest of each unpacked droplet, and when it was last asked for (seconds since 1970)."""
        found: dict[str, float] = {}
        for path in self._folder.iterdir():
            if len(path.name) == 64:
                with contextlib.suppress(FileNotFoundError):
                    found[path.name] = path.stat().st_mtime
        return found

    async def evict_unused(self, sha256: str, since: float) -> int:
        """Removes a droplet's folder unless it was asked for after `since`; the bytes that it took, 0 where it stays.

        Whoever asks for it at the same time gets it unpacked anew, or is first and keeps it.
        """
        path = self._folder / sha256
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            if not path.is_dir() or path.stat().st_mtime > since:
                return 0
            aside = path.with_name(f"{sha256}.gone")
            path.rename(aside)
            size = await asyncio.to_thread(tree_size, aside)
            await asyncio.to_thread(remove_tree, aside)
        return size

    async def _unpack(self, sha256: str, target: Path) -> None:
        stem = self._folder / f"{sha256}-{secrets.token_hex(4)}"
        packed, partial = stem.with_name(f"{stem.name}.tar.part"), stem.with_name(f"{stem.name}.part")
        try:
            await self._fetch(sha256, packed)
            partial.mkdir()
            await unpack_droplet(packed, partial, limits=self._limits)
            partial.chmod(0o777)
            partial.rename(target)
        finally:
            packed.unlink(missing_ok=True)
            await asyncio.to_thread(remove_tree, partial)
