"""The reconciler of service instances: asks brokers for what was wished, and writes down what they say.

Order of writes: the row says what is being asked (`call`) before the request leaves, and what it came to after the
answer. No transaction is open while a broker is waited for. Killed anywhere in between, the next look finds the call
and sends the same request again, or polls.
"""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from gongfang.brokers.interface import (
    Answer,
    Broker,
    Deprovision,
    Done,
    Poll,
    Provision,
    Provisioned,
    Refused,
    Target,
    Unsure,
    Update,
    Where,
    Who,
)
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.services import (
    BrokerCall,
    CallKind,
    Offering,
    Orphan,
    ServiceBinding,
    ServiceBroker,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import Operation, OperationKind, OperationStatus, Organization, Space
from gongfang.reconcile.brokers import Brokers
from gongfang.reconcile.plans import services as plans
from gongfang.reconcile.plans.services import Ask, Outcome, Send, ServicePicture, Settle
from gongfang.reconcile.service_writing import end_operation, note_orphan, to_tell, under_way
from gongfang.state import Database, Reading, Wake, Writing
from gongfang.state.service_queries import unsettled_services

MAX_ROUNDS = 20
ACTIVE = ("pending", "running")


class ServiceReconciler:
    """A handler for `KeyedWorkers`, the key being a service instance's id."""

    def __init__(self, database: Database, brokers: Brokers, clock: Clock) -> None:
        self._database = database
        self._brokers = brokers
        self._clock = clock

    async def unfinished(self) -> list[str]:
        async with self._database.reading() as tx:
            return await unsettled_services(tx)

    async def __call__(self, key: str) -> float | None:
        for _ in range(MAX_ROUNDS):
            p = await self._gather(key)
            if p is None:
                return None
            decision = plans.decide(p)
            await self._tell(p, decision.step, {})
            match decision.action:
                case Send(kind, until):
                    await self._send(p, kind, until)
                case Ask():
                    if not await self._poll(p):
                        return self._after(await self._gather(key))
                case Settle(outcome):
                    await self._write(p, outcome)
                case None:
                    await self._at_rest(p)
                    return self._seconds(decision.wake_at)
        return 0.0

    def _seconds(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(0.0, (moment - self._clock()).total_seconds())

    def _after(self, p: ServicePicture | None) -> float | None:
        """When a call that is under way is looked at again."""
        if p is None or p.instance.call is None:
            return 0.0
        call = p.instance.call
        return self._seconds(call.looked_at(self._clock(), p.operation.deadline if p.operation else None))

    # --- gather ------------------------------------------------------------------------------------------------------

    async def _gather(self, key: str) -> ServicePicture | None:
        async with self._database.reading() as tx:
            instance = await tx.one(ServiceInstance, key)
            if instance is None:
                return None
            operations = await tx.find(
                Operation, service_instance_id=key, binding_id=None, kind=plans.KINDS, status=ACTIVE, order="created_at"
            )
            offering = await tx.one(Offering, instance.offering_id) if instance.offering_id else None
            plan = await tx.one(ServicePlan, instance.plan_id) if instance.plan_id else None
            seen = await tx.one(ServicePlan, instance.plan_seen) if instance.plan_seen else None
            broker = await tx.one(ServiceBroker, offering.broker_id) if offering else None
            bindings = await tx.count(ServiceBinding, service_instance_id=key)
            orphaned = await tx.count(Orphan, instance_id=key, binding_id=None) > 0
        return ServicePicture(
            instance=instance,
            now=self._clock(),
            operation=operations[-1] if operations else None,
            offering=offering,
            plan=plan,
            seen=seen,
            broker=broker,
            bindings=bindings,
            orphaned=orphaned,
        )

    async def _at_rest(self, p: ServicePicture) -> None:
        """Bindings may wait for it, or have credentials of before its server moved."""
        if p.instance.state is not ServiceState.ready or p.instance.deleting or not p.bindings:
            return
        async with self._database.reading() as tx:
            bindings = await tx.find(ServiceBinding, service_instance_id=p.instance.id)
        self._database.hub.publish([Wake("binding", b.id) for b in bindings])

    # --- ask ---------------------------------------------------------------------------------------------------------

    async def _send(self, p: ServicePicture, kind: CallKind, until: datetime) -> None:
        noted = await self._note_call(p, kind, until)
        if noted is None:
            return
        p, resent = noted
        assert p.broker is not None
        broker = await self._brokers.of(p.broker)
        answer = await self._asked(broker, p, kind)
        if resent and kind is CallKind.provision and isinstance(answer, Refused) and answer.status == 409:
            answer = await self._made_before(broker, p, answer)
        p = replace(p, now=self._clock())
        await self._write(p, plans.concluded(p, kind, answer, resent=resent))

    async def _note_call(
        self, p: ServicePicture, kind: CallKind, until: datetime
    ) -> tuple[ServicePicture, bool] | None:
        """Writes the call down; the picture with it, and whether it may have been sent before. None: look again."""
        async with self._database.writing() as tx:
            now = await tx.lock(ServiceInstance, p.instance.id)
            if now is None or now.generation != p.instance.generation or now.deleting != p.instance.deleting:
                return None
            resent = now.call is not None and now.call.kind is kind
            call = (
                replace(now.call, next_at=None) if now.call is not None and resent else BrokerCall(kind, p.now, until)
            )
            changes: dict[str, Any] = {"call": call, "state": plans.BUSY[kind], "sent": True}
            if not resent:
                changes["reason"] = None
            instance = await tx.update(ServiceInstance, now.id, **changes)
        assert instance is not None
        return replace(p, instance=instance), resent

    async def _asked(self, broker: Broker, p: ServicePicture, kind: CallKind) -> Answer:
        instance, target, who = p.instance, _target(p, kind), _who(p)
        request_id = p.operation.id if p.operation else instance.id
        if kind is CallKind.deprovision:
            return await broker.deprovision(Deprovision(target, who, request_id))
        where, parameters = await self._where(p), json.loads(instance.parameters)
        version = p.plan.maintenance_version if p.plan else None
        if kind is CallKind.provision:
            return await broker.provision(Provision(target, parameters, where, who, request_id, version))
        assert p.seen is not None or p.plan is not None
        previous = p.seen or p.plan
        assert previous is not None
        return await broker.update(
            Update(
                target=target,
                previous_plan_id=previous.catalog_id,
                plan_changed=previous.catalog_id != target.plan_id,
                parameters=parameters if instance.parameters != instance.parameters_seen else None,
                where=where,
                who=who,
                request_id=request_id,
                maintenance_version=version,
                previous_maintenance_version=instance.maintenance_seen,
            )
        )

    async def _made_before(self, broker: Broker, p: ServicePicture, refused: Refused) -> Answer:
        """The same was asked before, and now it is said to be there with other attributes: whether it is ours."""
        if p.offering is not None and p.offering.instances_retrievable:
            found = await broker.fetch_instance(Poll(_target(p, CallKind.provision), None, None, p.instance.id))
            if isinstance(found, Provisioned):
                return Done(found, created=False)
        return Unsure(plans.refusal(refused), mitigate=True)

    async def _poll(self, p: ServicePicture) -> bool:
        """Whether there is more to do at once."""
        call = p.instance.call
        assert call is not None
        assert p.broker is not None
        broker = await self._brokers.of(p.broker)
        request_id = p.operation.id if p.operation else p.instance.id
        answer = await broker.last_operation(Poll(_target(p, call.kind), None, call.operation, request_id))
        p = replace(p, now=self._clock())
        outcome = plans.polled(p, answer)
        if outcome.step is not None:
            await self._tell(p, *outcome.step)
        await self._write(p, outcome)
        still = outcome.changes.get("call")
        return outcome.remove or not (isinstance(still, BrokerCall) and still.accepted)

    async def _where(self, p: ServicePicture) -> Where:
        i = p.instance
        async with self._database.reading() as tx:
            organization = await tx.one(Organization, i.organization_id)
            space = await tx.one(Space, i.space_id)
        names = organization.name if organization else "-", space.name if space else "-"
        return Where(i.tenant_id, i.organization_id, names[0], i.space_id, names[1], i.name)

    # --- write -------------------------------------------------------------------------------------------------------

    async def _tell(self, p: ServicePicture, step: str | None, facts: Any) -> None:
        if p.operation is None or not to_tell(p.operation, step, facts):
            return
        async with self._database.writing() as tx:
            await under_way(tx, p.operation, self._clock(), step, facts)

    async def _write(self, p: ServicePicture, outcome: Outcome) -> None:
        async with self._database.writing() as tx:
            now = await tx.lock(ServiceInstance, p.instance.id)
            if now is None:
                return
            at = self._clock()
            if outcome.orphan and p.broker is not None and p.offering is not None:
                plan = p.plan or p.seen
                ids = p.offering.catalog_id, plan.catalog_id if plan else ""
                reason = outcome.changes.get("reason")
                await note_orphan(tx, at, p.broker.id, now, None, ids, reason if isinstance(reason, Reason) else None)
            if outcome.remove:
                await self._remove(tx, now, p, at)
                return
            changes = dict(outcome.changes)
            if now.generation != p.instance.generation:  # something newer is wished: that is what counts
                for name in ("plan_id", "parameters", "observed_generation"):
                    changes.pop(name, None)
            if changes:
                await tx.update(ServiceInstance, now.id, **changes)
            if outcome.end is not None and p.operation is not None:
                await end_operation(tx, p.operation, at, *outcome.end)
            if outcome.end is not None:
                await self._wake_bindings(tx, now.id)

    async def _wake_bindings(self, tx: Writing, key: str) -> None:
        for binding in await _bindings(tx, key):
            tx.wake("binding", binding.id)

    async def _remove(self, tx: Writing, now: ServiceInstance, p: ServicePicture, at: datetime) -> None:
        active = await tx.find(Operation, service_instance_id=now.id, binding_id=None, status=ACTIVE)
        await tx.delete(ServiceInstance, id=now.id)
        told = False
        for operation in active:
            deleted = operation.kind is OperationKind.delete_service
            status = OperationStatus.succeeded if deleted else OperationStatus.cancelled
            told = (await end_operation(tx, operation, at, status) and deleted) or told
        if not told:
            await tx.event(
                "service:delete:succeeded",
                at=at,
                tenant_id=now.tenant_id,
                organization_id=now.organization_id,
                space_id=now.space_id,
                object_id=now.id,
                object_name=now.name,
                data={"service": now.name},
            )


async def _bindings(tx: Reading, key: str) -> list[ServiceBinding]:
    return await tx.find(ServiceBinding, service_instance_id=key)


def _target(p: ServicePicture, kind: CallKind) -> Target:
    plan = p.plan if kind is not CallKind.deprovision else p.seen or p.plan
    assert p.offering is not None
    assert plan is not None
    return Target(p.instance.id, p.offering.catalog_id, plan.catalog_id)


def _who(p: ServicePicture) -> Who | None:
    return Who(None, p.operation.created_by) if p.operation is not None and p.operation.created_by else None
