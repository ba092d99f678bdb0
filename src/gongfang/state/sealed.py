"""Which columns hold sealed values, and how they are sealed anew under the newest key.

A new sealed column is a line in `SEALED`; a rotation of keys then finds it, and a test of the tables asks for it by its
name. Values are taken by pieces with their rows held, so that a writer at the same time neither waits long nor is
overwritten.
"""

from dataclasses import dataclass

from sqlalchemy import text

from gongfang.state.crypto import Keyring
from gongfang.state.database import Database, Writing

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """`inside`: the key of a JSON column under which the sealed text stands; None: the column is the text itself."""

    table: str
    column: str
    key: str = "id"
    inside: str | None = None

    @property
    def value(self) -> str:
        """The sealed text in SQL."""
        return f"{self.column} ->> '{self.inside}'" if self.inside else self.column

    @property
    def changed(self) -> str:
        """The column's new content in SQL, `:sealed` being the new text."""
        if self.inside:
            return f"jsonb_set({self.column}, '{{{self.inside}}}', to_jsonb(CAST(:sealed AS text)))"
        return ":sealed"


SEALED: tuple[SealedColumn, ...] = (
    SealedColumn("apps", "config", inside="environment"),
    SealedColumn("releases", "config", inside="environment"),
    SealedColumn("idempotency", "body", key="key"),
    SealedColumn("certificates", "sealed_key"),
    SealedColumn("webhooks", "url"),
    SealedColumn("webhooks", "secret"),
    SealedColumn("service_brokers", "password"),
    SealedColumn("service_instances", "parameters"),
    SealedColumn("service_instances", "credentials"),
    SealedColumn("service_instances", "parameters_seen"),
    SealedColumn("service_bindings", "credentials"),
    SealedColumn("service_bindings", "parameters"),
    SealedColumn("hosted_instances", "admin_secret"),
    SealedColumn("hosted_bindings", "seed_secret"),
)


async def reseal(database: Database, keyring: Keyring, column: SealedColumn) -> int:
    """Seals every value of a column that is under an older key anew; how many there were. Can be done again, or be
    broken off, at any time."""
    after, changed = "", 0
    while True:
        async with database.writing() as tx:
            last, count = await _piece(tx, keyring, column, after)
        changed += count
        if last is None:
            return changed
        after = last


async def _piece(tx: Writing, keyring: Keyring, column: SealedColumn, after: str) -> tuple[str | None, int]:
    # Names are this program's own, from `SEALED`.
    found = await tx.connection.execute(
        text(
            f"SELECT {column.key}, {column.value} FROM {column.table} WHERE {column.key} > :after"  # noqa: S608
            f" AND ({column.value}) IS NOT NULL ORDER BY {column.key} LIMIT {_AT_ONCE} FOR UPDATE"
        ),
        {"after": after},
    )
    last: str | None = None
    count = 0
    change = text(f"UPDATE {column.table} SET {column.column} = {column.changed} WHERE {column.key} = :key")  # noqa: S608
    for key, value in found.all():
        last = key
        fresh = keyring.reseal(value)
        if fresh is not None:
            await tx.connection.execute(change, {"sealed": fresh, "key": key})
            count += 1
    return last, count
