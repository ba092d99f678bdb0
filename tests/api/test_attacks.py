"""What somebody tries who wants to be more than they are: cut-down tokens, guessing, locking others out, answers and
streams of others, and places that go away underneath."""

import concurrent.futures
import uuid
from datetime import timedelta
from typing import Any

import pytest

from gongfang.domain.errors import Conflict, TooMany, Unavailable
from gongfang.domain.ids import new_id
from gongfang.domain.values import Level, Role, RoleBinding, Token
from gongfang.operations import passwords
from gongfang.operations.throttle import MOST, WINDOW, Throttle, source_of
from tests.api.conftest import Api, World, envelope, new_name
from tests.api.test_apps import new_app
from tests.api.test_streams import stream

PASSWORD = "correct horse"


def person(admin: Api, **more: Any) -> tuple[str, str]:
    name = new_name("p")
    return name, admin.data("POST", "/users", 201, json={"name": name, "password": PASSWORD, **more})["id"]


def log_in(world: World, name: str, password: str = PASSWORD) -> Api:
    body = {"username": name, "password": password}
    return world.client(world.client(None).data("POST", "/auth/login", 201, json=body)["token"])


# --- tokens that are cut down ----------------------------------------------------------------------------------------


def test_a_cut_down_administrator_gives_nothing_away(world: World, admin: Api) -> None:
    """`user:write` alone must not be all permissions by way of somebody else."""
    role = {"role": "administrator", "level": "platform"}
    _, narrow = world.user([role], scopes=["user:write", "user:read"])
    other_id, _ = world.user([role])
    weak_id, _ = world.user([{"role": "developer"}])
    body = {"name": new_name("u"), "password": PASSWORD, "roles": [role]}
    assert narrow.code("POST", "/users", 403, json=body) == "scopes_below_role"
    assert narrow.code("POST", f"/users/{weak_id}/roles", 403, json=role) == "scopes_below_role"
    for victim in (other_id, weak_id):
        change = {"password": "taken over by me"}
        assert narrow.code("PATCH", f"/users/{victim}", 403, json=change) == "scopes_below_role"
    assert narrow.code("POST", "/tokens", 403, json={"name": "x", "user_id": other_id}) == "scopes_exceed"
    narrow.data("PATCH", f"/users/{weak_id}", json={"disabled": True})  # what it is for
    narrow.data("DELETE", f"/users/{weak_id}")
    narrow.data("DELETE", f"/users/{other_id}")


def test_a_cut_down_token_lives_no_longer_than_its_parent_and_ends_with_it(world: World, admin: Api) -> None:
    user_id, full = world.user([{"role": "developer"}])
    short = {"name": "ci", "scopes": ["app:read"], "expires_in_s": 3600}
    parent = full.data("POST", "/tokens", 201, json=short)
    narrow = world.client(parent["token"])
    child = narrow.data("POST", "/tokens", 201, json={"name": "c", "scopes": ["app:read"], "expires_in_s": None})
    assert child["expires_at"] == parent["expires_at"]
    # It sees and ends only its own kind.
    theirs = full.data("GET", "/tokens")["items"]
    assert (
        {t["id"] for t in narrow.data("GET", "/tokens")["items"]}
        == {parent["id"], child["id"]}
        < {t["id"] for t in theirs}
    )
    others = next(t["id"] for t in theirs if t["id"] not in (parent["id"], child["id"]))
    assert narrow.code("DELETE", f"/tokens/{others}", 404) == "token_not_found"
    full.data("DELETE", f"/tokens/{parent['id']}")
    assert world.client(child["token"]).code("GET", "/whoami", 401) == "token_invalid"
    assert full.data("GET", "/whoami")["user"]["id"] == user_id


def test_an_answer_is_not_replayed_to_a_token_that_may_less(world: World) -> None:
    _, full = world.user([{"role": "developer"}])
    narrow = world.client(
        full.data("POST", "/tokens", 201, json={"name": "n", "scopes": ["app:read"]})["token"],
    )
    key = {"idempotency-key": uuid.uuid4().hex}
    body = {"name": "all", "scopes": []}
    first = full.data("POST", "/tokens", 201, json=body, headers=key)
    assert full.data("POST", "/tokens", 201, json=body, headers=key)["token"] == first["token"]
    assert narrow.code("POST", "/tokens", 403, json=body, headers=key) == "scopes_exceed"
    _, stranger = world.user([{"role": "developer"}])
    assert stranger.data("POST", "/tokens", 201, json=body, headers=key)["token"] != first["token"]


def test_a_build_log_takes_logs_read(world: World, admin: Api) -> None:
    from gongfang.domain.values import Build, BuildState, Operation, OperationStatus, RuntimeName
    from tests.api.test_streams import insert, run

    app = new_app(admin)
    package = admin.data("POST", f"/apps/{app['id']}/package?filename=a.zip", 201, content=b"zip")
    operation = admin.data("POST", f"/apps/{app['id']}/start", 202)["operation"]
    build = Build(new_id("bld"), app["id"], package["id"], RuntimeName.auto, BuildState.succeeded, world.clock())
    insert(world, build)
    from gongfang.runtimes.interface import WorkloadKind

    run(world, build.id, "echo hidden", WorkloadKind.build)

    async def end() -> None:
        async with world.services.database.writing() as tx:
            changes: dict[str, Any] = {"build_id": build.id, "status": OperationStatus.failed}
            await tx.update(Operation, operation["id"], sequence=7, **changes)

    world.do(end())
    path = f"/operations/{operation['id']}/events"
    with stream(admin, path) as messages:
        assert "log" in [event for _, event, _ in messages]
    for scopes, sees in ((["app:read"], False), (["app:read", "logs:read"], True)):
        _, client = world.user([{"role": "administrator", "level": "platform"}], scopes=scopes)
        with stream(client, path) as messages:
            kinds = [event for _, event, _ in messages]
        assert ("log" in kinds) is sees and "operation" in kinds


# --- guessing and locking out ----------------------------------------------------------------------------------------


def failures(world: World, name: str, source: str, count: int) -> None:
    """Failed log-ins from an address that a test can't have."""
    from gongfang.domain.errors import Unauthenticated
    from gongfang.operations.access import login
    from gongfang.wire.models import LoginRequest

    async def work() -> None:
        for _ in range(count):
            request = LoginRequest.model_validate({"username": name, "password": "wrong"})
            with pytest.raises(Unauthenticated):
                await login(world.services.database, world.clock, request, Throttle(), source=source)

    world.do(work())


def test_guessing_from_elsewhere_does_not_lock_the_user_out(world: World, admin: Api) -> None:
    name, _ = person(admin)
    failures(world, name, "192.0.2.7", 8)
    log_in(world, name)
    failures(world, name, "2001:db8::1", 5)
    failures(world, name, "2001:db8::2", 1)  # the same network: one source
    events = admin.data("GET", "/events?tag=user:login:failed")["items"]
    assert events[0]["data"] == {"locked": True} and events[0]["source"] == "2001:db8::2"


def test_guessing_from_many_places_locks_for_a_while_only(world: World, admin: Api, monkeypatch: Any) -> None:
    from gongfang.operations import access

    monkeypatch.setattr(access, "FAILURES_FROM_EVERYWHERE", 6)
    name, _ = person(admin)
    for n in range(3):
        failures(world, name, f"192.0.2.{n}", 2)
    body = {"username": name, "password": PASSWORD}
    assert world.client(None).code("POST", "/auth/login", 401, json=body) == "login_failed"
    world.clock.ahead = timedelta(minutes=16)
    failures(world, name, "192.0.2.9", 1)  # one more doesn't lock it for good
    log_in(world, name)


def test_a_source_with_too_many_failures_is_sent_away(world: World) -> None:
    throttle = Throttle()
    now = world.clock()
    for _ in range(MOST):
        throttle.check("192.0.2.1", now)
        throttle.note("192.0.2.1", now)
    with pytest.raises(TooMany) as told:
        throttle.check("192.0.2.1", now + timedelta(seconds=60))
    assert told.value.code == "login_too_often" and told.value.retry_after == 240
    throttle.check("192.0.2.2", now)
    throttle.check("192.0.2.1", now + WINDOW)
    for n in range(20_000):
        throttle.note(f"source {n}", now)
    assert len(throttle._failures) <= 10_000


def test_the_throttle_answers_429(world: World, monkeypatch: Any) -> None:
    from gongfang.operations import throttle

    monkeypatch.setattr(throttle, "MOST", 1)
    world.client(None).post("/auth/login", json={"username": "x", "password": "y"})
    response = world.client(None).post("/auth/login", json={"username": "x", "password": "y"})
    assert envelope(response, 429)["code"] == "login_too_often" and int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        (None, "-"),
        ("x", "-"),
    ],
)
def test_sources(address: str | None, source: str) -> None:
    assert source_of(address) == source


def test_the_line_before_the_hashes_is_bounded(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(passwords._line, "waiting", 50)
    with pytest.raises(Unavailable) as told:
        world.do(passwords.matches(None, "x"))
    assert told.value.code == "login_busy"


def test_an_unknown_name_goes_the_same_way_as_a_known_one(world: World, admin: Api) -> None:
    """As many statements, as many hashes: what takes the same steps takes the same time."""
    from sqlalchemy import event

    name, _ = person(admin)
    engine = world.services.database._engine.sync_engine
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        steps: list[list[str]] = []
        for who in (name, new_name("nobody")):
            seen.clear()
            failures(world, who, "192.0.2.33", 6)
            steps.append([s for s in seen if "role_bindings" not in s and "pg_catalog" not in s])
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert steps[0] == steps[1]


def test_passwords_that_are_guessed_first(world: World, admin: Api) -> None:
    for weak in ("password123", "1234567890", "aaaaaaaaaaaa", "Qwertyuiop1!", "Administrator1", "P@ssw0rd2024"):
        body = envelope(admin.post("/users", json={"name": new_name("w"), "password": weak}), 422)
        assert body["details"][0]["field"] == "password", weak
    name = new_name("w")
    body = {"name": name, "password": f"{name}12"}
    assert envelope(admin.post("/users", json=body), 422)["details"][0]["field"] == "password"
    for size, status in ((1024, 201), (1025, 422), (1 << 20, 422)):
        text = ("correct horse battery " * (size // 22 + 1))[:size]
        assert admin.post("/users", json={"name": new_name("w"), "password": text}).status_code == status
    anybody = world.client(None)
    huge = {"username": "admin", "password": "x" * (1 << 20)}
    assert anybody.code("POST", "/auth/login", 413, json=huge) == "body_too_large"
    assert anybody.code("POST", "/auth/login", 422, json={"username": "a", "password": "x" * 2000})


def test_a_password_is_the_same_however_it_was_typed(world: World, admin: Api) -> None:
    name = new_name("nfc")
    admin.data("POST", "/users", 201, json={"name": name, "password": "cafe\u0301 au lait"})
    log_in(world, name, "caf\u00e9 au lait")


# --- who was let in and is no longer ---------------------------------------------------------------------------------


def test_a_new_password_ends_log_ins_and_keeps_programs(world: World, admin: Api) -> None:
    name, user_id = person(admin, roles=[{"role": "developer"}])
    here, elsewhere = log_in(world, name), log_in(world, name)
    program = world.client(here.data("POST", "/tokens", 201, json={"name": "ci"})["token"])
    here.data("PATCH", f"/users/{user_id}", json={"password": "another horse"})
    assert elsewhere.code("GET", "/whoami", 401) == "token_invalid"
    for client in (here, program):
        client.data("GET", "/whoami")
    here.data("PATCH", f"/users/{user_id}", json={"end_tokens": True})
    assert program.code("GET", "/whoami", 401) == "token_invalid"
    here.data("GET", "/whoami")
    admin.data("PATCH", f"/users/{user_id}", json={"password": "a third horse"})
    assert here.code("GET", "/whoami", 401) == "token_invalid"


@pytest.mark.parametrize("how", ["disabled", "revoked", "deleted", "role", "password"])
def test_a_stream_ends_with_its_callers_access(world: World, admin: Api, how: str) -> None:
    name, user_id = person(admin, roles=[{"role": "supervisor", "level": "platform"}])
    body = {"username": name, "password": PASSWORD}
    token = world.client(None).data("POST", "/auth/login", 201, json=body)
    client = world.client(token["token"])
    role = client.data("GET", "/whoami")["user"]["roles"][0]["id"]
    with stream(client, "/events/stream") as messages:
        new_app(admin)
        assert next(messages)[1] == "event"
        match how:
            case "disabled":
                admin.data("PATCH", f"/users/{user_id}", json={"disabled": True})
            case "revoked":
                client.data("DELETE", f"/tokens/{token['id']}")
            case "deleted":
                admin.data("DELETE", f"/users/{user_id}")
            case "password":
                admin.data("PATCH", f"/users/{user_id}", json={"password": "another horse"})
            case _:
                admin.data("DELETE", f"/users/{user_id}/roles/{role}")
        new_app(admin)
        rest = [(event, data) for _, event, data in messages]
    codes = {"disabled": "user_disabled", "role": "roles_changed"}
    assert rest[-1][0] == "error" and rest[-1][1]["code"] == codes.get(how, "token_invalid")
    assert not any(data.get("tag", "").startswith("app:") for _, data in rest[1:])


def test_a_stream_ends_when_its_token_expires(world: World, admin: Api, monkeypatch: Any) -> None:
    from gongfang.api import sse

    monkeypatch.setattr(sse, "CONFIRM_S", 0.05)
    name, _ = person(admin, roles=[{"role": "supervisor", "level": "platform"}])
    client = log_in(world, name)
    with stream(client, "/events/stream") as messages:
        world.clock.ahead = timedelta(days=31)
        assert list(messages)[-1][2]["code"] == "token_expired"


def test_a_wait_ends_with_its_callers_access(world: World, admin: Api, monkeypatch: Any) -> None:
    from gongfang.api import waiting

    monkeypatch.setattr(waiting, "LOOK_AGAIN_S", 0.05)
    user_id, client = world.user([{"role": "operator"}])
    app = new_app(client)
    client.data("POST", f"/apps/{app['id']}/package?filename=a.zip", 201, content=b"zip")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        operation = client.data("POST", f"/apps/{app['id']}/start", 202)["operation"]
        waiting_call = pool.submit(client.get, f"/operations/{operation['id']}?wait=60")
        admin.data("PATCH", f"/users/{user_id}", json={"disabled": True})
        assert envelope(waiting_call.result(20), 401)["code"] == "user_disabled"


# --- places ----------------------------------------------------------------------------------------------------------


def test_roles_elsewhere_are_not_told(world: World, admin: Api) -> None:
    here, there = (admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"] for _ in range(2))
    roles = [{"role": "developer", "level": "tenant", "scope_id": t} for t in (here, there)]
    both_id, both = world.user(roles)
    _, chief = world.user([{"role": "administrator", "level": "tenant", "scope_id": here}])
    shown = [r["scope_id"] for r in chief.data("GET", f"/users/{both_id}")["roles"]]
    listed = next(u for u in chief.data("GET", "/users")["items"] if u["id"] == both_id)
    assert shown == [r["scope_id"] for r in listed["roles"]] == [here]
    assert len(both.data("GET", "/whoami")["user"]["roles"]) == 2
    assert len(admin.data("GET", f"/users/{both_id}")["roles"]) == 2


def test_the_same_role_twice_is_one(world: World, admin: Api) -> None:
    role = {"role": "developer"}
    body = {"name": new_name("u"), "password": PASSWORD, "roles": [role, role]}
    assert len(admin.data("POST", "/users", 201, json=body)["roles"]) == 1


def test_a_filing_number_is_the_apps_peoples(world: World, admin: Api) -> None:
    """Who may write domains in one space of a tenant can't change those that an app of another space has."""
    tenant = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    organization = admin.data("POST", "/organizations", 201, json={"name": "o", "tenant_id": tenant})["id"]
    mine, other = (
        admin.data("POST", "/spaces", 201, json={"name": n, "organization_id": organization})["id"] for n in "ab"
    )
    app = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": other})
    name = f"{new_name('d')}.example.cn"
    number = {"domain": name, "icp_number": "京ICP备1号"}
    domain = admin.data("POST", "/domains", 201, json={**number, "app_id": app["id"]})
    _, operator = world.user([{"role": "operator", "level": "space", "scope_id": mine}])
    stolen = {"domain": name, "icp_number": "京ICP备2号", "tenant_id": tenant}
    assert operator.code("POST", "/domains", 409, json=stolen) == "domain_taken"
    assert admin.data("GET", f"/domains/{domain['id']}")["icp_number"] == "京ICP备1号"


def test_a_place_that_goes_away_leaves_no_role_behind(world: World, admin: Api) -> None:
    """Deleting a space and binding a role there at once: either there is a space with a role, or neither."""
    organization = admin.data("GET", "/organizations")["items"][0]["id"]
    user_id, _ = world.user([{"role": "developer"}])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            body = {"name": new_name("s"), "organization_id": organization}
            space = admin.data("POST", "/spaces", 201, json=body)["id"]
            role = {"role": "developer", "level": "space", "scope_id": space}
            grant = pool.submit(world.client(world.token).post, f"/users/{user_id}/roles", json=role)
            gone = pool.submit(world.client(world.token).delete, f"/spaces/{space}")
            assert gone.result(20).status_code == 200
            assert grant.result(20).status_code in (201, 404)
            assert space not in {r["scope_id"] for r in admin.data("GET", f"/users/{user_id}")["roles"]}


def test_what_hangs_on_something_gone_is_a_conflict(world: World) -> None:
    async def work() -> None:
        token = Token(new_id("tok"), new_id("usr"), "t", (), world.clock(), None, None)
        async with world.services.database.writing() as tx:
            await tx.insert(token, hash=uuid.uuid4().hex)

    with pytest.raises(Conflict) as told:
        world.do(work())
    assert told.value.code == "deleted_meanwhile"


def test_a_role_of_a_place_that_is_gone_gives_nothing(world: World, admin: Api) -> None:
    """Such a binding can't come about any more; one from before must do no harm."""
    user_id, client = world.user([{"role": "developer"}])

    async def work() -> None:
        async with world.services.database.writing() as tx:
            gone = RoleBinding(new_id("rol"), user_id, Role.administrator, Level.space, new_id("spc"))
            await tx.insert(gone)

    world.do(work())
    assert client.data("GET", "/whoami")["user"]["id"] == user_id
    assert client.code("POST", "/tenants", 403, json={"name": new_name("t")}) == "forbidden"
    binding = next(r for r in admin.data("GET", f"/users/{user_id}")["roles"] if r["role"] == "administrator")
    admin.data("DELETE", f"/users/{user_id}/roles/{binding['id']}")
