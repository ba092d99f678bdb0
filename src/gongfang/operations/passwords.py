"""Passwords as argon2id hashes, made and checked in threads: each takes tens of milliseconds and 64 MiB on purpose.

Two threads at most, so that a flood of log-ins costs patience rather than memory.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

NO_PASSWORD = "!"  # noqa: S105  (what stands in the column of users who log in by token only; no hash looks so)

_HASHER = PasswordHasher()
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
_NOBODYS = _HASHER.hash("nobody's")
"""Checked in place of a hash that isn't there, so that an unknown name takes as long as a known one."""


async def hashed(password: str) -> str:
    """The hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _HASHER.hash, password)


async def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password of a stored hash; None or `NO_PASSWORD` takes the same time and never is."""
    known = stored is not None and stored != NO_PASSWORD
    right = await asyncio.get_running_loop().run_in_executor(_THREADS, _check, stored if known else _NOBODYS, password)
    return known and right


def _check(stored: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(stored or _NOBODYS, password)
    except (VerificationError, InvalidHashError):
        return False
