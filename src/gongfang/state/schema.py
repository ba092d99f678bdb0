"""The schema's version: brought up to date at start, under a lock, so that two starts at once do it once."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from gongfang.domain.errors import Unavailable
from gongfang.state.tables import metadata

_LOCK = 0x676F6E67  # "gong": the advisory lock that guards migrations


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _wait_at_most_10_s(connection: Connection) -> None:
    connection.execute(text("SET lock_timeout = '10s'"))


def _upgrade(connection: Connection) -> None:
    _wait_at_most_10_s(connection)
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    command.upgrade(_config(connection), "head")


def upgrade_to(connection: Connection, revision: str) -> None:
    """Brings the database of an open transaction to a revision (`head`: the newest)."""
    _wait_at_most_10_s(connection)
    command.upgrade(_config(connection), revision)


def revisions() -> tuple[str, ...]:
    """All revisions of the schema that this program knows, the newest first."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return tuple(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())


async def reachable(url: str) -> None:
    """Returns where the database at `url` answers; raises `Unavailable("database_away")` where it does not."""
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 5})
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except (OSError, TimeoutError, DBAPIError) as error:
        raise Unavailable("database_away", retry_after=1) from error
    finally:
        await engine.dispose()


async def migrate(url: str) -> None:
    """Brings the database at `url` (`postgresql+asyncpg://…`) to the newest schema; does nothing where it is."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


async def schema_differences(url: str) -> list[Any]:
    """What the migrations leave different from `tables`: empty, or a migration was forgotten."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(
                lambda sync: list(compare_metadata(MigrationContext.configure(sync), metadata))
            )
    finally:
        await engine.dispose()
