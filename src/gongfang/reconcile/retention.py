"""How long events are kept: at least 180 days, longer by `GONGFANG_EVENT_RETENTION_DAYS`, then removed bit by bit."""

import asyncio
from datetime import datetime, timedelta

import structlog

from gongfang.domain.clock import Clock, lived
from gongfang.state import Database

log = structlog.get_logger()

PRUNED_AT_ONCE = 5000
PRUNE_EVERY_S = 3600.0
_BETWEEN_S = 0.1


async def prune_events(database: Database, before: datetime, limit: int) -> int:
    """Removes at most so many events older than this, in one short transaction; answers how many it removed.

    The database itself refuses to remove what is younger than 180 days.
    """
    async with database.writing() as tx:
        return await tx.prune_events(before, limit)


async def keep_events(database: Database, clock: Clock, days: int) -> None:
    """The sweep of what is older than so many days, every hour, in batches between which others get their turn.

    Time goes on as steadily as this process has lived: a clock that jumps years ahead removes nothing.
    """
    now = lived(clock)
    while True:
        total = 0
        before = now() - timedelta(days=days)
        while removed := await prune_events(database, before, PRUNED_AT_ONCE):
            total += removed
            await asyncio.sleep(_BETWEEN_S)
        if total:
            log.info("old events removed", count=total, days=days)
        await asyncio.sleep(PRUNE_EVERY_S)
