"""Valkey as a service, with the client that apps use."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis import asyncio as redis
from redis import exceptions

from gongfang.brokers.kinds.interface import Change, Seed, Wanted
from gongfang.brokers.kinds.valkey import Valkey
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import JsonObject
from tests.contract.kinds_by_hand import ByHand

pytestmark = pytest.mark.anyio

REFUSED = (exceptions.AuthenticationError, exceptions.ConnectionError)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def grounds() -> AsyncIterator[Callable[..., ByHand]]:
    made: list[ByHand] = []

    def make(plan: str = "standard", parameters: JsonObject | None = None) -> ByHand:
        made.append(ByHand(Valkey(), plan, parameters or {}))
        return made[-1]

    try:
        yield make
    finally:
        for ground in made:
            await ground.close()


@pytest.fixture
async def clients() -> AsyncIterator[Callable[[ByHand, Seed], Any]]:
    """Clients as an app makes them, of nothing but the credentials."""
    made: list[Any] = []

    def make(ground: ByHand, seed: Seed) -> Any:
        uri = ground.kind.credentials(ground.server, seed)["uri"]
        made.append(redis.Redis.from_url(uri, decode_responses=True, retry=None))
        return made[-1]

    try:
        yield make
    finally:
        for client in made:
            await client.aclose()


def seed(parameters: JsonObject | None = None) -> Seed:
    return Seed("bnd_1", Valkey().fresh_seed({}), parameters or {})


def wanted(plan: str, parameters: JsonObject | None = None) -> Wanted:
    return Wanted(plan, Valkey().size(plan), parameters or {})


async def test_a_binding_works_outlives_restarts_and_is_cut(
    grounds: Callable[..., ByHand], clients: Callable[..., Any]
) -> None:
    ground = grounds()
    await ground.start()
    first, second = seed(), seed()
    await ground.bind(first)
    await ground.bind(first)  # the answer of the first call was lost
    await ground.bind(second)
    one, two = clients(ground, first), clients(ground, second)
    await one.hset("press", "value", 7)
    assert await two.hget("press", "value") == "7"
    figures = await ground.kind.figures(ground.server)
    assert figures.connections == 2
    assert figures.storage_bytes

    channel = one.pubsub()
    await channel.subscribe("alarms")
    waiting = asyncio.ensure_future(clients(ground, first).blpop(["jobs"], 30))
    async with asyncio.timeout(10):  # its connections are open
        while (await ground.kind.figures(ground.server)).connections != 3:
            await asyncio.sleep(0)
    await ground.unbind(first)
    await ground.unbind(first)
    with pytest.raises(REFUSED):
        await waiting
    with pytest.raises(REFUSED):
        async with asyncio.timeout(10):
            while True:  # the confirmation of the subscription comes first
                await channel.get_message(timeout=10)
    await channel.aclose()
    with pytest.raises(REFUSED):
        await one.ping()
    with pytest.raises(REFUSED):
        await clients(ground, first).ping()
    assert await two.hget("press", "value") == "7"

    await two.set("lathe", 8)
    await ground.stop(signal.SIGKILL)
    await ground.start()
    assert await clients(ground, second).mget("lathe") == ["8"]
    await ground.stop()
    await ground.start()
    third = clients(ground, second)
    assert await third.hget("press", "value") == "7"
    with pytest.raises(REFUSED):
        await clients(ground, first).ping()
    log = ground.log
    told = [str(ground.site.admin["password"]), *(str(each.secret["password"]) for each in (first, second))]
    assert not [word for word in told if word in log]


async def test_without_persistence_only_a_planned_stop_keeps_data(
    grounds: Callable[..., ByHand], clients: Callable[..., Any]
) -> None:
    ground = grounds("small")
    user = seed()
    await ground.start()
    await ground.bind(user)
    await clients(ground, user).set("shift", "early")
    await ground.stop()
    await ground.start()
    assert await clients(ground, user).get("shift") == "early"
    await ground.stop(signal.SIGKILL)
    await ground.start()
    assert await clients(ground, user).get("shift") is None  # and not what once was

    await clients(ground, user).set("shift", "late")
    assert ground.kind.change(ground.site.wanted, wanted("standard")) is Change.restart
    await ground.stop()
    ground.change(wanted=wanted("standard"))
    await ground.start()
    client = clients(ground, user)
    assert await client.get("shift") == "late"
    await client.set("shift", "night")
    await ground.stop(signal.SIGKILL)
    await ground.start()
    assert await clients(ground, user).get("shift") == "night"


@pytest.mark.parametrize("plan", ["small", "standard"])
async def test_lost_data_are_not_made_anew(grounds: Callable[..., ByHand], plan: str) -> None:
    ground = grounds(plan)
    await ground.start()
    await ground.stop()
    data = ground.folder / "data"
    data.rename(ground.folder / "elsewhere")
    await ground.spawn()
    assert await ground.wait() == 78
    assert "missing" in ground.log


async def test_a_tenant_does_not_become_the_administrator(
    grounds: Callable[..., ByHand], clients: Callable[..., Any]
) -> None:
    ground = grounds("small")
    server = await ground.start()
    whole, part = seed(), seed({"prefix": "line1:"})
    await ground.bind(whole)
    await ground.bind(part)
    one, two = clients(ground, whole), clients(ground, part)
    await one.set("line2:count", 5)
    await two.set("line1:count", 6)
    assert await one.info("memory")
    assert await one.keys("*")
    for client in (one, two):
        for command in (
            "CONFIG GET *",
            "CONFIG SET maxmemory 0",
            "ACL LIST",
            "SHUTDOWN",
            "MONITOR",
            "MODULE LIST",
            "REPLICAOF 127.0.0.1 1",
            "BGSAVE",
            "CLIENT LIST",
            "CLIENT KILL ID 1",
            "SCRIPT DEBUG YES",
            "MIGRATE 127.0.0.1 1 k 0 1",
        ):
            with pytest.raises(exceptions.NoPermissionError):
                await client.execute_command(*command.split())
        with pytest.raises(exceptions.ResponseError):
            await client.execute_command("DEBUG", "SLEEP", "0")
    for command in ("GET line2:count", "SCAN 0", "KEYS *", "RANDOMKEY", "FLUSHDB", "FLUSHALL", "SCRIPT FLUSH"):
        with pytest.raises(exceptions.NoPermissionError):
            await two.execute_command(*command.split())
    with pytest.raises(exceptions.NoPermissionError):
        await two.publish("line2:alarms", "x")
    with pytest.raises(exceptions.ResponseError):
        await two.eval("return redis.call('GET', 'line2:count')", 0)
    assert await two.publish("line1:alarms", "x") == 0
    assert await one.flushall()
    with pytest.raises(REFUSED):
        await redis.Redis(port=server.port, retry=None).ping()

    other = ground.kind.fresh_admin()
    ground.change(admin=other)
    with pytest.raises(Rejected) as told:
        await ground.kind.ready(ground.server)
    assert told.value.code == "service_admin_refused"
    assert str(other["password"]) not in str(told.value.facts)


async def test_a_script_without_end_is_ended(grounds: Callable[..., ByHand], clients: Callable[..., Any]) -> None:
    ground = grounds("small")
    server = await ground.start()
    user = seed()
    await ground.bind(user)
    script = asyncio.ensure_future(clients(ground, user).eval("while true do end", 0))
    async with asyncio.timeout(30):
        while True:
            try:
                await ground.kind.ready(server)
            except Unavailable as error:
                if error.code == "service_script_runs":
                    break
            await asyncio.sleep(0)
    await ground.unbind(user)
    with pytest.raises((*REFUSED, exceptions.ResponseError)):
        await script
    await ground.kind.ready(server)


async def test_what_a_change_takes(grounds: Callable[..., ByHand], clients: Callable[..., Any]) -> None:
    kind = Valkey()
    plain = wanted("standard")
    assert kind.change(plain, plain) is Change.none
    assert kind.change(plain, wanted("standard", {"maxmemory_policy": "noeviction"})) is Change.none
    after = wanted(
        "standard",
        {
            "maxmemory_policy": "allkeys-lru",
            "max_connections": 5,
            "notify_keyspace_events": "KEx",
            "appendfsync": "always",
        },
    )
    assert kind.change(plain, after) is Change.live
    with pytest.raises(Rejected, match="storage"):
        kind.change(plain, wanted("small"))

    ground = grounds()
    server = await ground.start()
    user = seed()
    await ground.bind(user)
    await kind.reconfigure(server, after)
    ground.change(wanted=after)
    for _ in range(2):  # while it runs, and at the next start
        many = [clients(ground, user) for _ in range(14)]
        for client in many[:13]:
            await client.ping()
        with pytest.raises(exceptions.ConnectionError, match="number of clients"):
            await many[13].ping()
        with pytest.raises(Unavailable) as told:
            await kind.ready(ground.server)
        assert told.value.code == "service_connections_full"
        assert (await many[0].info("memory"))["maxmemory_policy"] == "allkeys-lru"
        for client in many:
            await client.aclose()
        await ground.stop()
        await ground.start()
