"""Service instances and bindings as rows, reconciled against a broker in memory on the real database."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gongfang.brokers.memory import CATALOG, MemoryBroker
from gongfang.domain.ids import new_id
from gongfang.domain.services import BUILTIN, Offering, ServiceBinding, ServiceBroker, ServiceInstance, ServicePlan
from gongfang.domain.values import Operation, OperationKind, OperationStatus, Space
from gongfang.reconcile.bindings import BindingReconciler
from gongfang.reconcile.brokers import Brokers
from gongfang.reconcile.orphaned import OrphanReconciler
from gongfang.reconcile.services import ServiceReconciler
from tests.api.conftest import Api, World, new_name

K = OperationKind


class Killed(BaseException):
    """The control plane ends here."""


@dataclass
class ServiceLab:
    """A space, a broker with a catalogue of its own rows, and everything that reconciles them."""

    world: World
    admin: Api
    broker: MemoryBroker
    space: Space
    offering: Offering
    plans: list[ServicePlan]

    def __post_init__(self) -> None:
        self.database = self.world.services.database
        brokers = Brokers(self.broker, lambda _: self.broker)
        self.services = ServiceReconciler(self.database, brokers, self.world.clock)
        self.bindings = BindingReconciler(self.database, brokers, self.world.clock)
        self.orphans = OrphanReconciler(self.database, brokers, self.world.clock)

    # --- rows --------------------------------------------------------------------------------------------------------

    def insert(self, *values: Any) -> None:
        async def insert() -> None:
            async with self.database.writing() as tx:
                for value in values:
                    await tx.insert(value)

        self.world.do(insert())

    def change(self, noun: type, key: str, **changes: Any) -> None:
        async def change() -> None:
            async with self.database.writing() as tx:
                assert await tx.update(noun, key, **changes)

        self.world.do(change())

    def one(self, noun: type, key: str) -> Any:
        async def one() -> Any:
            async with self.database.reading() as tx:
                return await tx.one(noun, key)

        return self.world.do(one())

    def find(self, noun: type, **equals: Any) -> list[Any]:
        async def find() -> Any:
            async with self.database.reading() as tx:
                return await tx.find(noun, **equals)

        return self.world.do(find())

    def operation(self, kind: K, instance: ServiceInstance, binding: ServiceBinding | None = None) -> str:
        now = self.world.clock()
        operation = Operation(
            id=new_id("op"),
            kind=kind,
            app_id=binding.app_id if binding else None,
            app_name=None,
            tenant_id=instance.tenant_id,
            organization_id=instance.organization_id,
            space_id=instance.space_id,
            status=OperationStatus.pending,
            params={},
            steps=(),
            created_at=now,
            deadline=now + timedelta(minutes=30),
            created_by="root",
            service_instance_id=instance.id,
            service_name=instance.name,
            binding_id=binding.id if binding else None,
        )
        self.insert(operation)
        return operation.id

    def status(self, operation_id: str) -> str:
        return self.one(Operation, operation_id).status.value

    # --- wishes ------------------------------------------------------------------------------------------------------

    def create(self, **changes: Any) -> tuple[str, str]:
        """An instance that is wished, and the operation; their ids."""
        now = self.world.clock()
        values: dict[str, Any] = {
            "id": new_id("sin"),
            "tenant_id": self.space.tenant_id,
            "organization_id": self.space.organization_id,
            "space_id": self.space.id,
            "name": new_name("db"),
            "offering_id": self.offering.id,
            "plan_id": self.plans[0].id,
            "parameters": '{"colour":"red"}',
            "credentials": None,
            "tags": (),
            "generation": 1,
            "deleting": False,
            "created_at": now,
            "updated_at": now,
            "created_by": "root",
        }
        instance = ServiceInstance(**(values | changes))
        self.insert(instance)
        return instance.id, self.operation(K.create_service, instance)

    def created(self, **changes: Any) -> str:
        key, operation = self.create(**changes)
        self.settle(self.services, key)
        assert self.status(operation) == "succeeded"
        return key

    def configure(self, key: str, **changes: Any) -> str:
        instance = self.one(ServiceInstance, key)
        self.change(ServiceInstance, key, generation=instance.generation + 1, **changes)
        return self.operation(K.configure_service, instance)

    def delete(self, key: str) -> str:
        self.change(ServiceInstance, key, deleting=True)
        return self.operation(K.delete_service, self.one(ServiceInstance, key))

    def bind(self, key: str, app_id: str | None, **changes: Any) -> tuple[str, str]:
        instance = self.one(ServiceInstance, key)
        values: dict[str, Any] = {
            "id": new_id("bnd"),
            "service_instance_id": key,
            "app_id": app_id,
            "tenant_id": instance.tenant_id,
            "organization_id": instance.organization_id,
            "space_id": instance.space_id,
            "name": instance.name,
            "variables": {},
            "variables_given": False,
            "parameters": None,
            "predecessor_id": None,
            "deleting": False,
            "created_at": self.world.clock(),
            "created_by": "root",
        }
        binding = ServiceBinding(**(values | changes))
        self.insert(binding)
        kind = K.rotate if binding.predecessor_id else K.bind
        return binding.id, self.operation(kind, instance, binding)

    def unbind(self, key: str) -> str:
        self.change(ServiceBinding, key, deleting=True)
        binding = self.one(ServiceBinding, key)
        return self.operation(K.unbind, self.one(ServiceInstance, binding.service_instance_id), binding)

    def app(self) -> str:
        return self.admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": self.space.id})["id"]

    # --- reconcile ---------------------------------------------------------------------------------------------------

    def look(self, handler: Callable[[str], Any], key: str) -> float | None:
        return self.world.do(handler(key))

    def settle(self, handler: Callable[[str], Any], key: str, *, most: timedelta = timedelta(hours=3)) -> None:
        """Looks again whenever the handler wants to, the clock being put on to that moment, until it wants no more."""
        begun = self.world.clock.ahead
        while (later := self.look(handler, key)) is not None:
            assert self.world.clock.ahead - begun < most, "it never comes to an end"
            self.world.clock.ahead += timedelta(seconds=later + 0.001)

    def turn(self, *keys: tuple[Callable[[str], Any], str], until: Callable[[], bool]) -> None:
        """Handlers in turn, as woken workers would be, until something is so."""

        async def work() -> None:
            async with asyncio.timeout(20):
                while True:
                    for handler, key in keys:
                        await handler(key)
                    if await asyncio.to_thread(until):
                        return
                    await asyncio.sleep(0.01)

        self.world.do(work())


def service_lab(world: World, admin: Api, broker: MemoryBroker, *, builtin: bool = False) -> ServiceLab:
    now = world.clock()
    space_id = admin.data("POST", "/spaces", 201, json={"name": new_name("s")})["id"]
    broker_id = BUILTIN if builtin else new_id("brk")
    offered = CATALOG.offerings[0]
    offering = Offering(
        id=new_id("off"),
        broker_id=broker_id,
        catalog_id=new_id("cat"),
        name=offered.name,
        description=offered.description,
        tags=offered.tags,
        requires=(),
        bindable=True,
        instances_retrievable=True,
        bindings_retrievable=True,
        allow_context_updates=False,
        plan_updateable=True,
        metadata={"variables": {"PRETEND_URL": "uri"}},
    )
    plans = [
        ServicePlan(
            id=new_id("pln"),
            offering_id=offering.id,
            catalog_id=plan.id,
            name=plan.name,
            description=plan.description,
            position=position,
            free=True,
            bindable=None,
            binding_rotatable=True,
            plan_updateable=None,
            schemas={},
            maximum_polling_s=None,
            maintenance_version=None,
            maintenance_description=None,
            metadata={},
        )
        for position, plan in enumerate(offered.plans)
    ]

    async def seed() -> Space:
        async with world.services.database.writing() as tx:
            if await tx.one(ServiceBroker, broker_id) is None:
                name = "Gongfang" if builtin else new_name("b")
                url = None if builtin else "https://broker.example.com"
                row = ServiceBroker(broker_id, None, None, name, url, None, None, False, now, None)
                await tx.insert(row)
            await tx.insert(offering)
            for plan in plans:
                await tx.insert(plan)
            space = await tx.one(Space, space_id)
        assert space is not None
        return space

    return ServiceLab(world, admin, broker, world.do(seed()), offering, plans)
