"""One probe of one endpoint: is it well, and if not, what was seen. No state; see `health` for what follows."""

import asyncio
import errno
import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from gongfang.domain.values import CheckKind, HealthCheck

_STATUS_LINE_LIMIT = 4096
_CONNECTED = (0, errno.EISCONN)


@dataclass(frozen=True, slots=True)
class Probe:
    """`what`: for people, short, in the words of the protocol (`HTTP 503`, `connection refused`)."""

    well: bool
    what: str


async def probe(check: HealthCheck, host: str, port: int) -> Probe:
    """Tries once, within the check's `timeout_s`. A `process` check passes: that it ended would be seen otherwise."""
    if check.kind is CheckKind.process:
        return Probe(True, "process runs")
    try:
        async with asyncio.timeout(check.timeout_s):
            if check.kind is CheckKind.port:
                return await _port(host, port)
            return await _http(host, port, check.path)
    except TimeoutError:
        return Probe(False, f"no answer within {check.timeout_s:g} s")
    except ConnectionRefusedError:
        return Probe(False, f"connection refused on port {port}")
    except (OSError, asyncio.IncompleteReadError, ValueError, OverflowError) as error:
        return Probe(False, str(error) or type(error).__name__)


def passes_at_once(check: HealthCheck, host: str, port: int) -> bool:
    """Whether the check passes without anything to wait for; False where that takes a `probe` to say. With thousands
    of instances this is most of what idling costs, so it is a few system calls and nothing else."""
    if check.kind is CheckKind.process:
        return True
    if check.kind is not CheckKind.port:
        return False
    try:
        with _unconnected(host) as connection:
            return _connect(connection, host, port) in _CONNECTED
    except (OSError, ValueError, OverflowError):  # the last: no such port
        return False


async def _port(host: str, port: int) -> Probe:
    with _unconnected(host) as connection:
        code = _connect(connection, host, port)
        if code in (errno.EINPROGRESS, errno.EALREADY):
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
        elif code not in _CONNECTED:
            raise OSError(code, os.strerror(code))
    return Probe(True, "port accepts connections")


def _unconnected(host: str) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    return connection


def _connect(connection: socket.socket, host: str, port: int) -> int:
    """The code of the second try where there was one: on this machine it already finds the socket connected."""
    code = connection.connect_ex((host, port))
    return connection.connect_ex((host, port)) if code == errno.EINPROGRESS else code


async def _http(host: str, port: int, path: str) -> Probe:
    reader, writer = await asyncio.open_connection(host, port, limit=_STATUS_LINE_LIMIT)
    try:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: gongfang-health\r\nConnection: close\r\n\r\n"
        )
        writer.write(request.encode())
        line = (await reader.readline()).decode("latin-1").split(maxsplit=2)
        if len(line) < 2 or not line[0].startswith("HTTP/"):
            return Probe(False, "not an HTTP answer")
        status = int(line[1])
        return Probe(200 <= status < 400, f"HTTP {status}")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
