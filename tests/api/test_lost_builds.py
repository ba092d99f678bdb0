"""A build whose sandbox disappears is nobody's fault: it is begun anew, and given up only when that happens again and
again."""

import asyncio
import io
import zipfile
from pathlib import Path

import pytest

from gongfang.builders import DropletCache
from gongfang.domain.ids import new_id
from gongfang.domain.values import Build, BuildState, RuntimeName
from gongfang.reconcile.builds import LOST_AGAIN, BuildReconciler, BuildSettings
from gongfang.runtimes.interface import Phase
from gongfang.runtimes.memory import MemoryRuntime
from tests.api.conftest import Api, World, new_name


def package() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("app.py", "print(1)")
        archive.writestr("requirements.txt", "itsdangerous\n")
    return data.getvalue()


async def built(world: World, folder: Path, build: Build, losses: int) -> Build:
    """Reconciles the build while its workload is lost so many times; then the workload ends well."""
    database = world.services.database
    runtime = MemoryRuntime(otherwise=("sleep",))
    droplets = DropletCache(folder / "droplets", fetch=world.services.blobs.fetch, put=world.services.blobs.put_file)
    settings = BuildSettings(
        folder=folder / "builds",
        cache=folder / "cache",
        memory_mb=256,
        disk_mb=64,
        timeout_s=60,
        concurrency=1,
        environment={},
        mounts=(),
    )
    reconcile = BuildReconciler(database, runtime, world.services.blobs, droplets, world.clock, settings)
    async with database.writing() as tx:
        await tx.insert(build)
    work = asyncio.create_task(reconcile(build.id))
    seen: list[object] = []
    for loss in range(losses + 1):
        while not work.done():
            run = runtime.machine.runs.get(build.id)
            if run is not None and run not in seen and (await runtime.observe(build.id)).phase is Phase.running:
                seen.append(run)
                break
            await asyncio.sleep(0.005)
        if work.done():
            break
        if loss < losses:
            runtime.machine.lose(build.id)
        else:
            await runtime.stop(build.id, grace_s=0)
    await work
    await runtime.machine.switch_off()
    async with database.reading() as tx:
        found = await tx.one(Build, build.id)
    assert found is not None
    return found


@pytest.mark.parametrize(("losses", "again"), [(1, True), (LOST_AGAIN, True), (LOST_AGAIN + 1, False)])
def test_a_lost_build_is_begun_anew_but_not_for_ever(
    world: World, admin: Api, tmp_path: Path, losses: int, again: bool
) -> None:
    app = admin.data("POST", "/apps", 201, json={"name": new_name()})
    path = f"/apps/{app['id']}/package"
    uploaded = admin.data("POST", path, 201, params={"filename": "app.zip"}, content=package())
    build = Build(new_id("bld"), app["id"], uploaded["id"], RuntimeName.auto, BuildState.pending, world.clock())
    done = world.do(built(world, tmp_path, build, losses))
    assert done.state is BuildState.failed
    assert done.reason is not None
    # Where it was begun anew it ended by the stop that the test makes, and no more as lost.
    assert (done.reason.code == "build_lost") is not again
