"""An open-loop load generator: a fixed number of requests a second over kept connections, in a process of its own.

    python -m bench.load PORT HOST RATE CONNECTIONS OUT

Runs until SIGTERM, then writes every request to OUT as JSON. Each request has a time at which it is meant to be sent,
and its latency counts from there, whether or not the connection was still busy then: a pause of the server shows in
all the requests that should have been sent during it (no co-ordinated omission). Times are of the monotonic clock,
which all processes of a machine share.
"""

import asyncio
import contextlib
import gc
import json
import os
import re
import selectors
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab import HOST

PATIENCE_S = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Wrong(Exception):
    """An answer came that isn't the app's."""


@dataclass(slots=True)
class Record:
    """All requests: when each was due, and how long it took from then, in seconds; the failed ones with their reason
    (and in `due` and `took` too). `reopened`: connections that the edge closed after a whole answer, having said so."""

    due: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    failures: list[dict[str, object]] = field(default_factory=list)
    reopened: int = 0


class Caller:
    """One connection, which sends a request every `step` seconds from `first` on."""

    def __init__(self, port: int, host: str, record: Record) -> None:
        self._port = port
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n\r\n".encode()
        self._record = record
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        return self._streams

    def disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def run(self, first: float, step: float) -> None:
        loop, record, due = asyncio.get_running_loop(), self._record, first
        while True:
            await asyncio.sleep(due - loop.time())
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._ask()
            except (OSError, EOFError, Wrong, TimeoutError) as error:
                self.disconnect()
                record.failures.append({"due": due, "what": f"{type(error).__name__}: {error}"})
            record.due.append(due)
            record.took.append(loop.time() - due)
            due += step

    async def _ask(self) -> None:
        """Any answer but a whole 200 of the app is a failure, and so is a connection that ends without being asked."""
        reader, writer = await self.connect()
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise Wrong(head[:60].decode("latin-1").splitlines()[0])
        body = await reader.readexactly(int(length[1]))
        if not body.startswith(b"version ") or not body.endswith(b"."):
            raise Wrong(f"another body: {body[:40]!r}")
        if _CLOSES.search(head):
            self.disconnect()
            self._record.reopened += 1


async def _main(port: int, host: str, rate: float, connections: int, out: Path) -> None:
    record = Record()
    callers = [Caller(port, host, record) for _ in range(connections)]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.gather(*(caller.connect() for caller in callers))
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # its own waiting for a core is not the server's
    gc.collect()
    gc.disable()  # its pauses would be told as the server's
    begin = loop.time() + 0.1
    tasks = [asyncio.create_task(caller.run(begin + i / rate, connections / rate)) for i, caller in enumerate(callers)]
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stopping}:
        task.result()  # callers run on for ever: one that ended has an error to tell
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for caller in callers:
        caller.disconnect()
    content = {"due": record.due, "took": record.took, "failures": record.failures, "reopened": record.reopened}
    out.write_text(json.dumps(content))


def main(port: str, host: str, rate: str, connections: str, out: str) -> None:
    # epoll waits for whole milliseconds, select for microseconds: the times of sending are kept that much better.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_main(int(port), host, float(rate), int(connections), Path(out)))


if __name__ == "__main__":
    main(*sys.argv[1:])
