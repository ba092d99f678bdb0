"""Logs as pages and as streams, operations and events as they happen, resumed where they broke off."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from gongfang.domain.ids import new_id
from gongfang.domain.values import (
    Build,
    BuildState,
    Instance,
    InstanceState,
    JsonObject,
    OperationStatus,
    RuntimeName,
    Task,
    TaskState,
)
from gongfang.runtimes.interface import WorkloadKind, WorkloadSpec
from tests.api.conftest import Api, World, new_name
from tests.api.test_apps import end_operation, new_app

Messages = Iterator[tuple[str | None, str, Any]]


@contextmanager
def stream(client: Api, path: str, last_id: str | None = None) -> Iterator[Messages]:
    headers = {"last-event-id": last_id} if last_id is not None else {}
    with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield messages(response)


def messages(response: httpx2.Response) -> Messages:
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def insert(world: World, value: Any) -> None:
    async def work() -> None:
        async with world.services.database.writing() as tx:
            await tx.insert(value)

    world.do(work())


def run(world: World, workload_id: str, command: str, kind: WorkloadKind = WorkloadKind.instance) -> None:
    world.do(world.runtime.start(WorkloadSpec(workload_id, kind, ("sh", "-c", command))))


def new_instance(world: World, app: JsonObject, index: int, command: str) -> str:
    now = world.clock()
    one = Instance(new_id("ins"), app["id"], new_id("rel"), 0, "web", index, InstanceState.ready, now)
    insert(world, one)
    run(world, one.id, command)
    return one.id


def test_pages_of_an_apps_log(world: World, admin: Api) -> None:
    app = new_app(admin)
    path = f"/apps/{app['id']}/logs"
    assert admin.data("GET", path)["items"] == []
    first = new_instance(world, app, 0, "echo one; echo two; echo three; exit 1")
    second = new_instance(world, app, 1, "echo four; sleep")
    world.do(world.runtime.wait(first))
    assert {i["text"] for i in admin.data("GET", path)["items"]} == {"one", "two", "three", "four"}
    own = admin.data("GET", f"{path}?instance_id={first}&tail=2")
    assert [(i["text"], i["source"], i["instance_id"]) for i in own["items"]] == [
        ("two", "web.0", first),
        ("three", "web.0", first),
    ]
    later = admin.data("GET", path, params={"cursor": own["next_cursor"], "instance_id": first})
    assert later["items"] == []
    assert [i["text"] for i in admin.data("GET", f"{path}?instance_id={second}")["items"]] == ["four"]
    assert admin.data("GET", f"{path}?process=worker")["items"] == []
    assert admin.data("GET", f"{path}?since=2100-01-01T00:00:00Z")["items"] == []
    assert admin.data("GET", f"{path}?until=2000-01-01T00:00:00Z")["items"] == []
    assert admin.code("GET", f"{path}?instance_id=ins_x", 404) == "instance_not_found"
    assert admin.code("GET", f"{path}?cursor=%25%25", 422) == "validation_failed"
    world.do(world.runtime.stop(second, grace_s=1))


def test_following_an_app_finds_new_instances(world: World, admin: Api) -> None:
    app = new_app(admin)
    first = new_instance(world, app, 0, "echo one; sleep")
    with stream(admin, f"/apps/{app['id']}/logs?follow=true") as lines:
        position, event, line = next(lines)
        assert (event, line["text"]) == ("line", "one")
        second = new_instance(world, app, 1, "echo two; sleep")
        last, _, line = next(lines)
        assert (line["text"], line["source"]) == ("two", "web.1")
    assert position is not None and last is not None
    with stream(admin, f"/apps/{app['id']}/logs?follow=true", position) as lines:
        assert next(lines)[2]["text"] == "two"
    for one in (first, second):
        world.do(world.runtime.stop(one, grace_s=1))


def test_a_followed_task_ends(world: World, admin: Api) -> None:
    app = new_app(admin)
    task = Task(new_id("task"), app["id"], new_id("rel"), "x", 64, 60, TaskState.pending, world.clock(), None)
    insert(world, task)
    with stream(admin, f"/tasks/{task.id}/log?follow=true") as lines:
        run(world, task.id, "echo working; exit 0", WorkloadKind.task)

        async def finish() -> None:
            await world.runtime.wait(task.id)
            async with world.services.database.writing() as tx:
                await tx.update(Task, task.id, state=TaskState.succeeded)
                tx.wake("task", task.id)

        world.do(finish())
        assert [(event, data.get("text")) for _, event, data in lines] == [("line", "working"), ("end", None)]
    assert [i["text"] for i in admin.data("GET", f"/tasks/{task.id}/log")["items"]] == ["working"]


def test_an_operation_with_its_build(world: World, admin: Api) -> None:
    app = new_app(admin)
    operation = admin.data("POST", f"/apps/{app['id']}/stop", 202)["operation"]["id"]
    build = Build(new_id("bld"), app["id"], "pkg", RuntimeName.auto, BuildState.running, world.clock())
    insert(world, build)
    path = f"/operations/{operation}/events"
    with stream(admin, path) as seen:
        assert next(seen)[1:] == ("operation", admin.data("GET", f"/operations/{operation}"))
        end_operation(world, operation, status=OperationStatus.running, build_id=build.id)
        at, _, data = next(seen)
        assert (at, data["status"]) == ("1", "running")
        run(world, build.id, "echo building; exit 0", WorkloadKind.build)
        at, event, data = next(seen)
        assert (event, data["text"], data["source"]) == ("log", "building", "build")
        end_operation(world, operation, status=OperationStatus.succeeded)
        end, event, data = next(seen)
        assert (event, data["status"], list(seen)) == ("operation", "succeeded", [])
    with stream(admin, path, at) as seen:
        assert [event for _, event, _ in seen] == ["operation"]
    assert admin.get(path, headers={"last-event-id": end or ""}).status_code == 204
    assert admin.code("GET", "/operations/nothing/events", 404) == "operation_not_found"
    assert admin.data("GET", f"/builds/{build.id}/log")["items"][0]["text"] == "building"


def test_events_as_they_happen(world: World, admin: Api) -> None:
    app = new_app(admin)
    _, neighbour = world.user([{"role": "operator"}])
    own = f"/events/stream?app_id={app['id']}"
    with stream(admin, f"{own}&tag=app:*") as seen, stream(neighbour, "/events/stream") as all_:
        admin.data("POST", "/tenants", 201, json={"name": new_name("t")})  # not theirs to see
        admin.data("PATCH", f"/apps/{app['id']}", json={"labels": {"a": "1"}})
        at, event, data = next(seen)
        assert (event, data["tag"], data["app_id"], str(data["seq"])) == ("event", "app:change", app["id"], at)
        assert next(all_)[2]["tag"] == "app:change"
    admin.data("PATCH", f"/apps/{app['id']}", json={"labels": {"a": "2"}})
    with stream(admin, own, at) as seen:
        again, _, data = next(seen)
        assert data["tag"] == "app:change" and int(again or 0) > int(at or 0)


def test_a_stream_left_open_does_not_hold_up_the_shutdown(world: World) -> None:
    """The world's own end checks that the server stops: this leaves a stream and a waiting call open until then."""
    client = world.client(world.token)
    response = client.send(client.build_request("GET", "/events/stream"), stream=True)
    assert response.status_code == 200
