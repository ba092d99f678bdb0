"""Calls over one kept connection, with as little as can be between the benchmark and the wire."""

import json
import socket
from typing import Any

from bench.lab import HOST, Failed
from bench.load import _LENGTH


class Line:
    """One connection; asks one thing at a time. It is made anew where the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises `OSError`."""
        if self._socket is None:
            self._socket = socket.create_connection((HOST, self._port), timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0 or len(received) < end + 4 + _length(received[: end + 2]):
            chunk = self._socket.recv(65536)
            if not chunk:
                self.close()
                raise ConnectionError("the connection was closed")
            received += chunk
        if b"\r\nconnection: close" in received[:end].lower():
            self.close()
        return int(received[9:12]), received[end + 4 :]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


class Api:
    """Calls of the platform's API as its administrator."""

    def __init__(self, port: int, token: str) -> None:
        self._line = Line(port)
        self._token = token

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """A call as it goes over the wire."""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def call(self, method: str, path: str, body: object = None) -> Any:
        """`data` of the answer. Raises `Failed` where it is none of success."""
        status, content = self._line.ask(self.request(method, path, body))
        if status >= 300:
            raise Failed(f"{method} {path}: {status} {content[:300]!r}")
        return json.loads(content)["data"]

    def close(self) -> None:
        self._line.close()
