"""What is being done, and what happened: operations, builds, one-off tasks, events."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import httpx2

from gongfang.client.errors import PlatformAway
from gongfang.client.http import WAIT_LIMIT
from gongfang.client.pages import Pages
from gongfang.client.resources import logs
from gongfang.client.resources.base import Resource, given, part
from gongfang.client.streams import messages
from gongfang.wire.models import BuildOut, EventOut, LogLine, OperationOut, TaskOut


class Operations(Resource):
    """`client.operations`."""

    def list(
        self, *, app_id: str | None = None, status: str | None = None, page_size: int | None = None
    ) -> Pages[OperationOut]:
        """The newest first."""
        return self._list("/operations", OperationOut, {"app_id": app_id, "status": status}, page_size)

    def get(self, operation_id: str, *, wait: float | None = None) -> OperationOut:
        """How it stands; with `wait`, after its end or so many seconds. A failed one is an answer, not an error."""
        return self._get(f"/operations/{part(operation_id)}", OperationOut, wait=wait)

    def wait(self, operation_id: str, timeout: float | None = None) -> OperationOut:
        """Waits for the end, also across a restart of the platform; a failed operation is an answer, not an error.

        Raises `TimeoutError` where it still runs after `timeout` seconds. Every operation has a deadline of its own.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_LIMIT if limit is None else limit - time.monotonic()
            operation = self.get(operation_id, wait=max(0.0, min(60.0, left)))
            if operation.status.ended:
                return operation
            if limit is not None and time.monotonic() >= limit:
                raise TimeoutError(f"operation {operation_id} is still {operation.status} after {timeout:g} s")

    def cancel(self, operation_id: str) -> OperationOut:
        return self._post(f"/operations/{part(operation_id)}/cancel", OperationOut)

    def watch(self, operation_id: str) -> Iterator[OperationOut | LogLine]:
        """The operation each time it changes, and the lines of its build, until it has ended."""
        done: set[str] = set()
        for message in messages(self._http, f"/operations/{part(operation_id)}/events", ended=lambda: bool(done)):
            if message.event == "operation":
                operation = OperationOut.model_validate_json(message.data)
                if operation.status.ended:
                    done.add(operation.id)
                yield operation
            elif message.event == "log":
                yield LogLine.model_validate_json(message.data)


class Builds(Resource):
    """`client.builds`."""

    def get(self, build_id: str) -> BuildOut:
        return self._get(f"/builds/{part(build_id)}", BuildOut)

    def log(self, build_id: str, *, follow: bool = False) -> Iterator[LogLine]:
        """Its output; with `follow`, as it comes and until the build has ended."""
        path = f"/builds/{part(build_id)}/log"
        return logs.follow(self._http, path, {}) if follow else logs.read(self._http, path, {})


class Tasks(Resource):
    """`client.tasks`: one-off commands in an app's own environment."""

    def create(
        self, app: str, command: str, *, memory_mb: int | None = None, timeout_s: float | None = None
    ) -> TaskOut:
        """Runs a shell line once. `timeout_s`: seconds after which it is ended (3600 where not given)."""
        body = given(command=command, memory_mb=memory_mb, timeout_s=timeout_s)
        data = self._http.call("POST", f"/apps/{part(app)}/tasks", json=body).data
        return TaskOut.model_validate(data.get("task", data))

    def list(self, app: str, *, page_size: int | None = None) -> Pages[TaskOut]:
        return self._list(f"/apps/{part(app)}/tasks", TaskOut, page_size=page_size)

    def get(self, task_id: str) -> TaskOut:
        return self._get(f"/tasks/{part(task_id)}", TaskOut)

    def cancel(self, task_id: str) -> TaskOut:
        return self._post(f"/tasks/{part(task_id)}/cancel", TaskOut)

    def log(
        self, task_id: str, *, follow: bool = False, on_end: Callable[[TaskOut], None] | None = None
    ) -> Iterator[LogLine]:
        """Its output; with `follow`, as it comes and until the task has ended: `on_end` then gets the ended task."""
        path = f"/tasks/{part(task_id)}/log"
        if not follow:
            return logs.read(self._http, path, {})
        return logs.follow(
            self._http,
            path,
            {},
            None if on_end is None else lambda message: on_end(TaskOut.model_validate_json(message.data)),
        )

    def wait(self, task_id: str) -> TaskOut:
        """The task once it has ended. A failed task is an answer, not an error."""
        ended: list[TaskOut] = []
        for _ in self.log(task_id, follow=True, on_end=ended.append):
            pass
        if not ended:
            raise PlatformAway(self._http.url, "the task's log closed without its end")
        return ended[0]


class Events(Resource):
    """`client.events`: what happened and who did it; the audit trail."""

    def list(
        self,
        *,
        app_id: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int | None = None,
    ) -> Pages[EventOut]:
        params = {"app_id": app_id, "tag": tag, "since": since, "until": until}
        return self._list("/events", EventOut, params, page_size)

    def export(
        self,
        format: str = "jsonl",  # noqa: A002  (the endpoint's own word)
        *,
        app_id: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        bom: bool = False,
    ) -> Iterator[bytes]:
        """All events as a file (`jsonl` or `csv`), the oldest first, in pieces as they come. `bom`: for spreadsheets.

        Raises `PlatformAway` where it breaks off: what came is then not all.
        """
        params = {"format": format, "app_id": app_id, "tag": tag, "since": since, "until": until, "bom": bom or None}
        try:
            with self._http.open_stream("/events/export", params, {"accept": "*/*"}, 60.0) as response:
                yield from response.iter_bytes()
        except httpx2.TransportError as error:
            raise self._http.away(error) from error

    def stream(
        self, *, app_id: str | None = None, tag: str | None = None, after: int | None = None
    ) -> Iterator[EventOut]:
        """Events as they happen, until broken off. `after`: the `seq` of the last one already known."""
        last_id = "" if after is None else str(after)
        params = {"app_id": app_id, "tag": tag}
        for message in messages(self._http, "/events/stream", params, last_id=last_id):
            yield EventOut.model_validate_json(message.data)
