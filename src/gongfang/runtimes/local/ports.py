"""Slots: each workload has one, and with it a port and (where the platform is root) a user id and an address of its
own. Most get whichever slot is free; a server that apps are bound to gets the same one each time, by its port."""

import errno
import hashlib
import socket
from dataclasses import dataclass
from pathlib import Path

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.hosting import PORTS_EACH


@dataclass(frozen=True, slots=True)
class Slot:
    """A workload's place. `pinned`: among those that are kept for servers, which are counted for themselves."""

    index: int
    pinned: bool = False


class Ports:
    """Hands out the ports of a range in turn, so that one just given back rests for as long as possible, and those of
    the `pinned` range to whoever names them.

    `home` decides where it begins: platforms in different homes start far apart, and rarely ask for the same port.
    """

    def __init__(self, home: Path, first: int, last: int, pinned: tuple[int, int] = (16000, 19999)) -> None:
        self._first = first
        self._count = last - first + 1
        self._pinned = pinned
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

    def take_pinned(self, port: int, *, on_loopback: bool) -> None:
        """The very port. `on_loopback`: the server shares the machine's loopback, where anybody may have taken it.
        Raises `Rejected("port_out_of_range")`, `Unavailable("port_in_use")`."""
        first, last = self._pinned
        if not first <= port <= last - PORTS_EACH + 1 or (port - first) % PORTS_EACH:
            raise Rejected("port_out_of_range", port=port, first=first, last=last, step=PORTS_EACH)
        if port in self._taken or (on_loopback and not all(map(_is_free, range(port, port + PORTS_EACH)))):
            raise Unavailable("port_in_use", port=port, retry_after=5)
        self._taken.add(port)

    def slot(self, port: int) -> Slot:
        """Where it belongs, by the ranges of now. Raises nothing, also for a port of another range of before."""
        first, last = self._pinned
        if first <= port <= last:
            return Slot((port - first) // PORTS_EACH, pinned=True)
        return Slot(port - self._first)

    @property
    def slots(self) -> tuple[int, int]:
        """How many there are: the ordinary ones, the pinned ones."""
        return self._count, (self._pinned[1] - self._pinned[0] + 1) // PORTS_EACH

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
