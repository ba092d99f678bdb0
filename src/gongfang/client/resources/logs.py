"""Log pages and followed logs: the same of apps, builds and tasks."""

from collections.abc import Callable, Iterator
from datetime import datetime

from gongfang.client.http import Http, Params, Value
from gongfang.client.streams import Message, messages
from gongfang.wire.models import LogLine, LogPage

__all__ = ["LogLine", "follow", "read"]


MOST = 10_000
"""How many lines the platform gives at a time."""


def read(http: Http, path: str, params: Params) -> Iterator[LogLine]:
    """The lines that there are now: the last `tail`, or as many as the platform gives."""
    found = http.call("GET", path, params={**params, "tail": _tail(params)})
    yield from LogPage.model_validate(found.data).items


def follow(http: Http, path: str, params: Params, on_end: Callable[[Message], None] | None = None) -> Iterator[LogLine]:
    """Lines as they come. `on_end` gets the message that closes the log of a task or build; an app's never closes."""
    for message in messages(http, path, {**params, "tail": _tail(params), "follow": True}):
        if message.event == "line":
            yield LogLine.model_validate_json(message.data)
        elif message.event == "end":
            if on_end is not None:
                on_end(message)
            return


def _tail(params: Params) -> Value:
    tail = params.get("tail")
    return MOST if tail is None else tail


def window(since: datetime | None, until: datetime | None, tail: int | None) -> dict[str, datetime | int | None]:
    """The parameters that cut a piece out of a log."""
    return {"since": since, "until": until, "tail": tail}
