"""Secrets at rest: sealed with the newest key of a rotatable ring, opened with any key of it (Fernet: AES + HMAC)."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Keyring:
    """Keys in a file of mode 0600, one a line, the newest first."""

    def __init__(self, keys: list[bytes]) -> None:
        self._use(keys)

    def _use(self, keys: list[bytes]) -> None:
        self._keys = list(keys)
        self._newest = Fernet(keys[0])
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @property
    def count(self) -> int:
        """How many keys there are: more than one, and values may be under an older one."""
        return len(self._keys)

    @staticmethod
    def load(path: Path) -> "Keyring":
        """Reads the file, or makes it with one fresh key (never over an existing one)."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, [Fernet.generate_key()])
        return Keyring(_read(path))

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        return self._fernet.decrypt(sealed.encode("ascii")).decode()

    def reseal(self, sealed: str) -> str | None:
        """The same value under the newest key; None where it is already. `InvalidToken` where no key opens it."""
        try:
            self._newest.decrypt(sealed.encode("ascii"))
        except InvalidToken:
            return self._fernet.rotate(sealed.encode("ascii")).decode("ascii")
        return None

    def add_key(self, path: Path) -> None:
        """A fresh key in front, in the file first: what is sealed with it can be opened after any crash."""
        keys = [Fernet.generate_key(), *_read(path)]
        _write(path, keys)
        self._use(keys)

    def drop_older(self, path: Path) -> None:
        """Only the newest stays: nothing may be under another any more."""
        _write(path, self._keys[:1])
        self._use(self._keys[:1])


def _read(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().split() if line]


def _write(path: Path, keys: list[bytes]) -> None:
    partial = path.with_suffix(".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(key + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
