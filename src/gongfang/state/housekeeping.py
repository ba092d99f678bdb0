"""What clearing up asks the database: who refers to what, and what is old. Few, wide questions; no nouns are made."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, select, text

from gongfang.state import tables
from gongfang.state.blobrefs import REFERENCES
from gongfang.state.codec import NOUNS
from gongfang.state.database import ACTIVE, Reading, Writing

_AT_ONCE = 5000
_LONG_HISTORIES = text(
    """
    SELECT app_id FROM releases GROUP BY app_id HAVING count(*) > :releases
    UNION SELECT app_id FROM packages GROUP BY app_id HAVING count(*) > :packages
    UNION SELECT app_id FROM builds GROUP BY app_id HAVING count(*) > :builds
    UNION SELECT d.app_id FROM droplets d
        WHERE NOT EXISTS (SELECT 1 FROM releases r WHERE r.app_id = d.app_id AND r.droplet_id = d.id)
    """
)
_DROPLETS_IN_USE = text(
    """
    SELECT d.sha256 FROM droplets d JOIN releases r ON r.droplet_id = d.id
        JOIN apps a ON r.id IN (a.target_release_id, a.current_release_id) WHERE a.desired = 'started'
    UNION SELECT d.sha256 FROM droplets d JOIN releases r ON r.droplet_id = d.id
        JOIN instances i ON i.release_id = r.id WHERE i.state NOT IN ('exited', 'crashed')
    UNION SELECT d.sha256 FROM droplets d JOIN releases r ON r.droplet_id = d.id
        JOIN tasks t ON t.release_id = r.id WHERE t.state IN ('pending', 'running')
    UNION SELECT d.sha256 FROM droplets d JOIN operations o
        ON o.app_id = d.app_id AND o.status IN ('pending', 'running')
    """
)
_BUILDING = text("SELECT DISTINCT app_id FROM builds WHERE state IN ('pending', 'running')")


async def long_histories(tx: Reading, *, releases: int, packages: int, builds: int) -> list[str]:
    """Ids of apps of which something may be too much."""
    found = await tx.connection.execute(_LONG_HISTORIES, {"releases": releases, "packages": packages, "builds": builds})
    return sorted(row[0] for row in found)


async def known_ids(tx: Reading, noun: type[Any], ids: Iterable[str]) -> set[str]:
    """Those of the ids that have a row."""
    table = NOUNS[noun]
    statement = select(table.c.id).where(table.c.id.in_(bindparam("ids", expanding=True)))
    wanted, found = list(ids), set[str]()
    for start in range(0, len(wanted), _AT_ONCE):
        rows = await tx.connection.execute(statement, {"ids": wanted[start : start + _AT_ONCE]})
        found.update(row[0] for row in rows)
    return found


async def blobs_referred(tx: Reading) -> frozenset[str]:
    """Digests of all stored files that rows name."""
    found: set[str] = set()
    for reference in REFERENCES:
        column = _table(reference.table).c[reference.column]
        rows = await tx.connection.execute(select(column).where(column.is_not(None)).distinct())
        found.update(row[0] for row in rows)
    return frozenset(found)


def _table(name: str) -> Table:
    return tables.metadata.tables[name]


async def droplets_in_use(tx: Reading) -> frozenset[str]:
    """Digests of droplets on which something runs, or is about to."""
    return frozenset(row[0] for row in await tx.connection.execute(_DROPLETS_IN_USE))


async def apps_building(tx: Reading) -> frozenset[str]:
    """Ids of apps with a build that is not over."""
    return frozenset(row[0] for row in await tx.connection.execute(_BUILDING))


async def old_operations(tx: Reading, before: datetime) -> int:
    """How many ended before that time."""
    table = tables.operations
    statement = select(func.count()).select_from(table).where(table.c.finished_at < before)
    return int((await tx.connection.execute(statement.where(table.c.status.not_in(ACTIVE)))).scalar_one())


async def forget_operations(tx: Writing, before: datetime) -> int:
    """Removes those; how many."""
    table = tables.operations
    statement = delete(table).where(table.c.finished_at < before, table.c.status.not_in(ACTIVE))
    return (await tx.connection.execute(statement)).rowcount


async def old_answers(tx: Reading, before: datetime) -> int:
    """How many kept answers of idempotent calls are older."""
    table = tables.idempotency
    statement = select(func.count()).select_from(table).where(table.c.created_at < before)
    return int((await tx.connection.execute(statement)).scalar_one())
