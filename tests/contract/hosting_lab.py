"""The built-in broker with its reconciler, on a real database and the pretending runtime."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from gongfang.brokers.interface import (
    Accepted,
    Bind,
    Broker,
    Deprovision,
    Done,
    Gone,
    Poll,
    Polled,
    Provision,
    Target,
    Unbind,
    Update,
    Where,
)
from gongfang.brokers.kinds.interface import ServiceKind
from gongfang.brokers.kinds.memory import MemoryKind
from gongfang.domain.clock import utc_now
from gongfang.domain.errors import GongfangError, Unavailable
from gongfang.domain.hosting import HostedBinding, HostedInstance
from gongfang.domain.values import JsonObject
from gongfang.reconcile.builtin import BuiltinBroker
from gongfang.reconcile.hosting import HostedReconciler
from gongfang.runtimes.interface import Runtime
from gongfang.runtimes.memory import MemoryMachine, MemoryRuntime
from gongfang.state import Database, Hub, Keyring, Wake, migrate, reachable
from gongfang.toolbox import WheelToolbox

_KEYRING = Keyring([Fernet.generate_key()])  # one: rows of an earlier test are read before they go
HERE = Where("tnt_1", "org_1", "works", "spc_1", "line", "db")


class Ahead:
    """The real time, and as much later as a test says."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.by


@dataclass
class HostingLab:
    """`wakes`: who was woken, in order."""

    database: Database
    kind: ServiceKind
    broker: Broker
    runtime: Runtime
    clock: Ahead
    folder: Path
    make: Callable[[], HostedReconciler]
    wakes: list[Wake] = field(default_factory=list[Wake])

    def __post_init__(self) -> None:
        self.reconciler = self.make()

    def restart(self) -> None:
        """Another control plane, which remembers nothing."""
        self.reconciler = self.make()

    # --- asking -----------------------------------------------------------------------------------------------------

    def target(self, instance_id: str = "sin_1", plan: str = "small") -> Target:
        offering = self.kind.offering()
        (plan_id,) = (p.id for p in offering.plans if p.name == plan)
        return Target(instance_id, offering.id, plan_id)

    def provision(self, instance_id: str = "sin_1", plan: str = "small", **parameters: Any) -> Provision:
        return Provision(self.target(instance_id, plan), parameters, HERE, None, "req")

    def update(self, instance_id: str = "sin_1", plan: str = "small", **parameters: Any) -> Update:
        return Update(self.target(instance_id, plan), "", True, parameters, HERE, None, "req")

    def deprovision(self, instance_id: str = "sin_1") -> Deprovision:
        return Deprovision(self.target(instance_id), None, "req")

    def bind(self, binding_id: str = "bnd_1", *, after: str | None = None, **parameters: Any) -> Bind:
        return Bind(self.target(), binding_id, "app_1", "app", parameters, after, HERE, None, "req")

    def unbind(self, binding_id: str = "bnd_1") -> Unbind:
        return Unbind(self.target(), binding_id, None, "req")

    def poll(self, answer: Any = None, binding_id: str | None = None) -> Poll:
        operation = answer.operation if isinstance(answer, Accepted) else None
        return Poll(self.target(), binding_id, operation, "req")

    async def ended(self, answer: Any, binding_id: str | None = None) -> Polled:
        """What an accepted request has come to."""
        assert isinstance(answer, Accepted | Done), answer
        if isinstance(answer, Done):
            return Polled("gone" if isinstance(answer.body, Gone) else "succeeded")
        async with asyncio.timeout(20):
            while True:
                told = await self.broker.last_operation(self.poll(answer, binding_id))
                assert isinstance(told, Polled), told
                if told.state != "in progress":
                    return told
                await self.work()

    async def ready(self, **parameters: Any) -> HostedInstance:
        assert (await self.ended(await self.broker.provision(self.provision(**parameters)))).state == "succeeded"
        return await self.row()

    async def bound(self, binding_id: str = "bnd_1") -> JsonObject:
        assert (await self.ended(await self.broker.bind(self.bind(binding_id)), binding_id)).state == "succeeded"
        found = await self.broker.fetch_binding(self.poll(binding_id=binding_id))
        assert not hasattr(found, "status"), found
        return found.credentials  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]

    # --- working ----------------------------------------------------------------------------------------------------

    async def work(self) -> list[float | None]:
        """One look at each server; what a handler raises is put off, as the workers do it."""
        later: list[float | None] = []
        for key in await self.reconciler.unfinished():
            with suppress(GongfangError):
                later.append(await self.reconciler(key))
        await asyncio.sleep(0.005)
        return later

    async def until(self, condition: Callable[[HostedInstance], bool]) -> HostedInstance:
        async with asyncio.timeout(20):
            while not condition(await self.row()):
                await self.work()
        return await self.row()

    async def row(self, instance_id: str = "sin_1") -> HostedInstance:
        async with self.database.reading() as tx:
            (row,) = await tx.find(HostedInstance, instance_id=instance_id)
        return row

    async def rows(self) -> list[HostedInstance]:
        async with self.database.reading() as tx:
            return await tx.find(HostedInstance)

    async def bindings(self) -> list[HostedBinding]:
        async with self.database.reading() as tx:
            return await tx.find(HostedBinding)

    async def change(self, **changes: Any) -> None:
        async with self.database.writing() as tx:
            await tx.update(HostedInstance, (await self.row()).id, **changes)


@asynccontextmanager
async def hosting_lab(
    url: str, folder: Path, kind: ServiceKind | None = None, runtime: Runtime | None = None, ports: range | None = None
) -> AsyncIterator[HostingLab]:
    async with asyncio.timeout(20):
        while True:  # it takes connections a moment before it answers
            try:
                await reachable(url)
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    await migrate(url)
    kind = kind or MemoryKind()
    machine = MemoryMachine()
    clock = Ahead()
    runtime = runtime or MemoryRuntime(machine, clock=clock)
    database = Database(url, _KEYRING, Hub())
    kinds = (kind,)
    broker = BuiltinBroker(
        database, kinds, clock, owner="", ports=ports or range(16000, 16400), enforces=lambda _: True
    )

    def make() -> HostedReconciler:
        return HostedReconciler(database, runtime, WheelToolbox().ensure, kinds, clock, folder, broker.blocks)

    async with database.writing() as tx:
        for row in await tx.find(HostedInstance):
            await tx.delete(HostedInstance, id=row.id)
    lab = HostingLab(database, kind, broker, runtime, clock, folder, make)
    for name in ("service", "binding", "hosted"):
        database.hub.listen(name, lambda key, name=name: lab.wakes.append(Wake(name, key)))
    try:
        yield lab
    finally:
        await machine.switch_off()
        await database.close()
