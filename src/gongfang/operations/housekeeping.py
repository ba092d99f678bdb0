"""What only the platform's administrators may have done to the whole of it: clear up, rotate keys.

The work is a reconciler's; it is handed in, and it writes its own event, in the name of whoever asked.
"""

from collections.abc import Awaitable
from typing import TypeVar

from gongfang.domain.errors import Forbidden, Unavailable
from gongfang.domain.values import Permission, Place
from gongfang.operations.context import Context

T = TypeVar("T")


def may_keep_house(context: Context) -> None:
    """Raises `Forbidden` for everybody who is no administrator of the whole platform."""
    if not context.caller.may(Permission.platform_write, Place()):
        raise Forbidden("forbidden", permission=Permission.platform_write.value)


async def done(work: Awaitable[T] | None) -> T:
    """Its answer. Raises `Unavailable("not_here")` where this platform has no such work."""
    if work is None:
        raise Unavailable("not_here")
    return await work
