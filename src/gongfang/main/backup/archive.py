"""The file of a backup: a tar in zstd, sealed where a passphrase was given. Without one, `tar --zstd -tf` lists it.

    backup.json            first: what this is a backup of (`Header`)
    database/TABLE/NUMBER  rows of a table, as `COPY` gives them, in pieces
    home/PATH              files of the home
    blobs/SHA256           files of the blob store
    manifest.json          last: name, size and SHA-256 of every part before it

Written as a stream, so nothing is known beforehand but each part's size; the manifest comes last, and its absence means
that the file was cut off. Digests find damage. Only a passphrase keeps somebody from making a file of their own.
"""

import hashlib
import io
import os
import re
import struct
import tarfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import orjson
import zstandard

from gongfang.domain.errors import Invalid
from gongfang.main.backup.sealing import LOG_N, MAGIC, Opener, Sealer

FORMAT = 1
HEADER = "backup.json"
MANIFEST = "manifest.json"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_NAME = re.compile(
    r"database/[a-z_][a-z0-9_]{0,62}/\d{6}|blobs/[0-9a-f]{64}|home(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+|backup\.json|manifest\.json"
)
_READ = 1 << 20
_MOST_JSON = 256 << 20
_LEVEL = 3
# A frame that every reader of zstd skips: by it, a file that was cut off is known before it is read. A sealed one needs
# none, its last piece says that it is the last.
_END_WORDS = b"gongfang backup ends here"
_END = struct.pack("<II", 0x184D2A50, len(_END_WORDS)) + _END_WORDS
_MOST_WINDOW = 128 << 20


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Header:
    """`schema`: revision of the database. `tables`: in the order in which they are loaded, with their columns."""

    format: int
    version: str
    created_at: str
    schema: str
    base_domain: str
    tables: list[tuple[str, list[str]]]
    blobs: int
    host: str = ""  # name of the machine; older backups tell none

    @staticmethod
    def read(data: bytes) -> "Header":
        """Raises `Invalid`: `backup_damaged`, `backup_format_newer`."""
        found: Any = None
        try:
            found = orjson.loads(data)
            if int(found["format"]) > FORMAT:
                raise Invalid("backup_format_newer", format=int(found["format"]), known=FORMAT)
            return Header(
                int(found["format"]),
                str(found["version"]),
                str(found["created_at"]),
                str(found["schema"]),
                str(found["base_domain"]),
                [(str(name), [str(c) for c in columns]) for name, columns in found["tables"]],
                int(found["blobs"]),
                str(found.get("host", ""))[:64],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid("backup_damaged", what=f"{HEADER}: {error}") from None


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All parts in their order. `lost`: files that the platform had lost, or had damaged, before the backup was made.
    `more`: what is known only at the end (the counters of the database)."""

    header: Header
    parts: tuple[Part, ...]
    lost: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


class ArchiveWriter:
    """Writes parts one after the other; `finish` makes the file whole."""

    def __init__(self, file: BinaryIO, header: Header, passphrase: bytes | None, log_n: int = LOG_N) -> None:
        self.header = header
        self.parts: list[Part] = []
        self._file = file
        self._sealer = Sealer(file, passphrase, log_n) if passphrase is not None else None
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._zstd = compressor.stream_writer(cast(Any, self._sealer or file), closefd=False)
        self._tar = tarfile.open(fileobj=cast(Any, self._zstd), mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.bytes(HEADER, orjson.dumps(asdict(header)))

    def bytes(self, name: str, data: bytes) -> Part:
        return self.stream(name, len(data), io.BytesIO(data))

    def stream(self, name: str, size: int, source: Readable) -> Part:
        """A part of exactly `size` bytes; OSError where the source ends before that."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name for a part: {name}")
        counted = _Hashed(source)
        self._put(name, size, counted)
        part = Part(name, size, counted.digest.hexdigest())
        self.parts.append(part)
        return part

    def _put(self, name: str, size: int, source: Readable) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        self._tar.addfile(info, cast(Any, source))
        _forget_members(self._tar)

    def finish(self, *, lost: tuple[str, ...] = (), more: Mapping[str, Any] | None = None) -> Manifest:
        manifest = Manifest(self.header, tuple(self.parts), lost, more or {})
        parts = [[part.name, part.size, part.sha256] for part in manifest.parts]
        data = orjson.dumps({"parts": parts, "lost": list(lost), "more": dict(manifest.more)})
        self._put(MANIFEST, len(data), io.BytesIO(data))
        self._tar.close()
        self._zstd.flush(zstandard.FLUSH_FRAME)
        if self._sealer is not None:
            self._sealer.close()
        else:
            self._file.write(_END)
        return manifest


def _must_end_well(file: BinaryIO) -> None:
    if file.seek(0, os.SEEK_END) < len(_END):
        raise Invalid("backup_truncated")
    file.seek(-len(_END), os.SEEK_END)
    if file.read() != _END:
        raise Invalid("backup_truncated")


def _forget_members(tar: tarfile.TarFile) -> None:
    """It would remember every one for as long as it lives."""
    cast(Any, tar).members = []


class _Hashed:
    """Reads on, and knows the digest and size of what was read."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        self.size += len(data)
        return data


@contextmanager
def _in_words(source: Readable | None = None) -> Generator[None]:
    """What the libraries say of a file that is not as it should be. `source`: what they read; at its end it is cut."""
    try:
        yield
    except tarfile.ReadError as error:
        cut = "unexpected end" in str(error) or (source is not None and not source.read(1))
        raise Invalid("backup_truncated" if cut else "backup_damaged", what=str(error)) from None
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise Invalid("backup_damaged", what=str(error)) from None


def parts_of(file: BinaryIO, passphrase: bytes | None) -> Iterator[tuple[str, int, Readable]]:
    """Name, size and content of each member; a content must be read before the next is asked for, or it is skipped.

    Raises `Invalid`: `backup_not_one`, `backup_needs_passphrase`, `backup_not_sealed`, and what the opener raises.
    """
    start = file.read(len(MAGIC))
    source: Any = file
    if start == MAGIC:
        if passphrase is None:
            raise Invalid("backup_needs_passphrase")
        source = Opener(file, passphrase)
    elif start[: len(_ZSTD_MAGIC)] == _ZSTD_MAGIC:
        if passphrase is not None:
            raise Invalid("backup_not_sealed")
        _must_end_well(file)
        file.seek(0)
    elif MAGIC.startswith(start) or len(start) < len(_ZSTD_MAGIC):
        raise Invalid("backup_truncated")
    else:
        raise Invalid("backup_not_one")
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
    with _in_words(source):
        stream = decompressor.stream_reader(source, closefd=False)
        with tarfile.open(fileobj=cast(Any, stream), mode="r|", errorlevel=2) as tar:
            while (info := tar.next()) is not None:
                _forget_members(tar)
                content = tar.extractfile(info) if info.isreg() else None
                if content is None or not _NAME.fullmatch(info.name) or ".." in info.name.split("/"):
                    raise Invalid("backup_part_unknown", part=info.name[:200])
                yield info.name, info.size, cast(Readable, content)
                if info.name == MANIFEST:
                    while source.read(_READ):  # a sealed file ends with its last piece, or it was cut
                        pass
                    return


def read_header(file: BinaryIO, passphrase: bytes | None) -> Header:
    """Only the beginning is read."""
    for name, size, content in parts_of(file, passphrase):
        if name != HEADER:
            break
        return Header.read(_whole(content, size))
    raise Invalid("backup_not_one")


def verify(path: Path, passphrase: bytes | None, told: Any = None) -> Manifest:
    """Reads the whole file and compares every part with the manifest. `told(done, whole)`: bytes of the file so far.

    Raises `Invalid` where it is not a whole, undamaged backup; `OSError` where it can't be read.
    """
    with path.open("rb") as file:
        whole = path.stat().st_size
        header: Header | None = None
        found: list[Part] = []
        for name, size, content in parts_of(file, passphrase):
            if header is None:
                if name != HEADER:
                    raise Invalid("backup_not_one")
                data = _whole(content, size)
                header = Header.read(data)
                found.append(Part(name, size, hashlib.sha256(data).hexdigest()))
            elif name == MANIFEST:
                return _compared(header, found, _whole(content, size))
            else:
                with _in_words():
                    hashed = _Hashed(content)
                    while hashed.read(_READ):
                        if told is not None:
                            told(file.tell(), whole)
                    found.append(Part(name, hashed.size, hashed.digest.hexdigest()))
    raise Invalid("backup_truncated")


def _whole(content: Readable, size: int) -> bytes:
    if size > _MOST_JSON:
        raise Invalid("backup_damaged", what="a description is too large")
    with _in_words():
        return content.read(size)


def _compared(header: Header, found: list[Part], data: bytes) -> Manifest:
    try:
        told = orjson.loads(data)
        parts = tuple(Part(str(name), int(size), str(digest)) for name, size, digest in told["parts"])
        manifest = Manifest(header, parts, tuple(told["lost"]), dict(told["more"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("backup_damaged", what=f"{MANIFEST}: {error}") from None
    if len(found) != len(parts):
        raise Invalid("backup_damaged", what=f"{len(found)} parts, {len(parts)} in the manifest")
    for part, expected in zip(found, parts, strict=True):
        if part != expected:
            raise Invalid("backup_damaged", what=expected.name)
    return manifest


def copy(content: Readable, target: BinaryIO) -> None:
    """A part's content into a file."""
    with _in_words():
        while data := content.read(_READ):
            target.write(data)


def whole(content: Readable, size: int) -> bytes:
    """A part's content at once: only for pieces that are known to be small."""
    return _whole(content, size)


__all__ = [
    "FORMAT",
    "HEADER",
    "MANIFEST",
    "ArchiveWriter",
    "Header",
    "Manifest",
    "Part",
    "copy",
    "parts_of",
    "read_header",
    "verify",
    "whole",
]
