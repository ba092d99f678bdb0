"""What every built-in kind must do, on its own server; then what only PostgreSQL can show."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from gongfang.brokers.kinds.interface import Change, Seed, ServiceKind, Wanted
from gongfang.brokers.kinds.postgresql import ADMIN, PostgreSQL
from gongfang.domain.errors import Rejected, Unavailable
from tests.contract.kinds_by_hand import ByHand

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def ground() -> AsyncIterator[ByHand]:
    ground = ByHand(PostgreSQL(), "small", {})
    try:
        yield ground
    finally:
        await ground.close()


def seed(kind: ServiceKind, binding_id: str) -> Seed:
    return Seed(binding_id, kind.fresh_seed({}), {})


async def connect(ground: ByHand, user: Seed) -> Any:
    """As an app would, with nothing but the credentials."""
    return await asyncpg.connect(ground.kind.credentials(ground.server, user)["uri"], ssl=False, statement_cache_size=0)


async def test_a_binding_works_outlives_restarts_and_is_cut(ground: ByHand) -> None:
    kind = ground.kind
    server = await ground.start()
    first, second = seed(kind, "bnd_1"), seed(kind, "bnd_2")
    await kind.bind(server, first)
    await kind.bind(server, first)  # the answer of the first call was lost
    one = await connect(ground, first)
    await one.execute("CREATE TABLE readings (machine text, value int)")
    await one.execute("INSERT INTO readings VALUES ('press', 7)")

    await kind.bind(server, second)
    two = await connect(ground, second)
    assert await two.fetchval("SELECT value FROM readings") == 7
    await two.execute("ALTER TABLE readings ADD COLUMN unit text")
    figures = await kind.figures(server)
    assert figures.connections == 2
    assert figures.storage_bytes is not None
    assert figures.storage_bytes > 1 << 20

    await kind.unbind(server, first)
    await kind.unbind(server, first)
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await one.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(ground, first)
    assert await two.fetchval("SELECT value FROM readings") == 7

    await two.execute("INSERT INTO readings VALUES ('lathe', 8)")
    two.terminate()
    await ground.stop(signal.SIGKILL)
    await ground.start()
    two = await connect(ground, second)
    assert await two.fetchval("SELECT sum(value) FROM readings") == 15
    await two.close()
    await ground.stop()
    await ground.start()
    two = await connect(ground, second)
    assert await two.fetchval("SELECT count(*) FROM readings") == 2
    await two.close()
    log = ground.log
    assert not [word for word in _secrets(ground, first, second) if word in log]


def _secrets(ground: ByHand, *seeds: Seed) -> list[str]:
    return [str(ground.site.admin["password"]), *(str(each.secret["password"]) for each in seeds), "SCRAM-SHA-256$"]


async def test_no_other_data_and_no_other_administrator(ground: ByHand) -> None:
    """A server whose data are gone does not make new ones, and data of another's password are not taken."""
    await ground.start()
    await ground.stop()
    own = ground.site.admin
    ground.change(admin=ground.kind.fresh_admin())
    await ground.spawn()
    for _ in range(500):
        try:
            await ground.kind.ready(ground.server)
        except Unavailable:
            await asyncio.sleep(0.02)
        except Rejected as error:
            assert error.code == "service_admin_refused"
            assert "password" not in str(error.facts)
            break
    else:
        pytest.fail("the administrator was neither refused nor let in")
    await ground.stop()
    ground.change(admin=own)
    data = ground.folder / "data" / "db"
    data.rename(ground.folder / "elsewhere")
    await ground.spawn()
    assert await ground.wait() == 78
    assert "missing" in ground.log
    assert not data.exists()


async def test_a_tenant_does_not_become_the_administrator(ground: ByHand) -> None:
    """Who owns the database sets what every session in it starts with; the administrator's are none the wiser."""
    kind = ground.kind
    server = await ground.start()
    user, other = seed(kind, "bnd_1"), seed(kind, "bnd_2")
    await kind.bind(server, user)
    session = await connect(ground, user)
    for statement in (
        "CREATE ROLE x SUPERUSER",
        f"SET ROLE {ADMIN}",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('/gongfang/admin')",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "CREATE EXTENSION dblink",
        f"ALTER ROLE {ADMIN} PASSWORD 'x'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(
            kind.credentials(server, user)["uri"].replace("/app", "/postgres"), ssl=False, statement_cache_size=0
        )
    await session.execute(
        "CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE plpgsql AS"
        " 'BEGIN ALTER ROLE app_owner SUPERUSER; RETURN 1; END'"
    )
    for setting in (
        "search_path = public, pg_catalog",
        "role = nobody",
        "default_transaction_read_only = on",
        "statement_timeout = 1",
    ):
        await session.execute(f"ALTER DATABASE app SET {setting}")
    await session.execute("ALTER DATABASE app CONNECTION LIMIT 0")
    for statement in ("DROP DATABASE app", "ALTER DATABASE app ALLOW_CONNECTIONS false"):
        with pytest.raises(asyncpg.PostgresError):
            await session.execute(statement)
    await kind.prepare(replace(server, wanted=_wanted(kind, {"extensions": ["vector", "pg_trgm"]})))
    await kind.bind(server, other)
    await kind.unbind(server, user)
    await session.close()
    session = await connect(ground, other)
    await session.execute("SET statement_timeout = 0")
    assert not await session.fetchval("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'app_owner'")
    await session.execute("SET search_path = public")
    await session.execute("SET default_transaction_read_only = off")
    await session.execute("CREATE TABLE parts (place vector(3))")
    await session.close()


def _wanted(kind: ServiceKind, parameters: dict[str, Any], plan: str = "small") -> Wanted:
    return Wanted(plan, kind.size(plan), parameters)


async def test_what_a_change_takes(ground: ByHand) -> None:
    kind = ground.kind
    small = _wanted(kind, {})
    assert kind.change(small, small) is Change.none
    assert kind.change(small, _wanted(kind, {"extensions": ["vector"]})) is Change.live
    assert kind.change(_wanted(kind, {"extensions": ["vector"]}), small) is Change.none
    assert kind.change(small, _wanted(kind, {"max_connections": 6})) is Change.restart
    assert kind.change(small, _wanted(kind, {}, "medium")) is Change.restart
    with pytest.raises(Rejected, match="storage"):
        kind.change(_wanted(kind, {}, "medium"), small)

    server = await ground.start()
    after = _wanted(kind, {"extensions": ["citext"]})
    await kind.reconfigure(server, after)
    await ground.stop()
    ground.change(wanted=_wanted(kind, {"max_connections": 5, "extensions": ["citext"], "statement_timeout_ms": 50}))
    server = await ground.start()
    user = seed(kind, "bnd_1")
    await kind.bind(server, user)
    sessions = [await connect(ground, user) for _ in range(5)]
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await connect(ground, user)
    with pytest.raises(asyncpg.QueryCanceledError):
        await sessions[0].execute("SELECT pg_sleep(5)")
    assert await sessions[0].fetchval("SELECT 'A'::citext = 'a'")
    assert (await kind.figures(server)).connections == 5
    await kind.unbind(server, user)
    for session in sessions:
        session.terminate()
