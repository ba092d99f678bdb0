"""Questions that are more than equality, as statements; `database` asks them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, cast, delete, func, select, true
from sqlalchemy.dialects.postgresql import insert as pg_insert

from gongfang.domain.values import DesiredState
from gongfang.state import tables


def usage(column: str, key: str, default_memory_mb: int) -> Any:
    """What is wanted in one organisation or space: `apps`, and `instances` and `memory_mb` of those that are started.

    Counts and sizes lie in JSON: `scale` maps process types to counts, `config` holds the memory of each type that
    was ever configured.
    """
    apps = tables.apps
    there = (apps.c[column] == key, apps.c.destroying.is_(False))
    each = func.jsonb_each_text(apps.c.scale).table_valued("key", "value").lateral("wanted")
    count = cast(each.c.value, BigInteger)
    memory = func.coalesce(cast(apps.c.config["processes"][each.c.key]["memory_mb"].astext, Integer), default_memory_mb)
    started = (
        select(
            func.coalesce(func.sum(count), 0).label("instances"),
            func.coalesce(func.sum(count * memory), 0).label("memory_mb"),
        )
        .select_from(apps.join(each, true()))
        .where(*there, apps.c.desired == DesiredState.started.value)
        .subquery("started")
    )
    number = select(func.count()).select_from(apps).where(*there).scalar_subquery()
    return select(number.label("apps"), started.c.instances, started.c.memory_mb)


def login_failures(name_hash: str, source: str) -> Any:
    """The row of failures of one name from one source, held."""
    table = tables.login_failures
    return (
        select(table.c.failed, table.c.locked_until)
        .where(table.c.name_hash == name_hash, table.c.source == source)
        .with_for_update()
    )


def note_login_failure(name_hash: str, source: str, failed: int, locked_until: datetime | None, now: datetime) -> Any:
    values = {"failed": failed, "locked_until": locked_until, "at": now}
    statement = pg_insert(tables.login_failures).values(name_hash=name_hash, source=source, **values)
    return statement.on_conflict_do_update(index_elements=["name_hash", "source"], set_=values)


def forget_login_failures(name_hash: str | None, source: str | None, before: datetime | None) -> Any:
    table = tables.login_failures
    statement = delete(table)
    if name_hash is not None:
        statement = statement.where(table.c.name_hash == name_hash)
    if source is not None:
        statement = statement.where(table.c.source == source)
    return statement.where(table.c.at < before) if before is not None else statement
