"""Apps over HTTP: names, pages, `If-Match`, retries with a key, waiting for operations."""

import hashlib
import threading
from datetime import timedelta

import pytest

from gongfang.domain.errors import Reason
from gongfang.domain.values import JsonObject, Operation, OperationStatus
from tests.api.conftest import Api, World, envelope, new_name


def new_app(client: Api, **more: object) -> JsonObject:
    return client.data("POST", "/apps", 201, json={"name": new_name("a"), **more})


def end_operation(world: World, operation_id: str, **changes: object) -> None:
    """What the reconciler does at an operation's end."""

    async def end() -> None:
        async with world.services.database.writing() as tx:
            found = await tx.one(Operation, operation_id)
            assert found is not None
            await tx.update(Operation, operation_id, sequence=found.sequence + 1, **changes)
            tx.wake("operation", operation_id)

    world.do(end())


def test_an_app_as_it_is_made(admin: Api) -> None:
    name = new_name("a")
    response = admin.post("/apps", json={"name": name, "type": "web", "runtime": "python", "labels": {"line": "3"}})
    app = envelope(response, 201)["data"]
    assert app["domain"] == f"{name}.apps.localhost" and app["url"] == f"http://{name}.apps.localhost:7081/"
    assert app["desired_state"] == "stopped" and app["state"] == "stopped" and app["instances_wanted"] == 0
    assert app["processes"]["web"]["instances"] == 1 and app["routes"][0]["default"]
    assert response.headers["etag"] == admin.get(f"/apps/{name}").headers["etag"]
    assert [a["id"] for a in admin.data("GET", f"/apps?label=line=3&name={name}")["items"]] == [app["id"]]
    taken = envelope(admin.post("/apps", json={"name": name}), 409)
    assert taken["code"] in ("name_taken", "app_name_taken") and name in taken["message"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a-",
        "A",
        "a_b",
        "a.b",
        "a b",
        "../x",
        "a/b",
        "ａｐｐ",
        "аpp",
        "app\u200b",
        "app\u202e",
        "a\n",
        "a" * 64,
        "工坊",
    ],
)
def test_names_that_are_none(admin: Api, name: str) -> None:
    assert admin.code("POST", "/apps", 422, json={"name": name}) == "validation_failed"


def test_a_name_is_never_a_prefix(admin: Api) -> None:
    base = new_name("p")
    first, second, third = (new_app(admin, name=name) for name in (base, f"{base}2", f"{base}-2"))
    admin.data("DELETE", f"/apps/{first['id']}", 202)
    assert envelope(admin.post(f"/apps/{base}/stop"), 409)["code"] == "app_being_destroyed"
    for other in (second, third):
        assert admin.data("GET", f"/apps/{other['name']}")["desired_state"] == "stopped"
        assert admin.data("GET", f"/operations?app_id={other['name']}")["items"] == []
    assert admin.data("GET", f"/apps?name={base}")["items"][0]["id"] == first["id"]
    for hostile in (f"{base}%25", f"{base[:-1]}_", "*", "%2e%2e", "app_", "'--", "%F0%9F%8F%AD"):
        assert admin.request("GET", f"/apps/{hostile}").status_code == 404


def test_a_name_in_two_spaces_is_ambiguous(world: World, admin: Api) -> None:
    space = admin.data("POST", "/spaces", 201, json={"name": new_name("s")})["id"]
    name = new_name("twin")
    one, two = new_app(admin, name=name), new_app(admin, name=name, space_id=space)
    assert admin.code("GET", f"/apps/{name}", 409) == "app_name_ambiguous"
    _, inside = world.user([{"role": "developer", "level": "space", "scope_id": space}])
    assert inside.data("GET", f"/apps/{name}")["id"] == two["id"] != one["id"]
    assert one["domain"] != two["domain"]


def test_pages_hold_each_once(admin: Api) -> None:
    label = new_name("pages")
    made = {new_app(admin, labels={"page": label})["id"] for _ in range(7)}
    seen: list[str] = []
    cursor = None
    while True:
        params = {"label": f"page={label}", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = admin.data("GET", "/apps", params=params)
        assert len(page["items"]) <= 3
        seen += [a["id"] for a in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    newest = admin.data("GET", "/events?limit=2")
    older = admin.data("GET", "/events", params={"limit": 2, "cursor": newest["next_cursor"]})
    numbers = [e["seq"] for e in newest["items"] + older["items"]]
    assert numbers == sorted(numbers, reverse=True) and len(set(numbers)) == 4


def test_if_match(admin: Api) -> None:
    app = new_app(admin)
    path = f"/apps/{app['id']}"
    etag = admin.get(path).headers["etag"]
    changed = admin.patch(path, json={"labels": {"a": "1"}}, headers={"if-match": etag})
    assert envelope(changed, 200)["data"]["labels"] == {"a": "1"} and changed.headers["etag"] != etag
    for method, suffix in (("PATCH", ""), ("DELETE", ""), ("POST", "/stop"), ("POST", "/start")):
        body = {"json": {"labels": {}}} if method == "PATCH" else {}
        assert admin.code(method, path + suffix, 412, headers={"if-match": etag}, **body) == "changed_meanwhile"
    admin.data("PATCH", path, json={"labels": {"a": None}}, headers={"if-match": "*"})


def test_a_key_gives_the_first_answer_again(world: World, admin: Api) -> None:
    body = {"name": new_name("i")}
    key = {"idempotency-key": new_name("k")}
    first = admin.post("/apps", json=body, headers=key)
    again = admin.post("/apps", json=body, headers=key)
    assert envelope(first, 201)["data"] == envelope(again, 201)["data"]
    assert again.headers["idempotent-replayed"] == "true" and again.headers["etag"] == first.headers["etag"]
    assert admin.code("POST", "/apps", 422, json={"name": new_name()}, headers=key) == "idempotency_key_reused"
    _, other = world.user([{"role": "operator"}])
    assert other.code("POST", "/apps", 409, json=body, headers=key)  # another's key: really tried, and taken
    token = {"json": {"name": "t"}, "headers": key}
    assert admin.data("POST", "/tokens", 201, **token) == admin.data("POST", "/tokens", 201, **token)
    upload = {"params": {"filename": "a.zip"}, "content": b"1", "headers": key}
    path = f"/apps/{body['name']}/package"
    assert admin.data("POST", path, 201, **upload)["id"] == admin.data("POST", path, 201, **upload)["id"]
    world.clock.ahead = timedelta(hours=25)
    assert admin.code("POST", "/apps", 409, json=body, headers=key)  # forgotten after a day
    for bad in ("", "x" * 256):
        assert (
            admin.code("POST", "/apps", 422, json=body, headers={"idempotency-key": bad}) == "idempotency_key_invalid"
        )


def test_many_at_once_with_one_key_do_it_once(world: World, admin: Api) -> None:
    body = {"name": new_name("i")}
    key = {"idempotency-key": new_name("k")}
    statuses: list[int] = []

    def post() -> None:
        statuses.append(world.client(world.token).post("/apps", json=body, headers=key).status_code)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {201, 409} and 201 in statuses
    assert len(admin.data("GET", f"/apps?name={body['name']}")["items"]) == 1


def _crashed(world: World, admin: Api, key: str, changes: str) -> None:
    """Makes the stored claim of a creation what a crash leaves behind."""
    user_id = admin.data("GET", "/whoami")["user"]["id"]
    name = hashlib.sha256("\0".join((user_id, "", "POST", "/api/v1/apps", key)).encode()).hexdigest()  # no scopes

    async def change() -> None:
        from sqlalchemy import text

        async with world.services.database._engine.begin() as connection:  # pyright: ignore[reportPrivateUsage]
            statement = text(f"UPDATE idempotency SET status = NULL, body = NULL, {changes} WHERE key = '{name}'")
            assert (await connection.execute(statement)).rowcount == 1

    world.do(change())


def test_a_call_that_was_done_but_not_answered_is_not_done_again(world: World, admin: Api) -> None:
    body = {"name": new_name("i")}
    key = {"idempotency-key": new_name("k")}
    app = admin.data("POST", "/apps", 201, json=body, headers=key)
    _crashed(world, admin, key["idempotency-key"], "owner = 'gone'")
    lost = envelope(admin.post("/apps", json=body, headers=key), 409)
    assert lost["code"] == "idempotency_answer_lost" and app["id"] in lost["message"]
    world.clock.ahead = timedelta(minutes=11)
    assert admin.code("POST", "/apps", 409, json=body, headers=key) == "idempotency_answer_lost"
    start = f"/apps/{app['id']}/package"
    assert admin.data("GET", start + "s")["items"] == []


def test_a_claim_of_a_control_plane_that_died_before_it_did_anything_is_free(world: World, admin: Api) -> None:
    body = {"name": new_name("i")}
    key = {"idempotency-key": new_name("k")}
    app = admin.data("POST", "/apps", 201, json=body, headers=key)
    admin.data("DELETE", f"/apps/{app['id']}", 202)
    again = {"name": new_name("i")}
    _crashed(world, admin, key["idempotency-key"], "owner = 'gone', done = NULL")
    assert admin.data("POST", "/apps", 201, json=again, headers=key)["name"] == again["name"]


def test_one_that_is_being_worked_on_is_said_to_be(world: World, admin: Api) -> None:
    body = {"name": new_name("i")}
    key = {"idempotency-key": new_name("k")}
    admin.data("POST", "/apps", 201, json=body, headers=key)
    _crashed(world, admin, key["idempotency-key"], "done = NULL")
    busy = admin.post("/apps", json=body, headers=key)
    assert envelope(busy, 409)["code"] == "idempotency_in_progress" and busy.headers["retry-after"] == "1"
    world.clock.ahead = timedelta(minutes=11)
    assert "idempotency" not in admin.code("POST", "/apps", 409, json=body, headers=key)


def _wait(world: World, app_id: str, status: int, result: list[JsonObject]) -> None:
    response = world.client(world.token).post(f"/apps/{app_id}/stop", params={"wait": 20})
    result.append(envelope(response, status))


def test_waiting_for_each_end(world: World, admin: Api) -> None:
    now = world.clock()
    ends: list[tuple[JsonObject, int, str]] = [
        ({"status": OperationStatus.succeeded, "finished_at": now}, 200, "OK"),
        ({"status": OperationStatus.cancelled, "finished_at": now}, 409, "operation_cancelled"),
        (
            {"status": OperationStatus.failed, "reason": Reason("exit_code", {"code": 3}), "output": "Traceback …"},
            422,
            "exit_code",
        ),
    ]
    for changes, status, code in ends:
        app = new_app(admin)
        operation = admin.data("POST", f"/apps/{app['id']}/stop", 202)["operation"]
        result: list[JsonObject] = []

        thread = threading.Thread(target=_wait, args=(world, app["id"], status, result))
        thread.start()
        for _ in range(500):
            active = [
                o for o in admin.data("GET", f"/operations?app_id={app['id']}")["items"] if o["status"] == "pending"
            ]
            if active and active[0]["id"] != operation["id"]:
                break
        end_operation(world, active[0]["id"], **changes)
        thread.join(20)
        assert result[0]["code"] == code and result[0]["data"]["operation"]["id"] == active[0]["id"]
        assert result[0]["data"]["app"]["id"] == app["id"]
        assert status != 422 or "3" in result[0]["message"]
    late = admin.post(f"/apps/{app['id']}/stop", params={"wait": 0.05})
    assert envelope(late, 202)["code"] == "accepted"
    assert admin.code("POST", f"/apps/{app['id']}/stop?wait=301", 422) == "validation_failed"


def test_cancelling(world: World, admin: Api) -> None:
    app = new_app(admin)
    operation = admin.data("POST", f"/apps/{app['id']}/stop", 202)["operation"]
    admin.data("POST", f"/operations/{operation['id']}/cancel")
    admin.data("POST", f"/operations/{operation['id']}/cancel")
    tags = [e["tag"] for e in admin.data("GET", f"/events?app_id={app['id']}")["items"]]
    assert tags.count("operation:cancel") == 1
    end_operation(world, operation["id"], status=OperationStatus.cancelled)
    assert admin.code("POST", f"/operations/{operation['id']}/cancel", 409) == "operation_ended"
    assert admin.data("GET", f"/operations/{operation['id']}?wait=5")["status"] == "cancelled"
    assert admin.code("GET", "/operations/op_00000000000000000000?wait=5", 404) == "operation_not_found"


def test_numbers_out_of_range(admin: Api) -> None:
    app = new_app(admin)
    assert admin.code("GET", f"/apps/{app['id']}/releases/99999999999999", 422)
    assert admin.code("POST", f"/apps/{app['id']}/rollback", 422, json={"release": 10**12})
    assert admin.code("POST", f"/apps/{app['id']}/instances", 422, json={}) == "validation_failed"
    assert admin.code("POST", f"/apps/{app['id']}/instances", 422, json={"instances": 10**30})
