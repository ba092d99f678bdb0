"""Content-addressed files: what is stored is named by the SHA-256 of its bytes, so it is stored once."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    sha256: str  # 64 lower-case hex digits
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class StoredAt:
    """A stored file, and when its content was last stored."""

    sha256: str
    size: int
    at: datetime


class BlobStore(Protocol):
    """Errors: `Invalid`/`TooLarge`/`Conflict` as said below; `Unavailable("disk_full")` where there is no room."""

    async def put_stream(self, chunks: AsyncIterator[bytes], *, limit: int, expected: int | None = None) -> Blob:
        """Spools to disk while hashing (memory stays flat), then stores. Nothing is left of a stream that breaks off.

        `limit`: bytes; more raises `TooLarge("upload_too_large")`. `expected`: the length announced; another one
        raises `Invalid("upload_truncated")`.
        """
        ...

    async def put_file(self, path: Path) -> Blob:
        """Stores a local file's content; the file itself is left as it is."""
        ...

    async def open(self, sha256: str) -> AsyncIterator[bytes]:
        """Its bytes in chunks; raises `NotFound("blob_not_found")`."""
        ...

    async def fetch(self, sha256: str, target: Path) -> None:
        """Writes it to a local file, checking the digest: `Rejected("blob_corrupt")` where it does not match."""
        ...

    async def delete(self, sha256: str) -> None: ...

    async def list(self) -> Sequence[StoredAt]:
        """All that is stored, in any order."""
        ...

    async def delete_unused(self, sha256: str, before: datetime) -> int:
        """Deletes it unless it was stored (again) at `before` or later; the bytes freed, 0 where it stays or is gone.

        Somebody may be storing the same content just now: either theirs comes after and is there, or this does nothing.
        """
        ...

    async def exists(self, sha256: str) -> bool: ...
