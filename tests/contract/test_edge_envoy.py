"""A real Envoy with real traffic: what users of an app see while it is changed under them."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.edge.envoy import EnvoyConfig, EnvoyEdge
from gongfang.edge.interface import EdgeApp, EdgeEndpoint
from gongfang.toolbox import WheelToolbox
from tests.contract.edge_harness import Backend, Load, Site, envoy_process, free_port, site

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def opened(config: EnvoyConfig, *apps: EdgeApp) -> AsyncIterator[EnvoyEdge]:
    edge = EnvoyEdge(config)
    await edge.open()
    await edge.replace_all(apps)
    try:
        yield edge
    finally:
        await edge.close()


@pytest.fixture
async def there() -> AsyncIterator[Site]:
    envoy = (await WheelToolbox().ensure("envoy")).executables["envoy"]
    with tempfile.TemporaryDirectory() as run_dir:
        async with site(envoy, Path(run_dir)) as made:
            yield made


async def test_each_state_has_its_own_page(there: Site):
    nowhere = EdgeEndpoint("127.0.0.1", 1)
    async with Backend("one") as one:
        await there.edge.apply(EdgeApp("on", ("on.test", "alias.test"), (one.endpoint,)))
        await there.edge.apply(EdgeApp("off", ("off.test",), (), serving=False))
        await there.edge.apply(EdgeApp("none", ("none.test",), ()))
        await there.edge.apply(EdgeApp("dead", ("dead.test",), (nowhere,)))
        for host in ("on.test", "alias.test", "On.TEST", "on.test.", f"on.test:{there.config.listen_port}"):
            assert (await there.until(host, 200)).text == "one"
        for host, status, reason in (
            ("unknown.test", 404, "host_unknown"),
            ("off.test", 503, "app_stopped"),
            ("none.test", 502, "no_healthy_instance"),
            ("dead.test", 502, "upstream_failed"),
        ):
            page = await there.until(host, status)
            assert page.headers["x-gongfang-reason"] == reason
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.text.startswith("<!doctype html>")
            assert "Gongfang" in page.text
            document = await there.get(host, accept="application/json")
            assert document.status_code == status
            assert document.json()["code"] == reason
        crashed = await there.client.post(f"{there.address}/crash", headers={"host": "on.test"})
        assert (crashed.status_code, crashed.headers["x-gongfang-reason"]) == (502, "upstream_failed")


async def test_the_app_sees_the_host_as_the_client_wrote_it(there: Site):
    async with Backend("one") as one:
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.endpoint,)))
        await there.until("a.test", 200)
        seen = (await there.get("a.test:8080", "/host")).text.split()
        assert (seen[0], seen[2]) == ("a.test:8080", "http")


async def test_a_host_moves_and_goes(there: Site):
    async with Backend("one") as one, Backend("two") as two:
        await there.edge.apply(EdgeApp("a", ("x.test",), (one.endpoint,)))
        await there.until("x.test", 200, "one")
        await there.edge.apply(EdgeApp("a", (), (one.endpoint,)))
        await there.until("x.test", 404)
        await there.edge.apply(EdgeApp("b", ("x.test",), (two.endpoint,)))
        await there.until("x.test", 200, "two")
        await there.edge.apply(EdgeApp("b", ("x.test",), (), serving=False))
        await there.until("x.test", 503)
        await there.edge.apply(EdgeApp("b", ("x.test",), (two.endpoint,)))
        await there.until("x.test", 200, "two")
        await there.edge.remove("b")
        await there.until("x.test", 404)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_is_lost_while_instances_are_replaced(there: Site, method: str):
    """Add the new one, let the old one drain, stop it when nothing is in flight: five times under load."""
    async with Backend("0") as first:
        await there.edge.apply(EdgeApp("a", ("a.test",), (first.endpoint,)))
        await there.until("a.test", 200)
        old = first
        async with Load(there.address, "a.test", method).running() as load:
            for n in range(1, 6):
                new = await Backend(str(n)).__aenter__()
                await there.edge.apply(EdgeApp("a", ("a.test",), (new.endpoint, old.draining)))
                async with asyncio.timeout(5):
                    while (await there.edge.in_flight("a", [old.draining]))[old.draining]:
                        await asyncio.sleep(0.005)
                before = old.served
                await load.more(20)
                assert old.served == before
                await there.edge.apply(EdgeApp("a", ("a.test",), (new.endpoint,)))
                await old.kill()
                await load.more(20)
                old = new
        await old.kill()
    assert load.faults == []
    assert load.answers > 200


async def test_a_crash_is_not_seen_by_those_who_read(there: Site):
    async with Backend("1") as one, Backend("2") as two:
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.endpoint, two.endpoint)))
        await there.until("a.test", 200)
        async with Load(there.address, "a.test").running() as load:
            await one.kill()
            await load.more(200)
        assert load.faults == []


async def test_draining_ends_what_is_in_flight_and_takes_nothing_new(there: Site):
    async with Backend("1") as one:
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.endpoint,)))
        await there.until("a.test", 200)
        slow = asyncio.create_task(there.get("a.test", "/slow"))
        await one.busy.wait()
        assert await there.edge.in_flight("a", [one.endpoint]) == {one.endpoint: 1}
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.draining,)))
        # All of them drain: still none of them gets anything new.
        page = await there.until("a.test", 502)
        assert page.headers["x-gongfang-reason"] == "no_healthy_instance"
        assert await there.edge.in_flight("a", [one.draining]) == {one.draining: 1}
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.draining,), serving=False))
        await there.until("a.test", 503)
        assert await there.edge.in_flight("a", [one.draining]) == {one.draining: 1}
        await there.edge.remove("a")
        await there.until("a.test", 404)
        one.release.set()
        assert (await slow).text == "1"


async def test_websockets_pass_and_are_counted(there: Site):
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        endpoint = EdgeEndpoint("127.0.0.1", next(iter(server.sockets)).getsockname()[1])
        draining = EdgeEndpoint(endpoint.host, endpoint.port, draining=True)
        await there.edge.apply(EdgeApp("ws", ("ws.test",), (endpoint,)))
        await there.until("ws.test", 426)  # the server's own answer to a plain GET
        async with connect(
            "ws://ws.test/", host="127.0.0.1", port=there.config.listen_port, proxy=None, compression=None
        ) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            await there.edge.apply(EdgeApp("ws", ("ws.test",), (draining,)))
            assert await there.edge.in_flight("ws", [draining]) == {draining: 1}
            await socket.send("still")
            assert await socket.recv() == "still"
        async with asyncio.timeout(5):
            while (await there.edge.in_flight("ws", [draining]))[draining]:
                await asyncio.sleep(0.005)


async def test_http2_streams_and_large_bodies(there: Site):
    async with Backend("1") as one, httpx2.AsyncClient(http1=False, http2=True, trust_env=False) as h2:
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.endpoint,)))
        await there.until("a.test", 200)
        answer = await h2.get(there.address, headers={"host": "a.test"})
        assert (answer.http_version, answer.text) == ("HTTP/2", "1")
        unknown = await h2.get(there.address, headers={"host": "unknown.test"})
        assert (unknown.status_code, unknown.headers["x-gongfang-reason"]) == (404, "host_unknown")
        for client in (there.client, h2):
            one.release.clear()
            async with client.stream("GET", f"{there.address}/stream", headers={"host": "a.test"}) as streamed:
                parts = streamed.aiter_bytes()
                assert await anext(parts) == b"first"
                one.release.set()
                assert b"".join([part async for part in parts]) == b"last"
        body = bytes(50 << 20)
        sent = await there.client.post(f"{there.address}/upload", headers={"host": "a.test"}, content=body)
        assert sent.text == str(50 << 20)


async def test_traffic_flows_without_the_control_plane_and_changes_arrive_after(there: Site):
    async with Backend("1") as one, Backend("2") as two:
        await there.edge.apply(EdgeApp("a", ("a.test",), (one.endpoint,)))
        await there.edge.apply(EdgeApp("gone", ("gone.test",), (one.endpoint,)))
        await there.until("a.test", 200, "1")
        async with Load(there.address, "a.test").running() as load:
            await there.edge.close()
            await load.more(50)
            assert not there.edge.status().connected
            with pytest.raises(Unavailable) as caught:
                await there.edge.apply(EdgeApp("late", ("late.test",), (one.endpoint,)), timeout_s=0.05)
            assert caught.value.code == "edge_away"
            again = EnvoyEdge(there.config)
            await again.open()
            try:
                # Envoy is back after a second at most, and must not take the empty table for all there is.
                await load.more(500)
                assert not again.status().connected
                await again.replace_all(
                    [EdgeApp("a", ("a.test",), (two.endpoint,)), EdgeApp("new", ("new.test",), (two.endpoint,))]
                )
                await there.until("a.test", 200, "2")
                await there.until("new.test", 200, "2")
                await there.until("gone.test", 404)
                await again.apply(EdgeApp("b", ("b.test",), (two.endpoint,)))
                await there.until("b.test", 200, "2")
                await load.more(20)
            finally:
                await again.close()
    assert load.faults == []


async def test_a_new_envoy_gets_everything_and_answers_at_once(there: Site):
    with tempfile.TemporaryDirectory() as elsewhere:
        config = EnvoyConfig(Path(elsewhere), "127.0.0.1", free_port())
        async with Backend("1") as one, opened(config) as edge:
            with pytest.raises(Unavailable):
                await edge.apply(EdgeApp("a", ("a.test",), (one.endpoint,)), timeout_s=0.05)
            assert not edge.status().connected
            for sent in (signal.SIGKILL, signal.SIGTERM):
                async with envoy_process(there.executable, config) as process:
                    await edge.apply(EdgeApp("a", ("a.test",), (one.endpoint,)))
                    address = f"http://127.0.0.1:{config.listen_port}"
                    answer = await there.client.get(address, headers={"host": "a.test"})
                    assert answer.text == "1"
                    os.kill(process.pid, sent)
                    await process.wait()
                async with asyncio.timeout(5):
                    while edge.status().connected:
                        await asyncio.sleep(0.005)


async def test_one_bad_app_harms_nobody_else(there: Site):
    async with Backend("1") as one:
        await there.edge.apply(EdgeApp("was", ("was.test",), (one.endpoint,)))
        bad = EdgeEndpoint("not-an-address", 80)
        apps = [EdgeApp(f"a{n}", (f"a{n}.test",), (bad if n == 17 else one.endpoint,)) for n in range(40)]
        ends = await asyncio.gather(
            *(there.edge.apply(app) for app in apps),
            there.edge.apply(EdgeApp("was", ("was.test", "is.test"), (bad,), name="Was")),
            return_exceptions=True,
        )
        assert [n for n, end in enumerate(ends) if end is not None] == [17, 40]
        for end in (ends[17], ends[40]):
            assert isinstance(end, Rejected)
            assert end.code == "edge_rejected"
            assert "not-an-address" in str(end)
        for n in (0, 16, 18, 39):
            await there.until(f"a{n}.test", 200)
        await there.until("was.test", 200)  # as it was before
        assert "not-an-address" in (there.edge.status().last_rejection or "")
        assert there.edge.status().acknowledged
        await there.edge.apply(EdgeApp("a17", ("a17.test",), (one.endpoint,)))
        await there.until("a17.test", 200)


async def test_a_port_in_use_is_told_and_taken_when_it_is_free(there: Site):
    await there.edge.apply(EdgeApp("a", ("a.test",), ()))
    with tempfile.TemporaryDirectory() as elsewhere:
        config = EnvoyConfig(Path(elsewhere), "127.0.0.1", there.config.listen_port)
        async with opened(config) as second, envoy_process(there.executable, config):
            async with asyncio.timeout(10):
                while "in use" not in (second.status().last_rejection or ""):
                    await asyncio.sleep(0.01)
            assert not second.status().acknowledged
            there.process.terminate()
            await there.process.wait()
            await second.apply(EdgeApp("b", ("b.test",), (), serving=False))
            async with asyncio.timeout(5):
                while not second.status().acknowledged:
                    await asyncio.sleep(0.005)
            assert (await there.get("b.test")).status_code == 503


async def test_hundreds_of_apps_at_once(there: Site):
    async with Backend("1") as one:
        apps = [EdgeApp(f"a{n}", (f"a{n}.test", f"b{n}.test"), (one.endpoint,)) for n in range(500)]
        await there.edge.replace_all(apps)
        async with asyncio.timeout(10):
            while not there.edge.status().acknowledged:
                await asyncio.sleep(0.005)
        for n in (0, 250, 499):
            assert (await there.until(f"b{n}.test", 200)).text == "1"
        await there.edge.replace_all(apps[:1])
        await there.until("b499.test", 404)
        assert (await there.get("b0.test")).text == "1"
