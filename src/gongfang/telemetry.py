"""Structured logs of the platform itself: one line a fact, JSON in files, readable on a terminal."""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TextIO, cast

import structlog


class RotatingOutput:
    """The control plane's log where nobody else looks after it: stdout and stderr, which both lead to `path`.

    When the file has `limit` bytes it is renamed to `NAME.1` (and that to `NAME.2`, up to `keep`), and both descriptors
    are led to a fresh one: so what other code writes to them goes there, too. It is looked at before each line, so that
    no flood is missed. A disk without room loses lines, and nothing else.
    """

    def __init__(self, path: Path, limit: int, keep: int = 4, descriptors: tuple[int, ...] = (1, 2)) -> None:
        self._path = path
        self._limit = limit
        self._keep = keep
        self._descriptors = descriptors

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptors[-1]).st_size >= self._limit:
                self._rotate()
            os.write(self._descriptors[-1], text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if older.exists():
                older.replace(self._path.with_name(f"{self._path.name}.{number}"))
        fresh = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            for number in self._descriptors:
                os.dup2(fresh, number)
        finally:
            os.close(fresh)


def configure(level: str, *, json: bool, output: RotatingOutput | None = None) -> None:
    """Sets up structlog once, for the process. `output`: where lines go, in place of stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, output or sys.stderr)),
        cache_logger_on_first_use=True,
    )
