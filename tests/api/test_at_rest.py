"""The app reconciler on the pretending runtime and edge, on a real database; and what the sweep leaves alone."""

from collections.abc import Iterator

import pytest

from gongfang.domain.values import App, Instance, InstanceState
from gongfang.edge.memory import MemoryEdge
from gongfang.reconcile.apps import AppReconciler
from gongfang.reconcile.workloads import PlatformFacts
from tests.api.conftest import World
from tests.api.test_newest_wish import Lab, lab

__all__ = ["lab"]


@pytest.fixture
def reconciler(world: World, lab: Lab) -> Iterator[AppReconciler]:
    services = world.services
    facts = PlatformFacts("apps.localhost", lambda host: f"http://{host}/")
    edge = MemoryEdge()

    async def make() -> AppReconciler:
        await edge.replace_all([])
        return AppReconciler(services.database, services.runtime, edge, world.clock, facts)

    made = world.do(make())
    yield made
    lab.post("stop")
    settle(world, lab, made, InstanceState.exited)
    world.do(made.close())


def rows(lab: Lab) -> list[Instance]:
    async def find() -> list[Instance]:
        async with lab.world.services.database.reading() as tx:
            return await tx.find(Instance, app_id=lab.id)

    return lab.world.do(find())


def settle(world: World, lab: Lab, reconciler: AppReconciler, state: InstanceState) -> None:
    """Until every instance is in this state and the reconciler has nothing more to do."""

    async def work() -> None:
        import asyncio

        async with asyncio.timeout(20):
            while True:
                later = await reconciler(lab.id)
                async with world.services.database.reading() as tx:
                    found = await tx.find(Instance, app_id=lab.id)
                if found and all(i.state is state for i in found) and later is None:
                    return
                await asyncio.sleep(0.02)

    world.do(work())


def looked_at(lab: Lab, reconciler: AppReconciler) -> bool:
    return lab.id in lab.world.do(reconciler.to_look_at())


def test_the_sweep_leaves_an_app_at_rest_alone_until_something_changes(
    world: World, lab: Lab, reconciler: AppReconciler
) -> None:
    assert looked_at(lab, reconciler)
    settle(world, lab, reconciler, InstanceState.ready)
    assert lab.one(App, lab.id).state == "running"
    assert not looked_at(lab, reconciler)
    lab.admin.data("PATCH", f"/apps/{lab.id}", 200, json={"labels": {"line": "4"}})
    assert looked_at(lab, reconciler)
    settle(world, lab, reconciler, InstanceState.ready)
    assert not looked_at(lab, reconciler)
    (instance,) = rows(lab)
    lab.change(Instance, instance.id, port=1)
    assert looked_at(lab, reconciler)


def test_an_instance_that_ended_unseen_is_found_by_the_sweep(world: World, lab: Lab, reconciler: AppReconciler) -> None:
    settle(world, lab, reconciler, InstanceState.ready)
    (instance,) = rows(lab)
    world.do(world.services.runtime.stop(instance.id, grace_s=0))
    assert looked_at(lab, reconciler)
