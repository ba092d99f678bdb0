"""The built-in broker: what the platform itself can run, offered as any other broker offers its services.

It works on rows alone. What it is asked for it writes down and accepts; `reconcile/hosting.py` does it and writes what
came of it. So an answer that was lost costs nothing: the same request finds the same rows.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Literal, cast

import orjson

from gongfang.brokers.interface import (
    CONCURRENCY,
    Accepted,
    Answer,
    Bind,
    Bound,
    Catalog,
    CatalogOffering,
    CatalogPlan,
    Deprovision,
    Done,
    Gone,
    NotSent,
    Poll,
    Polled,
    Provision,
    Provisioned,
    Refused,
    Target,
    Unbind,
    Unsure,
    Update,
    Updated,
)
from gongfang.brokers.kinds.interface import PORTS_EACH, Seed, Server, ServiceKind, Wanted
from gongfang.brokers.schemas import check, schema_of
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Conflict, Reason, Rejected
from gongfang.domain.hosting import HostedBinding, HostedInstance, HostedState, LastOperation
from gongfang.domain.ids import new_id
from gongfang.domain.messages import words
from gongfang.domain.services import BindingState
from gongfang.domain.values import JsonObject
from gongfang.reconcile.catalog import sync_catalog
from gongfang.reconcile.hosted_rows import seen_of, wanted
from gongfang.state import Database, Reading, Writing
from gongfang.state.service_queries import ports_taken

__all__ = ["BuiltinBroker", "sync_catalog"]

_MOST_WORDS = 1000
_IN_PROGRESS = "in progress"
_BUSY = Refused(422, CONCURRENCY, "another request for it is being worked on; try again", retry_after=1.0)
_ABSENT = Refused(404, None, "there is no such service instance")


class BuiltinBroker:
    """Implements `Broker` for one platform: `owner` "" for this one. `ports`: for servers, `PORTS_EACH` in a row each.
    `enforces`: whether this machine gives a guarantee that a kind may need."""

    def __init__(
        self,
        database: Database,
        kinds: Sequence[ServiceKind],
        clock: Clock,
        *,
        owner: str,
        ports: range,
        enforces: Callable[[str], bool],
    ) -> None:
        self._database = database
        self._kinds = {kind.name: kind for kind in kinds}
        self._by_id = {kind.offering().id: kind for kind in kinds}
        self._clock = clock
        self._owner = owner
        self._blocks = range(ports.start, ports.stop - PORTS_EACH + 1, PORTS_EACH)
        self._enforces = enforces

    async def catalog(self, etag: str | None = None) -> Catalog | None:
        return Catalog(tuple(self._offering(kind) for kind in self._kinds.values()))

    def _offering(self, kind: ServiceKind) -> CatalogOffering:
        lacks = sorted(name for name in kind.needs if not self._enforces(name))
        why = Reason("service_needs", {"what": ", ".join(lacks)}) if lacks else None
        offering = kind.offering()
        metadata = {**offering.metadata, "variables": dict(kind.variables())}
        return replace(offering, metadata=metadata, unavailable=why)

    # --- instances ---------------------------------------------------------------------------------------------------

    async def provision(self, ask: Provision) -> Answer:
        found = await self._asked(ask.target, "service_instance", "create", ask.parameters)
        if isinstance(found, Refused):
            return found
        kind, plan = found
        if (why := self._offering(kind).unavailable) is not None:
            return _refused(422, why)
        return await self._provisioned(ask, kind, plan)

    async def _provisioned(self, ask: Provision, kind: ServiceKind, plan: CatalogPlan) -> Answer:
        """Two at once may choose the same block, or be for the same instance: the second one looks again."""
        while True:
            async with self._database.reading() as tx:
                row = await self._row(tx, ask.target.instance_id)
                taken = await ports_taken(tx)
            if row is not None:
                return _provisioned_already(row, kind.name, plan.name, ask.parameters)
            port = next((first for first in self._blocks if first not in taken and self._is_free(kind, first)), None)
            if port is None:
                return _refused(422, Reason("service_ports_taken", {"count": len(self._blocks)}))
            operation = self._operation("provision")
            hosted = HostedInstance(
                id=new_id("hst"),
                owner=self._owner,
                instance_id=ask.target.instance_id,
                service=kind.name,
                plan=plan.name,
                parameters=ask.parameters,
                generation=1,
                deleting=False,
                port=port,
                admin_secret=orjson.dumps(kind.fresh_admin()).decode(),
                created_at=self._clock(),
                last_operation=operation,
            )
            try:
                async with self._database.writing() as tx:
                    await tx.insert(hosted)
                    tx.wake("hosted", hosted.id)
            except Conflict:
                continue
            return Accepted(operation.id)

    def _is_free(self, kind: ServiceKind, first: int) -> bool:
        """Where servers share the machine's ports, others have some of them: another platform's servers, above all."""
        if self._enforces("own_network"):
            return True
        try:
            for offset in kind.ports.values():
                socket.create_server(("127.0.0.1", first + offset)).close()
        except OSError:
            return False
        return True

    async def update(self, ask: Update) -> Answer:
        found = await self._asked(ask.target, "service_instance", "update", ask.parameters)
        if isinstance(found, Refused):
            return found
        async with self._database.writing() as tx:
            return await self._updated(tx, ask, *found)

    async def _updated(self, tx: Writing, ask: Update, kind: ServiceKind, plan: CatalogPlan) -> Answer:
        row = await self._locked(tx, ask.target.instance_id)
        if row is None or row.service != kind.name:
            return _ABSENT
        parameters = row.parameters if ask.parameters is None else ask.parameters
        same = (row.plan, row.parameters) == (plan.name, parameters)
        if row.deleting or (_at_work(row) and not same):
            return _BUSY
        if _at_work(row):
            return _accepted(row.last_operation)
        if same and row.state is HostedState.ready:
            return Done(Updated(), created=False)
        after = Wanted(plan.name, kind.size(plan.name), parameters)
        try:
            kind.change(seen_of(kind, row) or wanted(kind, row), after)
        except Rejected as error:
            return replace(_refused(422, error.reason), usable=True, repeatable=False)
        operation = self._operation("update")
        await tx.update(
            HostedInstance,
            row.id,
            plan=plan.name,
            parameters=parameters,
            generation=row.generation + 1,
            last_operation=operation,
        )
        tx.wake("hosted", row.id)
        return Accepted(operation.id)

    async def deprovision(self, ask: Deprovision) -> Answer:
        async with self._database.writing() as tx:
            row = await self._locked(tx, ask.target.instance_id)
            if row is None:
                return Done(Gone())
            if row.deleting:
                return _accepted(row.last_operation)
            operation = self._operation("deprovision")
            await tx.update(HostedInstance, row.id, deleting=True, state=HostedState.deleting, last_operation=operation)
            tx.wake("hosted", row.id)
        return Accepted(operation.id)

    async def fetch_instance(self, ask: Poll) -> Provisioned | Refused | Unsure | NotSent:
        async with self._database.reading() as tx:
            row = await self._row(tx, ask.target.instance_id)
        return Provisioned() if row is not None and row.observed_generation > 0 and not row.deleting else _ABSENT

    # --- bindings ----------------------------------------------------------------------------------------------------

    async def bind(self, ask: Bind) -> Answer:
        found = await self._asked(ask.target, "service_binding", "create", ask.parameters)
        if isinstance(found, Refused):
            return found
        kind, _ = found
        async with self._database.writing() as tx:
            row = await self._locked(tx, ask.target.instance_id)
            if row is None or row.service != kind.name:
                return _ABSENT
            bindings = {b.binding_id: b for b in await tx.find(HostedBinding, hosted_id=row.id)}
            known = bindings.get(ask.binding_id)
            if row.deleting or (known is not None and known.deleting):
                return _BUSY
            if known is not None:
                return self._bound_already(ask, kind, row, known)
            return await self._new_binding(tx, ask, kind, row, bindings)

    async def _new_binding(
        self, tx: Writing, ask: Bind, kind: ServiceKind, row: HostedInstance, others: Container[str]
    ) -> Answer:
        if row.state is HostedState.broken:
            return replace(_refused(422, row.reason or Reason("service_broken", {})), usable=False)
        if row.state is not HostedState.ready or row.observed_generation != row.generation:
            return _BUSY
        if ask.predecessor_id is not None and ask.predecessor_id not in others:
            return Refused(400, None, "the binding to take over from is not there")
        operation = self._operation("bind")
        await tx.insert(
            HostedBinding(
                id=new_id("hbn"),
                hosted_id=row.id,
                binding_id=ask.binding_id,
                predecessor=ask.predecessor_id,
                parameters=ask.parameters,
                deleting=False,
                created_at=self._clock(),
                seed_secret=orjson.dumps(kind.fresh_seed(ask.parameters)).decode(),
                last_operation=operation,
            )
        )
        tx.wake("hosted", row.id)
        return Accepted(operation.id)

    def _bound_already(self, ask: Bind, kind: ServiceKind, row: HostedInstance, known: HostedBinding) -> Answer:
        if (known.parameters, known.predecessor) != (ask.parameters, ask.predecessor_id):
            return Refused(409, None, "there is a binding with this id and other attributes")
        if known.state is BindingState.ready:
            return Done(_bound(kind, row, known), created=False)
        return _accepted(known.last_operation)

    async def unbind(self, ask: Unbind) -> Answer:
        async with self._database.writing() as tx:
            row = await self._locked(tx, ask.target.instance_id)
            known = await self._binding(tx, row, ask.binding_id)
            if row is None or known is None:
                return Done(Gone())
            operation = known.last_operation
            if not known.deleting:
                operation = self._operation("unbind")
                await tx.update(
                    HostedBinding, known.id, deleting=True, state=BindingState.deleting, last_operation=operation
                )
                tx.wake("hosted", row.id)
            return Done(Gone()) if _does_not_serve(row) else _accepted(operation)

    async def fetch_binding(self, ask: Poll) -> Bound | Refused | Unsure | NotSent:
        """Composed now: where the server is may have changed since the binding was made."""
        async with self._database.reading() as tx:
            row = await self._row(tx, ask.target.instance_id)
            known = await self._binding(tx, row, ask.binding_id)
        if row is None or known is None or known.deleting or known.state is not BindingState.ready:
            return Refused(404, None, "there is no such binding")
        return _bound(self._kinds[row.service], row, known)

    async def last_operation(self, ask: Poll) -> Polled | Refused | Unsure | NotSent:
        async with self._database.reading() as tx:
            row = await self._row(tx, ask.target.instance_id)
            known = await self._binding(tx, row, ask.binding_id)
        if row is None or (ask.binding_id is not None and known is None):
            return Polled("gone")
        if known is not None and known.deleting and _does_not_serve(row):
            return Polled("gone")
        told = row.last_operation if known is None else known.last_operation
        if told is None:
            return Polled("succeeded")
        state = cast(Literal["in progress", "succeeded", "failed"], told.state)
        usable = None
        if told.kind == "update" and state == "failed":
            usable = row.state is not HostedState.broken
        return Polled(state, told.description, usable=usable)

    # --- rows --------------------------------------------------------------------------------------------------------

    async def _asked(
        self, target: Target, of: str, what: str, parameters: JsonObject | None
    ) -> tuple[ServiceKind, CatalogPlan] | Refused:
        """What is asked for, where it is in the catalogue and the plan takes the parameters."""
        kind = self._by_id.get(target.service_id)
        if kind is None:
            return Refused(400, None, "there is no such service in the catalogue")
        plan = next((p for p in kind.offering().plans if p.id == target.plan_id), None)
        if plan is None:
            return Refused(400, None, "the service has no such plan")
        wrong = await _checked(plan, of, what, parameters) if parameters is not None else None
        return wrong or (kind, plan)

    def _operation(self, kind: str) -> LastOperation:
        return LastOperation(secrets.token_hex(8), kind, _IN_PROGRESS, None, self._clock())

    async def _row(self, tx: Reading, instance_id: str) -> HostedInstance | None:
        found = await tx.find(HostedInstance, owner=self._owner, instance_id=instance_id)
        return found[0] if found else None

    async def _locked(self, tx: Writing, instance_id: str) -> HostedInstance | None:
        row = await self._row(tx, instance_id)
        return await tx.lock(HostedInstance, row.id) if row is not None else None

    @staticmethod
    async def _binding(tx: Reading, row: HostedInstance | None, binding_id: str | None) -> HostedBinding | None:
        if row is None or binding_id is None:
            return None
        found = await tx.find(HostedBinding, hosted_id=row.id, binding_id=binding_id)
        return found[0] if found else None


# --- values ----------------------------------------------------------------------------------------------------------


def _at_work(row: HostedInstance) -> bool:
    return row.last_operation is not None and row.last_operation.state == _IN_PROGRESS


def _does_not_serve(row: HostedInstance) -> bool:
    """Nobody gets in, and before anybody does, ended bindings are revoked."""
    return row.state is HostedState.broken


def _accepted(operation: LastOperation | None) -> Accepted:
    return Accepted(operation.id if operation is not None else None)


def _provisioned_already(row: HostedInstance, service: str, plan: str, parameters: JsonObject) -> Answer:
    if row.deleting:
        return _BUSY
    if (row.service, row.plan, row.parameters) != (service, plan, parameters):
        return Refused(409, None, "there is a service instance with this id and other attributes")
    last = row.last_operation
    settled = row.observed_generation > 0 and (last is None or last.kind != "provision" or last.state == "succeeded")
    return Done(Provisioned(), created=False) if settled else _accepted(last)


def _bound(kind: ServiceKind, row: HostedInstance, binding: HostedBinding) -> Bound:
    server = Server(row.host or "", row.port, wanted(kind, row), orjson.loads(row.admin_secret))
    seed = Seed(binding.binding_id, orjson.loads(binding.seed_secret), binding.parameters)
    endpoints = tuple(f"{server.host}:{port}" for port in row.open_ports)
    return Bound(kind.credentials(server, seed), endpoints)


def _refused(status: int, reason: Reason) -> Refused:
    return Refused(status, None, words(reason.code, reason.facts, "en")[:_MOST_WORDS])


async def _checked(plan: CatalogPlan, of: str, what: str, parameters: JsonObject) -> Refused | None:
    faults = await asyncio.to_thread(check, schema_of(plan.schemas, of, what), parameters, "parameters")
    if not faults:
        return None
    said = "; ".join(f"{f.field}: {words(f.code, f.facts, 'en')}" for f in faults)
    return Refused(400, None, said[:_MOST_WORDS])
