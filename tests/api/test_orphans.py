"""Records that no row knows of are removed, also unreadable ones; a removal that was cut off is ended."""

from pathlib import Path

from gongfang.domain.errors import Rejected
from gongfang.reconcile.orphans import remove_orphans
from gongfang.runtimes.local import LocalRuntime
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
