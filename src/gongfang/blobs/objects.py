"""`BlobStore` on any `obstore` store: a folder on one machine, S3 or its like at scale.

A blob's key is `sha256/ab/cd…`. A stream's hash is known only at its end, so it is spooled to a local file first. To a
folder the spooled file then moves by a rename: no second copy, and on disk before the answer. To any other store it is
put under its key, in parts; the same content twice is the same object, so an overwrite does no harm.
"""

import asyncio
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from gongfang.blobs.interface import Blob, StoredAt
from gongfang.blobs.spool import Spooled, no_room_is_unavailable, spooled, sweep
from gongfang.domain.errors import Invalid, NotFound, Rejected, TooLarge, Unavailable

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ObjectStore

_CHUNK = 1 << 20
_PART = 8 << 20
_PARTS_AT_ONCE = 3
_KEEP_FREE = 256 << 20
_REMEMBERED = 10_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ObjectBlobs:
    """Implements `BlobStore`.

    `spool`: a local folder for what is on its way; on the same file system as `folder` where there is one. `folder`:
    keeps the blobs in a folder. `store`: keeps them in that store instead. `keep_free`: bytes of the local disk that
    stay free; a write that would use them is `Unavailable("disk_full")`.
    """

    def __init__(
        self,
        spool: Path,
        *,
        folder: Path | None = None,
        store: "ObjectStore | None" = None,
        keep_free: int = _KEEP_FREE,
    ) -> None:
        if (folder is None) == (store is None):
            raise ValueError("either a folder or a store keeps the blobs")
        self._spool = spool
        self._folder = folder
        self._keep_free = keep_free
        self._changing = asyncio.Lock()
        self._stored: OrderedDict[str, datetime] = OrderedDict()  # lately; a store that has it may not be written to
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(spool)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store: ObjectStore = store if store is not None else LocalStore(folder)

    def path(self, sha256: str) -> Path:
        """Where a blob lies that is kept in a folder, whether it is there or not."""
        if self._folder is None:
            raise ValueError("the blobs are not kept in a folder")
        return self._folder / _key(sha256)

    async def put_stream(self, chunks: AsyncIterator[bytes], *, limit: int, expected: int | None = None) -> Blob:
        if expected is not None and expected > limit:
            raise TooLarge("upload_too_large", size=expected, limit=limit)
        async with spooled(self._spool, self._keep_free) as file:
            file.room_for(expected or 0)
            async for chunk in chunks:
                if file.size + len(chunk) > limit:
                    raise TooLarge("upload_too_large", size=file.size + len(chunk), limit=limit)
                await file.write(chunk)
            if expected is not None and file.size != expected:
                raise Invalid("upload_truncated", size=file.size, expected=expected)
            return await self._publish(file)

    async def put_file(self, path: Path) -> Blob:
        async with spooled(self._spool, self._keep_free) as file:
            with path.open("rb") as source:
                file.room_for(os.fstat(source.fileno()).st_size)
                await asyncio.to_thread(file.take, source)
            return await self._publish(file)

    async def open(self, sha256: str) -> AsyncIterator[bytes]:
        key = _key(sha256)
        async with _away():
            try:
                found = await obstore.get_async(self._store, key)
            except FileNotFoundError as error:
                raise NotFound("blob_not_found", sha256=sha256) from error
        return _chunks(found.stream(min_chunk_size=_CHUNK))

    async def fetch(self, sha256: str, target: Path) -> None:
        digest = hashlib.sha256()

        def write(file: BinaryIO, chunk: bytes) -> None:
            digest.update(chunk)
            with no_room_is_unavailable(target.parent):
                file.write(chunk)

        chunks = await self.open(sha256)
        try:
            with target.open("wb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(write, file, chunk)
            if digest.hexdigest() != sha256:
                raise Rejected("blob_corrupt", sha256=sha256, found=digest.hexdigest())
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    async def delete(self, sha256: str) -> None:
        """Deleting what is not there does nothing."""
        async with _away():
            try:
                await obstore.delete_async(self._store, _key(sha256))
            except FileNotFoundError:
                return

    async def list(self) -> list[StoredAt]:
        found: list[StoredAt] = []
        async with _away():
            async for batch in obstore.list(self._store, prefix="sha256"):  # pyright: ignore[reportUnknownMemberType]
                for meta in batch:
                    digest = meta["path"].removeprefix("sha256/").replace("/", "")
                    if _DIGEST.fullmatch(digest):
                        found.append(StoredAt(digest, meta["size"], meta["last_modified"]))
        return found

    async def delete_unused(self, sha256: str, before: datetime) -> int:
        key = _key(sha256)
        async with self._changing:  # nothing is stored between the look and the deletion
            try:
                async with _away():
                    found = await obstore.head_async(self._store, key)
                    if found["last_modified"] >= before or self._stored.get(sha256, before) > before:
                        return 0
                    await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                return 0
        return found["size"]

    def sweep_spool(self) -> None:
        """Removes what broken-off uploads have left; those under way stay."""
        sweep(self._spool)

    async def exists(self, sha256: str) -> bool:
        async with _away():
            try:
                await obstore.head_async(self._store, _key(sha256))
            except FileNotFoundError:
                return False
        return True

    async def _publish(self, file: Spooled) -> Blob:
        sha256 = await file.finish()
        async with self._changing:
            await self._store_it(file, _key(sha256))
            self._stored[sha256] = datetime.now(UTC)
            self._stored.move_to_end(sha256)
            if len(self._stored) > _REMEMBERED:
                self._stored.popitem(last=False)
        return Blob(sha256, file.size)

    async def _store_it(self, file: Spooled, key: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_move_durably, file.path, self._folder / key, self._folder)
        elif not await self._has(key, file.size):
            async with _away():
                await obstore.put_async(
                    self._store, key, file.path, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE, mode="overwrite"
                )

    async def _has(self, key: str, size: int) -> bool:
        async with _away():
            try:
                return (await obstore.head_async(self._store, key))["size"] == size
            except FileNotFoundError:
                return False


def _key(sha256: str) -> str:
    if not _DIGEST.fullmatch(sha256):
        raise NotFound("blob_not_found", sha256=sha256[:64])
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _move_durably(source: Path, target: Path, top: Path) -> None:
    """A rename that a power cut can't take back. It replaces what is there: the same bytes, or a damaged copy."""
    made: list[Path] = []
    parent = target.parent
    while parent != top and not parent.is_dir():
        made.append(parent)
        parent = parent.parent
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        source.replace(target)
    except OSError as error:
        raise Rejected("blob_spool_elsewhere", spool=str(source.parent), folder=str(top), detail=str(error)) from error
    for folder in (target.parent, *(each.parent for each in made)):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def _chunks(stream: "BytesStream") -> AsyncGenerator[bytes]:
    async with _away():
        async for chunk in stream:
            yield bytes(chunk)


@asynccontextmanager
async def _away() -> AsyncGenerator[None]:
    """A store that fails may work again later; what was asked for by a right name is never at fault."""
    try:
        yield
    except BaseError as error:
        raise Unavailable("blob_store_failed", retry_after=5, detail=str(error).splitlines()[0][:300]) from error
