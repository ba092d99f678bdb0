"""What a space's apps may reach, as it is asked for: who may open what, and what nobody can."""

import asyncio
import secrets
from ipaddress import IPv4Network
from typing import Any

import pytest

from gongfang.domain.clock import utc_now
from gongfang.domain.egress import Target
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.ids import new_id
from gongfang.domain.services import BindingState, ServiceBinding, ServiceInstance
from gongfang.domain.values import App
from gongfang.reconcile.egress import Egress, start_in
from gongfang.runtimes.interface import Handle, WorkloadKind, WorkloadSpec
from gongfang.runtimes.memory import MemoryMachine, MemoryRuntime
from tests.api.conftest import Api, World, new_name

PATH = "/spaces/{}/egress"


@pytest.fixture
def space(world: World) -> str:
    return world.client(world.token).data("POST", "/spaces", 201, json={"name": new_name("s")})["id"]


@pytest.fixture
def admin(world: World) -> Api:
    return world.client(world.token)


@pytest.fixture
def theirs(world: World, space: str) -> Api:
    """An administrator of the space alone."""
    return world.user([{"role": "administrator", "level": "space", "scope_id": space}])[1]


def test_a_space_begins_with_the_internet_and_nothing_else(admin: Api, space: str) -> None:
    assert admin.data("GET", PATH.format(space)) == {
        "space_id": space,
        "internet": True,
        "allow": [],
        "changed_at": None,
        "enforced": False,
    }


def test_its_administrators_close_and_open_the_internet_and_narrow(theirs: Api, space: str) -> None:
    body = {"internet": False, "allow": ["93.184.215.14:443", " 93.184.215.14:443 "]}
    assert theirs.data("PUT", PATH.format(space), json=body)["allow"] == ["93.184.215.14/32:443"]
    assert theirs.data("GET", PATH.format(space))["internet"] is False
    assert theirs.data("PUT", PATH.format(space), json={})["internet"] is True


def test_private_ranges_are_opened_by_the_platforms_administrators_and_may_be_kept(
    admin: Api, theirs: Api, space: str
) -> None:
    path = PATH.format(space)
    for target in ("10.1.2.7:5432", "192.168.0.0/16", "100.64.0.1", "0.0.0.0/0:443", "8.0.0.0/5"):
        assert theirs.code("PUT", path, 403, json={"allow": [target]}) == "egress_private", target
    admin.data("PUT", path, json={"allow": ["10.1.2.7:5432"]})
    kept = {"internet": False, "allow": ["10.1.2.7/32:5432"]}
    assert theirs.data("PUT", path, json=kept)["allow"] == ["10.1.2.7/32:5432"]
    assert theirs.code("PUT", path, 403, json={"allow": ["10.1.2.7/32:5433"]}) == "egress_private"
    assert theirs.data("PUT", path, json={})["allow"] == []
    assert theirs.code("PUT", path, 403, json=kept) == "egress_private"


@pytest.mark.parametrize("target", ["169.254.169.254", "127.0.0.1:22", "100.100.100.200:80", "224.0.0.1", "0.0.0.0"])
def test_what_no_policy_opens_is_refused(admin: Api, space: str, target: str) -> None:
    said = admin.request("PUT", PATH.format(space), json={"allow": ["93.184.215.14", target]}).json()
    assert [d["field"] for d in said["details"]] == ["allow.1"]
    assert "metadata addresses stay closed" in said["details"][0]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"allow": ["db.example.cn:443"]},
        {"allow": ["10.1.2.3/24"]},
        {"allow": ["10.1.2.0/33"]},
        {"allow": ["10.1.2.0:0"]},
        {"allow": ["10.1.2.0:9-8"]},
        {"allow": ["10.1.2.0:65536"]},
        {"allow": ["::1"]},
        {"allow": [""]},
        {"allow": ["١٠.0.0.1"]},
        {"allow": "10.1.2.3"},
        {"allow": ["9.9.9.9"] * 65},
        {"internet": "perhaps"},
        {"internets": True},
    ],
)
def test_what_is_no_policy_changes_nothing(admin: Api, space: str, body: object) -> None:
    assert admin.code("PUT", PATH.format(space), 422, json=body) == "validation_failed"
    assert admin.data("GET", PATH.format(space))["changed_at"] is None


def test_a_change_is_an_event_with_before_and_after_and_none_is_none(admin: Api, space: str) -> None:
    for _ in range(2):
        admin.data("PUT", PATH.format(space), json={"internet": False})
    events = [e for e in admin.data("GET", "/events?limit=500")["items"] if e["object_id"] == space]
    found = [(e["before"], e["after"]) for e in events if e["tag"] == "space:egress:change"]
    assert [(before["internet"], after["internet"]) for before, after in found] == [(True, False)]


def test_a_space_is_deleted_with_its_policy(admin: Api, space: str) -> None:
    admin.data("PUT", PATH.format(space), json={"internet": False})
    admin.data("DELETE", f"/spaces/{space}")
    assert admin.code("GET", PATH.format(space), 404) == "space_not_found"


def test_a_policy_that_changes_while_something_starts_holds_for_it_too(admin: Api, world: World, space: str) -> None:
    machine = MemoryMachine()

    class Slow(MemoryRuntime):
        async def start(self, spec: WorkloadSpec) -> Handle:
            await asyncio.to_thread(admin.data, "PUT", PATH.format(space), json={"internet": False})
            return await super().start(spec)

    async def work() -> tuple[bool, bool]:
        runtime = Slow(machine, clock=world.clock)
        egress = Egress(world.services.database, runtime, {})
        spec = WorkloadSpec(new_id("task"), WorkloadKind.task, ("run",))
        try:
            before = (await egress.network(space, spec.kind)).internet
            await start_in(runtime, egress, space, spec)
            return before, machine.runs[spec.id].spec.network.internet
        finally:
            await machine.switch_off()

    assert world.do(work()) == (True, False)


# --- what an app is bound to -----------------------------------------------------------------------------------------


async def bind(world: World, app: App, host: str, *ports: int, **more: Any) -> ServiceBinding:
    """A server of ours with an instance, bound to an app: rows as they are once all of it is ready."""
    now = utc_now()
    place = (app.tenant_id, app.organization_id, app.space_id)
    instance = ServiceInstance(
        *(new_id("sin"), *place, new_name("s"), None, None, "{}", None, ()),
        **{"generation": 1, "deleting": False, "created_at": now, "updated_at": now, "created_by": None},
    )
    hosted = HostedInstance(
        *(new_id("hst"), "", instance.id, "pretend", "small", {}, 1, False),
        **{"port": secrets.randbelow(1 << 30), "admin_secret": "{}", "created_at": now, "host": host},
        open_ports=ports,
    )
    fields = {"parameters": None, "predecessor_id": None, "deleting": False, "created_at": now, "created_by": None}
    binding = ServiceBinding(
        *(new_id("bnd"), instance.id, app.id, *place, instance.name, {}, False),
        **{**fields, "state": BindingState.ready, **more},
    )
    async with world.services.database.writing() as tx:
        for value in (instance, hosted, binding):
            await tx.insert(value)
    return binding


def server(host: str, port: int) -> Target:
    return Target(IPv4Network(host), port, port)


def test_an_app_reaches_the_servers_that_it_is_bound_to_and_no_other_does(admin: Api, world: World, space: str) -> None:
    names = [admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": space})["id"] for _ in range(2)]
    database = world.services.database

    async def work() -> None:
        async with database.reading() as tx:
            mine, other = [await tx.one(App, name) for name in names]
        assert mine is not None and other is not None
        binding = await bind(world, mine, "10.9.8.7", 16000, 16001)
        await bind(world, mine, "10.9.8.6", 16004, state=BindingState.creating)
        await bind(world, mine, "10.9.8.5", 16008, deleting=True)
        await bind(world, other, "10.9.8.4", 16012)
        machine = MemoryMachine()
        runtime = MemoryRuntime(machine, clock=world.clock)
        egress = Egress(database, runtime, {})
        try:
            ids: list[str] = []
            for app, kind in ((mine, "instance"), (mine, "task"), (mine, "build"), (other, "instance")):
                ids.append(new_id("w"))
                spec = WorkloadSpec(ids[-1], WorkloadKind(kind), ("sleep",), labels={"app": app.id})
                await start_in(runtime, egress, space, spec)

            def reached() -> list[tuple[Target, ...]]:
                return [machine.runs[each].spec.network.services for each in ids]

            bound = (server("10.9.8.7", 16000), server("10.9.8.7", 16001))
            assert reached() == [bound, bound, (), (server("10.9.8.4", 16012),)]
            async with database.writing() as tx:
                await tx.update(ServiceBinding, binding.id, deleting=True)
                tx.unrecorded("a test's own change")
            await egress(space)
            assert reached() == [(), (), (), (server("10.9.8.4", 16012),)]
            assert await egress.spaces() == [space]
        finally:
            await machine.switch_off()

    world.do(work())
