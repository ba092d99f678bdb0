"""Server-sent events that survive a restart of the platform: a stream that breaks off goes on after its last id."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic_core import from_json

from gongfang.client.errors import ApiError, UnavailableError
from gongfang.client.http import Http, Params, backoff

SILENCE = 45.0
"""Seconds without a byte after which a stream counts as broken: the platform says something every 15."""

LASTING = 5.0
"""Seconds that a connection without a message must have lasted to count as one that worked."""


def _error(data: str) -> ApiError:
    """What the platform says when it can't go on with a stream that it began."""
    said = from_json(data)
    return ApiError(str(said.get("code", "stream_failed")), str(said.get("message", data)), 200)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream; `data` is the JSON as it was sent."""

    id: str
    event: str
    data: str

    def json(self) -> Any:
        return from_json(self.data)


def messages(
    http: Http,
    path: str,
    params: Params | None = None,
    *,
    ended: Callable[[], bool] = lambda: False,
    last_id: str = "",
    patience: float = 60.0,
) -> Iterator[Message]:
    """The messages of a stream, reconnecting until `ended` says that the last one was seen.

    `patience`: seconds after which a platform that is away is given up (`PlatformAway`). The very first connection is
    given up sooner, after the client's retries. Raises `ApiError` where the platform refuses, at once or midway.
    """
    connected_once = False
    attempt = 0
    heard = time.monotonic()
    while True:
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if last_id:
            headers["last-event-id"] = last_id
        problem: Exception | None = None
        opened: float | None = None
        try:
            with http.open_stream(path, params, headers, SILENCE) as response:
                connected_once = True
                opened = time.monotonic()
                if response.status_code == 204:
                    return
                for sse in httpx2.EventSource(response):
                    attempt = 0
                    heard = time.monotonic()
                    last_id = sse.id or last_id
                    if sse.event == "error":
                        raise _error(sse.data)
                    if sse.data:
                        yield Message(sse.id, sse.event, sse.data)
        except httpx2.SSEError as error:  # not an event stream at all: trying again would not make it one
            raise http.away(error) from error
        except (httpx2.TransportError, UnavailableError) as error:
            problem = error
        if ended():
            return
        if opened is not None and time.monotonic() - opened > LASTING:  # it was a connection, if a quiet one
            attempt = 0
            heard = time.monotonic()
        attempt += 1
        waited_out = time.monotonic() - heard > patience
        if waited_out or (not connected_once and attempt > http.retries):
            if isinstance(problem, UnavailableError):
                raise problem
            raise http.away(problem or ConnectionError("the stream ended early")) from problem
        time.sleep(backoff(attempt))
