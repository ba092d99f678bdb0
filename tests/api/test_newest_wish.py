"""The newest wish wins: what becomes of operations when another comes, and when the reconciler's answer comes late."""

from dataclasses import dataclass
from typing import Any

import pytest

from gongfang.domain.errors import Reason
from gongfang.domain.ids import new_id
from gongfang.domain.values import (
    App,
    AppConfig,
    Droplet,
    JsonObject,
    Operation,
    OperationStatus,
    Release,
    RuntimeName,
    Task,
    TaskState,
)
from gongfang.reconcile.apply import AppWriter
from gongfang.reconcile.plans import actions as a
from tests.api.conftest import Api, World, new_name


@dataclass
class Lab:
    """A started app with releases 1 and 2; `target` and `current` as a test sets them."""

    world: World
    admin: Api
    id: str
    releases: list[Release]

    def post(self, what: str, **body: object) -> JsonObject:
        return self.admin.data("POST", f"/apps/{self.id}/{what}", 202, json=body)["operation"]

    def status(self, operation: JsonObject) -> str:
        return self.admin.data("GET", f"/operations/{operation['id']}")["status"]

    def change(self, noun: type, key: str, **changes: object) -> None:
        async def change() -> None:
            async with self.world.services.database.writing() as tx:
                await tx.update(noun, key, **changes)

        self.world.do(change())

    def one(self, noun: type, key: str) -> Any:
        async def one():
            async with self.world.services.database.reading() as tx:
                return await tx.one(noun, key)

        return self.world.do(one())

    def upload(self) -> None:
        path = f"/apps/{self.id}/package"
        self.admin.data("POST", path, 201, params={"filename": "app.py"}, content=b"print(1)")

    def abandon(self, operation: JsonObject, **more: object) -> None:
        app, active = self.one(App, self.id), self.one(Operation, operation["id"])
        fields = {"restore": self.releases[0], "failed_release": None, "stop_app": False, "epoch": None, "scale": None}
        action = a.Abandon(active, OperationStatus.failed, Reason("deadline_passed", {}), None, **{**fields, **more})
        writer = AppWriter(self.world.services.database, self.world.clock)
        self.world.do(writer.write(app, [action]))


@pytest.fixture
def lab(world: World, admin: Api, request: pytest.FixtureRequest) -> Lab:
    app_id = admin.data("POST", "/apps", 201, json={"name": new_name("w"), "type": getattr(request, "param", "web")})[
        "id"
    ]
    now = world.clock()
    droplet = Droplet(new_id("drp"), app_id, "b", "0" * 64, 1, RuntimeName.python, {"web": "run"}, {}, (), now)
    releases = [
        Release(new_id("rel"), app_id, number, droplet.id, "p", 0, AppConfig(), "deploy", None, now, None, now)
        for number in (1, 2)
    ]

    async def seed() -> None:
        async with world.services.database.writing() as tx:
            for value in (droplet, *releases):
                await tx.insert(value)
            both = {"target_release_id": releases[0].id, "current_release_id": releases[0].id}
            await tx.update(App, app_id, desired="started", config=AppConfig(), **both)

    world.do(seed())
    return Lab(world, admin, app_id, releases)


def test_starting_the_same_package_twice_is_starting_it_once(lab: Lab) -> None:
    lab.upload()
    first = lab.post("start")
    assert lab.post("start")["id"] == first["id"]
    lab.upload()
    newer = lab.post("start")
    assert newer["id"] != first["id"]
    assert lab.status(first) == "cancelled"


def test_a_scale_that_fails_goes_back_to_the_last_count_that_was_reached(lab: Lab) -> None:
    lab.post("instances", instances=3)
    newest = lab.post("instances", instances=5)
    assert lab.one(Operation, newest["id"]).params["before"] == {"web": 1}


def test_a_rollback_while_a_newer_release_comes_in_goes_to_the_one_that_serves(lab: Lab) -> None:
    lab.change(App, lab.id, target_release_id=lab.releases[1].id)
    operation = lab.post("rollback")
    assert lab.one(Operation, operation["id"]).params["from_release"] == 1


def test_a_late_failure_changes_nothing_once_there_is_a_newer_wish(lab: Lab) -> None:
    lab.upload()
    deploy = lab.post("start")
    stop = lab.post("stop")
    before = lab.one(App, lab.id)
    lab.abandon(deploy, restore=None, failed_release=lab.releases[0], epoch=7, scale={"web": 9})
    assert lab.one(App, lab.id) == before
    assert lab.status(deploy) == "cancelled" and lab.status(stop) == "pending"


def test_a_failure_goes_back_even_if_labels_were_changed_meanwhile(lab: Lab) -> None:
    """Else the app would be left with no release at all, and its instances drained."""
    lab.upload()
    deploy = lab.post("start")
    lab.change(App, lab.id, target_release_id=lab.releases[1].id)
    lab.admin.data("PATCH", f"/apps/{lab.id}", 200, json={"labels": {"line": "4"}})
    lab.abandon(deploy, failed_release=lab.releases[1])
    assert lab.one(App, lab.id).target_release_id == lab.releases[0].id
    assert lab.status(deploy) == "failed"


def test_what_was_set_for_a_stopped_app_stays_set_when_its_start_fails(lab: Lab) -> None:
    lab.change(App, lab.id, desired="stopped")
    lab.admin.data("PATCH", f"/apps/{lab.id}/environment", 200, json={"variables": {"LINE": "4"}})
    start = lab.post("start")
    lab.abandon(start, stop_app=True)
    app = lab.one(App, lab.id)
    assert (app.desired, dict(app.config.environment)) == ("stopped", {"LINE": "4"})


@pytest.mark.parametrize("lab", ["task"], indirect=True)
def test_stopping_a_task_app_cancels_the_run_that_its_start_began(lab: Lab) -> None:
    start = lab.post("restart")
    task = Task(new_id("task"), lab.id, lab.releases[0].id, "run", 64, 60, TaskState.running, lab.world.clock(), None)

    async def begin() -> None:
        async with lab.world.services.database.writing() as tx:
            await tx.insert(task)
            await tx.update(Operation, start["id"], params={"task_id": task.id})

    lab.world.do(begin())
    lab.post("stop")
    assert lab.one(Task, task.id).cancel_requested


@pytest.mark.parametrize("lab", ["task"], indirect=True)
def test_changing_a_task_app_while_it_runs_does_not_run_it_again(lab: Lab) -> None:
    run = lab.post("restart")
    lab.admin.data("PATCH", f"/apps/{lab.id}/environment", 200, json={"variables": {"LINE": "4"}})
    (newest,) = lab.admin.data("GET", f"/operations?app_id={lab.id}")["items"]
    assert (newest["id"], newest["status"]) == (run["id"], "pending")
