"""Taking down what runs in a home whose control plane is gone."""

import asyncio
from pathlib import Path

from gongfang.domain.errors import Rejected
from gongfang.runtimes.interface import Phase
from gongfang.runtimes.local.net.network import NetworkSettings, take_down
from gongfang.runtimes.local.runtime import LocalRuntime
from gongfang.runtimes.tools import Tool


async def stop_everything(home: Path, *, grace_s: float) -> int:
    """Stops all workloads of a home whose control plane is gone. Gives how many ran."""

    async def no_tool(name: str) -> Tool:
        raise Rejected("tool_unknown", name=name)

    async def no_droplet(sha256: str) -> Path:
        raise Rejected("mount_missing", path=sha256)

    if not (home / "workloads").is_dir():
        await asyncio.to_thread(take_down, home)
        return 0
    runtime = LocalRuntime(
        home, tool=no_tool, droplet=no_droplet, sandboxed=False, network=NetworkSettings(wanted=False)
    )
    await runtime.open()
    try:
        running = [each.workload_id for each in await runtime.list() if each.phase is Phase.running]
        await asyncio.gather(*(runtime.stop(workload_id, grace_s=grace_s) for workload_id in running))
        return len(running)
    finally:
        await runtime.close()
        await asyncio.to_thread(take_down, home)
