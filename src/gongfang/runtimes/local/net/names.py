"""The resolver that workloads ask: a program of its own, in a sandbox, which needs nothing but Python's standard
library.

    python names.py ADDRESS PORT BASE_DOMAIN UPSTREAMS

Names of apps (below BASE_DOMAIN) are answered with ADDRESS, where the edge listens. All else goes, byte for byte, to
the machine's own resolvers, whatever is asked, over UDP or TCP; they stand in the file UPSTREAMS, an address a line,
which is read again when it changes. So whoever has names of its own (a company's, `/etc/hosts` aside) has them
inside too.

It serves many that do not trust one another: each has so many questions under way and no more, and an answer goes to
whoever asked. It holds no cache, so nobody can put anything into it.
"""

import asyncio
import ipaddress
import socket
import struct
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import cast

TTL_S = 30
UDP_TIMEOUT_S = 3.0
TCP_TIMEOUT_S = 10.0
EACH_MAY_ASK = 64  # at once
_A, _IN = 1, 1
_NO_SUCH, _FAILED, _FORMAT = 3, 2, 1


def question(query: bytes) -> tuple[str, int, int, int] | None:
    """Name (lower case), type, class and where the question ends; None where it can't be read."""
    if len(query) < 17 or query[4:6] != b"\0\1" or query[2] & 0x80:
        return None
    labels: list[str] = []
    at = 12
    while at < len(query) and query[at]:
        length = query[at]
        if length > 63 or at + 1 + length >= len(query):
            return None
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    if at + 5 > len(query):
        return None
    kind, of = struct.unpack_from(">HH", query, at + 1)
    return ".".join(labels), kind, of, at + 5


def reply(query: bytes, end: int, code: int, address: bytes | None = None) -> bytes:
    """An answer of ours: the question again, and an address if there is one. EDNS and the like are left out."""
    recursion = query[2] & 0x01
    answers = 0 if address is None else 1
    header = query[:2] + bytes([0x84 | recursion, 0x80 | code]) + struct.pack(">HHHH", 1, answers, 0, 0)
    record = b"" if address is None else struct.pack(">HHHIH", 0xC00C, _A, _IN, TTL_S, 4) + address
    return header + query[12:end] + record


class Names:
    """`address`: the edge's. `base`: the apps' domain. `upstreams`: the file."""

    def __init__(self, address: str, base: str, upstreams: Path) -> None:
        self._address = ipaddress.IPv4Address(address).packed
        self._base = base.lower().strip(".")
        self._file = upstreams
        self._read_at: int | None = None
        self._upstreams: list[str] = []
        self.asking: Counter[str] = Counter()

    def upstreams(self) -> list[str]:
        with suppress(OSError):
            changed = self._file.stat().st_mtime_ns
            if changed != self._read_at:
                self._upstreams = self._file.read_text().split()
                self._read_at = changed
        return self._upstreams

    def own(self, query: bytes) -> bytes | None:
        """What is answered without asking anybody; None: ask."""
        asked = question(query)
        if asked is None:
            return reply(query, 12, _FORMAT)[:4] + bytes(8) if len(query) >= 12 else b""
        name, kind, of, end = asked
        if name == self._base or name.endswith("." + self._base):
            return reply(query, end, 0, self._address if (kind, of) == (_A, _IN) else None)
        if name == "localhost" or name.endswith(".localhost"):
            return reply(query, end, _NO_SUCH)
        return None

    def failed(self, query: bytes) -> bytes:
        asked = question(query)
        return b"" if asked is None else reply(query, asked[3], _FAILED)

    async def by_udp(self, query: bytes) -> bytes:
        for upstream in self.upstreams():
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(UDP_TIMEOUT_S):
                    return await _ask_udp(upstream, query)
        return self.failed(query)

    async def by_tcp(self, query: bytes) -> bytes:
        for upstream in self.upstreams():
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(TCP_TIMEOUT_S):
                    return await _ask_tcp(upstream, query)
        return self.failed(query)


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, query: bytes, done: "asyncio.Future[bytes]") -> None:
        self._query = query
        self._done = done

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._query[:2] and not self._done.done():
            self._done.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(exc)


async def _ask_udp(upstream: str, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answer(query, done), remote_addr=(upstream, 53))
    try:
        transport.sendto(query)
        return await done
    finally:
        transport.close()


async def _ask_tcp(upstream: str, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(upstream, 53)
    try:
        writer.write(struct.pack(">H", len(query)) + query)
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.close()


class _Server(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        answer = self._names.own(data)
        if answer is not None:
            if answer:
                self._transport.sendto(answer, addr)
        elif self._names.asking[addr[0]] < EACH_MAY_ASK:
            task = asyncio.ensure_future(self._answer(data, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, query: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._names.asking[addr[0]] += 1
        try:
            self._transport.sendto(await self._names.by_udp(query), addr)
        finally:
            _less(self._names.asking, addr[0])


async def _serve_tcp(names: Names, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer = str(writer.get_extra_info("peername")[0])
    names.asking[peer] += 1
    try:
        if names.asking[peer] > EACH_MAY_ASK:
            return
        async with asyncio.timeout(TCP_TIMEOUT_S * 3):
            while True:
                query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                answer = names.own(query)
                if answer is None:
                    answer = await names.by_tcp(query)
                writer.write(struct.pack(">H", len(answer)) + answer)
                await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return
    finally:
        _less(names.asking, peer)
        writer.close()


def _less(counter: "Counter[str]", key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


async def main(address: str, port: int, base: str, upstreams: Path) -> None:
    names = Names(address, base, upstreams)
    loop = asyncio.get_running_loop()
    listener = socket.create_server((address, port), backlog=256)
    server = await asyncio.start_server(lambda r, w: _serve_tcp(names, r, w), sock=listener)
    await loop.create_datagram_endpoint(lambda: _Server(names), local_addr=(address, port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
