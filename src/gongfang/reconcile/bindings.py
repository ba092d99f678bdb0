"""The reconciler of bindings: has brokers give credentials and take them back, and waits for apps to have them.

What it writes of a binding makes the app's instances new or old (`state.service_queries`), and opens or closes the way
to the server; both are looked at by those whose matter they are, woken from here. Order of writes as in
`gongfang.reconcile.services`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from gongfang.brokers.interface import Bind, Bound, Broker, Poll, Target, Unbind, Where, Who
from gongfang.domain.attachments import default_variables
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.services import (
    BindingState,
    BrokerCall,
    CallKind,
    Offering,
    ServiceBinding,
    ServiceBroker,
    ServiceInstance,
    ServicePlan,
)
from gongfang.domain.values import App, Operation, OperationKind, OperationStatus, Organization, Space
from gongfang.reconcile.brokers import Brokers
from gongfang.reconcile.plans import bindings as plans
from gongfang.reconcile.plans.bindings import (
    AskBinding,
    BindingOutcome,
    BindingPicture,
    FetchOwn,
    SendBinding,
    SettleBinding,
)
from gongfang.reconcile.plans.picture import Picture
from gongfang.reconcile.rows import read_rows
from gongfang.reconcile.service_writing import end_operation, note_orphan, to_tell, under_way
from gongfang.state import Database, Reading, Writing
from gongfang.state.service_queries import unsettled_bindings

MAX_ROUNDS = 20
ACTIVE = ("pending", "running")
_KINDS = (OperationKind.bind, OperationKind.unbind, OperationKind.rotate)


class BindingReconciler:
    """A handler for `KeyedWorkers`, the key being a binding's id."""

    def __init__(self, database: Database, brokers: Brokers, clock: Clock) -> None:
        self._database = database
        self._brokers = brokers
        self._clock = clock

    async def unfinished(self) -> list[str]:
        async with self._database.reading() as tx:
            return await unsettled_bindings(tx)

    async def __call__(self, key: str) -> float | None:
        for _ in range(MAX_ROUNDS):
            p = await self._gather(key)
            if p is None:
                return await self._gone(key)
            decision = plans.decide_binding(p)
            await self._tell(p, decision.step)
            match decision.action:
                case SendBinding(kind, until):
                    await self._send(p, kind, until)
                case AskBinding():
                    if not await self._poll(p):
                        return self._after(await self._gather(key))
                case FetchOwn():
                    assert p.instance is not None
                    await self._write(p, BindingOutcome(bound=_own(p.instance)))
                case SettleBinding(outcome):
                    await self._write(p, outcome)
                case None:
                    if p.binding.state is BindingState.ready and not p.undone and p.operation is None:
                        await self._look_again(p)
                    return self._seconds(decision.wake_at)
        return 0.0

    def _seconds(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(0.0, (moment - self._clock()).total_seconds())

    def _after(self, p: BindingPicture | None) -> float | None:
        if p is None or p.binding.call is None:
            return 0.0
        call = p.binding.call
        return self._seconds(call.looked_at(self._clock(), p.operation.deadline if p.operation else None))

    async def _gone(self, key: str) -> float | None:
        """The binding is no more; its operation may still wait for the app to run without it."""
        async with self._database.reading() as tx:
            operation = await _operation(tx, key)
            app = await _app(tx, operation.app_id, self._clock()) if operation and operation.app_id else None
        if operation is None:
            return None
        now = self._clock()
        if operation.kind is OperationKind.unbind and not plans.after_unbinding(operation, app, now):
            if to_tell(operation, "step_roll_app", {}):
                async with self._database.writing() as tx:
                    await under_way(tx, operation, now, "step_roll_app", {})
            return plans.ROLL_LOOK_S
        done = operation.kind is OperationKind.unbind
        async with self._database.writing() as tx:
            status = OperationStatus.succeeded if done else OperationStatus.cancelled
            await end_operation(tx, operation, now, status)
        return None

    # --- gather ------------------------------------------------------------------------------------------------------

    async def _gather(self, key: str) -> BindingPicture | None:
        async with self._database.reading() as tx:
            binding = await tx.one(ServiceBinding, key)
            if binding is None:
                return None
            operation = await _operation(tx, key)
            instance = await tx.one(ServiceInstance, binding.service_instance_id)
            offering = await tx.one(Offering, instance.offering_id) if instance and instance.offering_id else None
            plan_id = instance and (instance.plan_seen or instance.plan_id)
            plan = await tx.one(ServicePlan, plan_id) if plan_id else None
            broker = await tx.one(ServiceBroker, offering.broker_id) if offering else None
            app = await _app(tx, binding.app_id, self._clock()) if binding.app_id else None
        return BindingPicture(binding, self._clock(), operation, instance, offering, plan, broker, app)

    # --- ask ---------------------------------------------------------------------------------------------------------

    async def _send(self, p: BindingPicture, kind: CallKind, until: datetime) -> None:
        noted = await self._note_call(p, kind, until)
        if noted is None:
            return
        assert p.broker is not None
        broker = await self._brokers.of(p.broker)
        noted, resent = noted
        p = replace(p, binding=noted)
        if kind is CallKind.bind:
            answer = await broker.bind(await self._bind_of(p))
        else:
            answer = await broker.unbind(Unbind(_target(p), noted.id, _who(p), _request_id(p)))
        p = replace(p, now=self._clock())
        await self._write(p, plans.concluded_binding(p, kind, answer, resent=resent))

    async def _note_call(
        self, p: BindingPicture, kind: CallKind, until: datetime
    ) -> tuple[ServiceBinding, bool] | None:
        """Writes the call down; the row with it, and whether it may have been sent before. None: look again."""
        async with self._database.writing() as tx:
            now = await tx.lock(ServiceBinding, p.binding.id)
            if now is None or now.deleting != p.binding.deleting:
                return None
            resent = now.call is not None and now.call.kind is kind
            call = (
                replace(now.call, next_at=None) if now.call is not None and resent else BrokerCall(kind, p.now, until)
            )
            changes: dict[str, Any] = {"call": call, "sent": True}
            if kind is CallKind.unbind:
                changes["state"] = BindingState.deleting
            if not resent and not now.deleting:
                changes["reason"] = None
            written = await tx.update(ServiceBinding, now.id, **changes)
        return (written, resent) if written is not None else None

    async def _bind_of(self, p: BindingPicture) -> Bind:
        b, i = p.binding, p.instance
        assert i is not None
        async with self._database.reading() as tx:
            organization = await tx.one(Organization, i.organization_id)
            space = await tx.one(Space, i.space_id)
        names = organization.name if organization else "-", space.name if space else "-"
        return Bind(
            target=_target(p),
            binding_id=b.id,
            app_id=b.app_id,
            app_name=p.app.app.name if p.app else None,
            parameters=json.loads(b.parameters) if b.parameters else {},
            predecessor_id=b.predecessor_id,
            where=Where(i.tenant_id, i.organization_id, names[0], i.space_id, names[1], i.name),
            who=_who(p),
            request_id=_request_id(p),
            requires=p.offering.requires if p.offering else None,
        )

    async def _poll(self, p: BindingPicture) -> bool:
        """Whether there is more to do at once."""
        call = p.binding.call
        assert call is not None
        assert p.broker is not None
        broker = await self._brokers.of(p.broker)
        ask = Poll(_target(p), p.binding.id, call.operation, _request_id(p))
        outcome = plans.polled_binding(p, await broker.last_operation(ask))
        if outcome.fetch:
            fetch = replace(ask, operation=None, requires=p.offering.requires if p.offering else None)
            outcome = plans.fetched_binding(p, await broker.fetch_binding(fetch))
        await self._write(replace(p, now=self._clock()), outcome)
        still = outcome.changes.get("call")
        return not (isinstance(still, BrokerCall) and still.accepted)

    async def _look_again(self, p: BindingPicture) -> None:
        """Whether what it gives has changed: a server that has moved, credentials that people keep by themselves."""
        assert p.instance is not None
        if p.offering is None:
            found = _own(p.instance)
        elif p.builtin and p.broker is not None and p.plan is not None:
            broker: Broker = await self._brokers.of(p.broker)
            answer = await broker.fetch_binding(Poll(_target(p), p.binding.id, None, p.binding.id))
            if not isinstance(answer, Bound):
                return
            found = answer
        else:
            return
        if not plans.changed_in_place(p.binding, found, _kept(found)):
            return
        async with self._database.writing() as tx:
            if p.binding.app_id is not None:
                await tx.lock(App, p.binding.app_id)
            now = await tx.lock(ServiceBinding, p.binding.id)
            if now is None or now.deleting or now.state is not BindingState.ready:
                return
            changes = plans.changed_in_place(now, found, _kept(found))
            keys = now.variables.values()
            if changes and not now.variables_given and (not keys or any(k not in found.credentials for k in keys)):
                changes["variables"] = await _variables(tx, p, now, found)
            if changes:
                await tx.update(ServiceBinding, now.id, **changes)
                _wake_app(tx, now)

    # --- write -------------------------------------------------------------------------------------------------------

    async def _tell(self, p: BindingPicture, step: str | None) -> None:
        if p.operation is None or not to_tell(p.operation, step, {}):
            return
        async with self._database.writing() as tx:
            await under_way(tx, p.operation, self._clock(), step, {})

    async def _write(self, p: BindingPicture, outcome: BindingOutcome) -> None:
        async with self._database.writing() as tx:
            if p.binding.app_id is not None:  # two bindings of an app choose their variables one after the other
                await tx.lock(App, p.binding.app_id)
            now = await tx.lock(ServiceBinding, p.binding.id)
            if now is None:
                return
            at = self._clock()
            if outcome.bound is not None:
                outcome = await self._ready(tx, p, now, outcome.bound)
            if outcome.orphan and p.broker and p.offering and p.instance:
                ids = p.offering.catalog_id, p.plan.catalog_id if p.plan else ""
                reason = outcome.end[1] if outcome.end else None
                await note_orphan(tx, at, p.broker.id, p.instance, now, ids, reason)
            if outcome.take_over and now.predecessor_id is not None:
                await tx.update(ServiceBinding, now.predecessor_id, deleting=True)
                await tx.update(ServiceBinding, now.id, predecessor_id=None)
                tx.wake("binding", now.predecessor_id)
            if outcome.remove:
                await tx.delete(ServiceBinding, id=now.id)
                tx.wake("service", now.service_instance_id)
            elif outcome.changes:
                await tx.update(ServiceBinding, now.id, **outcome.changes)
            if outcome.end is not None and p.operation is not None:
                await end_operation(tx, p.operation, at, *outcome.end, outcome.output)
            if outcome.remove or "state" in outcome.changes or outcome.take_over:
                _wake_app(tx, now)

    async def _ready(self, tx: Writing, p: BindingPicture, now: ServiceBinding, bound: Bound) -> BindingOutcome:
        """What is written of credentials that have come. Where a variable was asked for that they can't fill, it is
        undone: the app would start without what it was promised."""
        missing = sorted({key for key in now.variables.values() if key not in bound.credentials})
        if now.variables_given and missing:
            there = ", ".join(sorted(bound.credentials))[:500] or "-"
            reason = Reason("binding_key_unknown", {"key": missing[0], "keys": there})
            changes: dict[str, Any] = {"state": BindingState.failed, "deleting": True, "call": None, "reason": reason}
            return BindingOutcome(changes, end=(OperationStatus.failed, reason))
        changes = {
            "state": BindingState.ready,
            "reason": None,
            "call": None,
            "credentials": _kept(bound),
            "variables": now.variables if now.variables_given else await _variables(tx, p, now, bound),
            "endpoints": bound.endpoints,
            "syslog_drain_url": bound.syslog_drain_url,
            "route_service_url": bound.route_service_url,
            "volume_mounts": bound.volume_mounts,
            "expires_at": bound.expires_at,
            "renew_before": bound.renew_before,
        }
        return BindingOutcome(changes)


async def _variables(tx: Reading, p: BindingPicture, now: ServiceBinding, bound: Bound) -> dict[str, str]:
    """Names that nobody asked for: the predecessor's, or such as neither the app nor another binding has."""
    others = await tx.find(ServiceBinding, app_id=now.app_id, deleting=False) if now.app_id else []
    before = next((b for b in others if b.id == now.predecessor_id), None)
    if before is not None and before.variables and all(k in bound.credentials for k in before.variables.values()):
        return dict(before.variables)
    taken = {v for b in others if b.id not in (now.id, now.predecessor_id) for v in b.variables}
    if now.app_id and (app := await tx.one(App, now.app_id)) is not None:
        taken |= app.config.environment.keys()
    tags = (*(p.offering.tags if p.offering else ()), *(p.instance.tags if p.instance else ()))
    name = p.instance.name if p.instance else now.name
    return default_variables(bound.credentials, tags, _wanted(p), name, taken)


def _wanted(p: BindingPicture) -> dict[str, str]:
    """What the kinds of our own broker call their variables; other brokers have no say in it."""
    told: object = p.offering.metadata.get("variables") if p.offering and p.builtin else None
    if not isinstance(told, Mapping):
        return {}
    pairs = cast("Mapping[object, object]", told).items()
    return {name: key for name, key in pairs if isinstance(name, str) and isinstance(key, str)}


async def _operation(tx: Reading, key: str) -> Operation | None:
    found = await tx.find(Operation, binding_id=key, kind=_KINDS, status=ACTIVE, order="created_at")
    return found[-1] if found else None


async def _app(tx: Reading, app_id: str, now: datetime) -> Picture | None:
    rows = await read_rows(tx, [app_id])
    return rows[0].picture(now) if rows else None


def _wake_app(tx: Writing, binding: ServiceBinding) -> None:
    if binding.app_id is not None:
        tx.wake("app", binding.app_id)
        tx.wake("egress", binding.space_id)


def _own(instance: ServiceInstance) -> Bound:
    return Bound(json.loads(instance.credentials or "{}"))


def _kept(bound: Bound) -> str:
    """One text for the same credentials, however they came."""
    return json.dumps(bound.credentials, ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def _target(p: BindingPicture) -> Target:
    assert p.instance is not None
    assert p.offering is not None
    assert p.plan is not None
    return Target(p.instance.id, p.offering.catalog_id, p.plan.catalog_id)


def _who(p: BindingPicture) -> Who | None:
    return Who(None, p.operation.created_by) if p.operation is not None and p.operation.created_by else None


def _request_id(p: BindingPicture) -> str:
    return p.operation.id if p.operation is not None else p.binding.id
