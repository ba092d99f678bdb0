"""What may be left at brokers after a request was given up: deleted there, until it is said to be gone.

A handler for `KeyedWorkers`, the key being an orphan's id. It asks for ever, ever more seldom; nobody waits for it, and
no row that people see has to live on for it.
"""

from datetime import datetime, timedelta
from typing import Any

from gongfang.brokers.interface import Accepted, Broker, Deprovision, Done, Poll, Polled, Refused, Target, Unbind
from gongfang.domain.clock import Clock
from gongfang.domain.services import Orphan, ServiceBroker
from gongfang.reconcile.brokers import Brokers
from gongfang.reconcile.plans.services import refusal
from gongfang.state import Database

FIRST_AGAIN_S = 5.0
LONGEST_AGAIN_S = 3600.0
MAX_ROUNDS = 5


class OrphanReconciler:
    def __init__(self, database: Database, brokers: Brokers, clock: Clock) -> None:
        self._database = database
        self._brokers = brokers
        self._clock = clock

    async def unfinished(self) -> list[str]:
        async with self._database.reading() as tx:
            return [orphan.id for orphan in await tx.find(Orphan)]

    async def __call__(self, key: str) -> float | None:
        for _ in range(MAX_ROUNDS):
            async with self._database.reading() as tx:
                orphan = await tx.one(Orphan, key)
                broker = await tx.one(ServiceBroker, orphan.broker_id) if orphan else None
            if orphan is None or broker is None:
                return None
            wait = self._wait(orphan.next_at)
            if wait > 0:
                return wait
            await self._ask(await self._brokers.of(broker), orphan)
        return 0.0

    def _wait(self, until: datetime | None) -> float:
        """A moment that is further away than any that is set is of before the clock was put back."""
        seconds = (until - self._clock()).total_seconds() if until is not None else 0.0
        return seconds if seconds <= LONGEST_AGAIN_S else 0.0

    async def _ask(self, broker: Broker, orphan: Orphan) -> None:
        target = Target(orphan.instance_id, orphan.service_id, orphan.plan_id)
        if orphan.accepted:
            answer = await broker.last_operation(Poll(target, orphan.binding_id, orphan.operation, orphan.id))
            if isinstance(answer, Polled) and answer.state in ("succeeded", "gone"):
                await self._removed(orphan)
            elif isinstance(answer, Polled) and answer.state == "failed":
                await self._again(orphan, accepted=False, operation=None)
            else:
                await self._again(orphan)
            return
        if orphan.binding_id is not None:
            said = await broker.unbind(Unbind(target, orphan.binding_id, None, orphan.id))
        else:
            said = await broker.deprovision(Deprovision(target, None, orphan.id))
        match said:
            case Done():
                await self._removed(orphan)
            case Accepted(operation):
                await self._again(orphan, accepted=True, operation=operation, attempts=0)
            case Refused():
                await self._again(orphan, reason=refusal(said))
            case _:
                await self._again(orphan, reason=said.reason)

    async def _again(self, orphan: Orphan, **changes: Any) -> None:
        attempts = int(changes.pop("attempts", orphan.attempts + 1))
        wait = min(FIRST_AGAIN_S * 2.0 ** min(attempts, 20), LONGEST_AGAIN_S)
        next_at = self._clock() + timedelta(seconds=wait)
        async with self._database.writing() as tx:
            await tx.update(Orphan, orphan.id, attempts=attempts, next_at=next_at, **changes)

    async def _removed(self, orphan: Orphan) -> None:
        async with self._database.writing() as tx:
            if await tx.delete(Orphan, id=orphan.id):
                await tx.event(
                    "service:orphan:removed",
                    at=self._clock(),
                    object_id=orphan.id,
                    data={
                        "service_instance": orphan.instance_id,
                        "binding": orphan.binding_id,
                        "broker": orphan.broker_id,
                    },
                )
                tx.wake("service", orphan.instance_id)
