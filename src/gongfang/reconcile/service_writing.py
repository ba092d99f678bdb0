"""What both reconcilers of services write: operations' steps and ends with their events, and orphans."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gongfang.domain.errors import Reason
from gongfang.domain.ids import new_id
from gongfang.domain.services import VERBS, Orphan, ServiceBinding, ServiceInstance
from gongfang.domain.values import Operation, OperationStatus, Step
from gongfang.reconcile.steps import ended_steps
from gongfang.state import Writing


async def under_way(
    tx: Writing, operation: Operation, at: datetime, name: str | None, facts: Mapping[str, str | int | float]
) -> None:
    """It has begun, and is at this step (None: at no other than before)."""
    now = await tx.lock(Operation, operation.id)
    if now is None or now.status.ended:
        return
    changes: dict[str, Any] = {}
    if now.status is OperationStatus.pending:
        changes |= {"status": OperationStatus.running, "started_at": at}
    last = now.steps[-1] if now.steps else None
    if name is not None and (last is None or (last.name, dict(last.facts)) != (name, dict(facts))):
        changes["steps"] = [*ended_steps(now.steps, at), Step(name, at, None, dict(facts))]
    if changes:
        await tx.update(Operation, now.id, sequence=now.sequence + 1, **changes)
        tx.wake("operation", now.id)


def to_tell(operation: Operation | None, name: str | None, facts: Mapping[str, str | int | float]) -> bool:
    """Whether `under_way` would write anything, as far as is known without asking."""
    if operation is None:
        return False
    last = operation.steps[-1] if operation.steps else None
    new = name is not None and (last is None or (last.name, dict(last.facts)) != (name, dict(facts)))
    return new or operation.status is OperationStatus.pending


async def end_operation(
    tx: Writing,
    operation: Operation,
    at: datetime,
    status: OperationStatus,
    reason: Reason | None = None,
    output: str | None = None,
) -> bool:
    """Its end, told by an event in the platform's own name; False where somebody else has ended it meanwhile."""
    now = await tx.lock(Operation, operation.id)
    if now is None or now.status.ended:
        return False
    await tx.update(
        Operation,
        now.id,
        status=status,
        finished_at=at,
        steps=ended_steps(now.steps, at),
        reason=reason,
        output=output,
        sequence=now.sequence + 1,
    )
    tx.wake("operation", now.id)
    data: dict[str, Any] = {"operation": now.id, "kind": now.kind, "by": now.created_by, "service": now.service_name}
    if reason is not None:
        data["reason"] = reason.to_json()
    await tx.event(
        f"service:{VERBS[now.kind]}:{status.value}",
        at=at,
        tenant_id=now.tenant_id,
        organization_id=now.organization_id,
        space_id=now.space_id,
        app_id=now.app_id,
        object_id=now.binding_id or now.service_instance_id,
        object_name=now.service_name,
        data=data,
        before={"status": now.status},
        after={"status": status},
    )
    return True


async def note_orphan(
    tx: Writing,
    at: datetime,
    broker_id: str,
    instance: ServiceInstance,
    binding: ServiceBinding | None,
    ids: tuple[str, str],
    reason: Reason | None,
) -> None:
    """What may be left at the broker; once however often it is noted. `ids`: of service and plan in its catalogue."""
    binding_id = binding.id if binding else None
    if await tx.find(Orphan, broker_id=broker_id, instance_id=instance.id, binding_id=binding_id):
        return
    orphan = Orphan(
        id=new_id("orp"),
        broker_id=broker_id,
        instance_id=instance.id,
        binding_id=binding_id,
        service_id=ids[0],
        plan_id=ids[1],
        since=at,
        reason=reason,
    )
    await tx.insert(orphan)
    tx.wake("orphan", orphan.id)
    await tx.event(
        "service:orphan:noted",
        at=at,
        tenant_id=instance.tenant_id,
        organization_id=instance.organization_id,
        space_id=instance.space_id,
        object_id=orphan.id,
        object_name=instance.name,
        data={"service_instance": instance.id, "binding": binding_id, "broker": broker_id},
    )
