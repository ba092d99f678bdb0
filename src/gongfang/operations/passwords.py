"""Passwords as argon2id hashes, made and checked in threads: each takes tens of milliseconds and 64 MiB on purpose.

Two threads at most, and a bounded line before them, so that a flood of log-ins costs patience rather than memory.
A password is brought into one form (NFC) first: keyboards differ in how they write the same letter.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gongfang.domain.errors import Unavailable, invalid_field
from gongfang.domain.passwords import weakness

T = TypeVar("T")

NO_PASSWORD = "!"  # noqa: S105  (what stands in the column of users who log in by token only; no hash looks so)

_HASHER = PasswordHasher()
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
_WAITING_MOST = 50
_NOBODYS = _HASHER.hash("nobody's")
"""Checked in place of a hash that isn't there, so that an unknown name takes as long as a known one."""


class _Line:
    """How many wait for a thread or are in one."""

    waiting = 0

    async def run(self, work: Callable[..., T], *arguments: str) -> T:
        if self.waiting >= _WAITING_MOST:
            raise Unavailable("login_busy", retry_after=3)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
        finally:
            self.waiting -= 1


_line = _Line()


def _one_form(password: str) -> str:
    return unicodedata.normalize("NFC", password)


async def hashed(password: str, *, name: str) -> str:
    """The hash to store. Raises `Invalid` where it is easily guessed (`name`: of the user whose it will be)."""
    code = weakness(password, name)
    if code is not None:
        raise invalid_field("password", code)
    return await _line.run(_HASHER.hash, _one_form(password))


async def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password of a stored hash; None or `NO_PASSWORD` takes the same time and never is."""
    known = stored is not None and stored != NO_PASSWORD
    right = await _line.run(_check, stored if stored is not None and known else _NOBODYS, _one_form(password))
    return known and right


def _check(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
