"""RESP2, the protocol of Valkey and Redis: as much of it as an administrator's calls need.

What comes from the server is bounded in length and depth, since a tenant has a say in it. An error is told by its code
alone: its text may repeat what was sent, and that may hold a secret.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

Reply = int | str | bytes | list["Reply"] | None

_LONGEST = 4 << 20
_MOST = 10_000
_DEEPEST = 4
_TOO_MANY = b"ERR max number of clients"


class ReplyError(Exception):
    """The server refused. `code`: the first word of what it said; `MAXCLIENTS`: it takes no more connections."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ProtocolError(Exception):
    """That is no RESP, or too much of it."""


class Session:
    """One connection. Calls one after another; after an error that is no `ReplyError` it is of no more use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s

    async def ask(self, *words: str) -> Reply:
        """Raises `ReplyError`, `ProtocolError`, `TimeoutError`, `OSError`, `EOFError`."""
        async with asyncio.timeout(self._timeout_s):
            self._writer.write(encoded(*words))
            await self._writer.drain()
            return await self._reply(0)

    async def _reply(self, depth: int) -> Reply:
        line = await self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b"-":
            raise ReplyError(_code(rest))
        if kind == b":":
            return _number(rest)
        length = _number(rest)
        if length == -1 and kind in b"$*":
            return None
        if kind == b"$" and 0 <= length <= _LONGEST:
            return (await self._reader.readexactly(length + 2))[:-2]
        if kind == b"*" and 0 <= length <= _MOST and depth < _DEEPEST:
            return [await self._reply(depth + 1) for _ in range(length)]
        raise ProtocolError

    async def _line(self) -> bytes:
        try:
            return (await self._reader.readuntil(b"\r\n"))[:-2]
        except asyncio.LimitOverrunError:
            raise ProtocolError from None


@asynccontextmanager
async def connect(host: str, port: int, *, connect_s: float, timeout_s: float) -> AsyncGenerator[Session]:
    """A connection for a few calls; nobody has logged in on it."""
    async with asyncio.timeout(connect_s):
        reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Session(reader, writer, timeout_s)
    finally:
        writer.transport.abort()  # nothing is left to be said


def encoded(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _code(said: bytes) -> str:
    if said.startswith(_TOO_MANY):
        return "MAXCLIENTS"
    word = said.split(b" ", 1)[0][:40].decode("ascii", "replace")
    return word if word.isalpha() and word.isupper() else "ERR"


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise ProtocolError from None
