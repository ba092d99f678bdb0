"""One event more, by a program that is not the control plane (a backup made beside it)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gongfang.domain.errors import Unavailable
from gongfang.state import eventlog


async def note_event(url: str, event: Mapping[str, Any]) -> None:
    """Writes it in a transaction of its own; readers of the log find it at their next look. Raises
    `Unavailable("database_away")`."""
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    try:
        async with engine.begin() as connection:
            await connection.execute(eventlog.INSERT, eventlog.row_of(event))
    except (OSError, TimeoutError, DBAPIError) as error:
        raise Unavailable("database_away", retry_after=2) from error
    finally:
        await engine.dispose()
