"""What happened: the event log, which is the audit trail too."""

from datetime import datetime
from typing import Any

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
            **equals,
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
) -> list[Event]:
    """Events past a sequence number in the order of their numbers, for streams."""
    equals: dict[str, Any] = {"app_id": app_id} if app_id is not None else {}
    async with context.database.reading() as tx:
        scope = context.caller.scope(Permission.event_read)
        return await tx.events(scope=scope, after=seq, tag=tag, limit=limit, **equals)


async def newest_event(context: Context) -> int:
    """The highest sequence number that there is; 0 on an empty log."""
    async with context.database.reading() as tx:
        return await tx.last_number(Event, "seq")
