"""What is told to the edge, and who waits for it: nobody, while it is away."""

import asyncio

import pytest

from gongfang.edge.interface import EdgeApp, EdgeEndpoint
from gongfang.edge.memory import MemoryEdge
from gongfang.reconcile.routing import Routes

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def app(number: int, port: int = 1) -> EdgeApp:
    return EdgeApp(f"app-{number}", (f"h{number}.test",), (EdgeEndpoint("127.0.0.1", port),))


async def test_a_present_edge_is_waited_for_and_what_it_serves_is_known():
    edge = MemoryEdge()
    told: list[str] = []
    routes = Routes(edge, told.append)
    assert not routes.serves(app(1))
    assert await routes.put(app(1))
    assert routes.serves(app(1))
    assert not routes.serves(app(1, port=2))
    assert told == []


async def test_what_the_edge_got_from_elsewhere_is_known_too():
    edge = MemoryEdge()
    await edge.replace_all([app(1)])
    routes = Routes(edge, lambda _: None)
    assert routes.serves(app(1))
    assert not routes.serves(app(2))


async def test_an_edge_that_is_away_holds_nobody_and_its_word_is_told_when_it_is_back():
    edge = MemoryEdge(away=True)
    heard: asyncio.Queue[str] = asyncio.Queue()
    routes = Routes(edge, heard.put_nowait)
    async with asyncio.timeout(5):  # a thousand that waited would take longer
        for number in range(1000):
            assert not await routes.put(app(number))
            assert not await routes.put(app(number))  # asking again begins nothing anew
        assert heard.empty()
        edge.away = False
        assert {await heard.get() for _ in range(1000)} == {f"app-{n}" for n in range(1000)}
    assert routes.serves(app(7))
    assert await routes.put(app(7))
    await routes.close()


async def test_the_newest_wish_counts_while_the_edge_is_away():
    edge = MemoryEdge(away=True)
    heard: asyncio.Queue[str] = asyncio.Queue()
    routes = Routes(edge, heard.put_nowait)
    assert not await routes.put(app(1, port=1))
    assert not await routes.put(app(1, port=2))
    edge.away = False
    async with asyncio.timeout(5):
        assert await heard.get() == "app-1"
    assert edge.served["app-1"] == app(1, port=2)
    assert routes.serves(app(1, port=2))
    assert not routes.serves(app(1, port=1))


async def test_a_refusal_is_an_answer_and_is_forgotten_when_something_else_is_wanted():
    edge = MemoryEdge(rejects=["h1.test"])
    routes = Routes(edge, lambda _: None)
    assert not await routes.put(app(1))
    assert routes.refused("app-1")
    edge.rejects.clear()
    assert await routes.put(app(1))
    assert not routes.refused("app-1")


async def test_an_app_that_goes_while_the_edge_is_away_is_gone_when_it_is_back():
    edge = MemoryEdge(away=True)
    told: list[str] = []
    routes = Routes(edge, told.append)
    assert not await routes.put(app(1))
    async with asyncio.timeout(5):
        await routes.remove("app-1")
    edge.away = False
    await asyncio.sleep(0)
    assert edge.served == {}
    assert told == []
    await routes.close()
