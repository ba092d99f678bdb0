"""What is remembered: PostgreSQL behind repositories that give and take domain values.

`Database.reading()` gives a `Reading`, `Database.writing()` a `Writing`: one transaction each, different types, so a
signature shows who may change things. Tables and SQLAlchemy never leave this package. Events are written in the same
transaction as what they tell of; wake-ups and events are published after the commit.
"""

from gongfang.state.audited import EventForgotten
from gongfang.state.crypto import Keyring
from gongfang.state.database import Database, Reading, Writing
from gongfang.state.hub import Hub, Wake
from gongfang.state.records import ANSWERS_KEPT, CertificatePapers, Idempotent, LoginRecord, Scope
from gongfang.state.schema import migrate, reachable, schema_differences

__all__ = [
    "ANSWERS_KEPT",
    "CertificatePapers",
    "Database",
    "EventForgotten",
    "Hub",
    "Idempotent",
    "Keyring",
    "LoginRecord",
    "Reading",
    "Scope",
    "Wake",
    "Writing",
    "migrate",
    "reachable",
    "schema_differences",
]
