"""NATS as a service, with the clients that apps and devices use."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from queue import Empty, Queue
from typing import Any

import nats
import pytest
from paho.mqtt import client as mqtt

from gongfang.brokers.kinds.interface import Change, Seed, Wanted
from gongfang.brokers.kinds.nats import Nats
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import JsonObject
from tests.contract.kinds_by_hand import ByHand

pytestmark = pytest.mark.anyio

REFUSED = nats.errors.Error
NOT_KNOWN = "Authorization Violation"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def grounds() -> AsyncIterator[Callable[..., ByHand]]:
    made: list[ByHand] = []

    def make(plan: str = "small", parameters: JsonObject | None = None) -> ByHand:
        made.append(ByHand(Nats(), plan, parameters or {}))
        return made[-1]

    try:
        yield make
    finally:
        for ground in made:
            await ground.close()


class App:
    """A client of nothing but the credentials, that does not come back by itself."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.closed = asyncio.Event()
        self.client: Any = nats.NATS()

    async def connect(self, uri: str) -> "App":
        async def error(told: Exception) -> None:
            self.errors.append(str(told))

        async def closed() -> None:
            self.closed.set()

        await self.client.connect(uri, allow_reconnect=False, error_cb=error, closed_cb=closed)
        return self


@pytest.fixture
async def apps() -> AsyncIterator[Callable[[ByHand, Seed], Any]]:
    made: list[App] = []

    async def connect(ground: ByHand, seed: Seed | None) -> App:
        server = ground.server
        anybody = f"nats://{server.host}:{server.port}"
        made.append(App())
        return await made[-1].connect(anybody if seed is None else ground.kind.credentials(server, seed)["uri"])

    try:
        yield connect
    finally:
        for app in made:
            await app.client.close()


class Device:
    """A device that speaks MQTT 3.1.1; what happens to it is in `told`."""

    def __init__(self, ground: ByHand, seed: Seed, name: str) -> None:
        found = ground.kind.credentials(ground.server, seed)
        self.told: Queue[tuple[str, Any]] = Queue()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        self.client.username_pw_set(found["username"], found["password"])
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.told.put(("connect", str(code)))
        self.client.on_disconnect = lambda _c, _u, _f, _code, _p: self.told.put(("disconnect", None))
        self.client.on_subscribe = lambda _c, _u, _m, _codes, _p: self.told.put(("subscribe", None))
        self.client.on_message = lambda _c, _u, said: self.told.put((said.topic, said.payload))
        self.client.connect(found["mqtt_host"], found["mqtt_port"])
        self.client.loop_start()

    async def next(self) -> tuple[str, Any]:
        return await asyncio.to_thread(self.told.get, timeout=10)

    async def next_or_nothing(self) -> tuple[str, Any] | None:
        try:
            return await asyncio.to_thread(self.told.get, timeout=0.2)
        except Empty:
            return None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def seed(parameters: JsonObject | None = None) -> Seed:
    return Seed("bnd_1", Nats().fresh_seed({}), parameters or {})


def wanted(plan: str, parameters: JsonObject | None = None) -> Wanted:
    return Wanted(plan, Nats().size(plan), parameters or {})


async def test_a_binding_works_outlives_restarts_and_is_cut(
    grounds: Callable[..., ByHand], apps: Callable[..., Any]
) -> None:
    ground = grounds()
    await ground.start()
    first, second = seed(), seed()
    await ground.bind(first)
    await ground.bind(first)  # the answer of the first call was lost
    one = await apps(ground, first)
    stream = one.client.jetstream()
    await stream.add_stream(name="readings", subjects=["readings.>"])
    await stream.publish("readings.press", b"7")
    await ground.bind(second)
    assert not one.closed.is_set()  # those that are there are left alone
    two = await apps(ground, second)
    assert (await two.client.jetstream().stream_info("readings")).state.messages == 1
    figures = await ground.kind.figures(ground.server)
    assert figures.connections == 2
    assert figures.storage_bytes

    await ground.unbind(first)
    await ground.unbind(first)
    async with asyncio.timeout(10):
        await one.closed.wait()
    with pytest.raises(REFUSED, match=NOT_KNOWN):
        await apps(ground, first)
    await two.client.jetstream().publish("readings.press", b"8")

    await ground.stop(signal.SIGKILL)
    await ground.start()
    three = await apps(ground, second)
    assert (await three.client.jetstream().stream_info("readings")).state.messages == 2
    await ground.stop()
    await ground.start()
    four = await apps(ground, second)
    assert (await four.client.jetstream().get_msg("readings", 1)).data == b"7"
    with pytest.raises(REFUSED, match=NOT_KNOWN):
        await apps(ground, first)
    log = ground.log
    kept = "".join(path.read_text() for path in (ground.folder / "conf").iterdir())
    told = [str(ground.site.admin["password"]), *(str(each.secret["password"]) for each in (first, second))]
    assert not [word for word in told if word in log + kept]


async def test_devices_speak_mqtt_and_are_cut_too(grounds: Callable[..., ByHand], apps: Callable[..., Any]) -> None:
    ground = grounds()
    await ground.start()
    devices, app = seed({"publish": ["line1.>"], "subscribe": ["line1.>"]}), seed()
    await ground.bind(devices)
    await ground.bind(app)
    one = Device(ground, devices, "press")
    try:
        assert await one.next() == ("connect", "Success")
        reader = (await apps(ground, app)).client
        heard = await reader.subscribe("*.temperature")
        await reader.flush()
        one.client.publish("line2/temperature", b"1", qos=0)  # not its line: dropped
        one.client.publish("line1/temperature", b"21", qos=1, retain=True)
        found = await heard.next_msg(timeout=10)
        assert (found.subject, found.data) == ("line1.temperature", b"21")

        async with asyncio.timeout(10):
            said = None
            while said != ("line1/temperature", b"21"):  # it is retained a moment after it was passed on
                if said is None:
                    one.client.subscribe("line1/#", qos=1)
                said = await one.next_or_nothing()
        await reader.publish("line1.order", b"go")
        assert await one.next() == ("line1/order", b"go")

        await ground.unbind(devices)
        assert (await one.next())[0] == "disconnect"
        two = Device(ground, devices, "lathe")
        try:
            assert await two.next() == ("connect", "Not authorized")
        finally:
            two.close()
    finally:
        one.close()


async def test_a_tenant_sees_its_account_alone(grounds: Callable[..., ByHand], apps: Callable[..., Any]) -> None:
    ground = grounds()
    await ground.start()
    part, whole = seed({"publish": [], "subscribe": ["line1.>"]}), seed()
    await ground.bind(part)
    await ground.bind(seed({"publish": ["a.*.b", "$JS.API.>", "x/y-Z_1", "*", ">", "*.>"], "subscribe": []}))
    await ground.bind(whole)
    app = await apps(ground, part)
    await app.client.publish("line1.order", b"x")
    await app.client.subscribe("line2.>")
    await app.client.flush()
    async with asyncio.timeout(10):
        while len(app.errors) < 2:
            await asyncio.sleep(0)
    assert all("permissions violation" in error for error in app.errors)
    every = await apps(ground, whole)
    with pytest.raises(nats.errors.NoRespondersError):
        await every.client.request("$SYS.REQ.SERVER.PING.VARZ", b"", timeout=10)
    with pytest.raises(nats.js.errors.APIError):
        await every.client.jetstream().add_stream(name="vast", subjects=["vast"], max_bytes=1 << 40)
    with pytest.raises(REFUSED, match=NOT_KNOWN):
        await apps(ground, None)

    own = ground.site.admin
    ground.change(admin=ground.kind.fresh_admin())
    with pytest.raises(Rejected) as told:
        await ground.kind.ready(ground.server)
    assert told.value.code == "service_admin_refused"
    ground.change(admin=own)


async def test_lost_data_are_not_made_anew(grounds: Callable[..., ByHand]) -> None:
    ground = grounds()
    await ground.start()
    await ground.stop()
    (ground.folder / "data").rename(ground.folder / "elsewhere")
    await ground.spawn()
    assert await ground.wait() == 78
    assert "missing" in ground.log


async def test_what_the_server_does_not_take_is_an_error(grounds: Callable[..., ByHand]) -> None:
    ground = grounds()
    server = await ground.start()
    (ground.folder / "conf" / "account.conf").write_text("limits { max_conns_of_all: 3 }\n")
    with pytest.raises(Unavailable) as told:
        await ground.kind.bind(server, seed())
    assert told.value.code == "service_server_failed"
    await ground.kind.ready(server)


async def test_what_a_change_takes(grounds: Callable[..., ByHand], apps: Callable[..., Any]) -> None:
    kind = Nats()
    small = wanted("small")
    assert kind.change(small, small) is Change.none
    assert kind.change(small, wanted("standard")) is Change.restart
    after = wanted("small", {"max_connections": 5, "max_payload_kb": 1})
    assert kind.change(small, after) is Change.live
    with pytest.raises(Rejected, match="storage"):
        kind.change(wanted("standard"), small)

    ground = grounds()
    server = await ground.start()
    user = seed()
    await ground.bind(user)
    stays = await apps(ground, user)
    await kind.reconfigure(server, after)
    ground.change(wanted=after)
    for last in (False, True):  # while it runs, and at the next start
        many = [await apps(ground, user) for _ in range(5 if last else 4)]
        with pytest.raises(REFUSED, match="maximum"):
            await apps(ground, user)
        await kind.ready(ground.server)
        assert (await kind.figures(ground.server)).connections == 5
        await many[0].client.publish("line1", b"x" * 1025)
        async with asyncio.timeout(10):
            await many[0].closed.wait()
        if not last:
            assert not stays.closed.is_set()
            await ground.stop()
            ground.change(wanted=wanted("standard", after.parameters))
            await ground.start()
