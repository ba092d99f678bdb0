"""Keeps files from being cleared away while a backup reads them, across processes: a lock that dies with its holder."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Guard:
    """`path`: the lock's file. Any number may keep; only one may clear, and only while nobody keeps."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def keeping(self) -> Generator[None]:
        """Nothing is cleared away in this block. Waits for a clearing that is under way (seconds)."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def clearing(self) -> Generator[bool]:
        """Whether files may be cleared away in this block: not while a backup is made. Never waits."""
        descriptor = self._open()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
