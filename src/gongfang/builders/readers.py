"""Reads archives as streams of `Entry`: zip by its directory, tar front to back through any compression.

Each reader bounds the memory that an archive can make it use before the sink sees anything: the size of a zip's
directory, of tar's extended headers, of decompression windows.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tarfile import HeaderError
from typing import IO, BinaryIO, cast

import zstandard

from gongfang.builders.sink import ArchiveLimits, Entry, Kind, Readable, shown
from gongfang.domain.errors import Invalid

_WINDOW = 128 << 20
_HEADER_LIMIT = 1 << 20
_LINK_LIMIT = 4096
_DIRECTORY_PER_ENTRY = 1024
_END_OF_TAR = ("EOFHeaderError", "EmptyHeaderError")

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}


def sniff(path: Path) -> str:
    """`zip`, `tar`, `gz`, `bz2`, `xz`, `zst`, or `file` where it is none of them. By content, never by name."""
    with path.open("rb") as file:
        start = file.read(512)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    return "tar" if _is_tar(start) else "file"


def _is_tar(block: bytes) -> bool:
    if len(block) < 512 or not block[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


@contextmanager
def damage_is_invalid() -> Generator[None]:
    """What the decoders raise for bytes that are not what they should be, as one error with a code."""
    try:
        yield
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile),
        *(EOFError, struct.error, RecursionError, UnicodeDecodeError),
    ) as error:
        raise Invalid("archive_damaged", detail=shown(str(error) or type(error).__name__)) from error
    except OSError as error:
        if error.errno is not None:  # the disk's, not bz2's word for damage
            raise
        raise Invalid("archive_damaged", detail=shown(str(error))) from error


# --- zip -------------------------------------------------------------------------------------------------------------


@contextmanager
def open_zip(path: Path, limits: ArchiveLimits) -> Generator[zipfile.ZipFile]:
    """Opens it after a look at how long its directory says it is, which `zipfile` would read at once."""
    with damage_is_invalid():
        with path.open("rb") as file:
            _check_directory(file, limits)
        try:
            archive = zipfile.ZipFile(path)
        except (ValueError, NotImplementedError, OSError) as error:
            raise Invalid("archive_damaged", detail=shown(str(error))) from error
        with archive:
            yield archive


def _check_directory(file: BinaryIO, limits: ArchiveLimits) -> None:
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - 65_557)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise Invalid("archive_damaged", detail="no end of directory")
    count, length = struct.unpack_from("<HI", tail, at + 10)
    wide = start + at - 20 - 56  # where zip64's records stand, if there are any
    if wide >= 0:
        file.seek(wide)
        record = file.read(56)
        if record[:4] == b"PK\x06\x06" and len(record) == 56:
            count, length = struct.unpack_from("<QQ", record, 32)
    if count > limits.entries or length > limits.entries * _DIRECTORY_PER_ENTRY:
        raise Invalid("archive_too_many", limit=limits.entries)


def zip_entries(archive: zipfile.ZipFile) -> Generator[Entry]:
    for info in archive.infolist():
        name = _zip_name(info)
        if info.flag_bits & 0x1:
            raise Invalid("archive_encrypted", entry=shown(name))
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        what = mode & 0o170000
        mtime = _zip_time(info)
        if name.endswith("/"):
            yield Entry(name, Kind.folder, mode, 0, mtime)
        elif what == 0o120000:
            yield Entry(name, Kind.symlink, mode, 0, mtime, link=_zip_link(archive, info, name))
        elif what not in (0, 0o100000):
            raise Invalid("archive_special", entry=shown(name))
        else:
            yield Entry(name, Kind.file, mode, info.file_size, mtime, open=_zip_opener(archive, info, name))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """As it was meant: without the flag that says UTF-8, Chinese Windows wrote GB 18030 and many others UTF-8."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437", "surrogateescape")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.replace("\\", "/") if info.create_system == 0 else name


def _zip_time(info: zipfile.ZipInfo) -> float:
    try:
        return max(0.0, time.mktime((*info.date_time, 0, 0, -1)))
    except (ValueError, OverflowError):
        return 0.0


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Callable[[], Readable]:
    def opened() -> Readable:
        try:
            return archive.open(info)
        except (NotImplementedError, RuntimeError) as error:
            raise Invalid("archive_method", entry=shown(name), detail=shown(str(error))) from error

    return opened


def _zip_link(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> str:
    if info.file_size > _LINK_LIMIT:
        raise Invalid("archive_name_long", entry=shown(name))
    with closing(_zip_opener(archive, info, name)()) as content:
        return content.read(_LINK_LIMIT).decode("utf-8", "surrogateescape")


# --- tar -------------------------------------------------------------------------------------------------------------


class _BoundedTarInfo(tarfile.TarInfo):
    """Extended headers (long names, pax records) are read into memory whole, so their size has a limit here."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_BoundedTarInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in b"xgXLKN" and info.size > _HEADER_LIMIT):
            raise Invalid("archive_damaged", detail="an extended header is too long")
        return info

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_BoundedTarInfo":
        """A broken header later than the first one would pass for the end of the archive."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ in _END_OF_TAR:
                raise
            raise Invalid("archive_damaged", detail=str(error)) from error


def tar_entries(path: Path, compression: str, *, guess_names: bool = True) -> Generator[Entry]:
    """Entries of a tar; each file's content must be read before the next entry is asked for.

    `guess_names`: names that are not UTF-8 are tried as GB 18030; what then still is no text the sink refuses.
    """
    meant = _meant_name if guess_names else str
    with damage_is_invalid(), ExitStack() as stack:
        packed = stack.enter_context(path.open("rb"))
        stream = io.BufferedReader(cast("io.RawIOBase", _decompressed(packed, compression)), 1 << 16)
        if compression != "tar" and not _is_tar(stream.peek(512)[:512]):
            raise Invalid("archive_not_tar", compression=compression)
        archive = stack.enter_context(
            tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", tarinfo=_BoundedTarInfo, encoding="utf-8")
        )
        while (info := archive.next()) is not None:
            cast("list[tarfile.TarInfo]", vars(archive)["members"]).clear()  # it keeps every header otherwise
            yield _tar_entry(archive, info, meant)


def _tar_entry(archive: tarfile.TarFile, info: tarfile.TarInfo, meant: Callable[[str], str]) -> Entry:
    name, mtime = meant(info.name), max(0.0, float(info.mtime))
    if info.isdir():
        return Entry(name, Kind.folder, info.mode, 0, mtime)
    if info.issym():
        return Entry(name, Kind.symlink, info.mode, 0, mtime, link=meant(info.linkname))
    if info.islnk():
        return Entry(name, Kind.hardlink, info.mode, 0, mtime, link=meant(info.linkname))
    if not info.isreg():
        raise Invalid("archive_special", entry=shown(name))
    return Entry(name, Kind.file, info.mode, info.size, mtime, open=lambda: cast("Readable", archive.extractfile(info)))


def _meant_name(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        try:
            return raw.decode("gb18030")
        except UnicodeDecodeError:
            return name
    return name


def _decompressed(packed: BinaryIO, compression: str) -> object:
    if compression == "gz":
        return gzip.GzipFile(fileobj=packed)
    if compression == "bz2":
        return bz2.BZ2File(packed)
    if compression == "xz":
        return _XzReader(packed)
    if compression == "zst":
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(packed, read_across_frames=True)
    return packed


class _XzReader(io.RawIOBase):
    """`lzma.LZMAFile` with a limit on the memory that a file may ask for."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data or self._packed.read(1 << 16)
                rest = rest.lstrip(b"\0")  # padding between streams
                if not rest:
                    return 0
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW)
                data = self._decoder.decompress(rest, len(buffer))
            elif self._decoder.needs_input:
                more = self._packed.read(1 << 16)
                if not more:
                    raise EOFError("it ends in the middle")
                data = self._decoder.decompress(more, len(buffer))
            else:
                data = self._decoder.decompress(b"", len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
