"""Who has which token, as last read: most calls come with a token that was seen a moment ago.

What is kept here is never older than the last change of any token, user or role: a transaction that touched one
forgets all at its end, before its caller goes on, and what was read meanwhile is not kept. Changes that were not made
through this `Database` (by hand, say) count after `KEPT_S` at the latest. Expiry is for the caller to check, each time.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from gongfang.domain.values import RoleBinding, Token, User
from gongfang.state.records import TokenRecord

KEPT_S = 5.0
MOST = 10_000
NOUNS: frozenset[type[Any]] = frozenset({Token, User, RoleBinding})


class Identities:
    """`now`: seconds of a clock that only goes forward."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: dict[str, tuple[float, TokenRecord]] = {}
        self._changes = 0

    async def find(self, digest: str, read: Callable[[str], Awaitable[TokenRecord | None]]) -> TokenRecord | None:
        """The token with this hash and its user; `read` asks the database, for an unknown one each time."""
        now = self._now()
        kept = self._known.get(digest)
        if kept is not None and now - kept[0] < KEPT_S:
            return kept[1]
        changes = self._changes
        found = await read(digest)
        if found is not None and changes == self._changes:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[digest] = (now, found)
        return found

    def forget(self) -> None:
        """A token, a user or a role has changed, or may have."""
        self._changes += 1
        self._known.clear()
