"""What is written of the built-in broker's servers: each thing that came of one is one transaction, which wakes whoever
waits for it and tells the log of events. Where a wish changed while it was being done, what was done is noted and the
wish stays."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from gongfang.brokers.kinds.interface import ServiceKind, Size, Wanted
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.hosting import HostedBinding, HostedInstance, HostedState, LastOperation
from gongfang.domain.messages import words
from gongfang.domain.services import BindingState, ServiceInstance
from gongfang.domain.values import ExitInfo
from gongfang.reconcile.exits import exit_reason
from gongfang.reconcile.plans.hosting import HostedPicture, RecordEnd
from gongfang.runtimes.interface import Observation
from gongfang.state import Database, Writing

log = structlog.get_logger()


class HostedRows:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def launching(self, row: HostedInstance, changes: Mapping[str, Any]) -> HostedInstance:
        async with self._database.writing() as tx:
            return await tx.update(HostedInstance, row.id, **changes) or row

    async def adopted(self, row: HostedInstance, kind: ServiceKind, observed: Observation) -> None:
        """Writes where it is. Another address than before is another one in credentials, too."""
        at = observed.endpoint
        host = at.host if at is not None else "127.0.0.1"
        ports = tuple(row.port + offset for offset in sorted(kind.ports.values()))
        async with self._database.writing() as tx:
            await tx.update(
                HostedInstance,
                row.id,
                started_at=observed.started_at or self._clock(),
                ready_at=None,
                ended_at=None,
                host=host,
                open_ports=ports,
            )
            if row.host != host:
                _wake_instance(tx, row)

    async def settled(self, row: HostedInstance) -> None:
        """What was wished for when this was looked at is so now."""
        async with self._database.writing() as tx:
            now = await tx.lock(HostedInstance, row.id)
            if now is None or now.deleting:
                return
            last = now.last_operation
            done = now.generation == row.generation
            await tx.update(
                HostedInstance,
                row.id,
                state=HostedState.ready if done else HostedState.updating,
                reason=None,
                observed_generation=row.generation,
                plan_seen=row.plan,
                parameters_seen=row.parameters,
                initialized=True,
                ready_at=now.ready_at or self._clock(),
                next_start_at=None,
                last_operation=_ended(last) if done else last,
            )
            if row.state is HostedState.crashed:
                await self._event(tx, row, "service:recovered", {})
            _wake_instance(tx, row)

    async def taken_back(self, row: HostedInstance, reason: Reason) -> None:
        """A change that failed while the server ran: it is as before."""
        async with self._database.writing() as tx:
            now = await tx.lock(HostedInstance, row.id)
            if now is not None and now.generation == row.generation:
                await tx.update(HostedInstance, row.id, state=HostedState.ready, **_taken_back(now, reason))
                _wake_instance(tx, row)

    async def ended(self, p: HostedPicture, act: RecordEnd, size: Size, at: datetime | None, output: str) -> None:
        row = p.row
        exit_info = act.exit or ExitInfo(None, lost=True)
        reason = act.fault or exit_reason(exit_info, memory_mb=size.memory_mb, disk_mb=size.storage_mb)
        if exit_info.disk_full:
            reason = Reason("service_storage_full", {"storage_mb": size.storage_mb})
        changes: dict[str, Any] = {
            "workload_id": None,
            "started_at": None,
            "ready_at": None,
            "ended_at": at or self._clock(),
            "restarts": act.restarts,
            "next_start_at": act.next_start_at,
        }
        crashed = False
        if act.counted:
            changes["reason"] = reason
            changes["last_output"] = output
            if act.give_up:
                changes |= {"state": HostedState.broken, "last_operation": _ended(row.last_operation, reason)}
            elif act.take_back:
                changes |= {"state": HostedState.crashed, **_taken_back(row, reason)}
            elif p.settled:
                crashed = row.state is HostedState.ready
                changes["state"] = HostedState.crashed
        async with self._database.writing() as tx:
            now = await tx.lock(HostedInstance, row.id)
            if now is None:
                return
            if now.generation != row.generation:  # wished anew meanwhile: nothing of that is given up
                for name in ("last_operation", "plan", "parameters", "generation", "observed_generation"):
                    changes.pop(name, None)
            await tx.update(HostedInstance, row.id, **changes)
            if crashed:
                await self._event(tx, row, "service:crashed", {"reason": reason.code})
            _wake_instance(tx, row)

    async def broken(self, row: HostedInstance, reason: Reason, due: datetime | None) -> None:
        """It is not to serve. What was asked for has failed with that."""
        async with self._database.writing() as tx:
            now = await tx.lock(HostedInstance, row.id)
            if now is None:
                return
            changes: dict[str, Any] = {}
            if now.observed_generation != now.generation and now.generation == row.generation:
                changes["last_operation"] = _ended(now.last_operation, reason)
                due = None if now.observed_generation == 0 else due
            await tx.update(
                HostedInstance, row.id, state=HostedState.broken, reason=reason, next_start_at=due, **changes
            )
            _wake_instance(tx, row)
        log.warning("a service's server is broken", hosted=row.id, reason=reason.code)

    async def told(self, row: HostedInstance, binding: HostedBinding, failed: Reason | None) -> None:
        async with self._database.writing() as tx:
            now = await tx.lock(HostedBinding, binding.id)
            if now is None or now.deleting:
                return
            state = BindingState.ready if failed is None else BindingState.failed
            last = _ended(now.last_operation, failed)
            await tx.update(HostedBinding, binding.id, state=state, reason=failed, last_operation=last)
            _wake_binding(tx, row, binding)

    async def revoked(self, row: HostedInstance, binding: HostedBinding) -> None:
        async with self._database.writing() as tx:
            await tx.delete(HostedBinding, id=binding.id)
            _wake_binding(tx, row, binding)

    async def destroyed(self, row: HostedInstance) -> None:
        async with self._database.writing() as tx:
            await tx.delete(HostedInstance, id=row.id)
            _wake_instance(tx, row)

    async def _event(self, tx: Writing, row: HostedInstance, tag: str, data: dict[str, Any]) -> None:
        """Of the service instance that it serves; another platform's is that platform's matter."""
        if row.owner:
            return
        instance = await tx.one(ServiceInstance, row.instance_id)
        if instance is None:
            return
        await tx.event(
            tag,
            at=self._clock(),
            tenant_id=instance.tenant_id,
            organization_id=instance.organization_id,
            space_id=instance.space_id,
            object_id=instance.id,
            object_name=instance.name,
            data=data,
        )


def wanted(kind: ServiceKind, row: HostedInstance) -> Wanted:
    return Wanted(row.plan, kind.size(row.plan), row.parameters)


def seen_of(kind: ServiceKind, row: HostedInstance) -> Wanted | None:
    """What the server is, as far as it ever came to be."""
    if row.plan_seen is None:
        return None
    return Wanted(row.plan_seen, kind.size(row.plan_seen), row.parameters_seen or {})


def _ended(operation: LastOperation | None, failed: Reason | None = None) -> LastOperation | None:
    if operation is None or operation.state != "in progress":
        return operation
    if failed is None:
        return replace(operation, state="succeeded")
    return replace(operation, state="failed", description=words(failed.code, failed.facts, "en"))


def _taken_back(row: HostedInstance, reason: Reason) -> dict[str, Any]:
    """The wishes are again what the server was before."""
    return {
        "plan": row.plan_seen,
        "parameters": row.parameters_seen or {},
        "generation": row.generation + 1,
        "observed_generation": row.generation + 1,
        "reason": reason,
        "last_operation": _ended(row.last_operation, reason),
    }


def _wake_instance(tx: Writing, row: HostedInstance) -> None:
    if not row.owner:
        tx.wake("service", row.instance_id)


def _wake_binding(tx: Writing, row: HostedInstance, binding: HostedBinding) -> None:
    if not row.owner:
        tx.wake("binding", binding.binding_id)
