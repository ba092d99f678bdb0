"""The built-in broker on the real driver with a real PostgreSQL: from nothing to nothing, with ends in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from gongfang.brokers.interface import Bound, Polled
from gongfang.brokers.kinds.postgresql import PostgreSQL
from gongfang.domain.hosting import PORTS_EACH, HostedState
from gongfang.domain.values import JsonObject
from gongfang.reconcile.orphans import remove_orphans
from gongfang.runtimes.interface import Phase
from tests.api.conftest import postgres_url
from tests.contract.hosting_lab import HostingLab, hosting_lab
from tests.contract.kinds_by_hand import free_block
from tests.contract.runtime_labs import Lab, local_lab

__all__ = ["postgres_url"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Lab]:
    tmp_path.chmod(0o755)
    machine = local_lab(tmp_path / "home" / "runtime")
    await machine.open()
    yield machine
    await machine.clean()


@pytest.fixture
async def lab(postgres_url: str, machine: Lab, tmp_path: Path) -> AsyncIterator[HostingLab]:
    first = free_block()
    ports = range(first, first + PORTS_EACH)
    folder = tmp_path / "home" / "services"
    async with hosting_lab(postgres_url, folder, PostgreSQL(), machine.runtime, ports) as lab:
        yield lab


async def connect(credentials: JsonObject) -> Any:
    return await asyncpg.connect(credentials["uri"], ssl=False, statement_cache_size=0, timeout=10)


async def test_a_database_from_nothing_to_nothing(lab: HostingLab, machine: Lab) -> None:
    # The control plane ends as soon as the server has been started.
    creation = await lab.broker.provision(lab.provision())
    looking = asyncio.create_task(lab.reconciler((await lab.row()).id))
    while (await lab.row()).started_at is None:
        await asyncio.sleep(0.01)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    lab.restart()
    assert (await lab.ended(creation)).state == "succeeded"
    row = await lab.row()
    assert row.restarts == 0
    assert row.version is not None
    assert not await remove_orphans(lab.database, machine.runtime)

    credentials = await lab.bound("bnd_1")
    assert (credentials["host"], credentials["port"]) == (row.host, row.port)
    session = await connect(credentials)
    await session.execute("CREATE TABLE readings AS SELECT 'press' AS machine, 7 AS value")
    session.terminate()
    await lab.work()
    figures = lab.reconciler.figures("sin_1")
    assert figures is not None
    assert figures.storage_bytes

    # Everything of the server is killed; another control plane finds it.
    await machine.runtime.stop(str(row.workload_id), grace_s=0)
    lab.restart()
    row = await lab.until(lambda now: now.ready_at is not None and now.workload_id != row.workload_id)
    session = await connect(credentials)
    assert await session.fetchval("SELECT value FROM readings") == 7

    # A larger plan: the same place, the same data, the same credentials.
    assert (await lab.ended(await lab.broker.update(lab.update(plan="medium")))).state == "succeeded"
    session.terminate()
    session = await connect(credentials)
    assert await session.fetchval("SHOW shared_buffers") == "128MB"
    assert await session.fetchval("SELECT value FROM readings") == 7
    found = await lab.broker.fetch_binding(lab.poll(binding_id="bnd_1"))
    assert isinstance(found, Bound)
    assert found.credentials == credentials

    assert await lab.ended(await lab.broker.unbind(lab.unbind("bnd_1")), "bnd_1") == Polled("gone")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    session.terminate()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(credentials)

    assert await lab.ended(await lab.broker.deprovision(lab.deprovision())) == Polled("gone")
    assert not [w for w in await machine.runtime.list() if w.phase is Phase.running]
    assert list(lab.folder.iterdir()) == []


async def test_a_database_whose_data_are_gone_stays_away(lab: HostingLab, machine: Lab) -> None:
    assert (await lab.ended(await lab.broker.provision(lab.provision()))).state == "succeeded"
    row = await lab.row()
    await machine.runtime.stop(str(row.workload_id), grace_s=0)
    (lab.folder / row.id / "data").rename(lab.folder.parent / "aside")
    row = await lab.until(lambda now: now.state is HostedState.broken)
    assert row.reason is not None
    assert row.reason.code == "service_data_missing"
    assert not (lab.folder / row.id / "data").exists()
    (lab.folder.parent / "aside").rename(lab.folder / row.id / "data")
    await lab.until(lambda now: now.state is HostedState.ready and now.ready_at is not None)
