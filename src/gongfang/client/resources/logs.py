"""Log pages and followed logs: the same of apps, builds and tasks."""

from collections.abc import Callable, Iterator
from datetime import datetime

from gongfang.client.http import Http, Params
from gongfang.client.streams import Message, messages
from gongfang.wire.models import LogLine, LogPage

__all__ = ["LogLine", "follow", "read"]


def read(http: Http, path: str, params: Params) -> Iterator[LogLine]:
    """The lines that there are now, page by page until a page brings no more."""
    cursor: str | None = None
    while True:
        page = LogPage.model_validate(http.call("GET", path, params={**params, "cursor": cursor}).data)
        yield from page.items
        # A log's cursor goes on after its last line even where nothing follows yet, so only an empty page is the end;
        # `tail` asks for the last lines, after which there is nothing to page to.
        if not page.items or page.next_cursor is None or page.next_cursor == cursor or params.get("tail") is not None:
            return
        cursor = page.next_cursor


def follow(http: Http, path: str, params: Params, on_end: Callable[[Message], None] | None = None) -> Iterator[LogLine]:
    """Lines as they come. `on_end` gets the message that closes the log of a task or build; an app's never closes."""
    for message in messages(http, path, {**params, "follow": True}):
        if message.event == "line":
            yield LogLine.model_validate_json(message.data)
        elif message.event == "end":
            if on_end is not None:
                on_end(message)
            return


def window(since: datetime | None, until: datetime | None, tail: int | None) -> dict[str, datetime | int | None]:
    """The parameters that cut a piece out of a log."""
    return {"since": since, "until": until, "tail": tail}
