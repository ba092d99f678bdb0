"""Delivers events to webhooks: in order, at least once, each webhook at its own pace.

A worker a webhook (`Webhooks` is the handler of `KeyedWorkers`): it reads the settled events behind the webhook's
position, sends those that fit, one after the other, and writes the position with each that arrived, in the same
transaction as the record of the attempt. Killed in between, it sends that one again. What fails is tried again later,
at the time that stands in the row; nothing behind it is sent meanwhile. `relay` looks once at all new events, and
wakes the webhooks that want one of them; the sweep finds what it missed.

Hard cases: a webhook that is changed, disabled or removed while a message is on its way (its row is read again under
its lock, and what came of the message is written only where the row still is); events that were pruned before they
could be delivered (they are passed over); a thousand events in a row that don't fit (the position moves on all the
same, written now and then); a clock that jumps back (an attempt put off for longer than the longest pause is due).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from pydantic_core import to_json

from gongfang.domain.clock import Clock
from gongfang.domain.ids import new_id
from gongfang.domain.values import Event, Outcome, Place
from gongfang.domain.webhooks import LONGEST_PAUSE_S, Delivery, Sent, Webhook, gives_up, matches, pause, why
from gongfang.state import Database, Scope, Wake
from gongfang.wire.models import EventOut

BATCH = 200
SKIPPED_UNWRITTEN = 1000
"""Events that don't fit may be passed over again after a restart, up to so many."""
_SOON_S = 0.02
_LOOK_AGAIN_S = 5.0

Send = Callable[[Webhook, str, bytes], Awaitable[Sent]]


def scope_of(place: Place) -> Scope:
    """The events of a place and below."""
    if place.space_id:
        return Scope(spaces=frozenset({place.space_id}))
    if place.organization_id:
        return Scope(organizations=frozenset({place.organization_id}))
    if place.tenant_id:
        return Scope(tenants=frozenset({place.tenant_id}))
    return Scope(everything=True)


def wants(webhook: Webhook, event: Event) -> bool:
    """Whether the event is of the webhook's place and fits its tags. Pure."""
    place = webhook.place
    inside = (
        event.space_id == place.space_id
        if place.space_id
        else event.organization_id == place.organization_id
        if place.organization_id
        else event.tenant_id == place.tenant_id
        if place.tenant_id
        else True
    )
    return inside and matches(webhook.tags, event.tag)


def message(event: Event) -> bytes:
    """The body: `type`, `timestamp` and `data`, as Standard Webhooks advises."""
    out = EventOut.model_validate(event)
    return to_json({"type": out.tag, "timestamp": out.at, "data": out})


def waits(webhook: Webhook, now: datetime) -> float:
    """Seconds until the next attempt is due; 0 where it is."""
    if webhook.next_attempt_at is None:
        return 0.0
    left = (webhook.next_attempt_at - now).total_seconds()
    return left if 0 < left <= LONGEST_PAUSE_S else 0.0


class Webhooks:
    """`send`: one message, now; what came of it is never an error."""

    def __init__(self, database: Database, clock: Clock, send: Send) -> None:
        self._database = database
        self._clock = clock
        self._send = send
        self._passed: dict[str, int] = {}

    async def enabled(self) -> list[str]:
        async with self._database.reading() as tx:
            return [w.id for w in await tx.find(Webhook, enabled=True)]

    async def __call__(self, key: str) -> float | None:
        """Sends what there is; answers when to look again."""
        while True:
            async with self._database.reading() as tx:
                webhook = await tx.one(Webhook, key)
            if webhook is None or not webhook.enabled:
                self._passed.pop(key, None)
                return None
            if left := waits(webhook, self._clock()):
                return left
            settled, more = await self._database.settled()
            after = max(webhook.position, self._passed.get(key, 0))
            if settled <= after:
                return _SOON_S if more else None
            async with self._database.reading() as tx:
                found = await tx.events(scope=scope_of(webhook.place), after=after, upto=settled, limit=BATCH)
            full = len(found) == BATCH
            for event in found:
                if wants(webhook, event):
                    arrived, now = await self._deliver(webhook, event)
                    if not arrived or now is None or not now.enabled:
                        break
                    webhook = now
            else:
                await self._pass(webhook, found[-1].seq if full else settled)
                if not full:
                    return _SOON_S if more else None

    async def _pass(self, webhook: Webhook, seq: int) -> None:
        """All up to this number is dealt with."""
        self._passed[webhook.id] = seq
        if seq - webhook.position >= SKIPPED_UNWRITTEN:
            async with self._database.writing() as tx:
                now = await tx.lock(Webhook, webhook.id)
                if now is not None and now.position < seq:
                    await tx.update(Webhook, webhook.id, position=seq)

    async def _deliver(self, webhook: Webhook, event: Event) -> tuple[bool, Webhook | None]:
        """One attempt: whether it arrived, and the webhook as it is afterwards."""
        sent = await self._send(webhook, f"{webhook.id}_{event.seq}", message(event))
        now = self._clock()
        delivery = Delivery(
            id=new_id("dlv"),
            webhook_id=webhook.id,
            at=now,
            seq=event.seq,
            tag=event.tag,
            attempt=webhook.attempts + 1,
            delivered=sent.delivered,
            status=sent.status,
            took_ms=sent.took_ms,
            reason=None if sent.delivered else why(sent),
            response=sent.response,
        )
        async with self._database.writing() as tx:
            held = await tx.lock(Webhook, webhook.id)
            if held is None:
                return False, None
            await tx.add_delivery(delivery)
            if sent.delivered:
                changed = await tx.update(
                    Webhook,
                    held.id,
                    position=event.seq,
                    attempts=0,
                    failing_since=None,
                    next_attempt_at=None,
                    reason=None,
                )
                return True, changed
            if held.url != webhook.url or not held.enabled:
                return False, held  # it was changed meanwhile: the failure was another's
            over = gives_up(held, sent, now)
            changed = await tx.update(
                Webhook,
                held.id,
                attempts=held.attempts + 1,
                failing_since=held.failing_since or now,
                next_attempt_at=now + pause(held.attempts + 1, random.random()),  # noqa: S311  (spreads load)
                reason=over or why(sent),
                enabled=over is None,
            )
            if over is not None:
                await tx.event(
                    "webhook:disabled",
                    at=now,
                    tenant_id=held.tenant_id,
                    organization_id=held.organization_id,
                    space_id=held.space_id,
                    object_id=held.id,
                    object_name=held.name,
                    outcome=Outcome.failed,
                    before={"enabled": True},
                    after={"enabled": False},
                    data={"reason": over.to_json(), "position": held.position},
                )
            return False, changed

    async def relay(self) -> None:
        """Wakes the webhooks that want one of the new events. Until cancelled."""
        seen, _ = await self._database.settled()
        with self._database.hub.changes("event") as changed:
            while True:
                changed.clear()
                settled, more = await self._database.settled()
                if settled > seen:
                    seen = await self._wake(seen, settled)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _SOON_S if more else _LOOK_AGAIN_S)

    async def _wake(self, after: int, upto: int) -> int:
        async with self._database.reading() as tx:
            webhooks = await tx.find(Webhook, enabled=True)
            if not webhooks:
                return upto
            found = await tx.events(scope=Scope(everything=True), after=after, upto=upto, limit=BATCH)
        woken = [w for w in webhooks if any(wants(w, e) for e in found)]
        self._database.hub.publish(Wake("webhook", w.id) for w in woken)
        return found[-1].seq if len(found) == BATCH else upto
