"""Pages of lists: `?limit=` and an opaque `?cursor=`, which holds the order value of the last item given."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

from gongfang.domain.errors import invalid_field

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paging:
    """`after`: the order value that the page goes on from, None at the beginning."""

    limit: int
    after: str | None

    @property
    def one_more(self) -> int:
        """How many to ask for, so as to know whether there is another page."""
        return self.limit + 1

    @property
    def after_number(self) -> int | None:
        """For lists ordered by a number."""
        if self.after is None:
            return None
        if not (self.after.isascii() and self.after.isdecimal()) or len(self.after) > 18:
            raise invalid_field("cursor", "cursor_invalid")
        return int(self.after)

    def page(self, found: Sequence[T], order: Callable[[T], Any], present: Callable[[T], Any]) -> dict[str, Any]:
        """`data` of a list, from at most `one_more` items."""
        shown = found[: self.limit]
        more = len(found) > self.limit
        return {
            "items": [present(item) for item in shown],
            "next_cursor": encode(str(order(shown[-1]))) if more and shown else None,
        }


def encode(value: str) -> str:
    return base64.urlsafe_b64encode(b"1" + value.encode()).decode("ascii").rstrip("=")


def decode(cursor: str) -> str:
    """Raises `Invalid` on what was never a cursor."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid_field("cursor", "cursor_invalid") from error
    if not text.startswith("1") or not text.isprintable():
        raise invalid_field("cursor", "cursor_invalid")
    return text[1:]


async def _paging(
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most")] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
) -> Paging:
    return Paging(limit, decode(cursor) if cursor is not None else None)


Pages = Annotated[Paging, Depends(_paging)]
