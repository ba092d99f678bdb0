"""A client of PostgreSQL in a hundred lines of the standard library: log-in with SCRAM-SHA-256, and simple queries.

Uploaded with the app of `test_services`, so that it needs no package index.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
from urllib.parse import unquote, urlsplit


class PgError(Exception):
    """What the server refuses, in its own words."""


class Connection:
    def __init__(self, url: str, timeout: float = 5) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port or 5432), timeout)
        self._file = self._socket.makefile("rb")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        names = b"user\0" + user.encode() + b"\0database\0" + parts.path.lstrip("/").encode() + b"\0\0"
        body = struct.pack("!i", 196608) + names
        try:
            self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
            self._log_in(password)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of one statement, all as text."""
        self._send(b"Q", sql.encode() + b"\0")
        rows: list[tuple[str | None, ...]] = []
        failed: PgError | None = None
        while True:
            kind, body = self._receive()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                failed = PgError(_words(body))
            elif kind == b"Z":
                if failed is not None:
                    raise failed
                return rows

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._file.read(5)
        if len(head) < 5:
            raise PgError("the connection was closed")
        body = self._file.read(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E" and body.startswith(b"SFATAL"):
            raise PgError(_words(body))
        return head[:1], body

    def _log_in(self, password: str) -> None:
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        signature = b""
        while True:
            kind, body = self._receive()
            if kind == b"E":
                raise PgError(_words(body))
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (step,), data = struct.unpack("!i", body[:4]), body[4:]
            if step == 10:
                first = f"n,,{bare}".encode()
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
            elif step == 11:
                told = data.decode()
                given = dict(part.split("=", 1) for part in told.split(","))
                if not given["r"].startswith(nonce):
                    raise PgError("another nonce")
                salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(given["s"]), int(given["i"]))
                final = f"c=biws,r={given['r']}"
                message = f"{bare},{told},{final}".encode()
                key = hmac.digest(salted, b"Client Key", "sha256")
                proof = bytes(
                    a ^ b
                    for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), message, "sha256"), strict=True)
                )
                signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
                self._send(b"p", f"{final},p={base64.b64encode(proof).decode()}".encode())
            elif step == 12 and data != b"v=" + base64.b64encode(signature):
                raise PgError("the server does not know the password")


def _row(body: bytes) -> tuple[str | None, ...]:
    (count,), at = struct.unpack("!h", body[:2]), 2
    values: list[str | None] = []
    for _ in range(count):
        (size,), at = struct.unpack("!i", body[at : at + 4]), at + 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)


def _words(body: bytes) -> str:
    fields = [part.decode(errors="replace") for part in body.split(b"\0") if part]
    return next((field[1:] for field in fields if field.startswith("M")), "refused")
