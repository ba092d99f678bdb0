"""The whole database as a stream, and back: every table by `COPY`, all of one snapshot.

`COPY` in text format asks for no tool beside the server, is the same across versions of PostgreSQL, and streams. The
tables are those that the database has, not those that this program knows, so a new one is never forgotten. They come
in the order of their foreign keys: loaded in that order, no row refers to one that is not there yet.

The load is one transaction: the schema as of the snapshot, the rows, the newer migrations, and what must not be
believed on another machine. Killed anywhere, it has not happened.
"""

import io
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from gongfang.domain.errors import Conflict, Unavailable
from gongfang.state import eventlog
from gongfang.state.blobrefs import REFERENCES
from gongfang.state.schema import upgrade_to

_CHUNK = 4 << 20
_VERSION = "alembic_version"
_TABLES = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
SELECT k.conrelid::regclass::text AS child, k.confrelid::regclass::text AS parent
FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace
"""
_SEQUENCES = """
SELECT c.relname AS table, a.attname AS column,
       pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
  AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class DumpedTable:
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DumpedSequence:
    """The counter behind a column: where it stood, and whether that value was handed out already."""

    table: str
    column: str
    last: int
    called: bool


class Snapshot:
    """One moment of a database. `tables`: parents before children. `blobs`: SHA-256 of all files that rows name."""

    def __init__(self, driver: Any, revision: str, tables: Sequence[DumpedTable], blobs: Sequence[str]) -> None:
        self._driver = driver
        self.revision = revision
        self.tables = tuple(tables)
        self.blobs = tuple(blobs)

    async def copy(self, table: DumpedTable, take: Callable[[bytes], None]) -> int:
        """Hands over the rows in pieces of whole lines, some megabytes each; how many pieces there were."""
        waiting = bytearray()
        pieces = 0

        async def output(data: bytes) -> None:
            nonlocal pieces
            waiting.extend(data)
            if len(waiting) < _CHUNK:
                return
            end = waiting.rfind(b"\n") + 1  # a line end inside a value is written as \n
            if end:
                take(bytes(waiting[:end]))
                del waiting[:end]
                pieces += 1

        columns = ", ".join(map(_quoted, table.columns))
        await self._driver.copy_from_query(f"SELECT {columns} FROM {_quoted(table.name)}", output=output)  # noqa: S608  (names from the catalogue, quoted)
        if waiting:
            take(bytes(waiting))
            pieces += 1
        return pieces

    async def sequences(self) -> list[DumpedSequence]:
        """Read after the tables: a counter stands outside transactions, and must not be behind the rows."""
        found: list[DumpedSequence] = []
        for row in await self._driver.fetch(_SEQUENCES):
            now = await self._driver.fetchrow(f"SELECT last_value, is_called FROM {row['sequence']}")  # noqa: S608  (quoted by the server)
            found.append(DumpedSequence(row["table"], row["column"], now["last_value"], now["is_called"]))
        return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


@asynccontextmanager
async def snapshot(url: str) -> AsyncGenerator[Snapshot]:
    """The database at `url` as it is now; what is written meanwhile is not seen.

    Raises `Unavailable("database_away")`, `Conflict("backup_no_schema")` for one that is none of this program's.
    """
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    try:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(engine.connect())
            except (OSError, TimeoutError, DBAPIError) as error:
                raise Unavailable("database_away", retry_after=2) from error
            driver = await _driver(connection)
            async with driver.transaction(isolation="repeatable_read", readonly=True):
                tables = {
                    row["name"]: DumpedTable(row["name"], tuple(row["columns"])) for row in await driver.fetch(_TABLES)
                }
                if tables.pop(_VERSION, None) is None:
                    raise Conflict("backup_no_schema")
                revision = await driver.fetchval(f"SELECT version_num FROM {_VERSION}")  # noqa: S608
                pairs = [(row["child"].strip('"'), row["parent"].strip('"')) for row in await driver.fetch(_REFERENCES)]
                order = in_order(tables, pairs)
                blobs = await _blobs(driver, tables)
                yield Snapshot(driver, revision, [tables[name] for name in order], blobs)
    finally:
        await engine.dispose()


async def _blobs(driver: Any, tables: Mapping[str, DumpedTable]) -> list[str]:
    found: set[str] = set()
    for reference in REFERENCES:
        if reference.table in tables:
            column, table = _quoted(reference.column), _quoted(reference.table)
            rows = await driver.fetch(f"SELECT DISTINCT {column} AS d FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608
            found.update(row["d"] for row in rows)
    return sorted(found)


def in_order(names: Iterable[str], references: Iterable[tuple[str, str]]) -> list[str]:
    """Names so that each comes after those that it refers to (child, parent); else by name. Pure."""
    known = sorted(names)
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(known, ()))
    for child, parent in sorted(references):
        if child != parent and child in known and parent in known:
            sorter.add(child, parent)
    return list(sorter.static_order())


class Load:
    """A database being filled, in one transaction that the end of the block commits."""

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:
        self._connection = connection
        self._driver = driver

    async def piece(self, table: DumpedTable, data: bytes) -> None:
        """Rows as `Snapshot.copy` gave them."""
        await self._driver.copy_to_table(table.name, columns=list(table.columns), source=io.BytesIO(data))

    async def sequences(self, found: Iterable[DumpedSequence]) -> None:
        for each in found:
            name = await self._driver.fetchval(
                "SELECT pg_get_serial_sequence($1, $2)", _quoted(each.table), each.column
            )
            if name is not None:
                await self._driver.execute(
                    "SELECT setval($1::text::regclass, $2::bigint, $3::boolean)", name, each.last, each.called
                )

    async def note(self, event: Mapping[str, Any]) -> None:
        """One event more, after `settle` has brought the log's table up to date."""
        await self._connection.execute(eventlog.INSERT, eventlog.row_of(event))

    async def settle(self, *, old_base: str, new_base: str) -> None:
        """Brings the schema up to date, and forgets what was true of the other machine only: no instance runs, and
        none has an address, no server of a service runs; host names under the old base domain stand under this
        platform's base domain."""
        await self._connection.run_sync(upgrade_to, "head")
        await self._connection.execute(
            text(
                "UPDATE instances SET state = 'exited', ended_at = now(), host = NULL, port = NULL, reason = NULL,"
                """ exit = '{"code": null, "signal": null, "out_of_memory": false, "lost": true}'"""
                " WHERE state NOT IN ('exited', 'crashed')"
            )
        )
        # Data of services are not in the backup: their reconciler finds that, and makes none anew.
        await self._connection.execute(
            text(
                "UPDATE hosted_instances SET workload_id = NULL, host = NULL, started_at = NULL, ready_at = NULL,"
                " state = CASE WHEN deleting THEN 'deleting' ELSE 'creating' END"
            )
        )
        if old_base and old_base != new_base:
            statement = """
                UPDATE domains SET domain = left(domain, -length(CAST(:old AS text))) || :new, status = 'pending'
                WHERE right(domain, length(CAST(:old AS text))) = :old
            """
            await self._connection.execute(text(statement), {"old": f".{old_base}", "new": f".{new_base}"})


@asynccontextmanager
async def loading(url: str, revision: str, mark: str) -> AsyncGenerator[Load | None]:
    """Fills the empty database at `url`, beginning with the schema of `revision`. None where this very restore (by
    its `mark`) has filled it before, and was killed after that.

    Raises `Conflict("restore_database_not_empty")`.
    """
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    try:
        async with engine.begin() as connection:
            driver = await _driver(connection)
            await connection.execute(text("SELECT 1"))  # the transaction begins with the first statement
            if await driver.fetch(_TABLES):
                said = await driver.fetchval(f"SELECT obj_description(to_regclass('{_VERSION}'), 'pg_class')")
                if said != _comment(mark):
                    raise Conflict("restore_database_not_empty")
                yield None
                return
            await connection.run_sync(upgrade_to, revision)
            names = [_quoted(row["name"]) for row in await driver.fetch(_TABLES) if row["name"] != _VERSION]
            exists = "SELECT EXISTS (SELECT FROM {})".format  # names are the tables' own, quoted
            made = [name for name in names if await driver.fetchval(exists(name))]
            if made:  # rows that migrations have made
                await driver.execute(f"TRUNCATE {', '.join(made)}")
            await driver.execute(f"COMMENT ON TABLE {_VERSION} IS '{_comment(mark)}'")
            yield Load(connection, driver)
    finally:
        await engine.dispose()


def _comment(mark: str) -> str:
    if not mark.isalnum():
        raise ValueError("a mark is letters and digits")
    return f"gongfang restore {mark}"
