"""Records that no row knows of are removed, also unreadable ones; a removal that was cut off is ended."""

import asyncio
import secrets
from pathlib import Path

from gongfang.domain.clock import utc_now
from gongfang.domain.errors import Rejected
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.ids import new_id
from gongfang.reconcile.orphans import relay_ends, remove_orphans
from gongfang.runtimes.interface import WorkloadKind, WorkloadSpec
from gongfang.runtimes.local import LocalRuntime
from gongfang.runtimes.memory import MemoryMachine, MemoryRuntime
from gongfang.runtimes.tools import Tool
from tests.api.conftest import World


async def nothing(name: str) -> Tool:
    raise Rejected("tool_unknown", name=name)


async def no_droplet(sha256: str) -> Path:
    raise Rejected("mount_missing", path=sha256)


def test_what_a_removal_that_was_cut_off_has_left_goes(world: World, tmp_path: Path) -> None:
    torn, half_gone = tmp_path / "workloads" / "ins_torn", tmp_path / "trash" / "ins_gone.0123"
    for folder in (torn, half_gone):
        folder.mkdir(parents=True)
        (folder / "output.log").write_text("the last words\n")

    async def work() -> None:
        runtime = LocalRuntime(tmp_path, tool=nothing, droplet=no_droplet, sandboxed=False)
        await runtime.open()
        try:
            assert not half_gone.exists()
            assert await remove_orphans(world.services.database, runtime) == ["ins_torn"]
            assert not torn.exists()
            assert list(await runtime.list()) == []
        finally:
            await runtime.close()

    world.do(work())


def hosted(workload_id: str | None) -> HostedInstance:
    return HostedInstance(
        *(new_id("hst"), "", new_id("sin"), "pretend", "small", {}, 1, False),
        port=secrets.randbelow(1 << 30),
        admin_secret="{}",
        created_at=utc_now(),
        workload_id=workload_id,
    )


def test_servers_are_known_by_their_rows(world: World) -> None:
    """One whose row is gone is stopped; its data is not the runtime's."""
    machine = MemoryMachine()
    runtime = MemoryRuntime(machine, clock=world.clock)
    kept, lost = new_id("srv"), new_id("srv")

    async def work() -> None:
        async with world.services.database.writing() as tx:
            await tx.insert(hosted(kept))
            await tx.insert(hosted(None))
            tx.unrecorded("a test's own change")
        try:
            for name in (kept, lost):
                await runtime.start(WorkloadSpec(name, WorkloadKind.service, ("sleep",)))
            assert await remove_orphans(world.services.database, runtime) == [lost]
            assert [seen.workload_id for seen in await runtime.list()] == [kept]
        finally:
            await machine.switch_off()

    world.do(work())


def test_a_server_whose_record_is_torn_is_no_orphan(world: World, tmp_path: Path) -> None:
    """Nobody knows any more of which kind it was: it may be any."""
    kept = new_id("srv")
    for name in (kept, "srv_torn"):
        (tmp_path / "workloads" / name).mkdir(parents=True)

    async def work() -> None:
        async with world.services.database.writing() as tx:
            await tx.insert(hosted(kept))
            tx.unrecorded("a test's own change")
        runtime = LocalRuntime(tmp_path, tool=nothing, droplet=no_droplet, sandboxed=False)
        await runtime.open()
        try:
            assert await remove_orphans(world.services.database, runtime) == ["srv_torn"]
        finally:
            await runtime.close()

    world.do(work())


def test_the_end_of_a_server_wakes_its_keeper(world: World) -> None:
    machine = MemoryMachine()
    runtime = MemoryRuntime(machine, clock=world.clock)
    database = world.services.database

    async def work() -> None:
        woken: asyncio.Queue[str] = asyncio.Queue()
        deaf = database.hub.listen("hosted", woken.put_nowait)
        relay = asyncio.create_task(relay_ends(database, runtime))
        try:
            await asyncio.sleep(0)
            await runtime.start(
                WorkloadSpec(new_id("srv"), WorkloadKind.service, ("exit", "3"), labels={"hosted": "hst_1"})
            )
            async with asyncio.timeout(10):
                assert await woken.get() == "hst_1"
        finally:
            deaf()
            relay.cancel()
            await machine.switch_off()

    world.do(work())
