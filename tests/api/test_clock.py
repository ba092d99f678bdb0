"""When the clock jumps, what is under way moves along, in the real database."""

from datetime import datetime, timedelta

from gongfang.domain.clock import SteadyClock
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.ids import new_id
from gongfang.domain.values import Instance, InstanceState, Operation
from gongfang.domain.webhooks import Webhook
from gongfang.reconcile.clock import move_along
from tests.api.conftest import Api, World, new_name

YEARS = timedelta(days=3000)


def test_deadlines_and_beginnings_are_put_on_and_ends_stay(world: World, admin: Api) -> None:
    app = admin.data("POST", "/apps", 201, json={"name": new_name()})
    admin.data("POST", f"/apps/{app['id']}/package", 201, params={"filename": "app.py"}, content=b"print(1)")
    operation = admin.data("POST", f"/apps/{app['id']}/start", 202, json={})["operation"]
    database, now = world.services.database, world.clock()

    async def instances() -> None:
        async with database.writing() as tx:
            for name, state in (("alive", InstanceState.starting), ("ended", InstanceState.crashed)):
                instance = Instance(f"{app['id']}-{name}", app["id"], "r", 0, "web", 0, state, now, started_at=now)
                await tx.insert(instance)
            await tx.update(Operation, operation["id"], started_at=now)

    async def one(noun: type, key: str):
        async with database.reading() as tx:
            return await tx.one(noun, key)

    world.do(instances())
    before = world.do(one(Operation, operation["id"]))
    clock = SteadyClock(world.clock)
    assert world.do(move_along(database, clock, YEARS)) >= 2
    try:
        moved = world.do(one(Operation, operation["id"]))
        assert (moved.deadline, moved.started_at) == (before.deadline + YEARS, now + YEARS)
        assert world.do(one(Instance, f"{app['id']}-alive")).started_at == now + YEARS
        assert world.do(one(Instance, f"{app['id']}-ended")).started_at == now
        (event,) = admin.data("GET", "/events", params={"tag": "platform:clock:jumped", "limit": 1})["items"]
        assert event["data"]["seconds"] == YEARS.total_seconds()
        assert abs(datetime.fromisoformat(event["at"]) - (now + YEARS)) < timedelta(minutes=1)
    finally:
        world.do(move_along(database, clock, -YEARS))


def test_what_is_measured_of_a_server_moves_along(world: World) -> None:
    database, now = world.services.database, world.clock()
    server = HostedInstance(
        *(new_id("hst"), "", new_id("sin"), "postgresql", "small", {}, 1, False, 19_996, "{}", now),
        started_at=now,
        ready_at=now,
        next_start_at=now + timedelta(minutes=5),
        ended_at=now,
    )

    async def work() -> HostedInstance | None:
        async with database.writing() as tx:
            await tx.insert(server)
        clock = SteadyClock(world.clock)
        try:
            await move_along(database, clock, YEARS)
            async with database.reading() as tx:
                return await tx.one(HostedInstance, server.id)
        finally:
            await move_along(database, clock, -YEARS)
            async with database.writing() as tx:
                await tx.delete(HostedInstance, id=server.id)

    moved = world.do(work())
    assert moved is not None
    assert moved.started_at == moved.ready_at == now + YEARS
    assert moved.next_start_at == now + timedelta(minutes=5) + YEARS
    assert moved.ended_at == now


def test_a_lock_out_lasts_as_long_as_it_should(world: World, admin: Api) -> None:
    name = new_name("u")
    admin.data("POST", "/users", 201, json={"name": name, "password": "long enough to pass"})
    anybody = world.client(None)
    for _ in range(5):
        anybody.code("POST", "/auth/login", 401, json={"username": name, "password": "guessed"})
    right = {"username": name, "password": "long enough to pass"}
    anybody.code("POST", "/auth/login", 401, json=right)
    clock = SteadyClock(world.clock)
    world.do(move_along(world.services.database, clock, -YEARS))
    try:
        world.clock.ahead = timedelta(minutes=16) - YEARS
        anybody.data("POST", "/auth/login", 201, json=right)
    finally:
        world.clock.ahead = timedelta()
        world.do(move_along(world.services.database, clock, YEARS))


def test_a_webhook_that_has_just_failed_is_not_given_up(world: World, admin: Api) -> None:
    body = {"url": "http://127.0.0.1:9/", "level": "platform", "tags": ["certificate:expired"]}
    hooks = [admin.data("POST", "/webhooks", 201, json=body)["id"] for _ in range(2)]
    database, now = world.services.database, world.clock()

    async def fail() -> None:
        async with database.writing() as tx:
            await tx.update(Webhook, hooks[0], failing_since=now, next_attempt_at=now + timedelta(seconds=5))

    async def times(key: str):
        async with database.reading() as tx:
            hook = await tx.one(Webhook, key)
            return hook and (hook.failing_since, hook.next_attempt_at)

    world.do(fail())
    clock = SteadyClock(world.clock)
    world.do(move_along(database, clock, YEARS))
    try:
        assert world.do(times(hooks[0])) == (now + YEARS, now + YEARS + timedelta(seconds=5))
        assert world.do(times(hooks[1])) == (None, None)
    finally:
        world.do(move_along(database, clock, -YEARS))
        for hook in hooks:
            admin.data("DELETE", f"/webhooks/{hook}")


def test_a_kept_answer_is_kept_for_a_day_all_the_same(world: World, admin: Api) -> None:
    key = {"idempotency-key": new_name("k")}
    first = admin.data("POST", "/tokens", 201, json={"name": "once"}, headers=key)["id"]
    clock = SteadyClock(world.clock)
    world.do(move_along(world.services.database, clock, YEARS))
    world.clock.ahead = YEARS
    try:
        again = admin.post("/tokens", json={"name": "once"}, headers=key)
        assert again.json()["data"]["id"] == first and "idempotent-replayed" in again.headers
    finally:
        world.clock.ahead = timedelta()
        world.do(move_along(world.services.database, clock, -YEARS))
