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
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.values import Instance, InstanceState, Operation, OperationStatus
from gongfang.domain.webhooks import Webhook
from gongfang.state import Database

log = structlog.get_logger()

LOOK_S = 1.0
_ACTIVE = tuple(status.value for status in OperationStatus if not status.ended)
_ALIVE = tuple(state.value for state in InstanceState if not state.ended)
# Crashes count against an operation from its start on.
_OF_OPERATIONS = ("deadline", "started_at")
_OF_INSTANCES = ("started_at", "ready_at", "leaving_at")
_OF_SERVERS = ("started_at", "ready_at", "next_start_at")


async def move_along(database: Database, clock: SteadyClock, jump: timedelta) -> int:
    """Moves what is under way; answers how many rows that were."""
    async with database.writing() as tx:
        moved = await tx.put_on(Operation, _OF_OPERATIONS, jump, answer="app_id", status=_ACTIVE)
        moved += await tx.put_on(Instance, _OF_INSTANCES, jump, answer="app_id", state=_ALIVE)
        servers = await tx.put_on(HostedInstance, _OF_SERVERS, jump)
        # Else a jump of a day would give up at once what has failed for a moment.
        await tx.put_on(Webhook, ("failing_since", "next_attempt_at"), jump, enabled=True)
        await tx.move_lock_outs(jump)
        await tx.move_answers(jump)
        for app_id in {app_id for app_id in moved if app_id}:
            tx.wake("app", app_id)
        for server_id in servers:
            tx.wake("hosted", server_id)
        moved += servers
        data = {"seconds": round(jump.total_seconds(), 1), "moved": len(moved)}
        await tx.event("platform:clock:jumped", at=clock() + jump, actor_name="platform", data=data)
    return len(moved)


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
