"""Both sides of the built-in broker together, as they run: what is wished of a service, down to its server's users.
Nothing is swept: each step is woken by the one before it. And the control plane may end anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gongfang.domain.hosting import HostedBinding, HostedInstance
from gongfang.domain.ids import new_id
from gongfang.domain.services import (
    BindingState,
    Offering,
    Orphan,
    ServiceBinding,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import Operation, OperationKind, OperationStatus, Organization, Space, Tenant
from gongfang.reconcile.bindings import BindingReconciler
from gongfang.reconcile.brokers import Brokers
from gongfang.reconcile.builtin import sync_catalog
from gongfang.reconcile.loop import KeyedWorkers
from gongfang.reconcile.orphaned import OrphanReconciler
from gongfang.reconcile.services import ServiceReconciler
from tests.api.conftest import postgres_url
from tests.contract.hosting_lab import HostingLab, hosting_lab

__all__ = ["postgres_url"]
pytestmark = pytest.mark.anyio
K = OperationKind
NEVER = 3600.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def lab(postgres_url: str, tmp_path: Path) -> AsyncIterator[HostingLab]:
    async with hosting_lab(postgres_url, tmp_path / "services") as lab:
        await sync_catalog(lab.database, lab.broker, lab.clock)
        yield lab


class Tenants:
    """Somebody who has a service, and the workers of one control plane after the other."""

    def __init__(self, lab: HostingLab) -> None:
        self.lab = lab
        self.running: list[asyncio.Task[None]] = []
        self.key = ""
        self.bound = ""

    def begin(self, sweep_s: float = NEVER) -> None:
        database, clock = self.lab.database, self.lab.clock
        self.lab.restart()
        brokers = Brokers(self.lab.broker)
        handlers: list[tuple[str, Any]] = [
            ("hosted", self.lab.reconciler),
            ("service", ServiceReconciler(database, brokers, clock)),
            ("binding", BindingReconciler(database, brokers, clock)),
            ("orphan", OrphanReconciler(database, brokers, clock)),
        ]
        for kind, handler in handlers:
            workers = KeyedWorkers(kind, handler, handler.unfinished, database.hub, sweep_s=sweep_s)
            self.running.append(asyncio.create_task(workers.run()))

    async def end(self) -> None:
        """As if killed: whatever is under way is broken off."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        self.running.clear()

    async def wish(self) -> str:
        now = self.lab.clock()
        async with self.lab.database.writing() as tx:
            tenant = Tenant(new_id("ten"), new_id("ten"), "Asia/Shanghai", now)
            organization = Organization(new_id("org"), tenant.id, "works", now)
            space = Space(new_id("spc"), tenant.id, organization.id, "line", now)
            (offering,) = await tx.find(Offering, name="pretend", broker_id="builtin")
            (plan,) = await tx.find(ServicePlan, offering_id=offering.id, name="small")
            self.key = new_id("sin")
            instance = ServiceInstance(
                **{"id": self.key, "tenant_id": tenant.id, "organization_id": organization.id, "space_id": space.id},
                **{"name": "db", "offering_id": offering.id, "plan_id": plan.id, "parameters": '{"colour":"red"}'},
                **{"credentials": None, "tags": (), "generation": 1, "deleting": False},
                **{"created_at": now, "updated_at": now, "created_by": "root"},
            )
            for value in (tenant, organization, space, instance):
                await tx.insert(value)
            tx.wake("service", self.key)
            return await self._operation(tx, K.create_service, instance)

    async def configure(self) -> str:
        async with self.lab.database.writing() as tx:
            instance = await tx.lock(ServiceInstance, self.key)
            assert instance is not None
            (large,) = await tx.find(ServicePlan, offering_id=instance.offering_id, name="large")
            await tx.update(ServiceInstance, self.key, plan_id=large.id, generation=instance.generation + 1)
            tx.wake("service", self.key)
            return await self._operation(tx, K.configure_service, instance)

    async def delete(self) -> str:
        async with self.lab.database.writing() as tx:
            instance = await tx.update(ServiceInstance, self.key, deleting=True)
            tx.wake("service", self.key)
            return await self._operation(tx, K.delete_service, instance)

    async def bind(self) -> str:
        async with self.lab.database.writing() as tx:
            instance = await tx.one(ServiceInstance, self.key)
            assert instance is not None
            self.bound = new_id("bnd")
            binding = ServiceBinding(
                **{"id": self.bound, "service_instance_id": self.key, "app_id": None, "name": new_id("k")},
                **{"tenant_id": instance.tenant_id, "organization_id": instance.organization_id},
                **{"space_id": instance.space_id, "variables": {}, "variables_given": False, "parameters": None},
                **{"predecessor_id": None, "deleting": False, "created_at": self.lab.clock(), "created_by": "root"},
            )
            await tx.insert(binding)
            tx.wake("binding", self.bound)
            return await self._operation(tx, K.bind, instance, self.bound)

    async def unbind(self) -> str:
        async with self.lab.database.writing() as tx:
            instance = await tx.one(ServiceInstance, self.key)
            await tx.update(ServiceBinding, self.bound, deleting=True)
            tx.wake("binding", self.bound)
            return await self._operation(tx, K.unbind, instance, self.bound)

    async def _operation(self, tx: Any, kind: K, instance: Any, binding: str | None = None) -> str:
        now = self.lab.clock()
        operation = Operation(
            **{"id": new_id("op"), "kind": kind, "app_id": None, "app_name": None, "tenant_id": instance.tenant_id},
            **{"organization_id": instance.organization_id, "space_id": instance.space_id},
            **{"status": OperationStatus.pending, "params": {}, "steps": (), "created_at": now},
            **{"deadline": now + timedelta(minutes=15), "created_by": "root", "service_name": instance.name},
            **{"service_instance_id": instance.id, "binding_id": binding},
        )
        await tx.insert(operation)
        return operation.id

    async def ended(self, operation_id: str) -> Operation:
        with self.lab.database.hub.changes("operation", operation_id) as changed:
            async with asyncio.timeout(20):
                while True:
                    changed.clear()
                    async with self.lab.database.reading() as tx:
                        operation = await tx.one(Operation, operation_id)
                    assert operation is not None
                    if operation.status.ended:
                        return operation
                    await changed.wait()

    async def succeeds(self, wish: Callable[[], Awaitable[str]]) -> None:
        operation = await self.ended(await wish())
        assert operation.status is OperationStatus.succeeded, operation

    async def one(self, noun: Any, key: str) -> Any:
        async with self.lab.database.reading() as tx:
            return await tx.one(noun, key)

    async def left(self) -> list[Any]:
        found: list[Any] = []
        async with self.lab.database.reading() as tx:
            for noun in (HostedInstance, HostedBinding):
                found += await tx.find(noun)
            found += await tx.find(Orphan, instance_id=self.key)
            found += await tx.find(ServiceInstance, id=self.key)
        return found


@pytest.fixture
async def tenants(lab: HostingLab) -> AsyncIterator[Tenants]:
    made = Tenants(lab)
    yield made
    await made.end()


async def test_each_step_is_woken_by_the_one_before(tenants: Tenants) -> None:
    tenants.begin()
    await tenants.succeeds(tenants.wish)
    row = await tenants.one(ServiceInstance, tenants.key)
    assert row.state is ServiceState.ready and row.call is None
    await tenants.succeeds(tenants.bind)
    binding = await tenants.one(ServiceBinding, tenants.bound)
    users = next(iter(tenants.lab.kind.users.values()))  # pyright: ignore[reportAttributeAccessIssue]
    assert binding.state is BindingState.ready
    assert json.loads(binding.credentials)["password"] == users[tenants.bound]["password"]
    assert binding.variables == {"PRETEND_URL": "host"}
    await tenants.succeeds(tenants.configure)
    assert (await tenants.lab.row(tenants.key)).plan_seen == "large"
    await tenants.succeeds(tenants.unbind)
    assert tenants.bound not in users
    await tenants.succeeds(tenants.delete)
    assert not await tenants.left()


async def test_a_binding_wished_with_the_service_comes_with_it(tenants: Tenants) -> None:
    create = await tenants.wish()
    bind = await tenants.bind()
    tenants.begin()
    assert (await tenants.ended(create)).status is OperationStatus.succeeded
    assert (await tenants.ended(bind)).status is OperationStatus.succeeded


async def test_a_server_that_moved_is_found_by_its_bindings(tenants: Tenants) -> None:
    tenants.begin()
    await tenants.succeeds(tenants.wish)
    await tenants.succeeds(tenants.bind)
    await tenants.end()
    credentials = json.loads((await tenants.one(ServiceBinding, tenants.bound)).credentials)
    stale = {"credentials": json.dumps(credentials | {"host": "10.9.8.7"}), "endpoints": ("10.9.8.7:1",)}
    async with tenants.lab.database.writing() as tx:  # what was woken then was lost
        await tx.update(ServiceBinding, tenants.bound, **stale)
    tenants.begin()
    async with asyncio.timeout(20):
        while (await tenants.one(ServiceBinding, tenants.bound)).revision != 1:
            await asyncio.sleep(0.01)
    moved = await tenants.one(ServiceBinding, tenants.bound)
    assert json.loads(moved.credentials)["host"] == (await tenants.lab.row(tenants.key)).host


@pytest.mark.parametrize("pieces", [1, 6])
async def test_the_control_plane_may_end_at_any_moment(tenants: Tenants, pieces: int) -> None:
    """It lives for a few turns of the event loop at a time, through a whole life of a service."""

    async def through(wish: Callable[[], Awaitable[str]]) -> None:
        operation = await wish()
        turns = pieces
        for _ in range(15):
            tenants.begin()
            for _ in range(turns):
                await asyncio.sleep(0.002)
            turns += 1
            await tenants.end()
        tenants.begin()
        ended = await tenants.ended(operation)
        assert ended.status is OperationStatus.succeeded, ended
        await tenants.end()

    await through(tenants.wish)
    await through(tenants.bind)
    users = next(iter(tenants.lab.kind.users.values()))  # pyright: ignore[reportAttributeAccessIssue]
    assert list(users) == [tenants.bound]
    await through(tenants.configure)
    await through(tenants.unbind)
    assert not users
    await through(tenants.delete)
    assert not await tenants.left()
