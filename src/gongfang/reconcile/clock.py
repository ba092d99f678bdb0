"""When the machine's clock jumps, what is under way moves along: nothing is over at once, or never.

Deadlines and beginnings that something is still measured from are put on by the jump, in one transaction; only then
does the platform's clock tell the new time. A control plane that dies in between starts with the new time, and finds
either all of it moved or none: then what seems to be of the future counts as just begun, and what seems long over is
tried again, as after any restart.
"""

import asyncio
from datetime import timedelta

import structlog

from gongfang.domain.clock import SteadyClock
from gongfang.domain.errors import Unavailable
from gongfang.state import Database

log = structlog.get_logger()

LOOK_S = 1.0


async def move_along(database: Database, clock: SteadyClock, jump: timedelta) -> int:
    """Moves what is under way; answers how many rows that were."""
    async with database.writing() as tx:
        moved, app_ids = await tx.move_along(jump)
        for app_id in app_ids:
            tx.wake("app", app_id)
        data = {"seconds": round(jump.total_seconds(), 1), "moved": moved}
        await tx.event("platform:clock:jumped", at=clock() + jump, actor_name="platform", data=data)
    return moved


async def watch_clock(database: Database, clock: SteadyClock) -> None:
    """Until cancelled."""
    while True:
        jump = clock.jump()
        if jump is not None:
            try:
                moved = await move_along(database, clock, jump)
            except Unavailable as error:
                log.warning("clock jumped, put off", reason=str(error))
            else:
                clock.accept(jump)
                log.warning("clock jumped", seconds=jump.total_seconds(), moved=moved)
        await asyncio.sleep(LOOK_S)
