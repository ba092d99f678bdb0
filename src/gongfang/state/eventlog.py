"""The event log's own statements: how events are written, and up to where they may be read without missing one.

Numbers are given out before transactions commit, so a reader who has seen number 10 may never see 9, which commits
later. Therefore each transaction that writes events first takes a shared advisory lock (`_LOCK`), before its first
number, and holds it to its end. Shared locks do not wait for one another: nobody is serialised. A reader notes the
highest number given out (s), and then who holds the lock. Whoever has a number up to s and isn't committed yet is among
them: once these are gone, whatever will ever be visible up to s is, and s is *settled* (`Horizon`, pure).

Only writers of events hold this lock, so a transaction elsewhere that is left open for hours (another database of the
same server, a dump) holds up nothing, as it would with a horizon of transaction ids. Nothing is stored for it either,
so a restored database needs no care.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, delete, func, insert, literal_column, select, text

from gongfang.state.tables import events

_LOCK = 0x6576656E  # "even": who writes events

_COLUMNS = [column for column in events.columns if column.name != "seq"]

# The lock comes first: a sub-select that has an effect is neither merged with what is around it nor left out, so it is
# done before a row comes out of it, and a row has to come out before it gets its number.
_locked = select(func.pg_advisory_xact_lock_shared(literal_column(str(_LOCK))).label("held")).subquery("locked")
INSERT = insert(events).from_select(
    [column.name for column in _COLUMNS],
    select(*(bindparam(column.name, type_=column.type) for column in _COLUMNS)).select_from(_locked),
    include_defaults=False,
)

ALLOCATED = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS allocated FROM events_seq_seq")
HOLDERS = text(
    "SELECT virtualtransaction AS holder FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objsubid = 1"
    " AND objid = :lock AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
).bindparams(bindparam("lock", _LOCK, type_=BigInteger))


def filters(
    *,
    after: int | None = None,
    before: int | None = None,
    upto: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    tag: str | None = None,
) -> list[ColumnElement[bool]]:
    """Numbers past `after`, below `before`, up to `upto`; times from `since`, before `until`; `tag` may end in `*`."""
    where: list[ColumnElement[bool]] = []
    if after is not None:
        where.append(events.c.seq > after)
    if before is not None:
        where.append(events.c.seq < before)
    if upto is not None:
        where.append(events.c.seq <= upto)
    if since is not None:
        where.append(events.c.at >= since)
    if until is not None:
        where.append(events.c.at < until)
    if tag is not None:
        begins = tag.endswith("*")
        where.append(events.c.tag.startswith(tag[:-1], autoescape=True) if begins else events.c.tag == tag)
    return where


def prune(before: Any, limit: int) -> Any:
    """Deletes at most so many of those older than a moment, the oldest first."""
    oldest = select(events.c.seq).where(events.c.at < before).order_by(events.c.seq).limit(limit)
    return delete(events).where(events.c.seq.in_(oldest.scalar_subquery()))


def exporting(where: Sequence[Any], limit: int) -> Any:
    """Whole rows as the database writes JSON: for many, since nothing is made of each row here."""
    row: Any = literal_column("to_jsonb(events)::text", Text).label("row")
    return select(events.c.seq, row).where(*where).order_by(events.c.seq).limit(limit)


class Horizon:
    """Which numbers are settled, from what was seen: pure, and the lock that keeps sightings in order."""

    def __init__(self) -> None:
        self.order = asyncio.Lock()
        self.begun = 0
        """Sightings that have begun. Who asked before one began may use what it saw: many readers, few sightings."""
        self.settled = 0
        self._open: list[tuple[int, frozenset[str]]] = []

    @property
    def waits(self) -> bool:
        """Whether some numbers that were given out aren't settled yet."""
        return bool(self._open)

    def observe(self, allocated: int, holders: frozenset[str]) -> int:
        """A sighting: `holders` were seen after `allocated` was. Answers the highest settled number, never a lower one
        than before."""
        still: list[tuple[int, frozenset[str]]] = []
        for number, held in (*self._open, (allocated, holders)):
            left = held & holders
            if left:
                still.append((number, left))
            else:
                self.settled = max(self.settled, number)
        # Of sightings that wait for the same holders the highest number counts.
        newest: dict[frozenset[str], int] = {}
        for number, left in still:
            if number > self.settled:
                newest[left] = max(number, newest.get(left, 0))
        self._open = [(number, left) for left, number in newest.items()]
        return self.settled


def row_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """All columns of an event; those that were not given are empty."""
    return {column.name: event.get(column.name) for column in _COLUMNS}


__all__ = ["ALLOCATED", "HOLDERS", "INSERT", "Horizon", "exporting", "filters", "prune", "row_of"]
