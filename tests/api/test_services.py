"""Services, instances and bindings as people ask for them: what is taken, what is refused, and what nobody gets to see.

Nothing reconciles here: what a broker would have done by now is written into the rows.
"""

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from gongfang.domain.services import BindingState, ServiceBinding, ServiceInstance, ServiceState
from gongfang.domain.values import JsonObject, Operation, OperationStatus
from tests.api.conftest import Api, World, new_name
from tests.api.one_of_everything import OFFERING, UNBINDABLE, Place, a_service

CONFIGURATION = "/service-instances/{}/configuration"


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    return Place(world)


@pytest.fixture
def ids(place: Place) -> dict[str, str]:
    return {"tenant_id": place.tenant, "organization_id": place.organization, "space_id": place.space}


def app(place: Place) -> str:
    return place.admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": place.space})["id"]


def create(place: Place, status: int = 202, **body: Any) -> Any:
    path = f"/spaces/{place.space}/service-instances"
    return place.admin.data("POST", path, status, json={"service": OFFERING.name, **body})


def faults(client: Api, method: str, path: str, **more: Any) -> list[str]:
    """The fields that are said to be at fault."""
    answer = client.request(method, path, **more)
    assert answer.status_code == 422, answer.text
    return [d["field"] for d in answer.json()["details"]]


def row(world: World, noun: type[Any], key: str) -> Any:
    async def look() -> Any:
        async with world.services.database.reading() as tx:
            return await tx.one(noun, key)

    return world.do(look())


def write(world: World, noun: type[Any], key: str, **changes: Any) -> None:
    async def change() -> None:
        async with world.services.database.writing() as tx:
            await tx.update(noun, key, **changes)

    world.do(change())


def ended(world: World, operation: JsonObject) -> None:
    write(world, Operation, operation["id"], status=OperationStatus.succeeded)


# --- what an organisation may use ------------------------------------------------------------------------------------


def test_a_service_is_brought_in_once_with_the_plans_that_are_named(place: Place, admin: Api) -> None:
    organization = admin.data("POST", "/organizations", 201, json={"name": new_name("o"), "tenant_id": place.tenant})
    path = f"/organizations/{organization['id']}/services"
    assert admin.data("GET", path)["items"] == []
    first = admin.data("POST", path, 201, json={"name": OFFERING.name, "plans": ["small"]})
    assert first["name"] == OFFERING.name and [p["name"] for p in first["plans"]] == ["small"]
    again = admin.data("POST", path, 200, json={"name": OFFERING.name})
    assert again["id"] == first["id"] and [p["name"] for p in again["plans"]] == ["small"]
    more = admin.data("POST", path, 200, json={"name": OFFERING.name, "plans": ["large", "small", "large"]})
    assert [p["name"] for p in more["plans"]] == ["small", "large"]
    (listed,) = admin.data("GET", path)["items"]
    assert listed["id"] == first["id"]
    assert admin.data("GET", f"{path}/{OFFERING.name}")["id"] == first["id"]
    admin.data("DELETE", f"{path}/{first['id']}")
    assert admin.code("GET", f"{path}/{first['id']}", 404) == "service_not_found"
    assert admin.code("DELETE", f"{path}/{first['id']}", 404) == "service_not_found"


def test_what_is_not_in_the_catalogue_is_not_brought_in(place: Place, admin: Api) -> None:
    path = f"/organizations/{place.organization}/services"
    assert faults(admin, "POST", path, json={"name": "oracle"}) == ["name"]
    assert faults(admin, "POST", path, json={"name": OFFERING.name, "plans": ["small", "vast"]}) == ["plans.1"]
    broker = {"url": "https://broker.example.cn", "username": "u", "password": "hunter2-broker"}
    answer = admin.request("POST", path, json={"name": "theirs", "broker": broker})
    assert answer.status_code == 422 and "hunter2" not in answer.text
    assert [d["field"] for d in answer.json()["details"]] == ["broker"]
    for wrong in ({}, {"name": 7}, {"name": "x", "broker": "not an object"}, {"name": "x", "brokers": []}):
        assert faults(admin, "POST", path, json=wrong)


def test_only_what_was_brought_in_is_to_be_had(place: Place, admin: Api) -> None:
    organization = admin.data("POST", "/organizations", 201, json={"name": new_name("o"), "tenant_id": place.tenant})
    space = admin.data("POST", "/spaces", 201, json={"name": "s", "organization_id": organization["id"]})["id"]
    path = f"/spaces/{space}/service-instances"
    assert faults(admin, "POST", path, json={"service": OFFERING.name}) == ["service"]
    services = f"/organizations/{organization['id']}/services"
    admin.data("POST", services, 201, json={"name": OFFERING.name, "plans": ["small"]})
    assert faults(admin, "POST", path, json={"service": OFFERING.name, "plan": "large"}) == ["plan"]
    made = admin.data("POST", path, 202, json={"service": OFFERING.name})["service_instance"]
    assert (made["name"], made["plan"], made["state"]) == (OFFERING.name, "small", "creating")
    assert admin.data("POST", path, 202, json={"service": OFFERING.name})["service_instance"]["name"] == "tables-2"
    assert admin.code("DELETE", f"{services}/{OFFERING.name}", 409) == "service_in_use"
    full = admin.request("DELETE", f"/spaces/{space}").json()
    assert full["code"] == "not_empty" and "2 service(s)" in full["message"]


def test_two_calls_at_a_time_bring_it_in_once(place: Place, world: World, admin: Api) -> None:
    organization = admin.data("POST", "/organizations", 201, json={"name": new_name("o"), "tenant_id": place.tenant})
    path = f"/organizations/{organization['id']}/services"
    clients = [world.client(world.token) for _ in range(4)]

    async def at_once() -> list[int]:
        calls = (asyncio.to_thread(c.post, path, json={"name": OFFERING.name}) for c in clients)
        return [answer.status_code for answer in await asyncio.gather(*calls)]

    assert sorted(asyncio.run(at_once())) == [200, 200, 200, 201]


# --- instances -------------------------------------------------------------------------------------------------------


def test_an_instance_is_asked_for(place: Place, world: World, admin: Api) -> None:
    name = new_name("s")
    made = create(place, name=name, plan="large", parameters={"lines": 3, "secret": "hunter2"}, tags=["a", "a", "b"])
    instance, operation = made["service_instance"], made["operation"]
    assert (instance["name"], instance["plan"], instance["tags"]) == (name, "large", ["a", "b"])
    assert (operation["kind"], operation["status"]) == ("create_service", "pending")
    assert (operation["service_instance_id"], operation["service_name"]) == (instance["id"], name)
    assert admin.data("GET", f"/operations/{operation['id']}")["app_id"] is None
    stored: ServiceInstance = row(world, ServiceInstance, instance["id"])
    assert orjson.loads(stored.parameters) == {"lines": 3, "secret": "hunter2"}
    listed = admin.data("GET", f"/service-instances?space_id={place.space}&service={OFFERING.name}&name={name}")
    assert [i["id"] for i in listed["items"]] == [instance["id"]]
    assert admin.data("GET", f"/service-instances?name={name}&state=ready")["items"] == []
    assert admin.data("GET", f"/service-instances/{name}")["parameters"] == {"lines": 3, "secret": "hunter2"}
    reader = place.clients["operator"].data("GET", f"/service-instances/{instance['id']}")
    assert reader["parameters"] == {"lines": "***", "secret": "***"}
    path = f"/spaces/{place.space}/service-instances"
    assert admin.code("POST", path, 409, json={"service": OFFERING.name, "name": name}) == "service_name_taken"
    assert "hunter2" not in admin.get("/events?limit=500").text
    row_of: Operation = row(world, Operation, operation["id"])
    assert "hunter2" not in str(row_of.params)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"service": "tables", "parameters": {"lines": 0}}, "parameters.lines"),
        ({"service": "tables", "parameters": {"rows": 1}}, "parameters"),
        ({"service": "tables", "parameters": {"secret": "x" * 70_000}}, "parameters"),
        ({"service": "tables", "plan": "vast"}, "plan"),
        ({"service": "oracle"}, "service"),
        ({"service": "tables", "name": "Not a name"}, "name"),
        ({}, "service"),
    ],
)
def test_what_cannot_be_created(place: Place, body: JsonObject, fault: str) -> None:
    assert fault in faults(place.admin, "POST", f"/spaces/{place.space}/service-instances", json=body)


def test_a_refused_parameter_is_not_repeated(place: Place) -> None:
    body = {"service": OFFERING.name, "parameters": {"lines": "hunter2-in-the-wrong-place"}}
    answer = place.admin.post(f"/spaces/{place.space}/service-instances", json=body)
    assert answer.status_code == 422 and "hunter2" not in answer.text


def test_a_change_merges_and_waits_for_nobody(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    key = world.do(a_service(world, ids))
    path = CONFIGURATION.format(key)
    etag = admin.get(f"/service-instances/{key}").headers["etag"]
    same = admin.data("POST", path, 202, json={"plan": "small", "parameters": {"lines": 3}})
    assert same["operation"]["status"] == "succeeded" and same["service_instance"]["generation"] == 1
    assert admin.data("POST", path, 200, json={"plan": "small"}, params={"wait": 5})["operation"]["id"]
    changed = admin.data(
        "POST", path, 202, json={"plan": "large", "parameters": {"secret": "hunter2"}}, headers={"if-match": etag}
    )
    assert changed["service_instance"]["parameters"] == {"lines": 3, "secret": "hunter2"}
    assert (changed["service_instance"]["plan"], changed["operation"]["kind"]) == ("large", "configure_service")
    assert admin.code("POST", path, 409, json={"plan": "small"}) == "service_busy"
    assert admin.code("POST", path, 412, json={"plan": "small"}, headers={"if-match": etag}) == (
        "service_changed_meanwhile"
    )
    cancel = f"/operations/{changed['operation']['id']}/cancel"
    assert admin.code("POST", cancel, 409) == "operation_cannot_cancel"
    ended(world, changed["operation"])
    removed = admin.data("POST", path, 202, json={"parameters": {"secret": None}})
    assert removed["service_instance"]["parameters"] == {"lines": 3}
    ended(world, removed["operation"])
    assert faults(admin, "POST", path, json={}) == ["plan"]
    assert faults(admin, "POST", path, json={"plan": "vast"}) == ["plan"]
    assert faults(admin, "POST", path, json={"parameters": {"lines": 0}}) == ["parameters.lines"]
    assert "hunter2" not in admin.get("/events?limit=500").text
    write(world, ServiceInstance, key, state=ServiceState.failed)
    assert admin.code("POST", path, 409, json={"plan": "small"}) == "service_failed"


def test_what_is_bound_is_deleted_by_force_only(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    one = app(place)
    key = world.do(a_service(world, ids, app=one))
    refused = admin.request("DELETE", f"/service-instances/{key}").json()
    assert refused["code"] == "service_bound" and [d["field"] for d in refused["details"]] == ["bindings"]
    operation = admin.data("DELETE", f"/service-instances/{key}?force=true", 202)["operation"]
    assert operation["kind"] == "delete_service"
    assert admin.data("DELETE", f"/service-instances/{key}", 202)["operation"]["id"] == operation["id"]
    shown = admin.data("GET", f"/service-instances/{key}")
    assert shown["state"] == "deleting" and [b["state"] for b in shown["bindings"]] == ["deleting"]
    assert admin.code("POST", CONFIGURATION.format(key), 409, json={"plan": "large"}) == "service_being_deleted"
    body = {"service_instance_id": key}
    assert admin.code("POST", f"/apps/{app(place)}/bindings", 409, json=body) == "service_being_deleted"


def test_a_deletion_ends_what_is_under_way(place: Place, admin: Api) -> None:
    made = create(place)
    key = made["service_instance"]["id"]
    admin.data("DELETE", f"/service-instances/{key}", 202)
    first = admin.data("GET", f"/operations/{made['operation']['id']}")
    assert (first["status"], first["reason"]["code"]) == ("cancelled", "superseded")


def test_its_state_says_where_it_is(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    bound = world.do(a_service(world, ids, app=app(place)))
    seen = admin.data("GET", f"/service-instances/{bound}/status")
    assert (seen["host"], seen["state"]) == ("127.0.0.1", "running") and isinstance(seen["port"], int)
    assert {k: seen[k] for k in ("cpu", "memory", "storage")} == {"cpu": None, "memory": None, "storage": None}
    bare = world.do(a_service(world, ids))
    seen = admin.data("GET", f"/service-instances/{bare}/status")
    assert (seen["host"], seen["port"], seen["state"]) == (None, None, "ready")
    assert admin.data("GET", f"/service-instances/{bare}/log")["items"] == []
    assert admin.code("GET", "/service-instances/nobody-s/log", 404) == "service_instance_not_found"
    assert admin.code("GET", "/service-instances/nobody-s/status", 404) == "service_instance_not_found"


# --- bindings --------------------------------------------------------------------------------------------------------


def test_an_app_is_bound_and_unbound(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    one, key = app(place), world.do(a_service(world, ids))
    path = f"/apps/{one}/bindings"
    body = {"service_instance_id": key, "name": "orders", "variables": {"ORDERS_URL": "uri"}}
    made = admin.data("POST", path, 202, json=body)
    binding, operation = made["binding"], made["operation"]
    assert (binding["service_instance_id"], binding["app_id"], binding["name"]) == (key, one, "orders")
    assert (binding["state"], binding["variables"]) == ("creating", {"ORDERS_URL": "uri"})
    assert (operation["kind"], operation["app_id"], operation["binding_id"]) == ("bind", one, binding["id"])
    assert [o["id"] for o in admin.data("GET", f"/operations?app_id={one}")["items"]] == [operation["id"]]
    assert admin.code("POST", path, 409, json={"service_instance_id": key}) == "already_bound"
    assert [b["id"] for b in admin.data("GET", path)["items"]] == [binding["id"]]
    assert [b["id"] for b in admin.data("GET", f"/service-instances/{key}/bindings")["items"]] == [binding["id"]]
    environment = f"/apps/{one}/services/{key}/environment"
    assert admin.code("GET", environment, 409) == "binding_not_ready"
    gone = admin.data("DELETE", f"{path}/{key}", 202)["operation"]
    assert gone["kind"] == "unbind"
    assert admin.data("GET", f"/operations/{operation['id']}")["status"] == "cancelled"
    assert admin.data("DELETE", f"{path}/{key}", 202)["operation"]["id"] == gone["id"]
    assert admin.data("GET", f"{path}/{key}")["state"] == "deleting"
    stored: ServiceBinding = row(world, ServiceBinding, binding["id"])
    assert stored.deleting and stored.state is BindingState.creating
    # Bound anew while the old one is still being taken away.
    assert admin.data("POST", path, 202, json={"service_instance_id": key})["binding"]["id"] != binding["id"]


def test_what_cannot_be_bound(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    one, key = app(place), world.do(a_service(world, ids))
    path = f"/apps/{one}/bindings"
    assert admin.code("POST", path, 404, json={"service_instance_id": "none-such"}) == "service_instance_not_found"
    assert faults(admin, "POST", path, json={"service_instance_id": 7})
    assert faults(admin, "POST", path, json={})
    for name in ("PORT", "GONGFANG_X", "PATH", "HOME", "LD_PRELOAD", "VCAP_SERVICES", "SERVICE_BINDING_ROOT"):
        body = {"service_instance_id": key, "variables": {name: "uri"}}
        assert faults(admin, "POST", path, json=body) == [f"variables.{name}"]
    admin.data("PATCH", f"/apps/{one}/environment", json={"variables": {"ORDERS_URL": "x"}})
    body = {"service_instance_id": key, "variables": {"ORDERS_URL": "uri"}}
    assert admin.code("POST", path, 409, json=body) == "variable_taken"
    body = {"service_instance_id": key, "parameters": {"lines": 0}}
    assert faults(admin, "POST", path, json=body) == ["parameters.lines"]
    for state, code in ((ServiceState.failed, "service_failed"), (ServiceState.broken, "service_unusable")):
        other = world.do(a_service(world, ids, state=state))
        assert admin.code("POST", path, 409, json={"service_instance_id": other}) == code
    other = world.do(a_service(world, ids, offering_id=UNBINDABLE.id, plan_id="pln_archivesmall"))
    assert admin.code("POST", path, 409, json={"service_instance_id": other}) == "service_not_bindable"
    space = admin.data("POST", "/spaces", 201, json={"name": new_name(), "organization_id": place.organization})["id"]
    elsewhere = world.do(a_service(world, {**ids, "space_id": space}))
    assert admin.code("POST", path, 409, json={"service_instance_id": elsewhere}) == "service_elsewhere"
    assert admin.code("DELETE", f"{path}/{key}", 404) == "binding_not_found"
    assert admin.code("DELETE", f"/apps/nobody-s/bindings/{key}", 404) == "app_not_found"
    made = admin.data("POST", path, 202, json={"service_instance_id": key, "name": "orders"})
    another = world.do(a_service(world, ids))
    body = {"service_instance_id": another, "name": made["binding"]["name"]}
    assert admin.code("POST", path, 409, json=body) == "binding_name_taken"


def test_who_may_see_what_an_app_gets(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    one = app(place)
    key = world.do(a_service(world, ids, app=one))
    path = f"/apps/{one}/services/{key}/environment"
    for role in ("administrator", "service_manager", "developer", "operator"):
        seen = place.clients[role].data("GET", path)
        assert seen["environment"]["DATABASE_URL"].startswith("postgresql://b_1:uri-secret@"), role
        assert (seen["host"], seen["port"], seen["masked"]) == ("127.0.0.1", 16000, False)
        assert all(isinstance(value, str) for value in seen["environment"].values())
        assert any(file.endswith("/uri") for file in seen["files"])
    masked = place.clients["supervisor"].get(path)
    assert masked.json()["data"]["masked"] and "uri-secret" not in masked.text
    assert set(masked.json()["data"]["environment"].values()) == {"***"}
    everywhere = ("/apps", f"/apps/{one}/bindings", f"/service-instances/{key}", f"/service-instances/{key}/bindings")
    for elsewhere in (*everywhere, f"/service-instances/{key}/status", "/service-instances", "/events?limit=500"):
        assert "uri-secret" not in admin.get(elsewhere).text, elsewhere


def test_an_app_that_is_destroyed_lets_go(place: Place, world: World, ids: dict[str, str], admin: Api) -> None:
    one = app(place)
    key = world.do(a_service(world, ids, app=one))
    admin.data("DELETE", f"/apps/{one}", 202)
    assert [b["state"] for b in admin.data("GET", f"/service-instances/{key}/bindings")["items"]] == ["deleting"]
    admin.data("DELETE", f"/service-instances/{key}", 202)  # nothing that is wanted is bound to it


def test_no_secret_is_kept_in_the_open(place: Place, world: World, ids: dict[str, str]) -> None:
    key = world.do(a_service(world, ids, app=app(place), parameters='{"secret": "hunter2"}'))

    async def texts() -> str:
        async with world.services.database.reading() as tx:
            found: list[str] = []
            for table in ("service_instances", "service_bindings", "hosted_instances", "hosted_bindings", "operations"):
                rows = await tx.connection.execute(text(f"SELECT * FROM {table}"))
                found.extend(str(r) for r in rows.all())
            return "\n".join(found)

    everything = world.do(texts())
    assert key in everything and "hunter2" not in everything and "uri-secret" not in everything
    assert row(world, ServiceInstance, key).parameters == '{"secret": "hunter2"}'
