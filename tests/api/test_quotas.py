"""Quotas: what is refused, what is not, who may set them, and that two at once don't both slip past."""

import concurrent.futures
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from gongfang.cli.__main__ import cli
from gongfang.domain.ids import new_id
from gongfang.domain.quotas import Defaults, Limits
from gongfang.domain.values import App, AppConfig, ProcessConfig, Release
from tests.api.conftest import Api, World, envelope, new_name


class Yard:
    """An organisation with two spaces, and apps in them that have a release."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admin = world.client(world.token)
        self.organization = self.admin.data("POST", "/organizations", 201, json={"name": new_name("o")})["id"]
        self.space, self.other = (self._space() for _ in range(2))

    def _space(self) -> str:
        body = {"name": new_name("s"), "organization_id": self.organization}
        return self.admin.data("POST", "/spaces", 201, json=body)["id"]

    def quota(self, path: str, **limits: int | None) -> Any:
        return self.admin.data("PUT", f"{path}/quota", json=limits)

    def of_space(self, **limits: int | None) -> Any:
        return self.quota(f"/spaces/{self.space}", **limits)

    def of_organization(self, **limits: int | None) -> Any:
        return self.quota(f"/organizations/{self.organization}", **limits)

    def used(self) -> tuple[int, int, int]:
        used = self.admin.data("GET", f"/spaces/{self.space}/quota")["used"]
        return used["apps"], used["instances"], used["memory_mb"]

    def app(self, space: str | None = None, *, started: bool = False, memory_mb: int = 100, instances: int = 1) -> str:
        process = {"memory_mb": memory_mb, "instances": instances}
        body = {"name": new_name("a"), "space_id": space or self.space, "processes": {"web": process}}
        app = self.admin.data("POST", "/apps", 201, json=body)["id"]
        self.world.do(self._released(app, memory_mb))
        if started:
            self.admin.data("POST", f"/apps/{app}/start", 202)
        return app

    async def _released(self, app_id: str, memory_mb: int) -> None:
        now = self.world.clock()
        async with self.world.services.database.writing() as tx:
            app = await tx.one(App, app_id)
            assert app is not None
            release = Release(
                new_id("rel"), app_id, 1, new_id("drp"), new_id("pkg"), 1, app.config, "deploy", None, now, None, now
            )
            await tx.insert(release)
            await tx.update(App, app_id, target_release_id=release.id, current_release_id=release.id)

    def refused(self, method: str, path: str, **more: Any) -> Any:
        body = envelope(self.admin.request(method, path, **more), 403)
        assert body["code"] == "quota_exceeded"
        return body


@pytest.fixture
def yard(world: World) -> Yard:
    return Yard(world)


def test_unlimited_by_default_and_used_is_what_is_wanted(yard: Yard) -> None:
    shown = yard.admin.data("GET", f"/spaces/{yard.space}/quota")
    nothing = {"apps": None, "instances": None, "memory_mb": None}
    assert shown["limits"] == shown["own"] == nothing and shown["level"] == "space"
    app = yard.app(instances=3)
    assert yard.used() == (1, 0, 0)
    yard.admin.data("POST", f"/apps/{app}/start", 202)
    assert yard.used() == (1, 3, 300)
    yard.app(yard.other, started=True)
    assert yard.used() == (1, 3, 300)
    above = yard.admin.data("GET", f"/organizations/{yard.organization}/quota")["used"]
    assert above == {"apps": 2, "instances": 4, "memory_mb": 400}
    yard.admin.data("POST", f"/apps/{app}/stop", 202)
    assert yard.used() == (1, 0, 0)
    yard.admin.data("DELETE", f"/apps/{app}", 202)
    assert yard.used() == (0, 0, 0)


def test_a_process_that_was_never_configured_takes_the_default(yard: Yard, world: World) -> None:
    app = yard.admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": yard.space})["id"]
    world.do(yard._released(app, 0))
    yard.admin.data("POST", f"/apps/{app}/start", 202)
    assert yard.used() == (1, 1, AppConfig().process("web").memory_mb)
    yard.admin.data("PATCH", f"/apps/{app}", 202, json={"processes": {"worker": {"memory_mb": 64, "instances": 2}}})
    assert yard.used() == (1, 3, 512 + 128)
    assert ProcessConfig().memory_mb == 512


def test_words_say_what_of_what(yard: Yard, world: World) -> None:
    yard.of_space(apps=0)
    body = {"name": new_name("a"), "space_id": yard.space}
    told = yard.refused("POST", "/apps", json=body)
    assert "0 used, 1 more asked for, limit 0" in told["message"] and "quota set" in told["message"]
    assert told["details"][0]["field"] == "apps" and "space" in told["details"][0]["message"]
    chinese = world.client(world.token, "zh-CN").post("/apps", json=body).json()
    assert "空间" in chinese["details"][0]["message"] and "配额" in chinese["message"]
    assert yard.used() == (0, 0, 0)


GROWTH: dict[str, Callable[[str], tuple[str, str, Any]]] = {
    "scale": lambda a: ("POST", f"/apps/{a}/instances", {"instances": 3}),
    "memory": lambda a: ("POST", f"/apps/{a}/instances", {"memory_mb": 200}),
    "both": lambda a: ("POST", f"/apps/{a}/instances", {"instances": 2, "memory_mb": 101}),
    "settings": lambda a: ("PATCH", f"/apps/{a}", {"processes": {"web": {"memory_mb": 150}}}),
    "another process": lambda a: ("PATCH", f"/apps/{a}", {"processes": {"worker": {"instances": 9}}}),
    "back to the default": lambda a: ("PATCH", f"/apps/{a}", {"processes": {"web": {"memory_mb": None}}}),
}


@pytest.mark.parametrize("how", GROWTH)
@pytest.mark.parametrize("level", ["space", "organization"])
def test_growth_is_refused_and_changes_nothing(yard: Yard, how: str, level: str) -> None:
    app = yard.app(started=True, instances=2)
    (yard.of_space if level == "space" else yard.of_organization)(instances=2, memory_mb=200)
    method, path, body = GROWTH[how](app)
    before = yard.admin.data("GET", f"/apps/{app}")
    operations = yard.admin.data("GET", f"/operations?app_id={app}")["items"]
    assert level.replace("z", "s") in yard.refused(method, path, json=body)["details"][0]["message"]
    assert yard.admin.data("GET", f"/apps/{app}") == before
    assert yard.admin.data("GET", f"/operations?app_id={app}")["items"] == operations
    yard.admin.data("POST", f"/apps/{app}/instances", 202, json={"instances": 1})
    yard.admin.data("POST", f"/apps/{app}/instances", 202, json={"instances": 2})
    yard.admin.data("POST", f"/apps/{app}/restart", 202)


def test_start_and_rollback_are_growth(yard: Yard) -> None:
    first, second = yard.app(started=True, instances=2), yard.app(instances=2)
    yard.of_space(instances=3)
    assert yard.refused("POST", f"/apps/{second}/start")["details"][0]["field"] == "instances"
    assert yard.refused("POST", f"/apps/{second}/rollback", json={"release": 1})
    yard.admin.data("POST", f"/apps/{first}/stop", 202)
    yard.admin.data("POST", f"/apps/{second}/start", 202)
    assert yard.refused("POST", f"/apps/{first}/start")


def test_settings_of_a_stopped_app_are_free_until_it_starts(yard: Yard) -> None:
    app = yard.app()
    yard.of_space(memory_mb=150)
    yard.admin.data("PATCH", f"/apps/{app}", json={"processes": {"web": {"memory_mb": 4096}}})
    yard.refused("POST", f"/apps/{app}/start")
    yard.admin.data("POST", f"/apps/{app}/instances", 202, json={"memory_mb": 128})
    yard.admin.data("POST", f"/apps/{app}/start", 202)


def test_an_app_started_before_its_first_release_counts_too(yard: Yard) -> None:
    """It has no operation to carry its settings: the other way of writing them is watched as well."""
    app = yard.admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": yard.space})["id"]
    yard.admin.data("POST", f"/apps/{app}/package?filename=a.zip", 201, content=b"zip")
    yard.of_space(instances=1)
    yard.admin.data("POST", f"/apps/{app}/start", 202)
    yard.refused("PATCH", f"/apps/{app}", json={"processes": {"web": {"instances": 2}}})
    yard.refused("POST", f"/apps/{app}/instances", json={"instances": 2})


def test_lowering_below_what_is_used_stops_growth_only(yard: Yard) -> None:
    app = yard.app(started=True, instances=4)
    assert yard.of_space(instances=1, apps=0)["used"]["instances"] == 4
    yard.refused("POST", f"/apps/{app}/instances", json={"instances": 5})
    yard.admin.data("POST", f"/apps/{app}/instances", 202, json={"instances": 3})
    yard.admin.data("PATCH", f"/apps/{app}", json={"labels": {"a": "b"}})
    yard.admin.data("PATCH", f"/apps/{app}/environment", 202, json={"variables": {"A": "b"}})
    yard.admin.data("POST", f"/apps/{app}/stop", 202)
    assert yard.refused("POST", f"/apps/{app}/start")
    assert yard.of_space()["limits"] == {"apps": None, "instances": None, "memory_mb": None}
    yard.admin.data("POST", f"/apps/{app}/start", 202)


def test_two_at_once_do_not_both_slip_past(yard: Yard, world: World) -> None:
    first, second = yard.app(started=True), yard.app(yard.other, started=True)
    yard.of_organization(instances=10, apps=4)
    clients = [world.client(world.token) for _ in range(8)]

    def grow(n: int) -> int:
        return clients[n].post(f"/apps/{(first, second)[n % 2]}/instances", json={"instances": 9}).status_code

    def create(n: int) -> int:
        body = {"name": new_name("a"), "space_id": (yard.space, yard.other)[n % 2]}
        return clients[n].post("/apps", json=body).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        grown = list(pool.map(grow, range(8)))
        created = list(pool.map(create, range(8)))
    assert set(grown) == {202, 403} and sorted(created) == [201] * 2 + [403] * 6
    used = yard.admin.data("GET", f"/organizations/{yard.organization}/quota")["used"]
    assert used["instances"] == 10 and used["apps"] == 4


def test_the_platforms_defaults(yard: Yard, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Defaults(organization=Limits(apps=2), space=Limits(apps=1))
    object.__setattr__(world.services, "quota_defaults", defaults)
    try:
        yard.app()
        body = {"name": new_name("a"), "space_id": yard.space}
        yard.refused("POST", "/apps", json=body)
        shown = yard.of_space(apps=50)
        assert shown["limits"]["apps"] == shown["own"]["apps"] == 50
        yard.admin.data("POST", "/apps", 201, json=body)
        assert "organisation" in yard.refused("POST", "/apps", json={**body, "name": "x"})["details"][0]["message"]
        assert yard.of_space()["limits"]["apps"] == 1 and yard.of_space()["own"]["apps"] is None
    finally:
        object.__setattr__(world.services, "quota_defaults", Defaults())


def test_nobody_raises_their_own(yard: Yard, world: World) -> None:
    """`test_roles` tries every role; here: below it may be set, and the event says what it was."""
    role = {"role": "administrator", "level": "organization", "scope_id": yard.organization}
    _, chief = world.user([role])
    own = f"/organizations/{yard.organization}/quota"
    assert chief.code("PUT", own, 403, json={"apps": 1000}) == "quota_from_above"
    chief.data("PUT", f"/spaces/{yard.space}/quota", json={"apps": 7})
    chief.data("PUT", f"/spaces/{yard.space}/quota", json={"apps": 8})
    event = yard.admin.data("GET", "/events?tag=space:quota&limit=1")["items"][0]
    assert event["data"]["before"]["apps"] == 7 and event["data"]["after"]["apps"] == 8
    assert event["object_id"] == yard.space == event["space_id"]


@pytest.mark.parametrize("bad", [-1, 10**10, 1.5, "5", True, float("1e300")])
def test_limits_out_of_range(yard: Yard, bad: object) -> None:
    body = envelope(yard.admin.put(f"/spaces/{yard.space}/quota", json={"apps": bad}), 422)
    assert body["details"][0]["field"] == "apps"
    assert yard.admin.code("PUT", f"/spaces/{yard.space}/quota", 422, json={"cpu": 1}) == "validation_failed"


def test_on_the_command_line(yard: Yard, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gongfang(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["--url", world.url, "--token", world.token, "quota", *arguments])

    yard.app(started=True)
    monkeypatch.setenv("GONGFANG_LANG", "en")
    at = ("--space", yard.space)
    assert gongfang("set", *at, "--apps", "3", "--memory", "2G").exit_code == 0
    shown = gongfang("show", *at)
    assert [line.split() for line in shown.stdout.splitlines()[-3:]] == [
        ["apps", "1", "3", "3"],
        ["instances", "1", "no", "limit", "-"],
        ["memory,", "MiB", "100", "2048", "2048"],
    ]
    set_again = json.loads(gongfang("set", *at, "--memory", "none", "--instances", "0", "--json").stdout)
    assert set_again["own"] == {"apps": 3, "instances": 0, "memory_mb": None}
    assert json.loads(gongfang("--org", yard.organization, "--json").stdout)["level"] == "organization"
    for wrong in (["set", *at], ["set", *at, "--apps", "-1"], ["set", *at, "--apps", "x"], [*at, "--org", "x"]):
        assert gongfang(*wrong).exit_code == 2, wrong
    monkeypatch.setenv("GONGFANG_LANG", "zh-CN")
    assert "不限" in gongfang("show", "--org", yard.organization).stdout


def test_the_event_tells_of_the_quota_and_not_of_the_place(yard: Yard, admin: Api) -> None:
    def told() -> Any:
        return admin.data("GET", "/events", params={"tag": "space:quota", "limit": 1})["items"][0]

    yard.of_space(apps=1)
    event = told()
    assert (event["before"], event["after"]) == (None, {"apps": 1}) and event["object_name"]
    yard.of_space(apps=2, instances=5)
    event = told()
    assert (event["before"], event["after"]) == ({"apps": 1}, {"apps": 2, "instances": 5})


def test_a_deleted_place_takes_its_quota_along(yard: Yard, admin: Api) -> None:
    yard.of_space(apps=1)
    name = admin.data("GET", f"/spaces/{yard.space}")["name"]
    admin.data("DELETE", f"/spaces/{yard.space}")
    event = admin.data("GET", "/events", params={"tag": "space:delete", "limit": 1})["items"][0]
    assert event["object_name"] == name and event["before"] == {"name": name, "apps": 1} and event["after"] is None
    assert admin.code("GET", f"/spaces/{yard.space}/quota", 404) == "space_not_found"
