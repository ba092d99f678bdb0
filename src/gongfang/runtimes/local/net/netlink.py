"""Netlink, as far as it is needed here: messages as bytes, a socket, requests that are answered or refused.

The kernel's own header files (`linux/netlink.h`) say the format: a header, a fixed part, then attributes (length,
type, value, padded to four bytes). Numbers in headers are the machine's, in attributes what each one says.
"""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
ERROR, DONE = 2, 3
NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_BUFFER = 1 << 20
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """`kind`: nlmsg_type. `body`: the fixed part and the attributes."""

    kind: int
    flags: int
    body: bytes

    def encode(self, sequence: int) -> bytes:
        return _HEADER.pack(16 + len(self.body), self.kind, self.flags, sequence, 0) + self.body


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """A number in the machine's order, as rtnetlink wants it."""
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """A number in the network's order, as nftables wants it."""
    return attribute(kind, struct.pack(">I", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in a message's body; of two of a kind, the last."""
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & ~NESTED] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


class Netlink:
    """One socket, in the network namespace of the thread that makes it, wherever it is used afterwards.

    Not for two threads at once. Refusals are `OSError`s with the kernel's errno (and its words, where it has some).
    """

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._socket.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK: refusals in words
            self._socket.settimeout(_TIMEOUT_S)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *messages: Message) -> None:
        """Sends requests in one go and waits until each is acknowledged. Raises the first refusal."""
        first = self._sequence + 1
        data = bytearray()
        for message in messages:
            self._sequence += 1
            data += Message(message.kind, message.flags | REQUEST | ACK, message.body).encode(self._sequence)
        self._socket.send(data)
        self._await(first, set(range(first, self._sequence + 1)))

    def batch(self, begin: Message, messages: list[Message], end: Message) -> None:
        """Sends a transaction (nfnetlink): all of it happens or nothing. Only the last message is acknowledged, and
        any that is refused."""
        first = self._sequence + 1
        data = bytearray()
        for message in (begin, *messages, end):
            self._sequence += 1
            flags = message.flags | REQUEST | (ACK if self._sequence == first + len(messages) else 0)
            data += Message(message.kind, flags, message.body).encode(self._sequence)
        if len(data) > _BUFFER // 2:
            self._socket.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, len(data) * 2)
        self._socket.send(data)
        self._await(first, {first + len(messages)})

    def dump(self, message: Message) -> Iterator[bytes]:
        """The bodies of all answers to a question."""
        self._sequence += 1
        self._socket.send(Message(message.kind, message.flags | REQUEST | DUMP, message.body).encode(self._sequence))
        while True:
            for kind, sequence, body in self._receive():
                if sequence != self._sequence:
                    continue
                if kind == DONE:
                    return
                if kind == ERROR:
                    _raise(body)
                yield body

    def get(self, message: Message) -> bytes:
        """The body of the one answer to a question."""
        self._sequence += 1
        self._socket.send(Message(message.kind, message.flags | REQUEST, message.body).encode(self._sequence))
        while True:
            for kind, sequence, body in self._receive():
                if sequence == self._sequence:
                    if kind == ERROR:
                        _raise(body)
                    return body

    def _await(self, first: int, waiting: set[int]) -> None:
        while waiting:
            for kind, sequence, body in self._receive():
                if sequence >= first and kind == ERROR:
                    _raise(body)
                    waiting.discard(sequence)

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        data = self._socket.recv(_BUFFER)
        while len(data) >= 16:
            length, kind, _, sequence, _ = _HEADER.unpack_from(data)
            yield kind, sequence, data[16:length]
            data = data[(length + 3) & ~3 :]


_SNDBUFFORCE = 32


def _raise(body: bytes) -> None:
    """An acknowledgement is an error with number 0."""
    (number,) = struct.unpack_from("=i", body)
    if number == 0:
        return
    words = ""
    (length,) = struct.unpack_from("=I", body, 4)
    for offset in (20, 4 + length):  # with the refused message capped to its header, or whole
        said = attributes(body[offset:]).get(1, b"")
        if said.endswith(b"\0"):
            words = said.rstrip(b"\0").decode(errors="replace")
            break
    raise OSError(-number, os.strerror(-number) + (f" ({words})" if words else ""))
