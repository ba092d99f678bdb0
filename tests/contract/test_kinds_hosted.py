"""Kinds as the built-in broker runs them on the real driver: from nothing to nothing, with an end of the control plane,
a change while it runs, and one to a larger plan."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import nats
import pytest
from redis import asyncio as redis
from redis import exceptions

from gongfang.brokers.interface import Polled
from gongfang.brokers.kinds import KINDS
from gongfang.brokers.kinds.interface import ServiceKind
from gongfang.domain.hosting import PORTS_EACH
from gongfang.domain.values import JsonObject
from gongfang.runtimes.interface import Phase
from tests.contract.hosting_lab import HostingLab, hosting_lab
from tests.contract.kinds_by_hand import free_block
from tests.contract.runtime_labs import Lab, local_lab

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class ValkeyApp:
    """What an app does with it. `ended`: its connection has been cut."""

    refused = (exceptions.ConnectionError, exceptions.AuthenticationError)
    live: ClassVar[JsonObject] = {"maxmemory_policy": "allkeys-lru"}

    def __init__(self, credentials: JsonObject) -> None:
        self.client = redis.Redis.from_url(credentials["uri"], retry=None, decode_responses=True)

    async def open(self) -> None:
        await self.client.ping()

    async def write(self, text: str) -> None:
        await self.client.set("reading", text)

    async def read(self) -> str:
        return str(await self.client.get("reading"))

    async def ended(self) -> None:
        with pytest.raises(self.refused):
            await self.client.ping()

    async def close(self) -> None:
        await self.client.aclose()


class NatsApp:
    refused = (nats.errors.Error, OSError)
    live: ClassVar[JsonObject] = {"max_payload_kb": 64}

    def __init__(self, credentials: JsonObject) -> None:
        self.uri = credentials["uri"]
        self.client = nats.NATS()
        self.closed = asyncio.Event()

    async def open(self) -> None:
        async def closed() -> None:
            self.closed.set()

        async def quiet(_: Exception) -> None: ...

        await self.client.connect(self.uri, allow_reconnect=False, closed_cb=closed, error_cb=quiet)

    async def write(self, text: str) -> None:
        stream = self.client.jetstream()
        await stream.add_stream(name="readings", subjects=["reading"])
        await stream.publish("reading", text.encode())

    async def read(self) -> str:
        found = await self.client.jetstream().get_last_msg("readings", "reading")
        return (found.data or b"").decode()

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await self.closed.wait()

    async def close(self) -> None:
        await self.client.close()


APPS: dict[str, Any] = {"valkey": ValkeyApp, "nats": NatsApp}
OTHERS = [kind for kind in KINDS if kind.name in APPS]  # PostgreSQL has a test of its own


@pytest.fixture(params=OTHERS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> ServiceKind:
    return request.param


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Lab]:
    tmp_path.chmod(0o755)
    machine = local_lab(tmp_path / "home" / "runtime")
    await machine.open()
    yield machine
    await machine.clean()


@pytest.fixture
async def lab(postgres_url: str, machine: Lab, kind: ServiceKind, tmp_path: Path) -> AsyncIterator[HostingLab]:
    first = free_block()
    folder = tmp_path / "home" / "services"
    async with hosting_lab(postgres_url, folder, kind, machine.runtime, range(first, first + PORTS_EACH)) as lab:
        yield lab


async def test_from_nothing_to_nothing(lab: HostingLab, machine: Lab, tmp_path: Path) -> None:
    make = APPS[lab.kind.name]
    apps: list[Any] = []

    async def app(credentials: JsonObject) -> Any:
        apps.append(make(credentials))
        await apps[-1].open()
        return apps[-1]

    try:
        plans = [plan.name for plan in lab.kind.offering().plans]
        assert plans[:2] == ["small", "standard"]
        assert (await lab.ended(await lab.broker.provision(lab.provision()))).state == "succeeded"
        row = await lab.row()
        assert row.restarts == 0
        first, second = await lab.bound("bnd_1"), await lab.bound("bnd_2")
        assert (first["host"], first["port"]) == (row.host, row.port)
        catalog = await lab.broker.catalog()
        assert catalog is not None
        variables = catalog.offerings[0].metadata["variables"]
        assert variables == lab.kind.variables()
        assert set(variables.values()) <= set(first)
        one, two = await app(first), await app(second)
        await one.write("7")
        assert await two.read() == "7"

        # While it runs, and to a larger plan: the same place, the same credentials, the same data.
        live = await lab.broker.update(lab.update(**make.live))
        assert (await lab.ended(live)).state == "succeeded"
        assert (await lab.row()).workload_id == row.workload_id
        assert await one.read() == "7"
        lab.restart()
        grown = await lab.broker.update(lab.update(plan="standard", **make.live))
        assert (await lab.ended(grown)).state == "succeeded"
        assert (await lab.row()).workload_id != row.workload_id
        await two.ended()
        one = await app(first)
        assert await one.read() == "7"

        # Everything of the server is killed; another control plane finds it.
        row = await lab.row()
        await machine.runtime.stop(str(row.workload_id), grace_s=0)
        lab.restart()
        await lab.until(lambda now: now.ready_at is not None and now.workload_id != row.workload_id)
        one, two = await app(first), await app(second)
        assert await two.read() == "7"
        await lab.work()
        figures = lab.reconciler.figures("sin_1")
        assert figures is not None
        assert figures.connections == 2
        assert figures.storage_bytes

        assert await lab.ended(await lab.broker.unbind(lab.unbind("bnd_1")), "bnd_1") == Polled("gone")
        await one.ended()
        with pytest.raises(make.refused):
            await app(first)
        assert await two.read() == "7"
        secrets = [str(each["password"]).encode() for each in (first, second)]
        for path in (path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()):
            assert not [secret for secret in secrets if secret in path.read_bytes()], path

        assert await lab.ended(await lab.broker.deprovision(lab.deprovision())) == Polled("gone")
        assert not [w for w in await machine.runtime.list() if w.phase is Phase.running]
        assert list(lab.folder.iterdir()) == []
    finally:
        for each in apps:
            await each.close()
