"""Apps that run while they are bound and unbound: replaced surge first, taken back where they don't run with it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gongfang.brokers.memory import MemoryBroker
from gongfang.domain.services import BindingState, ServiceBinding
from gongfang.domain.values import App, Instance, InstanceState, Operation
from gongfang.edge.memory import MemoryEdge
from gongfang.reconcile.apps import AppReconciler
from gongfang.reconcile.workloads import PlatformFacts
from gongfang.runtimes.interface import WorkloadSpec
from tests.api.conftest import Api, World
from tests.api.service_labs import ServiceLab, service_lab
from tests.api.test_newest_wish import Lab, lab

__all__ = ["lab"]


class Running:
    """A running app beside a service, and the workers of both."""

    def __init__(self, services: ServiceLab, lab: Lab, apps: AppReconciler) -> None:
        self.services = services
        self.app = lab.id
        self.apps = apps
        self.least_ready = 99

    def instances(self, state: InstanceState = InstanceState.ready) -> list[Instance]:
        return self.services.find(Instance, app_id=self.app, state=state)

    def spec(self, instance: Instance) -> WorkloadSpec:
        return self.services.world.runtime.machine.runs[instance.id].spec

    def until(self, done: Callable[[], bool], *more: tuple[Any, str]) -> None:
        """Everybody's workers in turn, until something is so."""

        async def work() -> None:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(done):
                    for handler, key in ((self.apps, self.app), *more):
                        await handler(key)
                    async with self.services.database.reading() as tx:
                        ready = await tx.count(Instance, app_id=self.app, state="ready")
                    self.least_ready = min(self.least_ready, ready)
                    await asyncio.sleep(0.02)

        self.services.world.do(work())

    def at_rest(self) -> bool:
        states = {i.state for i in self.services.find(Instance, app_id=self.app) if not i.state.ended}
        return states == {InstanceState.ready}

    def ended(self, operation: str) -> Callable[[], bool]:
        return lambda: self.services.one(Operation, operation).status.ended


@pytest.fixture
def running(world: World, admin: Api, lab: Lab) -> Iterator[Running]:
    services = service_lab(world, admin, MemoryBroker())
    edge = MemoryEdge()

    async def make() -> AppReconciler:
        await edge.replace_all([])
        facts = PlatformFacts("apps.localhost", lambda host: f"http://{host}/")
        return AppReconciler(services.database, services.world.runtime, edge, world.clock, facts)

    made = Running(services, lab, world.do(make()))
    made.until(made.at_rest)
    made.least_ready = 99
    yield made
    world.runtime.otherwise = ("serve",)
    if services.one(App, lab.id) is not None:
        services.change(App, lab.id, desired="stopped")
    made.until(lambda: not [i for i in services.find(Instance, app_id=lab.id) if not i.state.ended])
    world.do(made.apps.close())


def bound(running: Running) -> tuple[str, str]:
    """Bound and rolled; ids of service instance and binding."""
    lab = running.services
    key = lab.created()
    binding, operation = lab.bind(key, running.app)
    running.until(running.ended(operation), (lab.bindings, binding))
    assert lab.status(operation) == "succeeded"
    return key, binding


def test_a_running_app_is_replaced_by_one_that_has_it_and_by_one_that_has_not(running: Running) -> None:
    lab = running.services
    (before,) = running.instances()
    assert before.bound == "" and not running.spec(before).files
    key, binding = bound(running)
    (with_it,) = running.instances()
    assert with_it.id != before.id and with_it.bound
    spec, name = running.spec(with_it), lab.one(ServiceBinding, binding).name
    variable = f"{name.upper().replace('-', '_')}_URL"
    assert spec.environment[variable].startswith(f"pretend://{binding}:secret-of-{binding}@")
    assert spec.files[f"/bindings/{name}/password"] == f"secret-of-{binding}".encode()
    assert spec.environment["SERVICE_BINDING_ROOT"] == "/bindings"
    assert running.least_ready == 1
    unbind = lab.unbind(binding)
    running.until(running.ended(unbind), (lab.bindings, binding))
    assert lab.status(unbind) == "succeeded" and not lab.broker.instances[key].bindings
    (without,) = running.instances()
    assert without.bound == "" and variable not in running.spec(without).environment
    assert running.least_ready == 1
    delete = lab.delete(key)
    lab.settle(lab.services, key)
    assert lab.status(delete) == "succeeded"


def test_what_the_app_does_not_run_with_is_taken_back(running: Running) -> None:
    lab = running.services
    (before,) = running.instances()
    key = lab.created()
    binding, operation = lab.bind(key, running.app)
    lab.world.runtime.otherwise = ("exit", "3")
    running.until(running.ended(operation), (lab.bindings, binding))
    assert lab.status(operation) == "failed"
    assert lab.one(Operation, operation).reason.code.startswith("exit")
    lab.world.runtime.otherwise = ("serve",)
    running.until(lambda: lab.one(ServiceBinding, binding) is None and running.at_rest(), (lab.bindings, binding))
    (after,) = running.instances()
    assert after.id == before.id, "it never stopped serving, and is as it should be again"
    assert running.least_ready == 1 and not lab.broker.instances[key].bindings


def test_unbinding_has_succeeded_even_if_the_app_does_not_run_without(running: Running) -> None:
    lab = running.services
    key, binding = bound(running)
    lab.world.runtime.otherwise = ("exit", "3")
    unbind = lab.unbind(binding)
    running.until(running.ended(unbind), (lab.bindings, binding))
    assert lab.status(unbind) == "succeeded" and not lab.broker.instances[key].bindings


def test_a_destroyed_app_goes_once_it_is_unbound(running: Running) -> None:
    lab = running.services
    key, binding = bound(running)
    lab.change(App, running.app, destroying=True, desired="stopped")
    lab.change(ServiceBinding, binding, deleting=True)
    running.until(lambda: all(i.state.ended for i in lab.find(Instance, app_id=running.app)))
    running.until(lambda: lab.world.do(running.apps(running.app)) is not None)  # it waits
    assert lab.one(App, running.app) is not None
    lab.settle(lab.bindings, binding)
    running.until(lambda: lab.one(App, running.app) is None)
    assert not lab.broker.instances[key].bindings


def test_a_change_of_bindings_is_seen_by_the_sweep(running: Running) -> None:
    lab = running.services
    key, binding = bound(running)
    running.until(running.at_rest)
    running.until(lambda: running.app not in lab.world.do(running.apps.to_look_at()))
    lab.change(ServiceBinding, binding, deleting=True)
    assert running.app in lab.world.do(running.apps.to_look_at())
    assert lab.one(ServiceBinding, binding).state is BindingState.ready
    running.until(lambda: lab.one(ServiceBinding, binding) is None, (lab.bindings, binding))
    assert not lab.broker.instances[key].bindings
