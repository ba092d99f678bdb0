"""Request bodies that are streamed: a file or an open stream, never held in memory as a whole."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Protocol

Progress = Callable[[int, int | None], None]
"""Called with the bytes sent so far and the bytes in all (None where the stream does not know)."""

CHUNK = 256 * 1024


class ByteSource(Protocol):
    """What can be uploaded: anything with `read(n)`."""

    def read(self, n: int = -1, /) -> bytes: ...


class Body:
    """One body, sendable once or (where `repeatable`) again from its beginning."""

    def __init__(self, source: "os.PathLike[str] | str | ByteSource", progress: Progress | None = None) -> None:
        self._path: Path | None = None
        self._stream: ByteSource | None = None
        self._start: int | None = None
        self._progress = progress
        self.size: int | None
        if isinstance(source, (str, os.PathLike)):
            self._path = Path(source)
            self.size = self._path.stat().st_size
            self.repeatable = True
        else:
            self._stream = source
            self._start, self.size = _position(source)
            self.repeatable = self._start is not None

    def headers(self) -> dict[str, str]:
        """`Content-Length` where the size is known; otherwise the body goes in chunks."""
        kind = {"content-type": "application/octet-stream"}
        return kind if self.size is None else {**kind, "content-length": str(self.size)}

    def chunks(self) -> Iterator[bytes]:
        """The body from its beginning. A file that changes its length while it is read is cut off or ends in an error
        of the HTTP library, never in a wrong length on the wire."""
        sent = 0
        with self._open() as stream:
            self._tell(0)
            while self.size is None or sent < self.size:
                chunk = stream.read(CHUNK if self.size is None else min(CHUNK, self.size - sent))
                if not chunk:
                    break
                yield chunk
                sent += len(chunk)
                self._tell(sent)

    def _tell(self, sent: int) -> None:
        if self._progress is not None:
            self._progress(sent, self.size)

    def _open(self) -> AbstractContextManager[ByteSource]:
        if self._path is not None:
            return self._path.open("rb")
        assert self._stream is not None
        if self._start is not None:
            self._stream.seek(self._start)  # type: ignore[attr-defined]
        return nullcontext(self._stream)


def _position(stream: ByteSource) -> tuple[int | None, int | None]:
    """Where a stream stands and how much follows, or (None, None) where it can't be wound back."""
    seekable = getattr(stream, "seekable", None)
    if seekable is None or not seekable():
        return None, None
    file: BinaryIO = stream  # pyright: ignore[reportAssignmentType]  # a seekable stream has seek and tell
    start = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    return start, end - start
