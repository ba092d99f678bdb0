"""Secrets at rest: sealed with the newest key of a rotatable ring, opened with any key of it (Fernet: AES + HMAC)."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet


class Keyring:
    """Keys in a file of mode 0600, one a line, the newest first."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @staticmethod
    def load(path: Path) -> "Keyring":
        """Reads the file, or makes it with one fresh key (never over an existing one)."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".new")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        return Keyring([line for line in path.read_bytes().split() if line])

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        return self._fernet.decrypt(sealed.encode("ascii")).decode()
