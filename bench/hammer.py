"""A load generator that asks as fast as it is answered, or at a steady rate, over kept connections.

    python -m bench.hammer < WORK > FOUND

It is Python, but its loop is one over epoll that does nothing beside `recv` and `send`: the kernel takes most of its
time, as it does of generators in C. It asks one request a connection at a time. At a steady rate, latency counts from
the time at which a request was due (see `load`). Anything but a whole answer of 2xx with a Content-Length is a failure.
"""

import base64
import json
import re
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.lab import HOST, Failed
from bench.stats import percentile

ROOT = Path(__file__).resolve().parents[1]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """Of one run. `failures`: the first few, in words. `cpu_s`: what the generator itself took."""

    seconds: float
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    failures: tuple[str, ...]
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def get(host: str, path: str = "/", **headers: str) -> bytes:
    """A request without a body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()


def post(host: str, path: str, **headers: str) -> bytes:
    """A request with an empty body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{lines}\r\n".encode()


class Hammer:
    """A run in a process of its own, from the moment it is made. The requests are sent in turns."""

    def __init__(
        self, port: int, requests: Sequence[bytes], *, seconds: float, connections: int, rate: float = 0.0
    ) -> None:
        work = {
            "port": port,
            "requests": [base64.b64encode(request).decode() for request in requests],
            "seconds": seconds,
            "connections": connections,
            "rate": rate,
        }
        self._limit = seconds + 60
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.hammer"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(work).encode())
        self._process.stdin.close()

    def end(self) -> None:
        """Before its time, without a result."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def found(self) -> Found:
        """Waits for its end. Raises `Failed`."""
        assert self._process.stdout is not None
        try:
            output = self._process.stdout.read()
            code = self._process.wait(timeout=self._limit)
        finally:
            self.end()
        if code != 0:
            raise Failed(f"the load generator ended with {code}")
        content = json.loads(output)
        return Found(**{**content, "failures": tuple(content["failures"])})


def hammer(port: int, requests: Sequence[bytes], *, seconds: float, connections: int, rate: float = 0.0) -> Found:
    """Runs one and waits for it."""
    run = Hammer(port, requests, seconds=seconds, connections=connections, rate=rate)
    try:
        return run.found()
    finally:
        run.end()


# --- the generator itself --------------------------------------------------------------------------------------------


class _Run:
    def __init__(self, work: dict[str, Any]) -> None:
        self._address = (HOST, int(work["port"]))
        self._requests = [base64.b64decode(request) for request in work["requests"]]
        self._seconds = float(work["seconds"])
        self._rate = float(work["rate"])
        self._sockets: dict[int, socket.socket] = {}
        self._sent: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._epoll = select.epoll()
        self._turn = 0
        self.took: list[float] = []
        self.failures: list[str] = []
        self._whole = -1  # length of the last whole answer: most are of one length
        for _ in range(int(work["connections"])):
            self._connect()

    def _connect(self) -> int:
        connection = socket.create_connection(self._address, timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        descriptor = connection.fileno()
        self._sockets[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN)
        return descriptor

    def _send(self, descriptor: int, due: float) -> None:
        request = self._requests[self._turn % len(self._requests)]
        self._turn += 1
        self._sent[descriptor] = due
        try:
            self._sockets[descriptor].send(request)
        except OSError as error:
            self._fail(descriptor, f"{type(error).__name__}: {error}")

    def _fail(self, descriptor: int, what: str) -> int:
        """The connection is given up, and another takes its place."""
        self.failures.append(what)
        self._partial.pop(descriptor, None)
        self._sent.pop(descriptor, None)
        self._sockets.pop(descriptor).close()
        return self._connect()

    def _receive(self, descriptor: int) -> bool | None:
        """Whether a whole and good answer is there now; None while there is more to come."""
        try:
            data = self._sockets[descriptor].recv(65536)
        except BlockingIOError:
            return None
        except OSError as error:
            self._fail(descriptor, f"{type(error).__name__}: {error}")
            return False
        if not data:
            self._fail(descriptor, "the connection was closed")
            return False
        before = self._partial.pop(descriptor, None)
        if before is not None:
            data = before + data
        elif len(data) == self._whole and data.startswith(b"HTTP/1.1 2"):
            return True
        return self._parse(descriptor, data)

    def _parse(self, descriptor: int, data: bytes) -> bool | None:
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
        if end >= 0 and (length is None or not data.startswith(b"HTTP/1.1 2")):
            self._fail(descriptor, data[:60].decode("latin-1").splitlines()[0])
            return False
        if length is None or len(data) < end + 4 + int(length[1]):
            self._partial[descriptor] = data
            return None
        self._whole = len(data)
        return True

    def run(self) -> float:
        """Until the time is over; how long it took."""
        begin = time.perf_counter()
        if self._rate:
            self._steady(begin)
        else:
            self._flat_out(begin)
        return time.perf_counter() - begin

    def _flat_out(self, begin: float) -> None:
        now, poll, took, sent = time.perf_counter, self._epoll.poll, self.took, self._sent
        end = begin + self._seconds
        for descriptor in list(self._sockets):
            self._send(descriptor, now())
        while (at := now()) < end:
            for descriptor, _ in poll(_TICK_S):
                due = sent.get(descriptor)
                good = self._receive(descriptor) if descriptor in self._sockets else False
                if good:
                    at = now()
                    took.append(at - due if due is not None else 0.0)
                    self._send(descriptor, at)
            for descriptor in self._sockets.keys() - sent.keys() if len(sent) < len(self._sockets) else ():
                self._send(descriptor, at)

    def _steady(self, begin: float) -> None:
        now, step, end = time.perf_counter, 1 / self._rate, begin + self._seconds
        idle, due = deque(self._sockets), begin
        while (at := now()) < end:
            while idle and due <= at:
                descriptor = idle.popleft()
                if descriptor in self._sockets:
                    self._send(descriptor, due)
                    due += step
            wait = max(0.0, min(_TICK_S, due - now())) if idle else _TICK_S
            select.select([self._epoll], [], [], wait)  # to the microsecond; epoll itself waits for whole milliseconds
            for descriptor, _ in self._epoll.poll(0):
                since = self._sent.get(descriptor)
                if self._receive(descriptor) and since is not None:
                    self.took.append(now() - since)
                    del self._sent[descriptor]
                    idle.append(descriptor)
            idle.extend(self._sockets.keys() - self._sent.keys() - set(idle) if self.failures else ())


def _main() -> None:
    run = _Run(json.load(sys.stdin))
    seconds = run.run()
    took = [value * 1e3 for value in run.took] or [0.0]
    found = Found(
        seconds=seconds,
        requests=len(run.took),
        failed=len(run.failures),
        p50_ms=percentile(took, 0.5),
        p99_ms=percentile(took, 0.99),
        worst_ms=max(took),
        failures=tuple(run.failures[:10]),
        cpu_s=time.process_time(),
    )
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    _main()
