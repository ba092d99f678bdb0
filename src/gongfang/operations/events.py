"""What happened: the event log, which is the audit trail too."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from gongfang.domain.errors import invalid_field
from gongfang.domain.ids import is_id
from gongfang.domain.values import Event, Permission
from gongfang.operations.context import Context, find_app


async def list_events(
    context: Context,
    *,
    app_ref: str | None = None,
    tag: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Event]:
    """Events that the caller may read, the newest first. `tag` may end in `*`; `before`: a sequence number.

    An app that is gone is asked for by its id; its events stay for those who may read its space's.
    """
    async with context.database.reading() as tx:
        equals: dict[str, Any] = {"app_id": await app_id_of(context, app_ref)} if app_ref is not None else {}
        return await tx.events(
            scope=context.caller.scope(Permission.event_read),
            tag=tag,
            since=since,
            until=until,
            before=before,
            descending=True,
            limit=limit,
            equals=equals,
        )


async def app_id_of(context: Context, ref: str) -> str:
    """The id of an app named by id or name. An id is taken as it is: the app may be gone, and what is asked of it is
    cut down to what the caller may read anyway."""
    if is_id(ref):
        return ref
    async with context.database.reading() as tx:
        return (await find_app(tx, context, ref)).id


async def events_after(
    context: Context, seq: int, *, app_id: str | None = None, tag: str | None = None, limit: int = 200
) -> tuple[list[Event], int, bool]:
    """Events past a number in the order of their numbers, for streams: none is ever skipped, and none comes twice.

    Beside them: the number that the next call goes on from, and whether events are on their way that will be here in a
    moment. Only settled numbers are read: below them nothing will appear any more (`state.eventlog`).
    """
    settled, more = await context.database.settled()
    if settled <= seq:
        return [], seq, more
    equals: dict[str, Any] = {"app_id": app_id} if app_id is not None else {}
    async with context.database.reading() as tx:
        scope = context.caller.scope(Permission.event_read)
        found = await tx.events(scope=scope, after=seq, upto=settled, tag=tag, limit=limit, equals=equals)
    full = len(found) == limit
    return found, found[-1].seq if full else settled, more or full


async def newest_event(context: Context) -> int:
    """The number that a stream "from now on" begins behind: all up to it was there before."""
    return (await context.database.settled())[0]


async def export(
    context: Context,
    *,
    app_ref: str | None = None,
    tag: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    page: int = 2000,
) -> AsyncGenerator[list[str]]:
    """All events that the caller may read, the oldest first, as JSON texts in pages. What happens meanwhile is not
    among them: it ends with what was settled when it began. Each page is a question of its own, so that an export of
    millions holds neither memory nor a transaction. Raises `Invalid` where the period is none.
    """
    if since is not None and until is not None and since >= until:
        raise invalid_field("since", "period_inverted")
    equals: dict[str, Any] = {"app_id": await app_id_of(context, app_ref)} if app_ref is not None else {}
    scope = context.caller.scope(Permission.event_read)
    settled, _ = await context.database.settled()

    async def pages() -> AsyncGenerator[list[str]]:
        after = 0
        while True:
            async with context.database.reading() as tx:
                found = await tx.event_rows(
                    scope=scope,
                    after=after,
                    upto=settled,
                    tag=tag,
                    since=since,
                    until=until,
                    limit=page,
                    equals=equals,
                )
            if found:
                after = found[-1][0]
                yield [row for _, row in found]
            if len(found) < page:
                return

    return pages()
