"""Transactions: `reading()` and `writing()`, and the questions that can be asked in them.

Most questions are "the one with this id" and "those whose fields equal this": `one`, `find`, `lock`, `insert`,
`update`, `delete` serve every noun. What needs more than equality has a method with a name.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import orjson
from sqlalchemy import ColumnElement, Table, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.event import listen
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gongfang.domain.audit import kind_of, outcome_of
from gongfang.domain.errors import Conflict, Invalid, Unavailable
from gongfang.domain.values import (
    APP_KINDS,
    App,
    Event,
    JsonObject,
    Operation,
    Outcome,
    Package,
    RoleBinding,
    Token,
    User,
)
from gongfang.domain.webhooks import KEPT_DELIVERIES, Delivery
from gongfang.state import eventlog, identities, statements, tables
from gongfang.state.codec import NOUNS, Codec
from gongfang.state.crypto import Keyring
from gongfang.state.hub import Hub, Wake
from gongfang.state.records import CertificatePapers, Idempotent, LoginRecord, Scope, TokenRecord

T = TypeVar("T")


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()


ACTIVE = ("pending", "running")

_NUMBERS = "SELECT id, number FROM releases WHERE id = ANY($1::varchar[])"

_BUSY_APPS = text(
    "SELECT DISTINCT app_id FROM operations WHERE status IN ('pending', 'running') AND app_id IS NOT NULL"
)

_APP_VERSIONS = """
    SELECT string_agg(concat_ws(' ', a.id, a.xmin, i.version, d.version, b.version), E'\\n') AS lines
    FROM apps a
    LEFT JOIN (
        SELECT app_id, concat(count(*), ':', bit_xor(hashtextextended(id || ' ' || xmin::text, 0))) AS version
        FROM instances WHERE state IN ('starting', 'ready', 'unready', 'draining', 'stopping') GROUP BY app_id
    ) i ON i.app_id = a.id
    LEFT JOIN (
        SELECT app_id, concat(count(*), ';', bit_xor(hashtextextended(id || ' ' || xmin::text, 0))) AS version
        FROM domains WHERE app_id IS NOT NULL GROUP BY app_id
    ) d ON d.app_id = a.id
    LEFT JOIN (
        SELECT app_id, concat(count(*), '/', bit_xor(hashtextextended(id || ' ' || xmin::text, 0))) AS version
        FROM service_bindings WHERE app_id IS NOT NULL GROUP BY app_id
    ) b ON b.app_id = a.id
"""


class Codecs:
    """A codec for each noun, made when first asked for."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self._codecs: dict[type[Any], Codec[Any]] = {}

    def of(self, noun: type[T]) -> Codec[T]:
        codec = self._codecs.get(noun)
        if codec is None:
            codec = self._codecs[noun] = Codec(noun, NOUNS[noun], self.keyring)
        return codec


def _equal(table: Table, equals: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for name, value in equals.items():
        column = table.c[name]
        if isinstance(value, list | tuple | set | frozenset):
            conditions.append(column.in_(list(value)))  # pyright: ignore[reportUnknownArgumentType]
        elif value is None:
            conditions.append(column.is_(None))
        else:
            conditions.append(column == value)
    return conditions


def _within(table: Table, scope: Scope | None) -> list[ColumnElement[bool]]:
    """What the scope lets see. A tenant sees itself; an organisation's member sees the tenant above it, too."""
    if scope is None or scope.everything:
        return []
    ways: list[ColumnElement[bool]] = []
    for level, ids in (
        ("tenant_id", scope.tenants),
        ("organization_id", scope.organizations),
        ("space_id", scope.spaces),
    ):
        own = {"tenants": "tenant_id", "organizations": "organization_id", "spaces": "space_id"}.get(table.name)
        column = table.c.id if own == level else table.c.get(level)
        if ids and column is not None:
            ways.append(column.in_(ids))
    return [or_(*ways) if ways else tables.tenants.c.id.is_(None) & False]


class Reading:
    """Questions only. Each sees what is committed by then: a later one may see more than an earlier one."""

    _committed = True  # and nothing else

    def __init__(self, connection: AsyncConnection, codecs: Codecs) -> None:
        self._connection = connection
        self._codecs = codecs
        self._driver: Any = None

    @property
    def connection(self) -> AsyncConnection:
        """For the other modules of this package; nobody else knows what to do with it."""
        return self._connection

    async def _rows(self, statement: Any, values: Mapping[str, Any] | None = None) -> Sequence[Mapping[str, Any]]:
        return (await self._connection.execute(statement, values)).mappings().all()  # pyright: ignore[reportReturnType]

    async def _ask(self, text: str, values: Sequence[Any]) -> Sequence[Any]:
        """A question by the driver itself, on this same connection: SQLAlchemy's own way takes four times as long.

        Nothing that changes or locks: in `Writing` no transaction may have begun yet.
        """
        if self._driver is None:
            self._driver = (await self._connection.get_raw_connection()).driver_connection
        try:
            return await self._driver.fetch(text, *values)
        except BaseException:
            if self._driver.is_closed():
                await self._connection.invalidate()
            raise

    async def _values(self, codec: Codec[T], statement: Any, values: Mapping[str, Any]) -> list[T]:
        """The answers to a statement that asks for a codec's columns."""
        return [codec.decode(row) for row in (await self._connection.execute(statement, values)).all()]  # pyright: ignore[reportArgumentType]

    async def one(self, noun: type[T], key: str) -> T | None:
        """The one with this id, or None."""
        found = await self.find(noun, id=key)
        return found[0] if found else None

    async def find(
        self,
        noun: type[T],
        *,
        scope: Scope | None = None,
        order: str = "id",
        descending: bool = False,
        after: Any = None,
        limit: int | None = None,
        where: Iterable[ColumnElement[bool]] = (),
        **equals: Any,
    ) -> list[T]:
        """Those whose fields equal (or, for a list, are among) the values given; `after`: past this `order` value."""
        codec = self._codecs.of(noun)
        table = codec.table
        conditions = [*_within(table, scope), *where]
        if not conditions:
            question = codec.question(order, equals, descending=descending, after=after, limit=limit)
            found = [codec.read(row, committed=self._committed) for row in await self._ask(*question)]
        else:
            statement, values = codec.select(order, equals, descending=descending)
            if after is not None:
                conditions.append(table.c[order] < after if descending else table.c[order] > after)
            statement = statement.where(*conditions)
            if limit is not None:
                statement = statement.limit(limit)
            found = await self._values(codec, statement, values)
        if noun is User and found:
            return await self._with_bindings(found)
        return found

    async def _with_bindings(self, users: list[Any]) -> list[Any]:
        from dataclasses import replace

        bindings = await self.find(RoleBinding, user_id=[u.id for u in users])
        return [replace(u, bindings=tuple(b for b in bindings if b.user_id == u.id)) for u in users]

    async def count(self, noun: type[Any], **equals: Any) -> int:
        table = NOUNS[noun]
        rows = await self._rows(select(func.count().label("n")).select_from(table).where(*_equal(table, equals)))
        return int(rows[0]["n"])

    async def apps(
        self,
        *,
        scope: Scope,
        labels: Mapping[str, str],
        after: str | None,
        limit: int,
        **equals: Any,
    ) -> list[App]:
        """A page of apps, by filters and labels (all of them must be there)."""
        where = [tables.apps.c.labels.contains(dict(labels))] if labels else []
        return await self.find(App, scope=scope, after=after, limit=limit, where=where, **equals)

    async def app_ids(self) -> list[str]:
        return [row["id"] for row in await self._rows(select(tables.apps.c.id))]

    async def app_versions(self) -> dict[str, str]:
        """Of every app: what changes whenever its row, a living instance, a domain or a binding of it changes.

        PostgreSQL keeps with each row the number of the transaction that wrote it. No row is read here but for that,
        and it comes as one text: ten thousand rows of two would keep everybody waiting while they are made.
        """
        lines: str = (await self._ask(_APP_VERSIONS, []))[0]["lines"] or ""
        return dict(line.split(" ", 1) for line in lines.splitlines())  # pyright: ignore[reportArgumentType]

    async def busy_app_ids(self) -> set[str]:
        """Of the apps with active operations. Spelt out, so that the small index of the active ones serves it."""
        return {row["app_id"] for row in await self._rows(_BUSY_APPS)}

    async def active_operations(self, app_id: str) -> list[Operation]:
        """Those that the app's own reconciler drives; a binding's are not among them."""
        return await self.find(Operation, app_id=app_id, kind=APP_KINDS, status=ACTIVE)

    async def release_numbers(self, ids: Iterable[str]) -> dict[str, int]:
        """Release id → number, for those that are there."""
        wanted = list(ids)
        if not wanted:
            return {}
        rows = await self._ask(_NUMBERS, [wanted])
        return {row["id"]: row["number"] for row in rows}

    async def newest_package_seq(self, app_id: str) -> int:
        """The number of an app's newest package; 0 where nothing was uploaded."""
        return await self.last_number(Package, "seq", app_id=app_id)

    async def last_number(self, noun: type[Any], column: str, **equals: Any) -> int:
        """The highest value of a counter column among those that match; 0 where there is none."""
        table = NOUNS[noun]
        rows = await self._rows(select(func.max(table.c[column]).label("n")).where(*_equal(table, equals)))
        return int(rows[0]["n"] or 0)

    async def events(
        self,
        *,
        scope: Scope,
        after: int | None = None,
        before: int | None = None,
        descending: bool = False,
        limit: int = 100,
        equals: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> list[Event]:
        """Events in the order of their numbers (or backwards); `more`: as `eventlog.filters` takes it."""
        where = eventlog.filters(after=after, before=before, **more)
        return await self.find(
            Event, scope=scope, order="seq", descending=descending, limit=limit, where=where, **(equals or {})
        )

    async def event_rows(
        self, *, scope: Scope, after: int, limit: int, equals: Mapping[str, Any] | None = None, **more: Any
    ) -> list[tuple[int, str]]:
        """The same for many: number and JSON text of each."""
        where = [
            *_within(tables.events, scope),
            *_equal(tables.events, equals or {}),
            *eventlog.filters(after=after, **more),
        ]
        return [(row["seq"], row["row"]) for row in await self._rows(eventlog.exporting(where, limit))]

    async def settled(self, horizon: eventlog.Horizon) -> tuple[int, bool]:
        """A sighting for the horizon: numbers first, then who may still hold one."""
        allocated = int((await self._rows(eventlog.ALLOCATED))[0]["allocated"])
        holders = frozenset(str(row["holder"]) for row in await self._rows(eventlog.HOLDERS))
        return horizon.observe(allocated, holders), horizon.waits

    async def token_by_hash(self, digest: str) -> TokenRecord | None:
        """The token and its user, in two queries; the caller checks expiry."""
        found = await self.find(Token, limit=1, hash=digest)
        if not found:
            return None
        user = await self.one(User, found[0].user_id)
        return TokenRecord(found[0], user) if user else None

    async def login(self, name: str) -> LoginRecord | None:
        rows = await self._rows(select(tables.users).where(tables.users.c.name == name))
        if not rows:
            return None
        row = rows[0]
        user = (
            await self._with_bindings(
                [self._codecs.of(User).decode([row[c.name] for c in self._codecs.of(User).columns])]
            )
        )[0]
        return LoginRecord(user, row["password_hash"], row["failed_logins"], row["locked_until"])

    async def locks(self, users: Mapping[str, str], now: datetime) -> dict[str, datetime]:
        """Of users (id: hash of the name), those locked after failed log-ins, for a source or for all; until when."""
        found: dict[str, datetime] = {
            r["id"]: r["until"] for r in await self._rows(statements.locked_users(users, now))
        }
        until = {r["name_hash"]: r["until"] for r in await self._rows(statements.locked_names(users.values(), now))}
        for user_id, name_hash in users.items():
            if name_hash in until:
                found[user_id] = max(until[name_hash], found.get(user_id, until[name_hash]))
        return found

    async def certificate_papers(self, ids: Iterable[str]) -> dict[str, CertificatePapers]:
        """Chains and opened keys, for the edge alone."""
        table = tables.certificates
        statement = select(table.c.id, table.c.chain, table.c.sealed_key).where(table.c.id.in_(list(ids)))
        found = await self._rows(statement)
        return {r["id"]: CertificatePapers(r["chain"], self._codecs.keyring.open(r["sealed_key"])) for r in found}

    async def usage(self, column: str, key: str, default_memory_mb: int) -> tuple[int, int, int]:
        """Apps, instances and memory (MiB) that are wanted where `column` (`space_id`, `organization_id`) is `key`."""
        row = (await self._rows(statements.usage(column, key, default_memory_mb)))[0]
        return int(row["apps"]), int(row["instances"]), int(row["memory_mb"])

    async def idempotent(self, key: str) -> Idempotent | None:
        rows = await self._rows(select(tables.idempotency).where(tables.idempotency.c.key == key))
        if not rows:
            return None
        row = rows[0]
        body = orjson.loads(self._codecs.keyring.open(row["body"])) if row["body"] else None
        return Idempotent(
            row["key"], row["fingerprint"], row["status"], body, row["created_at"], row["owner"], row["done"]
        )


class Writing(Reading):
    """One read-write transaction. Events are written at its end; wake-ups are published after its commit."""

    _committed = False

    def __init__(self, connection: AsyncConnection, codecs: Codecs) -> None:
        super().__init__(connection, codecs)
        self.wakes: list[Wake] = []
        self.noted: list[dict[str, Any]] = []
        self.nouns: set[type[Any]] = set()  # whose rows it may have changed

    def unrecorded(self, why: str) -> None:
        """Says that this transaction changes something and means to write no event (see `audited`)."""

    async def finish(self) -> None:
        """The last thing before the commit: so the log's lock is held, and numbers are open, for as short as can be."""
        for event in self.noted:
            await self._connection.execute(eventlog.INSERT, eventlog.row_of(event))

    def wake(self, kind: str, key: str) -> None:
        self.wakes.append(Wake(kind, key))

    async def lock(self, noun: type[T], key: str) -> T | None:
        """The one with this id, held against other writers until the end of the transaction."""
        codec = self._codecs.of(noun)
        found = await self._values(codec, codec.locking, {"key_": key})
        return found[0] if found else None

    async def insert(self, value: Any, **more: Any) -> None:
        """A new one; `more`: columns that the value does not show (hashes). A name taken raises IntegrityError,
        which `Database.writing` turns into `Conflict("name_taken")`."""
        codec: Codec[Any] = self._codecs.of(cast(type[Any], type(value)))
        self.nouns.add(codec.noun)
        await self._connection.execute(codec.insert, {**codec.encode_whole(value), **more})

    def sealed(self, text: str) -> str:
        """A secret as it is kept, for a column that no value shows."""
        return self._codecs.keyring.seal(text)

    async def update(self, noun: type[T], key: str, **changes: Any) -> T | None:
        """Changes some fields; answers the value as it is now, None where there is none with this id."""
        codec = self._codecs.of(noun)
        self.nouns.add(noun)
        values = {f"new_{name}": value for name, value in codec.encode(changes).items()}
        found = await self._values(codec, codec.update(tuple(changes)), {"key_": key, **values})
        return found[0] if found else None

    async def delete(self, noun: type[Any], **equals: Any) -> int:
        """Deletes those that match (at least one condition); answers how many."""
        if not equals:
            raise ValueError("delete needs a condition")
        self.nouns.add(noun)
        table = NOUNS[noun]
        return (await self._connection.execute(delete(table).where(*_equal(table, equals)))).rowcount

    async def event(
        self,
        tag: str,
        *,
        at: datetime,
        actor_id: str | None = None,
        actor_name: str | None = None,
        source: str | None = None,
        tenant_id: str | None = None,
        organization_id: str | None = None,
        space_id: str | None = None,
        app_id: str | None = None,
        object_id: str | None = None,
        object_kind: str | None = None,
        object_name: str | None = None,
        outcome: Outcome | None = None,
        before: JsonObject | None = None,
        after: JsonObject | None = None,
        data: JsonObject | None = None,
        request_id: str | None = None,
        token_id: str | None = None,
        user_agent: str | None = None,
    ) -> None:
        """Notes what happened, to be written at the end of this same transaction. No field ever holds a secret.

        The actor is the platform where none is named; the outcome is the tag's last word's where none is given.
        """
        row = {
            "at": at,
            "tag": tag,
            "actor_id": actor_id,
            "actor_name": actor_name or "platform",
            "source": source,
            "tenant_id": tenant_id,
            "organization_id": organization_id,
            "space_id": space_id,
            "app_id": app_id,
            "object_id": object_id,
            "object_kind": object_kind or kind_of(object_id, tag),
            "object_name": object_name[:255] if object_name else None,
            "outcome": (outcome or outcome_of(tag)).value,
            "before": None if before is None else orjson.loads(orjson.dumps(before)),
            "after": None if after is None else orjson.loads(orjson.dumps(after)),
            "data": orjson.loads(orjson.dumps(data or {})),
            "request_id": request_id,
            "token_id": token_id,
            "user_agent": user_agent,
        }
        self.noted.append(row)
        self.wake("event", tag)

    async def add_delivery(self, delivery: Delivery) -> None:
        """Another attempt of a webhook; the last ones are kept."""
        await self.insert(delivery)
        table = tables.webhook_deliveries
        own = table.c.webhook_id == delivery.webhook_id
        kept = select(table.c.id).where(own).order_by(table.c.id.desc()).limit(KEPT_DELIVERIES)
        await self._connection.execute(delete(table).where(own, table.c.id.not_in(kept)))

    async def prune_events(self, before: datetime, limit: int) -> int:
        """Removes at most so many events older than this, the oldest first; answers how many."""
        return (await self._connection.execute(eventlog.prune(before, limit))).rowcount

    async def claim_idempotency(self, key: str, fingerprint: str, now: datetime, owner: str) -> bool:
        """Whether the key is this call's to answer; False where it is taken already."""
        statement = (
            pg_insert(tables.idempotency)
            .values(key=key, fingerprint=fingerprint, created_at=now, owner=owner)
            .on_conflict_do_nothing()
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def mark_idempotency(self, key: str, done: str) -> None:
        """In the work's own transaction: it is done if and only if this is seen."""
        table = tables.idempotency
        await self._connection.execute(update(table).where(table.c.key == key).values(done=done))

    async def answer_idempotency(self, key: str, status: int, body: JsonObject) -> None:
        sealed = self._codecs.keyring.seal(orjson.dumps(body).decode())
        table = tables.idempotency
        await self._connection.execute(update(table).where(table.c.key == key).values(status=status, body=sealed))

    async def forget_idempotency(self, key: str, fingerprint: str | None = None) -> None:
        """Frees a key under which nothing was done; with `fingerprint` also one of which all is known."""
        table = tables.idempotency
        known = table.c.done.is_(None) if fingerprint is None else table.c.fingerprint == fingerprint
        await self._connection.execute(delete(table).where(table.c.key == key, known))

    async def purge_idempotency(self, before: datetime) -> int:
        """Forgets kept answers that are older; how many."""
        table = tables.idempotency
        return (await self._connection.execute(delete(table).where(table.c.created_at < before))).rowcount

    async def note_login(self, user_id: str, *, failed: int, locked_until: datetime | None) -> None:
        table = tables.users
        await self._connection.execute(
            update(table).where(table.c.id == user_id).values(failed_logins=failed, locked_until=locked_until)
        )

    async def put_on(
        self, noun: type[Any], columns: Iterable[str], by: timedelta, *, answer: str = "id", **equals: Any
    ) -> list[Any]:
        """Moves times of all that match, where there are any: from what stands there at this moment, whatever was
        written meanwhile. Answers one column of each."""
        table = NOUNS[noun]
        self.nouns.add(noun)
        moved = {name: table.c[name] + by for name in columns}
        there = or_(*(table.c[name].is_not(None) for name in moved))
        statement = update(table).where(there, *_equal(table, equals)).values(moved).returning(table.c[answer])
        return list((await self._connection.execute(statement)).scalars())

    async def move_answers(self, by: timedelta) -> None:
        """Puts on the times of kept answers: they are kept for a day, whatever the machine's clock does."""
        table = tables.idempotency
        await self._connection.execute(update(table).values(created_at=table.c.created_at + by))

    async def move_lock_outs(self, by: timedelta) -> None:
        """Puts on the ends of all lock-outs, when the machine's clock was put on."""
        for table in (tables.users, tables.login_failures):
            moved = table.c.locked_until + by
            await self._connection.execute(
                update(table).where(table.c.locked_until.is_not(None)).values(locked_until=moved)
            )

    async def login_failures(self, name_hash: str, source: str) -> tuple[int, datetime | None]:
        """How often a name failed from one source, and until when it is locked for it; held until the end."""
        rows = await self._rows(statements.login_failures(name_hash, source))
        return (rows[0]["failed"], rows[0]["locked_until"]) if rows else (0, None)

    async def note_login_failure(
        self, name_hash: str, source: str, *, failed: int, locked_until: datetime | None, now: datetime
    ) -> None:
        await self._connection.execute(statements.note_login_failure(name_hash, source, failed, locked_until, now))

    async def forget_login_failures(
        self, *, name_hash: str | None = None, source: str | None = None, before: datetime | None = None
    ) -> None:
        if name_hash is None and before is None:
            raise ValueError("forgetting needs a condition")
        await self._connection.execute(statements.forget_login_failures(name_hash, source, before))

    async def set_password(self, user_id: str, password_hash: str) -> None:
        table = tables.users
        await self._connection.execute(update(table).where(table.c.id == user_id).values(password_hash=password_hash))


class Database:
    """The store. `url`: `postgresql+asyncpg://…`. Errors: `Unavailable("database_away")`, `Conflict("name_taken")`."""

    def __init__(self, url: str, keyring: Keyring, hub: Hub, *, pool_size: int = 10) -> None:
        self.hub = hub
        self._codecs = Codecs(keyring)
        self._writers: set[asyncio.Future[None]] = set()
        self._identities = identities.Identities()
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=30,
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            connect_args={"timeout": 10, "command_timeout": 60},
            hide_parameters=True,  # an error that is logged must not tell hashes and sealed values
        )
        self._horizon = eventlog.Horizon()
        self._writing: type[Writing] = Writing
        listen(self._engine.sync_engine, "checkout", _alive)
        # Each question sees what is committed by then, in a transaction or not; without one it is a third of the trips.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def close(self) -> None:
        await self._engine.dispose()

    async def ping(self) -> None:
        """Raises `Unavailable` where the database can't be asked."""
        async with self.reading() as tx:
            await tx.count(Token, id="")

    @cached_property
    def audited(self) -> "Database":
        """The same store for what people's calls change: no change without its event (see `audited`)."""
        from gongfang.state.audited import AuditedWriting

        twin = copy(self)
        twin._writing = AuditedWriting
        return twin

    async def settled(self) -> tuple[int, bool]:
        """The number up to which no event will appear any more; and whether higher ones are still on their way."""
        horizon, asked = self._horizon, self._horizon.begun
        async with horizon.order:
            if horizon.begun > asked:  # it began after this was asked, and is done
                return horizon.settled, horizon.waits
            horizon.begun += 1
            try:
                async with self.reading() as tx:
                    return await tx.settled(horizon)
            except BaseException:
                horizon.begun -= 1
                raise

    async def older_writers_ended(self) -> None:
        """Returns when every transaction that is open for writing now has ended."""
        open_now = list(self._writers)
        if open_now:
            await asyncio.wait(open_now)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Reading]:
        with _translated():
            async with self._reading.connect() as connection:
                yield Reading(connection, self._codecs)

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[Writing]:
        """Commits at the end of the block, rolls back on any error, then publishes what was woken."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writers.add(ended)
        nouns = set[type[Any]]()
        try:
            with _translated():
                async with self._engine.begin() as connection:
                    tx = self._writing(connection, self._codecs)
                    nouns = tx.nouns
                    yield tx
                    await tx.finish()
        finally:
            if not nouns.isdisjoint(identities.NOUNS):
                self._identities.forget()
            self._writers.discard(ended)
            ended.set_result(None)
        self.hub.publish(tx.wakes)

    async def token(self, digest: str) -> TokenRecord | None:
        """The token with this hash and its user, as of now; the caller checks expiry. Mostly without asking."""

        async def read(digest: str) -> TokenRecord | None:
            async with self.reading() as tx:
                return await tx.token_by_hash(digest)

        return await self._identities.find(digest, read)


def _alive(connection: Any, *_: object) -> None:
    """A connection that the server has closed meanwhile is not lent: the pool makes another. Asks nobody."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


# Beginnings of SQLSTATEs of a server that does not serve now: connection lost, rolled back by a deadlock, out of
# connections or disk, shutting down or starting up.
_AWAY = ("08", "40", "53", "57P")


_DISK_FULL = "53100"
_UNIQUE = "23505"  # SQLSTATE unique_violation
_GONE = "23503"  # SQLSTATE foreign_key_violation: what a new row hangs on was deleted in the meantime


@contextmanager
def _translated():
    """The driver's errors in the platform's words."""
    try:
        yield
    except IntegrityError as error:
        if _sqlstate(error.orig) == _GONE:
            raise Conflict("deleted_meanwhile") from error
        if _sqlstate(error.orig) != _UNIQUE:
            raise
        raise Conflict("name_taken") from error
    except asyncpg.DataError as error:
        raise Invalid("value_out_of_range") from error
    except (InterfaceError, asyncpg.InterfaceError, PoolTimeout, OSError, TimeoutError) as error:
        raise Unavailable("database_away", retry_after=2) from error
    except asyncpg.PostgresError as error:
        if _sqlstate(error).startswith(_AWAY):
            raise Unavailable("database_away", retry_after=2) from error
        if _sqlstate(error).startswith("22"):
            raise Invalid("value_out_of_range") from error
        raise
    except DBAPIError as error:
        if _sqlstate(error.orig) == _DISK_FULL:
            raise Unavailable("database_disk_full", retry_after=30) from error
        if error.connection_invalidated or _sqlstate(error.orig).startswith(_AWAY):
            raise Unavailable("database_away", retry_after=2) from error
        if isinstance(error, DataError) or "DataError" in repr(error.orig):
            raise Invalid("value_out_of_range") from error
        raise


def _sqlstate(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")
