"""Values that are asked of and told by the store, and are nobody else's nouns."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gongfang.domain.values import JsonObject, Token, User

ANSWERS_KEPT = timedelta(hours=24)
"""How long the first answer to a POST with an `Idempotency-Key` is given again."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see of a list: everything, or what lies in these tenants, organisations and spaces."""

    everything: bool = False
    tenants: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()
    spaces: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """A user with what a log-in is checked against, and how often it went wrong lately."""

    user: User
    password_hash: str
    failed_logins: int
    locked_until: datetime | None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    token: Token
    user: User


@dataclass(frozen=True, slots=True)
class Idempotent:
    """The first answer to a POST with an `Idempotency-Key`; `status` None while it is being worked on.

    `owner`: which control plane works on it. `done`: what the work made or changed, written in the work's own
    transaction: an id, or an empty text where it has none. None: nothing has been done yet.
    """

    key: str
    fingerprint: str  # of method, path and body: another request under the same key is an error
    status: int | None
    body: JsonObject | None
    created_at: datetime
    owner: str | None
    done: str | None


@dataclass(frozen=True, slots=True)
class CertificatePapers:
    """A certificate's PEM chain and its private key, which no log or answer shows."""

    chain: str
    key: str = field(repr=False)
