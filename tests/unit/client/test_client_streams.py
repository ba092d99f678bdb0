"""Streams go on after the last id that was seen, and end where they should."""

import pytest

from gongfang.client import ApiError, Client, NotFoundError, PlatformAway
from gongfang.client.streams import messages
from gongfang.wire.models import LogLine, OperationOut, TaskOut
from tests.unit.client.speaking_platform import NOW, Platform, Trouble, line, message, operation_json, task_json


def test_an_operation_is_watched_through_a_broken_connection(platform: Platform, client: Client) -> None:
    app = platform.add_app("line-3")
    running = operation_json("op_1", "start", app, "running")
    log = {"at": NOW, "source": "build", "instance_id": "b", "text": "-----> Python"}
    platform.streams["/operations/op_1/events"] = [
        [message(1, "operation", running), message("1.1", "log", log), "id: 9\nevent: oper"],
        [],
        [message(2, "operation", {**running, "status": "succeeded"})],
    ]
    seen = list(client.operations.watch("op_1"))
    assert [type(entry) for entry in seen] == [OperationOut, LogLine, OperationOut]
    assert isinstance(seen[-1], OperationOut)
    assert seen[-1].status == "succeeded"
    assert [call.headers.get("last-event-id") for call in platform.calls] == [None, "1.1", "1.1"]


def test_a_platform_that_is_away_for_a_moment(platform: Platform, client: Client) -> None:
    platform.streams["/events/stream"] = [[_event(1)], [_event(2)]]
    stream = client.events.stream()
    assert next(stream).seq == 1
    platform.troubles = [Trouble(503), Trouble(None)]
    assert next(stream).seq == 2
    stream.close()  # type: ignore[attr-defined]
    assert platform.calls[-1].headers["last-event-id"] == "1"


def test_a_stream_can_begin_after_a_known_event(platform: Platform, client: Client) -> None:
    platform.streams["/events/stream"] = [[_event(8)]]
    assert next(client.events.stream(after=7)).seq == 8
    assert platform.calls[0].headers["last-event-id"] == "7"


def test_followed_lines_of_an_app(platform: Platform, client: Client) -> None:
    platform.streams["/apps/line-3/logs"] = [[line(1, "a"), line(2, "b")], [line(3, "c")]]
    lines = client.apps.logs("line-3", follow=True, tail=2)
    assert [next(lines).text for _ in range(3)] == ["a", "b", "c"]
    assert ("follow", "true") in platform.calls[0].query


def test_a_followed_task_ends_with_its_result(platform: Platform, client: Client) -> None:
    platform.streams["/tasks/task_1/log"] = [
        [line(1, "out"), message(2, "end", task_json(state="failed", exit_code=3))],
    ]
    ended: list[TaskOut] = []
    assert [entry.text for entry in client.tasks.log("task_1", follow=True, on_end=ended.append)] == ["out"]
    assert ended[0].exit_code == 3


def test_what_is_not_there_is_not_tried_again(platform: Platform, client: Client) -> None:
    with pytest.raises(NotFoundError):
        list(client.operations.watch("op_unknown"))
    assert len(platform.calls) == 1


def test_a_stream_may_end_in_an_error_of_the_platforms(platform: Platform, client: Client) -> None:
    trouble = 'event: error\ndata: {"code": "app_not_found", "message": "it is gone"}\n\n'
    platform.streams["/apps/line-3/logs"] = [[line(1, "a"), trouble]]
    lines = client.apps.logs("line-3", follow=True)
    assert next(lines).text == "a"
    with pytest.raises(ApiError, match="it is gone"):
        next(lines)


def test_patience_ends(platform: Platform, client: Client) -> None:
    platform.streams["/events/stream"] = []
    with pytest.raises(PlatformAway):
        list(messages(client.http, "/events/stream", patience=0.2))


def _event(number: int) -> str:
    data = dict.fromkeys(
        ("actor_id", "actor_name", "source", "tenant_id", "organization_id", "space_id", "app_id", "object_id")
    )
    return message(
        number, "event", {**data, "seq": number, "at": NOW, "tag": "app:created", "data": {}, "request_id": None}
    )
