"""Service instances and bindings against a broker in memory, on the real database: what comes of each answer, and of
the control plane's end at each point."""

import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gongfang.brokers import interface as b
from gongfang.brokers.memory import MemoryBroker
from gongfang.domain.errors import Reason
from gongfang.domain.services import BindingState, Orphan, ServiceBinding, ServiceInstance, ServiceState
from gongfang.domain.values import Event, Operation
from gongfang.state.service_queries import bound_of, bound_services
from tests.api.conftest import Api, World
from tests.api.service_labs import Killed, ServiceLab, service_lab

LOST = b.Unsure(Reason("broker_failed", {"what": "500"}), mitigate=True)
SLOW = b.Unsure(Reason("broker_failed", {"what": "408"}), mitigate=False)
AWAY = b.NotSent(Reason("broker_failed", {"what": "refused"}))
NO = b.Refused(400, None, "no room")
BUSY = b.Refused(422, b.CONCURRENCY, "busy")


@pytest.fixture(params=["at once", "later"])
def services(world: World, admin: Api, request: pytest.FixtureRequest) -> ServiceLab:
    return service_lab(world, admin, MemoryBroker(asynchronous=request.param == "later", polls=2))


@pytest.fixture
def simple(world: World, admin: Api) -> ServiceLab:
    return service_lab(world, admin, MemoryBroker())


@pytest.fixture
def builtin(world: World, admin: Api) -> ServiceLab:
    return service_lab(world, admin, MemoryBroker(), builtin=True)


def instance(lab: ServiceLab, key: str) -> ServiceInstance:
    return lab.one(ServiceInstance, key)


def binding(lab: ServiceLab, key: str) -> ServiceBinding:
    return lab.one(ServiceBinding, key)


def tags(lab: ServiceLab, key: str) -> list[str]:
    return [event.tag for event in lab.find(Event, object_id=key, order="seq")]


# --- instances -------------------------------------------------------------------------------------------------------


def test_what_is_wished_is_made_changed_and_deleted(services: ServiceLab) -> None:
    key, create = services.create()
    services.settle(services.services, key)
    made = instance(services, key)
    assert (made.state, made.reason, made.call) == (ServiceState.ready, None, None)
    assert (made.plan_seen, made.parameters_seen) == (services.plans[0].id, made.parameters)
    assert services.status(create) == "succeeded"
    (asked,) = services.broker.asked_for(b.Provision)
    assert asked.parameters == {"colour": "red"}
    assert asked.who.user_name == "root"
    assert asked.where.instance_name == made.name and asked.where.space_name == services.space.name
    configure = services.configure(key, plan_id=services.plans[1].id, parameters='{"colour":"blue"}')
    services.settle(services.services, key)
    assert services.status(configure) == "succeeded"
    assert services.broker.instances[key].plan == services.plans[1].catalog_id
    assert services.broker.instances[key].parameters == {"colour": "blue"}
    (update,) = services.broker.asked_for(b.Update)
    assert update.plan_changed and update.previous_plan_id == services.plans[0].catalog_id
    delete = services.delete(key)
    services.settle(services.services, key)
    assert services.status(delete) == "succeeded"
    assert instance(services, key) is None and key not in services.broker.instances
    assert tags(services, key) == [f"service:{what}:succeeded" for what in ("create", "configure", "delete")]


def test_a_broker_that_takes_its_time_is_told_of_in_steps(world: World, admin: Api) -> None:
    lab = service_lab(world, admin, MemoryBroker(asynchronous=True, polls=2))
    key, create = lab.create()
    lab.settle(lab.services, key)
    steps = [step.name for step in lab.one(Operation, create).steps]
    assert steps == ["step_broker_asked", "step_broker_works"]
    assert lab.one(Operation, create).steps[1].facts == {"what": "provision is under way"}


def test_nothing_to_change_asks_nobody(simple: ServiceLab) -> None:
    key = simple.created()
    configure = simple.configure(key)
    simple.settle(simple.services, key)
    assert simple.status(configure) == "succeeded"
    assert not simple.broker.asked_for(b.Update)


def test_what_was_refused_was_never_there(services: ServiceLab) -> None:
    services.broker.script("provision", NO, does=False)
    key, create = services.create()
    services.settle(services.services, key)
    failed = instance(services, key)
    assert failed.state is ServiceState.failed and failed.reason == Reason("broker_refused", {"what": "no room"})
    assert services.status(create) == "failed"
    assert not services.find(Orphan, instance_id=key)
    delete = services.delete(key)
    services.settle(services.services, key)
    assert services.status(delete) == "succeeded" and instance(services, key) is None
    assert not services.broker.asked_for(b.Deprovision)


@pytest.mark.parametrize("does", [True, False])
def test_what_may_have_been_made_is_deleted_without_anybody_waiting(simple: ServiceLab, does: bool) -> None:
    simple.broker.script("provision", LOST, does=does)
    key, create = simple.create()
    simple.settle(simple.services, key)
    assert simple.status(create) == "failed"
    (orphan,) = simple.find(Orphan, instance_id=key)
    simple.delete(key)
    simple.settle(simple.services, key)
    assert instance(simple, key) is None
    simple.broker.script("deprovision", AWAY, does=False)
    simple.settle(simple.orphans, orphan.id)
    assert key not in simple.broker.instances
    assert simple.one(Orphan, orphan.id) is None
    assert tags(simple, orphan.id) == ["service:orphan:noted", "service:orphan:removed"]


@pytest.mark.parametrize("answer", [SLOW, AWAY, BUSY])
@pytest.mark.parametrize("kind", ["provision", "update", "deprovision"])
def test_what_is_not_clear_is_asked_again(simple: ServiceLab, kind: str, answer: Any) -> None:
    does = answer is SLOW
    key, operation = simple.create()
    if kind == "provision":
        simple.broker.script(kind, answer, does=does)
    simple.settle(simple.services, key)
    if kind == "update":
        simple.broker.script(kind, answer, does=does)
        operation = simple.configure(key, plan_id=simple.plans[1].id)
    elif kind == "deprovision":
        simple.broker.script(kind, answer, does=does)
        operation = simple.delete(key)
    simple.settle(simple.services, key)
    assert simple.status(operation) == "succeeded"
    assert not simple.find(Orphan, instance_id=key)
    assert (instance(simple, key) is None) == (kind == "deprovision")


def test_a_refused_change_leaves_the_service_as_it_was(services: ServiceLab) -> None:
    key = services.created()
    services.broker.script("update", NO, does=False)
    configure = services.configure(key, plan_id=services.plans[1].id, parameters='{"colour":"blue"}')
    services.settle(services.services, key)
    now = instance(services, key)
    assert services.status(configure) == "failed"
    assert (now.state, now.plan_id, json.loads(now.parameters)) == (
        ServiceState.ready,
        services.plans[0].id,
        {"colour": "red"},
    )
    assert now.reason == Reason("broker_refused", {"what": "no room"})


def test_a_change_that_left_it_unusable_says_so_and_may_be_tried_again(simple: ServiceLab) -> None:
    key = simple.created()
    simple.broker.script("update", b.Refused(422, None, "half done", usable=False), does=False)
    simple.configure(key, plan_id=simple.plans[1].id)
    simple.settle(simple.services, key)
    assert instance(simple, key).state is ServiceState.broken
    configure = simple.configure(key, plan_id=simple.plans[1].id)
    simple.settle(simple.services, key)
    assert simple.status(configure) == "succeeded"
    assert instance(simple, key).state is ServiceState.ready


def test_a_refused_deletion_can_be_asked_for_again(simple: ServiceLab) -> None:
    key = simple.created()
    simple.broker.script("deprovision", NO, does=False)
    first = simple.delete(key)
    simple.settle(simple.services, key)
    assert simple.status(first) == "failed"
    assert (instance(simple, key).state, instance(simple, key).deleting) == (ServiceState.broken, False)
    second = simple.delete(key)
    simple.settle(simple.services, key)
    assert simple.status(second) == "succeeded" and instance(simple, key) is None


def test_a_creation_that_never_ends_is_given_up_and_taken_away(world: World, admin: Api) -> None:
    lab = service_lab(world, admin, MemoryBroker(asynchronous=True, polls=10_000))
    key, create = lab.create()
    lab.settle(lab.services, key)
    assert lab.status(create) == "failed"
    assert instance(lab, key).state is ServiceState.failed
    assert len(lab.find(Orphan, instance_id=key)) == 1


def test_a_deletion_outlives_its_operation(simple: ServiceLab) -> None:
    key = simple.created()
    for _ in range(80):
        simple.broker.script("deprovision", SLOW, does=False)
    delete = simple.delete(key)
    simple.settle(simple.services, key, most=timedelta(hours=400))
    assert simple.status(delete) == "failed"
    assert instance(simple, key) is None and key not in simple.broker.instances
    assert tags(simple, key)[-1] == "service:delete:succeeded"


def test_a_deletion_halts_the_creation(world: World, admin: Api) -> None:
    lab = service_lab(world, admin, MemoryBroker(asynchronous=True, polls=10_000))
    key, _ = lab.create()
    assert lab.look(lab.services, key) is not None
    delete = lab.delete(key)
    lab.settle(lab.services, key)
    assert lab.status(delete) == "succeeded"
    assert instance(lab, key) is None and not lab.broker.instances


def test_a_service_of_ones_own_needs_no_broker(simple: ServiceLab) -> None:
    key = simple.created(offering_id=None, plan_id=None, credentials='{"uri":"mysql://old"}')
    bound, operation = simple.bind(key, None)
    simple.settle(simple.bindings, bound)
    assert simple.status(operation) == "succeeded"
    assert json.loads(binding(simple, bound).credentials or "") == {"uri": "mysql://old"}
    simple.change(ServiceInstance, key, credentials='{"uri":"mysql://new"}')
    simple.settle(simple.bindings, bound)
    assert binding(simple, bound).revision == 1
    simple.unbind(bound)
    simple.settle(simple.bindings, bound)
    simple.delete(key)
    simple.settle(simple.services, key)
    assert instance(simple, key) is None and not simple.broker.asked


# --- bindings --------------------------------------------------------------------------------------------------------


def test_an_app_that_does_not_run_is_bound_and_unbound(services: ServiceLab) -> None:
    key, app = services.created(), services.app()
    bound, bind = services.bind(key, app)
    services.settle(services.bindings, bound)
    made = binding(services, bound)
    assert services.status(bind) == "succeeded"
    assert made.state is BindingState.ready and made.endpoints == ("127.0.0.1:5000",)
    assert made.variables == {f"{made.name.upper().replace('-', '_')}_URL": "uri"}
    (asked,) = services.broker.asked_for(b.Bind)
    assert (asked.app_id, asked.binding_id) == (app, bound)
    unbind = services.unbind(bound)
    services.settle(services.bindings, bound)
    assert services.status(unbind) == "succeeded"
    assert binding(services, bound) is None
    assert not services.broker.instances[key].bindings
    assert tags(services, bound) == ["service:bind:succeeded", "service:unbind:succeeded"]


def test_variables_are_the_kinds_own_and_no_two_are_the_same(builtin: ServiceLab) -> None:
    app = builtin.app()
    first, _ = builtin.bind(builtin.created(name="one"), app)
    second, _ = builtin.bind(builtin.created(name="two"), app)
    builtin.settle(builtin.bindings, first)
    builtin.settle(builtin.bindings, second)
    assert binding(builtin, first).variables == {"PRETEND_URL": "uri"}
    assert binding(builtin, second).variables == {"TWO_URL": "uri"}


def test_what_counts_for_an_app_is_what_it_is_given(simple: ServiceLab) -> None:
    app, key = simple.app(), simple.created()
    bound, _ = simple.bind(key, app)

    async def look() -> tuple[str, int, list[Any]]:
        from gongfang.domain.attachments import attachment

        async with simple.database.reading() as tx:
            all_of = (await bound_of(tx, [app])).get(app)
            given = await bound_services(tx, app)
        assert all_of is not None and attachment(given).digest == all_of.digest
        return all_of.digest, all_of.count, given

    digest, count, given = simple.world.do(look())
    assert (digest, count, given) == ("", 1, [])
    simple.settle(simple.bindings, bound)
    ready, count, given = simple.world.do(look())
    assert ready and count == 1
    assert given[0].credentials["password"] == f"secret-of-{bound}" and given[0].service == "pretend"
    simple.change(ServiceBinding, bound, revision=1)
    assert simple.world.do(look())[0] not in (ready, "")
    successor, rotate = simple.bind(key, app, predecessor_id=bound)
    simple.settle(simple.bindings, successor)
    assert simple.status(rotate) == "succeeded"
    assert [g.binding_id for g in simple.world.do(look())[2]] == [successor]
    assert binding(simple, bound).deleting and binding(simple, successor).predecessor_id is None
    assert binding(simple, successor).variables == binding(simple, bound).variables
    simple.settle(simple.bindings, bound)
    assert simple.world.do(look())[1] == 1
    simple.unbind(successor)
    assert simple.world.do(look())[:2] == ("", 1)


def test_binding_waits_for_the_service(world: World, admin: Api) -> None:
    lab = service_lab(world, admin, MemoryBroker(asynchronous=True, polls=0))
    key, _ = lab.create()
    bound, bind = lab.bind(key, lab.app())
    assert lab.look(lab.bindings, bound) is not None
    assert not lab.broker.asked_for(b.Bind)
    assert [step.name for step in lab.one(Operation, bind).steps] == ["step_wait_service"]
    lab.settle(lab.services, key)
    lab.settle(lab.bindings, bound)
    assert lab.status(bind) == "succeeded"


def test_binding_to_what_never_came_to_be_fails(simple: ServiceLab) -> None:
    simple.broker.script("provision", NO, does=False)
    key, _ = simple.create()
    bound, bind = simple.bind(key, simple.app())
    simple.settle(simple.services, key)
    simple.settle(simple.bindings, bound)
    assert simple.status(bind) == "failed" and binding(simple, bound) is None


def test_a_refused_binding_leaves_nothing(services: ServiceLab) -> None:
    key = services.created()
    services.broker.script("bind", NO, does=False)
    bound, bind = services.bind(key, services.app())
    services.settle(services.bindings, bound)
    assert services.status(bind) == "failed"
    assert services.one(Operation, bind).reason == Reason("broker_refused", {"what": "no room"})
    assert binding(services, bound) is None and not services.find(Orphan, binding_id=bound)


def test_a_binding_that_may_have_been_made_is_undone(simple: ServiceLab) -> None:
    key = simple.created()
    simple.broker.script("bind", LOST)
    bound, bind = simple.bind(key, simple.app())
    simple.settle(simple.bindings, bound)
    assert simple.status(bind) == "failed" and binding(simple, bound) is None
    assert bound in simple.broker.instances[key].bindings
    (orphan,) = simple.find(Orphan, binding_id=bound)
    simple.settle(simple.orphans, orphan.id)
    assert not simple.broker.instances[key].bindings


def test_a_variable_that_cannot_be_filled_is_not_promised(simple: ServiceLab) -> None:
    key = simple.created()
    bound, bind = simple.bind(key, simple.app(), variables={"X": "nosuch"}, variables_given=True)
    simple.settle(simple.bindings, bound)
    assert simple.one(Operation, bind).reason.code == "binding_key_unknown"
    assert "nosuch" in str(simple.one(Operation, bind).reason.facts["key"])
    assert binding(simple, bound) is None and not simple.broker.instances[key].bindings


def test_a_deletion_waits_until_nothing_is_bound(simple: ServiceLab) -> None:
    key = simple.created()
    bound, _ = simple.bind(key, simple.app())
    simple.settle(simple.bindings, bound)
    unbind, delete = simple.unbind(bound), simple.delete(key)
    assert simple.look(simple.services, key) is not None
    assert instance(simple, key) is not None and not simple.broker.asked_for(b.Deprovision)
    simple.settle(simple.bindings, bound)
    simple.settle(simple.services, key)
    assert simple.status(unbind) == simple.status(delete) == "succeeded"
    assert instance(simple, key) is None


def test_the_end_of_an_app_does_not_wait_for_a_broker(simple: ServiceLab) -> None:
    from gongfang.domain.values import App

    key, app = simple.created(), simple.app()
    bound, _ = simple.bind(key, app)
    simple.settle(simple.bindings, bound)
    for _ in range(500):
        simple.broker.script("unbind", AWAY, does=False)
    simple.change(App, app, destroying=True)
    simple.change(ServiceBinding, bound, deleting=True)
    simple.settle(simple.bindings, bound, most=timedelta(minutes=2))
    assert binding(simple, bound) is None
    assert len(simple.find(Orphan, binding_id=bound)) == 1


def test_a_server_that_moved_is_told_to_those_who_are_bound(builtin: ServiceLab) -> None:
    key = builtin.created()
    bound, _ = builtin.bind(key, builtin.app())
    builtin.settle(builtin.bindings, bound)
    builtin.settle(builtin.bindings, bound)
    assert binding(builtin, bound).revision == 0
    builtin.broker.instances[key].host = "10.9.8.7"
    builtin.settle(builtin.bindings, bound)
    moved = binding(builtin, bound)
    assert moved.revision == 1 and moved.endpoints == ("10.9.8.7:5000",)
    assert "10.9.8.7" in (moved.credentials or "")


# --- killed ----------------------------------------------------------------------------------------------------------


class KillingBroker(MemoryBroker):
    """The control plane ends before or after the broker does the `last`th thing that it is asked for."""

    last: int = -1
    before: bool = False
    asks: int = 0

    async def _dies(self, answer: Callable[[], Any]) -> Any:
        self.asks += 1
        if self.asks == self.last and self.before:
            raise Killed
        said = await answer()
        if self.asks == self.last:
            raise Killed
        return said

    async def _take(self, kind: str, ask: Any, target: Any, binding_id: str | None) -> Any:
        return await self._dies(lambda: MemoryBroker._take(self, kind, ask, target, binding_id))

    async def last_operation(self, ask: b.Poll) -> Any:
        return await self._dies(lambda: MemoryBroker.last_operation(self, ask))

    async def fetch_binding(self, ask: b.Poll) -> Any:
        return await self._dies(lambda: MemoryBroker.fetch_binding(self, ask))


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("last", [1, 2, 3])
def test_wherever_it_ends_it_goes_on(world: World, admin: Api, last: int, before: bool, asynchronous: bool) -> None:
    """One life: made, bound, changed, unbound, deleted, with an end of the control plane in every phase of it."""
    broker = KillingBroker(asynchronous=asynchronous, polls=0)
    lab = service_lab(world, admin, broker)
    broker.before = before
    app = lab.app()

    def through(handler: Any, key: str, operation: str) -> None:
        broker.asks, broker.last = 0, last
        with contextlib.suppress(Killed):
            lab.settle(handler, key)
        broker.last = -1
        lab.settle(handler, key)
        assert lab.status(operation) == "succeeded"

    key, create = lab.create()
    through(lab.services, key, create)
    bound, bind = lab.bind(key, app)
    through(lab.bindings, bound, bind)
    through(lab.services, key, lab.configure(key, plan_id=lab.plans[1].id))
    assert broker.instances[key].plan == lab.plans[1].catalog_id
    assert list(broker.instances[key].bindings) == [bound]
    through(lab.bindings, bound, lab.unbind(bound))
    through(lab.services, key, lab.delete(key))
    assert not broker.instances and not lab.find(Orphan, instance_id=key)


def test_the_sweep_knows_what_is_not_settled(simple: ServiceLab) -> None:
    key, _ = simple.create()
    assert key in simple.world.do(simple.services.unfinished())
    simple.settle(simple.services, key)
    assert key not in simple.world.do(simple.services.unfinished())
    bound, _ = simple.bind(key, simple.app())
    assert bound in simple.world.do(simple.bindings.unfinished())
    simple.settle(simple.bindings, bound)
    assert bound not in simple.world.do(simple.bindings.unfinished())
    simple.unbind(bound)
    assert bound in simple.world.do(simple.bindings.unfinished())


def test_no_secret_is_told(simple: ServiceLab) -> None:
    key = simple.created(parameters='{"hidden":"swordfish"}')
    bound, bind = simple.bind(key, simple.app())
    simple.settle(simple.bindings, bound)
    told = [
        *simple.find(Event, object_id=key, order="seq"),
        *simple.find(Event, object_id=bound, order="seq"),
        simple.one(Operation, bind),
    ]
    assert "swordfish" not in repr(told) and f"secret-of-{bound}" not in repr(told)
    assert "swordfish" not in repr(instance(simple, key)) and "secret-of" not in repr(binding(simple, bound))
