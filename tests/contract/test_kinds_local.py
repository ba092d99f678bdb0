"""Every built-in kind as the platform runs it: a workload of the real driver with a port that stays, its data in a
folder, its secrets in memory; and an app in a sandbox of its own that is bound to it.

What a kind does with its own server is in `test_kinds.py`.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from gongfang.brokers.kinds.interface import Seed, Server, ServiceKind, Site, Wanted
from gongfang.brokers.kinds.postgresql import PostgreSQL
from gongfang.domain.egress import Target
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.hosting import PORTS_EACH
from gongfang.domain.values import JsonObject
from gongfang.runtimes.interface import Limits, Mount, Network, Phase, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local.net.network import NetworkSettings
from tests.contract.runtime_labs import Lab, is_root, local_lab, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not is_root(), reason="as an ordinary user it is what test_kinds.py does by hand"),
]
MIB = 1 << 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Ground:
    """One server's place: what the hosting reconciler keeps in a row."""

    def __init__(self, lab: Lab, kind: ServiceKind, folder: Path) -> None:
        self.lab = lab
        self.kind = kind
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        wanted = Wanted("small", kind.size("small"), {})
        self.site = Site("hst_1", _free_block(), "127.0.0.1", wanted, kind.fresh_admin(), fresh=True)

    def spec(self, workload_id: str) -> WorkloadSpec:
        launch, size = self.kind.launch(self.site), self.site.wanted.size
        return WorkloadSpec(
            workload_id,
            WorkloadKind.service,
            launch.command,
            environment=launch.environment,
            mounts=(Mount(self.data, "/data", writable=True, own=True, lock=True),),
            tools=self.kind.tools,
            limits=Limits(
                memory_bytes=size.memory_mb * MIB, processes=launch.processes, disk_bytes=size.storage_mb * MIB
            ),
            port=self.site.port,
            files=launch.files,
            network=Network(internet=False),
            labels={"hosted": self.site.hosted_id, "service": self.kind.name},
        )

    async def start(self, workload_id: str) -> Server:
        """Until it is ready and prepared, as after every start."""
        await self.lab.runtime.start(self.spec(workload_id))
        server = await self.server(workload_id)
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.kind.ready(server)
                    break
                except Unavailable:
                    seen = await self.lab.runtime.observe(workload_id)
                    assert seen.phase is Phase.running, await self.lab.output(workload_id)
                    await asyncio.sleep(0.01)
        await self.kind.prepare(server)
        self.site = replace(self.site, fresh=False)
        return server

    async def server(self, workload_id: str) -> Server:
        endpoint = (await self.lab.runtime.observe(workload_id)).endpoint
        assert endpoint is not None and endpoint.port == self.site.port
        return Server(endpoint.host, endpoint.port, self.site.wanted, self.site.admin)

    async def end(self, workload_id: str, *, grace_s: float) -> None:
        await self.lab.runtime.stop(workload_id, grace_s=grace_s)
        await self.lab.runtime.remove(workload_id)


def _free_block() -> int:
    while True:
        port = random.randrange(16000, 19999, PORTS_EACH)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@pytest.fixture
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    tmp_path.chmod(0o755)
    settings = NetworkSettings(wanted=getattr(request, "param", "own") == "own")
    lab = local_lab(tmp_path / "home", network=settings)
    await lab.open()
    yield lab
    await lab.clean()


@pytest.fixture
def ground(lab: Lab, tmp_path: Path) -> Ground:
    return Ground(lab, PostgreSQL(), tmp_path / "services" / "hst_1")


def seed(kind: ServiceKind, binding_id: str) -> Seed:
    return Seed(binding_id, kind.fresh_seed({}), {})


async def connect(credentials: JsonObject) -> Any:
    return await asyncpg.connect(credentials["uri"], ssl=False, statement_cache_size=0, timeout=10)


def endpoint(server: Server) -> Target:
    return Target(IPv4Network(server.host), server.port, server.port)


@pytest.mark.parametrize("lab", ["own", "loopback"], indirect=True)
async def test_postgresql_as_the_platform_runs_it(ground: Ground, tmp_path: Path) -> None:
    kind, runtime = ground.kind, ground.lab.runtime
    server = await ground.start("srv_1")
    first, second = seed(kind, "bnd_1"), seed(kind, "bnd_2")
    await kind.bind(server, first)
    await kind.bind(server, second)
    one = await connect(kind.credentials(server, first))
    await one.execute("CREATE TABLE readings AS SELECT 'press' AS machine, 7 AS value")

    # From an app's sandbox, with what it is handed and nothing else.
    bound = Network(internet=False, services=(endpoint(server),))
    uri = kind.credentials(server, second)["uri"]
    ask = ("sh", "-c", 'exec psql "$(cat /bindings/db/uri)" -XAtc "SELECT value FROM readings"')
    fields: dict[str, Any] = {"tools": ("postgres",), "files": {"/bindings/db/uri": uri.encode()}}
    assert await ground.lab.run("app_1", ask, network=bound, **fields) == "7\n"
    own_network = runtime.capabilities().enforces("own_network")
    if own_network:
        assert "refused" in await ground.lab.run("app_2", ask, network=Network(), **fields)

    await kind.unbind(server, first)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await one.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(kind.credentials(server, first))

    # Stopped, killed, and under another control plane: the same place, the same data, the same credentials.
    for number, grace_s in ((2, 20.0), (3, 0.0)):
        await ground.end(f"srv_{number - 1}", grace_s=grace_s)
        assert await ground.start(f"srv_{number}") == server
        assert await ground.lab.run(f"app_1{number}", ask, network=bound, **fields) == "7\n"
    await ground.lab.reopen()
    assert await ground.server("srv_3") == server
    assert (await kind.figures(server)).connections == 0
    await ground.end("srv_3", grace_s=20)

    secrets = [str(ground.site.admin["password"]), *(str(each.secret["password"]) for each in (first, second))]
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path


async def test_one_server_at_a_time_has_the_data(ground: Ground) -> None:
    await ground.start("srv_1")
    with pytest.raises(Unavailable) as busy:
        await ground.lab.runtime.start(ground.spec("srv_2"))
    assert busy.value.code == "port_in_use"
    elsewhere = replace(ground.spec("srv_2"), port=_free_block())
    with pytest.raises(Rejected) as refused:
        await ground.lab.runtime.start(elsewhere)
    assert refused.value.code == "path_in_use"
    await ground.end("srv_1", grace_s=20)


async def test_data_that_are_gone_are_not_made_anew(ground: Ground) -> None:
    ground.site = replace(ground.site, fresh=False)
    await ground.lab.runtime.start(ground.spec("srv_1"))
    seen = await ground.lab.runtime.wait("srv_1")
    assert seen.exit is not None and seen.exit.code == 78
    assert list(ground.data.iterdir()) == []


async def test_a_start_that_was_cut_off_begins_again(ground: Ground) -> None:
    """In the middle of making its first data, and right after."""
    for number, place in enumerate(("db.new", "db.new/PG_VERSION", "db.new/global/pg_control", "db/PG_VERSION")):
        await ground.lab.runtime.start(ground.spec(f"srv_{number}"))
        await until((ground.data / place).exists)
        await ground.end(f"srv_{number}", grace_s=0)
    server = await ground.start("srv_9")
    user = seed(ground.kind, "bnd_1")
    await ground.kind.bind(server, user)
    session = await connect(ground.kind.credentials(server, user))
    assert await session.fetchval("SELECT 1") == 1
    session.terminate()


async def test_a_server_over_its_storage_is_ended_and_nobody_else(ground: Ground) -> None:
    """Until it has more room it is ended again; its data stay."""
    small = replace(ground.site.wanted.size, storage_mb=112)
    ground.site = replace(ground.site, wanted=replace(ground.site.wanted, size=small))
    server = await ground.start("srv_1")
    user = seed(ground.kind, "bnd_1")
    await ground.kind.bind(server, user)
    session = await connect(ground.kind.credentials(server, user))
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        for number in range(100):
            await session.execute(
                f"CREATE TABLE t{number} AS SELECT repeat(md5(n::text), 60) FROM generate_series(1, 5000) n"
            )
    session.terminate()
    seen = await asyncio.wait_for(ground.lab.runtime.wait("srv_1"), 30)
    assert seen.exit is not None and seen.exit.disk_full and not seen.told
    await ground.lab.runtime.remove("srv_1")
    ground.site = replace(ground.site, wanted=replace(ground.site.wanted, size=ground.kind.size("small")))
    assert await ground.start("srv_2") == replace(server, wanted=ground.site.wanted)
    session = await connect(ground.kind.credentials(server, user))
    assert await session.fetchval("SELECT count(*) FROM t0") == 5000
    session.terminate()
