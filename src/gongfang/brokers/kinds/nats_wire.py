"""NATS's protocol: as much of it as an administrator's requests need.

What comes from the server is bounded, and an error is told by a code of ours, never by the server's text.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from gongfang.domain.values import JsonObject

_LONGEST_LINE = 64 << 10
_LONGEST = 4 << 20
_HEADED = b"HMSG"


class WireError(Exception):
    """The server refused, or said what is no NATS. `code`: `AUTH`, `MAXCLIENTS`, `NOBODY` (nobody answers such a
    request), `REFUSED`, `PROTOCOL`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Session:
    """One connection that has logged in. Requests one after another; after an error it is of no more use."""

    def __init__(
        self, server_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float
    ) -> None:
        self.server_id = server_id
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._sent = 0

    async def log_in(self, user: str, password: str) -> None:
        """Raises `WireError("AUTH")` where the server doesn't know them."""
        words = {"user": user, "pass": password, "verbose": False, "pedantic": False, "protocol": 1, "lang": "python"}
        words |= {"name": "gongfang", "version": "1", "headers": True, "no_responders": True}
        async with asyncio.timeout(self._timeout_s):
            await self._send(b"CONNECT %s\r\nPING\r\n" % json.dumps(words).encode())
            while await _line(self._reader) != b"PONG":
                pass
            await self._send(b"SUB %s.* 1\r\n" % self._inbox.encode())

    async def request(self, subject: str, payload: bytes = b"") -> JsonObject:
        """Raises `WireError`, `TimeoutError`, `OSError`, `EOFError`."""
        self._sent += 1
        reply = f"{self._inbox}.{self._sent}"
        async with asyncio.timeout(self._timeout_s):
            await self._send(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(payload), payload))
            while True:
                line = await _line(self._reader)
                words = line.split(b" ")
                if words[0] in {b"MSG", _HEADED} and len(words) > 3:
                    found = await self._message(words, reply.encode())
                    if found is not None:
                        return found
                elif line == b"PING":
                    await self._send(b"PONG\r\n")

    async def _message(self, words: list[bytes], reply: bytes) -> JsonObject | None:
        """None: it answers another request."""
        try:
            head, length = (int(words[-2]) if words[0] == _HEADED else 0), int(words[-1])
        except ValueError:
            raise WireError("PROTOCOL") from None
        if not 0 <= head <= length <= _LONGEST:
            raise WireError("PROTOCOL")
        body = (await self._reader.readexactly(length + 2))[:-2]
        if words[1] != reply:
            return None
        if body[:head].startswith(b"NATS/1.0 503"):
            raise WireError("NOBODY")
        try:
            found: Any = json.loads(body[head:])
        except ValueError:
            raise WireError("PROTOCOL") from None
        if not isinstance(found, dict):
            raise WireError("PROTOCOL")
        return cast(JsonObject, found)

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


@asynccontextmanager
async def connect(
    host: str, port: int, user: str, password: str, *, connect_s: float, timeout_s: float
) -> AsyncGenerator[Session]:
    """A connection for a few requests, logged in."""
    async with asyncio.timeout(connect_s):
        reader, writer = await asyncio.open_connection(host, port, limit=_LONGEST_LINE)
    try:
        async with asyncio.timeout(connect_s):
            server_id = _server_id(await _line(reader))
        session = Session(server_id, reader, writer, timeout_s)
        await session.log_in(user, password)
        yield session
    finally:
        writer.transport.abort()  # nothing is left to be said


def _server_id(line: bytes) -> str:
    word, _, rest = line.partition(b" ")
    try:
        told: Any = json.loads(rest) if word == b"INFO" else None
        found = str(told["server_id"])
    except (ValueError, KeyError, TypeError):
        raise WireError("PROTOCOL") from None
    if not found.isalnum():  # it becomes part of a subject
        raise WireError("PROTOCOL")
    return found


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = (await reader.readuntil(b"\r\n"))[:-2]
    except asyncio.LimitOverrunError:
        raise WireError("PROTOCOL") from None
    if line.startswith(b"-ERR"):
        raise WireError(_code(line.lower()))
    return line


def _code(said: bytes) -> str:
    if b"authorization violation" in said or b"authentication" in said:
        return "AUTH"
    return "MAXCLIENTS" if b"maximum connections" in said else "REFUSED"
