"""Rows to domain values and back, driven by the values' own fields: no noun is described a second time here.

A column has the name of its field. A nested value is JSON; an `AppConfig`'s environment is sealed
(`Keyring`), and so is a column whose `info` says `sealed`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import orjson
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Integer, Select, Table, any_, bindparam, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from gongfang.domain import hosting, quotas, services, values, webhooks
from gongfang.domain.certificates import Certificate
from gongfang.domain.egress import EgressPolicy
from gongfang.state import tables
from gongfang.state.crypto import Keyring

T = TypeVar("T")

KEPT = 40_000  # values of a noun
_KEPT_NOUNS = (values.App, values.Instance, values.Domain)  # which lists are made of

_DIALECT = asyncpg_dialect.dialect()


class Codec(Generic[T]):
    """One noun: its table, its columns, and how its values cross over."""

    def __init__(self, noun: type[T], table: Table, keyring: Keyring) -> None:
        self.noun = noun
        self.table = table
        self._keyring = keyring
        self._adapter = TypeAdapter(noun)
        names = {f.name for f in dataclasses.fields(cast(Any, noun))}
        self.columns = [c for c in table.columns if c.name in names]
        self._sealed = {c.name for c in self.columns if c.info.get("sealed")}
        self._names = [c.name for c in self.columns]
        self._json = {c.name for c in self.columns if isinstance(c.type, JSONB)}
        self._versioned = noun in _KEPT_NOUNS
        self._kept: dict[str, tuple[int, T]] = {}
        # Statements are made once each: to make one and to find out that it is known takes longer than the database.
        self.insert = insert(table)
        self._selects: dict[Any, Select[Any]] = {}
        self._questions: dict[Any, tuple[str, tuple[str, ...]]] = {}
        self._updates: dict[tuple[str, ...], Any] = {}

    @cached_property
    def locking(self) -> Select[Any]:
        """The row whose id is `key_`, held."""
        return select(*self.columns).where(self.table.c.id == bindparam("key_")).with_for_update()

    def select(self, order: str, equals: Mapping[str, Any], *, descending: bool) -> tuple[Select[Any], dict[str, Any]]:
        """Those whose columns equal (for a list: are among) the values, in this order; and the values to bind."""
        values: dict[str, Any] = {}
        shape: list[tuple[str, str]] = []
        for name, value in equals.items():
            if value is None:
                shape.append((name, "none"))
            elif isinstance(value, list | tuple | set | frozenset):
                shape.append((name, "among"))
                values[f"is_{name}"] = list(value)  # pyright: ignore[reportUnknownArgumentType]
            else:
                shape.append((name, "is"))
                values[f"is_{name}"] = value
        key = (order, descending, *shape)
        known = self._selects.get(key)
        if known is None:
            column = self.table.c[order]
            conditions = [self._condition(name, how) for name, how in shape]
            known = select(*self.columns).where(*conditions).order_by(column.desc() if descending else column)
            self._selects[key] = known
        return known, values

    def question(
        self, order: str, equals: Mapping[str, Any], *, descending: bool, after: Any, limit: int | None
    ) -> tuple[str, list[Any]]:
        """The same as text for the driver, whose answers are for `read`, and what it asks with; past `after` in this
        order, at most `limit`."""
        statement, values = self.select(order, equals, descending=descending)
        key = (statement, after is not None, limit is not None)
        known = self._questions.get(key)
        if known is None:
            if self._versioned:
                statement = statement.add_columns(literal_column(f"{self.table.name}.xmin"))
            if after is not None:
                column, past = self.table.c[order], bindparam("after_", type_=self.table.c[order].type)
                statement = statement.where(column < past if descending else column > past)
            if limit is not None:
                statement = statement.limit(bindparam("limit_", type_=Integer()))
            compiled = statement.compile(dialect=_DIALECT)
            known = self._questions[key] = (str(compiled), tuple(compiled.positiontup or ()))
        text, names = known
        more = {"after_": after, "limit_": limit}
        return text, [values[name] if name in values else more[name] for name in names]

    def _condition(self, name: str, how: str) -> ColumnElement[bool]:
        column = self.table.c[name]
        match how:
            case "none":
                return column.is_(None)
            case "among":
                # One statement however many they are: a list spelt out would be another one for each length.
                return column == any_(bindparam(f"is_{name}", type_=ARRAY(column.type)))
            case _:
                return column == bindparam(f"is_{name}", type_=column.type)

    def update(self, names: tuple[str, ...]) -> Any:
        """Of the row whose id is `key_`: these columns become `new_NAME`; answers the row."""
        known = self._updates.get(names)
        if known is None:
            changed = {name: bindparam(f"new_{name}", type_=self.table.c[name].type) for name in names}
            statement = update(self.table).where(self.table.c.id == bindparam("key_")).values(changed)
            known = self._updates[names] = statement.returning(*self.columns)
        return known

    def decode(self, row: Sequence[Any]) -> T:
        """`row`: the values of `columns`, in their order."""
        data: dict[str, Any] = dict(zip(self._names, row, strict=True))
        for name in self._sealed:
            data[name] = None if data[name] is None else self._keyring.open(data[name])
        if "config" in self._json:
            data["config"] = self._open(data["config"])
        return self._adapter.validate_python(data)

    def read(self, row: Sequence[Any], *, committed: bool) -> T:
        """`row`: an answer to a `question`.

        Where a list is made of it, what was decoded last of a row is kept with the transaction that wrote the row
        (`xmin`), and given again as long as that is the same. Only of what is committed: a transaction may write a
        row more than once. Never changed by anybody: values are frozen.
        """
        if not self._versioned:
            return self.decode(row)
        if not committed:
            return self.decode(row[:-1])
        key, version = row["id"], row[-1]  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
        known = self._kept.get(key)  # pyright: ignore[reportUnknownArgumentType]
        if known is not None and known[0] == version:
            return known[1]
        value = self.decode(row[:-1])
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = version, value
        return value

    def encode(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Domain values of some fields as column values."""
        return {name: self._column(name, value) for name, value in changes.items()}

    def encode_whole(self, value: T) -> dict[str, Any]:
        return self.encode({c.name: getattr(value, c.name) for c in self.columns})

    def _column(self, name: str, value: Any) -> Any:
        if name in self._sealed:
            return None if value is None else self._keyring.seal(value)
        if name not in self._json:
            return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if value is None:
            return None
        plain = orjson.loads(orjson.dumps(value if not isinstance(value, Mapping) else dict(value)))  # pyright: ignore[reportUnknownArgumentType]
        return self._seal(plain) if name == "config" else plain

    def _seal(self, config: dict[str, Any]) -> dict[str, Any]:
        environment: Any = config.get("environment") or {}
        sealed = self._keyring.seal(orjson.dumps(environment).decode()) if environment else None
        return {**config, "environment": sealed}

    def _open(self, config: dict[str, Any]) -> dict[str, Any]:
        sealed = config.get("environment")
        return {**config, "environment": orjson.loads(self._keyring.open(sealed)) if sealed else {}}


NOUNS: dict[type[Any], Table] = {
    values.Tenant: tables.tenants,
    values.Organization: tables.organizations,
    values.Space: tables.spaces,
    values.User: tables.users,
    values.RoleBinding: tables.role_bindings,
    values.Token: tables.tokens,
    values.App: tables.apps,
    values.Package: tables.packages,
    values.Build: tables.builds,
    values.Droplet: tables.droplets,
    values.Release: tables.releases,
    values.Instance: tables.instances,
    values.Task: tables.tasks,
    values.Domain: tables.domains,
    values.Operation: tables.operations,
    values.Event: tables.events,
    quotas.Quota: tables.quotas,
    webhooks.Webhook: tables.webhooks,
    webhooks.Delivery: tables.webhook_deliveries,
    Certificate: tables.certificates,
    EgressPolicy: tables.egress_policies,
    services.ServiceBroker: tables.service_brokers,
    services.Offering: tables.service_offerings,
    services.ServicePlan: tables.service_plans,
    services.ServiceAccess: tables.service_access,
    services.ServiceInstance: tables.service_instances,
    services.ServiceBinding: tables.service_bindings,
    services.Orphan: tables.broker_orphans,
    hosting.HostedInstance: tables.hosted_instances,
    hosting.HostedBinding: tables.hosted_bindings,
}
