"""A stream under a passphrase: a key by scrypt, pieces of 64 KiB by AES-256-GCM, joined as in the STREAM construction.

Each piece's nonce is a random prefix, the piece's number, and whether it is the last; the file's own beginning is
bound to every piece. So no piece can be changed, left out, moved or cut off at the end without being found out.
"""

import os
import struct
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from gongfang.domain.errors import Invalid

MAGIC = b"gongfang sealed backup 1\n"
PIECE = 64 << 10
_TAG = 16
_HEAD = struct.Struct("<BBB16s7s")
LOG_N, _R, _P = 16, 8, 1  # 64 MiB and about a fifth of a second for each guess
_MOST_LOG_N, _MOST_R, _MOST_P = 20, 16, 4  # a file may not ask for more memory and time than that


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def _key(passphrase: bytes, salt: bytes, log_n: int, r: int, p: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + struct.pack(">IB", number, last)


class Sealer:
    """Takes the plain stream, writes the sealed one. `close` writes the last piece; without it the file is cut off."""

    def __init__(self, file: Sink, passphrase: bytes, log_n: int = LOG_N) -> None:
        """`log_n`: how much work a guess is; it is written into the file."""
        salt, self._prefix = os.urandom(16), os.urandom(7)
        self._head = MAGIC + _HEAD.pack(log_n, _R, _P, salt, self._prefix)
        self._cipher = _key(passphrase, salt, log_n, _R, _P)
        self._file = file
        self._number = 0
        self._waiting = bytearray()
        file.write(self._head)

    def write(self, data: bytes) -> int:
        self._waiting += data
        while len(self._waiting) > PIECE:  # a full one waits until it is known whether it is the last
            self._seal(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return len(data)

    def flush(self) -> None:
        """Nothing to do: pieces go out when they are full."""

    def close(self) -> None:
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, piece: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, piece, self._head))
        self._number += 1


class Opener:
    """Reads the plain stream back. `file` stands behind `MAGIC`.

    Raises `Invalid`: `backup_passphrase_wrong` (or the first piece is damaged), `backup_damaged`, `backup_truncated`.
    """

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise Invalid("backup_truncated")
        log_n, r, p, salt, self._prefix = _HEAD.unpack(head)
        if not (1 <= log_n <= _MOST_LOG_N and 1 <= r <= _MOST_R and 1 <= p <= _MOST_P):
            raise Invalid("backup_damaged", what="scrypt parameters")
        self._head = MAGIC + head
        self._cipher = _key(passphrase, salt, log_n, r, p)
        self._file = file
        self._number = 0
        self._next = file.read(PIECE + _TAG)
        self._plain = b""
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._plain) < size):
            self._plain += self._open()
        if size < 0:
            size = len(self._plain)
        given, self._plain = self._plain[:size], self._plain[size:]
        return given

    def _open(self) -> bytes:
        piece, self._next = self._next, self._file.read(PIECE + _TAG)
        last = not self._next
        self._ended = last
        try:
            plain = self._cipher.decrypt(_nonce(self._prefix, self._number, last=last), piece, self._head)
        except InvalidTag:
            if last and self._opens(piece):
                raise Invalid("backup_truncated") from None
            if self._number == 0:
                raise Invalid("backup_passphrase_wrong") from None
            raise Invalid("backup_truncated" if last else "backup_damaged", what="a sealed piece") from None
        self._number += 1
        return plain

    def _opens(self, piece: bytes) -> bool:
        """Whether it is a piece that others should have followed."""
        try:
            self._cipher.decrypt(_nonce(self._prefix, self._number, last=False), piece, self._head)
        except InvalidTag:
            return False
        return True
