"""Where another program of the machine has a server's port: a new one goes elsewhere, an old one waits for its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gongfang.brokers.kinds.memory import MemoryKind
from gongfang.domain.errors import Unavailable
from gongfang.domain.hosting import PORTS_EACH, HostedState
from gongfang.runtimes.interface import WorkloadKind, WorkloadSpec
from tests.api.conftest import postgres_url
from tests.contract.hosting_lab import HostingLab, hosting_lab

__all__ = ["postgres_url"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def lab(postgres_url: str, tmp_path: Path) -> AsyncIterator[HostingLab]:
    async with hosting_lab(postgres_url, tmp_path / "services", MemoryKind(), ports=range(16000, 16012)) as lab:
        yield lab


async def occupy(lab: HostingLab, port: int) -> None:
    await lab.runtime.start(WorkloadSpec(f"other-{port}", WorkloadKind.service, ("sleep",), port=port))


async def test_a_new_server_goes_on_to_a_place_that_is_free(lab: HostingLab) -> None:
    await occupy(lab, 16000)
    await occupy(lab, 16004)
    row = await lab.ready()
    assert row.port == 16008 and row.open_ports[0] == row.port
    assert (await lab.bound())["port"] == row.port


async def test_where_none_is_free_it_waits(lab: HostingLab) -> None:
    for port in range(16000, 16012, PORTS_EACH):
        await occupy(lab, port)
    await lab.broker.provision(lab.provision())
    for _ in range(4):
        await lab.work()
    assert (await lab.row()).state is HostedState.creating
    await lab.runtime.stop("other-16004", grace_s=0)
    assert (await lab.ready()).port == 16004


async def test_an_old_server_keeps_its_place_whoever_has_it_now(lab: HostingLab) -> None:
    """Its credentials are out there."""
    row = await lab.ready()
    await lab.runtime.stop(str(row.workload_id), grace_s=0)
    await occupy(lab, row.port)
    await lab.work()
    with pytest.raises(Unavailable, match=str(row.port)):
        for _ in range(5):
            await lab.reconciler(row.id)
    assert (await lab.row()).port == row.port
    await lab.runtime.stop(f"other-{row.port}", grace_s=0)
    again = await lab.until(lambda seen: seen.ready_at is not None and seen.workload_id != row.workload_id)
    assert again.port == row.port
