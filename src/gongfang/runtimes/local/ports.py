"""Slots: each workload has one, and with it a port and (where the platform is root) a user id of its own."""

import errno
import hashlib
import socket
from pathlib import Path

from gongfang.domain.errors import Unavailable


class Ports:
    """Hands out the ports of a range in turn, so that one just given back rests for as long as possible.

    `home` decides where it begins: platforms in different homes start far apart, and rarely ask for the same port.
    """

    def __init__(self, home: Path, first: int, last: int) -> None:
        self._first = first
        self._count = last - first + 1
        digest = hashlib.sha256(str(home).encode()).digest()
        self._next = int.from_bytes(digest[:8]) % self._count
        self._taken: set[int] = set()

    def take(self) -> int:
        """A port that is free now. Raises `Unavailable("ports_exhausted")`."""
        for step in range(self._count):
            slot = (self._next + step) % self._count
            port = self._first + slot
            if port not in self._taken and _is_free(port):
                self._taken.add(port)
                self._next = slot + 1
                return port
        raise Unavailable("ports_exhausted", first=self._first, last=self._first + self._count - 1, retry_after=5)

    def adopt(self, port: int) -> None:
        """Marks the port of a workload found running."""
        self._taken.add(port)

    def give_back(self, port: int) -> None:
        self._taken.discard(port)


def _is_free(port: int) -> bool:
    """Whether one can bind it on loopback. REUSEADDR passes over old connections in TIME_WAIT, not over listeners."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
