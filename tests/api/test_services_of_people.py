"""Services that people run themselves, new credentials of a binding, and credentials for people.

Nothing reconciles here but what a test hands to a reconciler itself.
"""

from typing import Any

import orjson
import pytest

from gongfang.brokers.interface import Refused
from gongfang.brokers.memory import MemoryBroker
from gongfang.domain.services import BindingState, ServiceBinding, ServiceInstance, ServicePlan, ServiceState
from gongfang.state.service_queries import bound_of, bound_servers
from tests.api.conftest import Api, World, new_name
from tests.api.one_of_everything import OFFERING, UNBINDABLE, Place, a_key, a_service
from tests.api.service_labs import ServiceLab, service_lab
from tests.api.test_services import app, faults, row, write

SECRET = "hunter2-of-the-mes"


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    return Place(world)


@pytest.fixture
def ids(place: Place) -> dict[str, str]:
    return {"tenant_id": place.tenant, "organization_id": place.organization, "space_id": place.space}


def theirs(place: Place, status: int = 202, **body: Any) -> Any:
    path = f"/spaces/{place.space}/service-instances"
    whole = {"service": "user-provided", "credentials": {"uri": "mysql://mes.example.cn:3306/m", "password": SECRET}}
    return place.admin.data("POST", path, status, json={**whole, **body})


@pytest.fixture
def lab(world: World, admin: Api) -> ServiceLab:
    return service_lab(world, admin, MemoryBroker())


def settle(lab: ServiceLab, key: str) -> None:
    """What the loops would do by and by, of an instance and of what is bound to it."""
    lab.settle(lab.services, key)
    for _ in range(2):  # one that took over wakes the one before
        for binding in lab.find(ServiceBinding, service_instance_id=key):
            lab.settle(lab.bindings, binding.id)


# --- user-provided ---------------------------------------------------------------------------------------------------


def test_what_somebody_else_runs_is_bound_like_any_other(
    place: Place, world: World, lab: ServiceLab, admin: Api
) -> None:
    one = app(place)
    made = theirs(place, name=(name := new_name("mes")), tags=["mysql"])
    key = made["service_instance"]["id"]
    assert (made["service_instance"]["service"], made["service_instance"]["plan"]) == ("user-provided", None)
    admin.data("POST", f"/apps/{one}/bindings", 202, json={"service_instance_id": key})
    settle(lab, key)
    assert admin.data("GET", f"/operations/{made['operation']['id']}")["status"] == "succeeded"
    assert admin.data("GET", f"/service-instances/{key}")["state"] == "ready"
    listed = admin.data("GET", f"/service-instances?service=user-provided&name={name}")["items"]
    assert [i["id"] for i in listed] == [key]
    status = admin.data("GET", f"/service-instances/{key}/status")
    assert (status["host"], status["port"], status["state"]) == ("mes.example.cn", 3306, "ready")
    given = admin.data("GET", f"/apps/{one}/services/{key}/environment")
    assert given["environment"]["DATABASE_URL"] == "mysql://mes.example.cn:3306/m"
    (told,) = orjson.loads(given["environment"]["VCAP_SERVICES"])["user-provided"]
    assert told["credentials"]["password"] == SECRET and told["tags"] == ["mysql"]
    assert f"/bindings/{name}/password" in given["files"]

    async def opened() -> list[tuple[str, int]]:
        async with world.services.database.reading() as tx:
            return await bound_servers(tx, one)

    assert world.do(opened()) == []  # whatever address they hold
    assert lab.find(ServiceBinding, app_id=one)[0].endpoints == ()
    assert admin.data("DELETE", f"/apps/{one}/bindings/{key}", 202)["operation"]["kind"] == "unbind"
    settle(lab, key)
    admin.data("DELETE", f"/service-instances/{key}", 202)
    settle(lab, key)
    assert admin.code("GET", f"/service-instances/{key}", 404) == "service_instance_not_found"


def test_changed_credentials_make_instances_of_bound_apps_old(
    place: Place, world: World, lab: ServiceLab, admin: Api
) -> None:
    one = app(place)
    key = theirs(place)["service_instance"]["id"]
    settle(lab, key)
    admin.data("POST", f"/apps/{one}/bindings", 202, json={"service_instance_id": key})
    settle(lab, key)

    async def digest() -> str:
        async with world.services.database.reading() as tx:
            return (await bound_of(tx, [one]))[one].digest

    before, path = world.do(digest()), f"/service-instances/{key}"
    etag = admin.get(path).headers["etag"]
    same = {"credentials": {"password": SECRET, "uri": "mysql://mes.example.cn:3306/m"}}
    admin.data("PATCH", path, json=same)
    admin.data("PATCH", path, json={"name": (name := new_name("s")), "tags": ["a", "a"]})
    settle(lab, key)
    assert world.do(digest()) == before and admin.data("GET", path)["name"] == name
    new = {"url": "postgresql://erp.example.cn/e", "password": "new-secret"}
    admin.data("PATCH", path, json={"credentials": new}, headers={"if-match": etag})
    assert admin.code("PATCH", path, 412, json={"credentials": new}, headers={"if-match": etag})
    settle(lab, key)
    assert world.do(digest()) != before
    given = admin.data("GET", f"/apps/{one}/services/{key}/environment")["environment"]
    assert given["DATABASE_URL"] == new["url"]  # by the key that there is now
    after = world.do(digest())
    settle(lab, key)
    assert world.do(digest()) == after
    told = admin.get("/events?limit=500").text + admin.get(path).text + admin.get("/service-instances?limit=500").text
    assert SECRET not in told and "new-secret" not in told


def test_a_key_that_a_variable_is_taken_from_stays(place: Place, admin: Api) -> None:
    one = app(place)
    key = theirs(place)["service_instance"]["id"]
    body = {"service_instance_id": key, "variables": {"MES_PASSWORD": "password"}}
    admin.data("POST", f"/apps/{one}/bindings", 202, json=body)
    path = f"/service-instances/{key}"
    assert admin.code("PATCH", path, 409, json={"credentials": {"uri": "x"}}) == "credential_in_use"
    admin.data("PATCH", path, json={"credentials": {"password": "x"}})


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"credentials": None}, "credentials"),
        ({"credentials": {}}, "credentials"),
        ({"credentials": [1]}, "credentials"),
        ({"credentials": {"": 1}}, "credentials"),
        ({"credentials": {"file": "x" * 70_000}}, "credentials"),
        ({"plan": "small"}, "plan"),
        ({"parameters": {"a": 1}}, "parameters"),
        ({"service": OFFERING.name}, "credentials"),
    ],
)
def test_what_cannot_be_said_of_them(place: Place, body: dict[str, Any], fault: str) -> None:
    path = f"/spaces/{place.space}/service-instances"
    whole = {"service": "user-provided", "credentials": {"uri": f"mysql://u:{SECRET}@h/m"}, **body}
    answer = place.admin.post(path, json=whole)
    assert answer.status_code == 422 and SECRET not in answer.text
    assert answer.json()["details"][0]["field"].startswith(fault)


def test_texts_and_numbers_that_are_no_json(place: Place) -> None:
    path = f"/spaces/{place.space}/service-instances"
    for value in (rb'"\ud800"', b"[" * 1500 + b"]" * 1500):
        body = b'{"service": "user-provided", "credentials": {"a": %b}}' % value
        answer = place.admin.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), answer.text


def test_what_cannot_be_changed(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    key, other = world.do(a_service(world, ids)), world.do(a_service(world, ids))
    path = f"/service-instances/{key}"
    assert faults(admin, "PATCH", path, json={}) == ["name"]
    assert faults(admin, "PATCH", path, json={"credentials": {"uri": "x"}}) == ["credentials"]
    assert faults(admin, "PATCH", path, json={"name": "Not a name"}) == ["name"]
    assert faults(admin, "PATCH", path, json={"plan": "large"}) == ["plan"]
    taken = row(world, ServiceInstance, other).name
    assert admin.code("PATCH", path, 409, json={"name": taken}) == "service_name_taken"
    mine = theirs(place)["service_instance"]["id"]
    assert faults(admin, "PATCH", f"/service-instances/{mine}", json={"credentials": {}}) == ["credentials"]
    configure = f"/service-instances/{mine}/configuration"
    assert admin.code("POST", configure, 409, json={"plan": "large"}) == "service_not_configurable"
    body = {"service_instance_id": mine, "parameters": {"a": 1}}
    assert faults(admin, "POST", f"/apps/{app(place)}/bindings", json=body) == ["parameters"]
    write(world, ServiceInstance, key, deleting=True)
    assert admin.code("PATCH", path, 409, json={"tags": []}) == "service_being_deleted"


# --- new credentials -------------------------------------------------------------------------------------------------


def bound(lab: ServiceLab, **more: Any) -> tuple[str, str]:
    """An app that is bound to an instance; their ids."""
    one, key = lab.app(), lab.created()
    lab.admin.data("POST", f"/apps/{one}/bindings", 202, json={"service_instance_id": key, **more})
    settle(lab, key)
    return one, key


def password(lab: ServiceLab, one: str, key: str) -> str:
    given = lab.admin.data("GET", f"/apps/{one}/services/{key}/environment")["environment"]
    (told,) = orjson.loads(given["VCAP_SERVICES"])["pretend"]
    return told["credentials"]["password"]


def test_new_credentials_take_over_from_the_old_ones(lab: ServiceLab, admin: Api) -> None:
    one, key = bound(lab, name="orders", variables={"ORDERS_URL": "uri"})
    path = f"/apps/{one}/bindings/{key}"
    old, before = admin.data("GET", path), password(lab, one, key)
    made = admin.data("POST", f"{path}/rotate", 202)
    new, operation = made["binding"], made["operation"]
    assert new["id"] != old["id"] and (new["name"], new["state"]) == ("orders", "creating")
    assert (operation["kind"], operation["app_id"], operation["binding_id"]) == ("rotate", one, new["id"])
    assert password(lab, one, key) == before  # they hold until there are others
    assert admin.data("GET", path)["id"] == old["id"]
    assert admin.code("POST", f"{path}/rotate", 409) == "binding_busy"
    etag = admin.get(path).headers["etag"]
    settle(lab, key)
    assert admin.data("GET", f"/operations/{operation['id']}")["status"] == "succeeded"
    (held,) = admin.data("GET", f"/apps/{one}/bindings")["items"]
    assert held["id"] == new["id"] and held["variables"] == {"ORDERS_URL": "uri"}
    assert password(lab, one, key) not in (before, "")
    assert list(lab.broker.instances[key].bindings) == [new["id"]]  # the old ones are revoked
    assert admin.code("POST", f"{path}/rotate", 412, headers={"if-match": etag}) == "service_changed_meanwhile"
    tags = {e["tag"] for e in admin.data("GET", "/events?limit=500")["items"] if e["object_id"] == new["id"]}
    assert {"service:rotate:requested", "service:rotate:succeeded"} <= tags


def test_refused_new_ones_leave_the_old_ones(lab: ServiceLab, admin: Api) -> None:
    one, key = bound(lab)
    before = password(lab, one, key)
    lab.broker.script("bind", Refused(400, None, "no more users"), does=False)
    made = admin.data("POST", f"/apps/{one}/bindings/{key}/rotate", 202)
    settle(lab, key)
    ended = admin.data("GET", f"/operations/{made['operation']['id']}")
    assert ended["status"] == "failed" and "no more users" in ended["reason"]["message"]
    assert [b["state"] for b in admin.data("GET", f"/apps/{one}/bindings")["items"]] == ["ready"]
    assert password(lab, one, key) == before
    admin.data("POST", f"/apps/{one}/bindings/{key}/rotate", 202)


def test_unbinding_ends_both(lab: ServiceLab, admin: Api) -> None:
    one, key = bound(lab)
    made = admin.data("POST", f"/apps/{one}/bindings/{key}/rotate", 202)
    gone = admin.data("DELETE", f"/apps/{one}/bindings/{key}", 202)["operation"]
    assert {b["state"] for b in admin.data("GET", f"/apps/{one}/bindings")["items"]} == {"deleting"}
    assert admin.data("GET", f"/operations/{made['operation']['id']}")["status"] == "cancelled"
    assert admin.code("POST", f"/apps/{one}/bindings/{key}/rotate", 409) == "binding_not_ready"
    settle(lab, key)
    assert admin.data("GET", f"/apps/{one}/bindings")["items"] == []
    lab.settle(lab.bindings, made["binding"]["id"])
    lab.settle(lab.bindings, gone["binding_id"])
    assert admin.data("GET", f"/operations/{gone['id']}")["status"] == "succeeded"
    assert lab.broker.instances[key].bindings == {}


def test_what_has_no_new_credentials_to_give(lab: ServiceLab, place: Place, admin: Api) -> None:
    one = app(place)
    mine = theirs(place)["service_instance"]["id"]
    admin.data("POST", f"/apps/{one}/bindings", 202, json={"service_instance_id": mine})
    assert admin.code("POST", f"/apps/{one}/bindings/{mine}/rotate", 409) == "credentials_not_rotatable"
    assert admin.code("POST", f"/apps/{one}/bindings/nothing/rotate", 404) == "binding_not_found"
    one, key = bound(lab)
    lab.change(ServiceBinding, lab.find(ServiceBinding, app_id=one)[0].id, state=BindingState.creating)
    assert admin.code("POST", f"/apps/{one}/bindings/{key}/rotate", 409) == "binding_not_ready"
    one, key = bound(lab)
    lab.change(ServiceInstance, key, state=ServiceState.broken)
    assert admin.code("POST", f"/apps/{one}/bindings/{key}/rotate", 409) == "service_unusable"
    lab.change(ServiceInstance, key, state=ServiceState.ready)
    lab.change(ServicePlan, lab.plans[0].id, binding_rotatable=False)
    assert admin.code("POST", f"/apps/{one}/bindings/{key}/rotate", 409) == "binding_not_rotatable"


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_person_has_a_key(lab: ServiceLab, admin: Api) -> None:
    key = lab.created()
    path = f"/service-instances/{key}/keys"
    made = admin.data("POST", path, 202, json={"name": "wang-li"})
    one, operation = made["key"], made["operation"]
    assert (one["name"], one["state"], one["credentials"]) == ("wang-li", "creating", None)
    assert (operation["kind"], operation["app_id"], operation["binding_id"]) == ("bind", None, one["id"])
    assert admin.code("POST", path, 409, json={"name": "wang-li"}) == "key_name_taken"
    assert admin.data("GET", f"/service-keys/{one['id']}")["credentials"] is None
    settle(lab, key)
    assert admin.data("GET", f"/operations/{operation['id']}")["status"] == "succeeded"
    secret = admin.data("GET", f"/service-keys/{one['id']}")["credentials"]["password"]
    assert secret == f"secret-of-{one['id']}"
    (listed,) = admin.data("GET", path)["items"]
    assert listed["id"] == one["id"] and listed["credentials"] is None
    refused = admin.request("DELETE", f"/service-instances/{key}").json()
    assert refused["code"] == "service_bound" and "wang-li" in refused["message"]
    gone = admin.data("DELETE", f"/service-keys/{one['id']}", 202)["operation"]
    assert admin.data("DELETE", f"/service-keys/{one['id']}", 202)["operation"]["id"] == gone["id"]
    assert admin.data("GET", f"/service-keys/{one['id']}")["credentials"] is None
    assert admin.code("POST", path, 409, json={"name": "wang-li"}) == "key_name_taken"  # until it is revoked
    settle(lab, key)
    assert lab.broker.instances[key].bindings == {}
    lab.settle(lab.bindings, one["id"])
    assert admin.data("GET", f"/operations/{gone['id']}")["status"] == "succeeded"
    assert admin.code("GET", f"/service-keys/{one['id']}", 404) == "service_key_not_found"
    again = admin.data("POST", path, 202, json={"name": "wang-li"})["key"]
    assert again["id"] != one["id"]
    told = admin.get("/events?limit=500")
    tags = {e["tag"] for e in told.json()["data"]["items"] if e["object_id"] == one["id"]}
    assert {"service:key:create", "service:key:delete", "service:bind:succeeded"} <= tags
    assert secret not in told.text


def test_who_may_see_a_key(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    instance = world.do(a_service(world, ids, app=(one := app(place))))
    key = world.do(a_key(world, instance))
    for role in ("administrator", "service_manager"):
        assert "key-secret" in place.clients[role].get(f"/service-keys/{key}").text, role
    for role in ("developer", "operator", "supervisor"):
        seen = place.clients[role].get(f"/service-keys/{key}")
        assert seen.status_code == 200 and "key-secret" not in seen.text, role
    for elsewhere in ("keys", "bindings", "status"):
        assert "key-secret" not in admin.get(f"/service-instances/{instance}/{elsewhere}").text
    assert place.outsider.code("GET", f"/service-keys/{key}", 404) == "service_key_not_found"
    (binding,) = admin.data("GET", f"/apps/{one}/bindings")["items"]  # an app's is no key
    assert admin.code("GET", f"/service-keys/{binding['id']}", 404) == "service_key_not_found"
    assert admin.code("DELETE", f"/service-keys/{binding['id']}", 404) == "service_key_not_found"


def test_what_has_no_keys(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    path = "/service-instances/{}/keys"
    mine = theirs(place)["service_instance"]["id"]
    assert admin.code("POST", path.format(mine), 409, json={"name": "k"}) == "key_of_user_provided"
    key = world.do(a_service(world, ids))
    for wrong in (
        {},
        {"name": "Wang Li"},
        {"name": 7},
        {"name": "k", "parameters": {"lines": 0}},
        {"name": "k", "a": 1},
    ):
        assert faults(admin, "POST", path.format(key), json=wrong)
    other = world.do(a_service(world, ids, offering_id=UNBINDABLE.id, plan_id="pln_archivesmall"))
    assert admin.code("POST", path.format(other), 409, json={"name": "k"}) == "service_not_bindable"
    write(world, ServiceInstance, key, state=ServiceState.failed)
    assert admin.code("POST", path.format(key), 409, json={"name": "k"}) == "service_failed"
    assert admin.code("POST", path.format("none-such"), 404, json={"name": "k"}) == "service_instance_not_found"
