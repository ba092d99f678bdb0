"""The error tree. Every error that a caller may see has a stable code, and its words live in `messages`.

    GongfangError
    ├── NotFound        what was named is not there, or the caller may not know that it is
    ├── Unauthenticated nobody, or somebody whose token is wrong or expired
    ├── Forbidden       somebody known, who may not do this
    ├── Conflict        right in itself, but not in the present state
    ├── Precondition    the caller's picture (`If-Match`) is out of date
    ├── Invalid         a value at fault; `details` says which field
    ├── TooLarge        a body or an archive over its limit
    ├── QuotaExceeded   more than was granted
    ├── TooMany         too often; trying again later helps (`retry_after` seconds)
    └── Unavailable     not now; trying again may help (`retry_after` seconds)

Drivers (runtimes, edge, toolbox, blobs) raise only `Rejected(reason)` and `Unavailable`; anything else is a bug.
No HTTP here: one table in `api` maps kinds to statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is as it is: a code of `messages.CATALOGUE` and the facts to fill in. Stored; worded when read."""

    code: str
    facts: dict[str, str | int | float]

    def to_json(self) -> dict[str, object]:
        return {"code": self.code, "facts": self.facts}

    @staticmethod
    def from_json(data: dict[str, object] | None) -> "Reason | None":
        if not data:
            return None
        facts = data.get("facts")
        return Reason(str(data["code"]), dict(facts) if isinstance(facts, dict) else {})  # pyright: ignore[reportUnknownArgumentType]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault. `field` is a dotted path (`processes.web.memory_mb`); `code`+`facts` word the fault."""

    field: str
    code: str
    facts: dict[str, str | int | float]


class GongfangError(Exception):
    """An error with a stable code. `facts` fill its message; they never hold a secret."""

    kind: ClassVar[str] = "internal"

    def __init__(self, code: str, *, details: Sequence[FieldError] = (), **facts: str | int | float) -> None:
        super().__init__(code, facts)
        self.code = code
        self.facts = facts
        self.details = tuple(details)

    @property
    def reason(self) -> Reason:
        return Reason(self.code, dict(self.facts))

    def __str__(self) -> str:
        from gongfang.domain.messages import words

        return words(self.code, self.facts, "en")


class NotFound(GongfangError):
    kind = "not_found"


class Unauthenticated(GongfangError):
    kind = "unauthenticated"


class Forbidden(GongfangError):
    kind = "forbidden"


class Conflict(GongfangError):
    kind = "conflict"


class Precondition(GongfangError):
    kind = "precondition"


class Invalid(GongfangError):
    kind = "invalid"


class TooLarge(GongfangError):
    kind = "too_large"


class QuotaExceeded(GongfangError):
    kind = "quota_exceeded"


class TooMany(GongfangError):
    """Too often from one place. `retry_after`: seconds after which trying again makes sense."""

    kind = "too_many"

    def __init__(self, code: str, *, retry_after: float, **facts: str | int | float) -> None:
        super().__init__(code, details=(), **facts)
        self.retry_after = retry_after


class Unavailable(GongfangError):
    """Not now. `retry_after`: seconds after which trying again makes sense."""

    kind = "unavailable"

    def __init__(self, code: str, *, retry_after: float = 1.0, **facts: str | int | float) -> None:
        super().__init__(code, details=(), **facts)
        self.retry_after = retry_after


class Rejected(GongfangError):
    """A driver will not do it, now or later, as it was asked: the reason's code and facts say why."""

    kind = "invalid"


def invalid_field(field: str, code: str, **facts: str | int | float) -> Invalid:
    """The usual case: one field at fault, under the code `validation_failed`."""
    return Invalid("validation_failed", details=[FieldError(field, code, facts)])
