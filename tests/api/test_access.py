"""Log-in, tokens, users and roles: who gets in, and who may give what to whom."""

import concurrent.futures
from datetime import timedelta

from gongfang.operations.access import mint_admin_token
from tests.api.conftest import Api, World, envelope, new_name


def test_nobody_gets_in_without_a_token(world: World) -> None:
    for token in (None, "gf_wrong", "x y", "ä"):
        headers = {} if token is None else {"authorization": f"Bearer {token}".encode()}
        response = world.client(None).get("/apps", headers=headers)
        assert envelope(response, 401)["code"] in ("token_missing", "token_invalid")
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert world.client(None).code("GET", "/apps", 401, headers={"authorization": f"Basic {world.token}"})
    lower = world.client(None).get("/whoami", headers={"authorization": f"bearer {world.token}"})
    assert lower.status_code == 200


def test_the_first_administrator(world: World, admin: Api) -> None:
    me = admin.data("GET", "/whoami")
    assert me["user"]["name"] == "admin" and me["scopes"] == [] and me["default_space_id"]
    assert me["user"]["roles"][0]["role"] == "administrator" and me["user"]["roles"][0]["level"] == "platform"
    assert world.client(None).code("POST", "/auth/login", 401, json={"username": "admin", "password": "!"})
    minted = world.do(mint_admin_token(world.services.database, world.clock))
    assert world.client(minted).data("GET", "/whoami")["user"]["id"] == me["user"]["id"]


def test_log_in_and_out(world: World, admin: Api) -> None:
    name = new_name("login")
    admin.data("POST", "/users", 201, json={"name": name, "password": "correct horse"})
    body = {"username": name, "password": "correct horse", "expires_in_s": 60}
    token = world.client(None).data("POST", "/auth/login", 201, json=body)
    assert token["token"].startswith("gf_") and len(token["token"]) == 46
    mine = world.client(token["token"])
    assert mine.data("GET", "/whoami")["token_id"] == token["id"]
    assert [t["token"] for t in mine.data("GET", "/tokens")["items"]] == [None]
    world.clock.ahead = timedelta(seconds=61)
    assert mine.code("GET", "/whoami", 401) == "token_expired"
    world.clock.ahead = timedelta()
    mine.data("DELETE", f"/tokens/{token['id']}")
    assert mine.code("GET", "/whoami", 401) == "token_invalid"


def test_five_failures_lock_and_tell_nothing(world: World, admin: Api) -> None:
    name = new_name("lock")
    admin.data("POST", "/users", 201, json={"name": name, "password": "correct horse"})
    anybody = world.client(None)
    unknown = anybody.post("/auth/login", json={"username": new_name("nobody"), "password": "x"}).json()
    for _ in range(5):
        wrong = anybody.post("/auth/login", json={"username": name, "password": "x"}).json()
        assert (
            (wrong["code"], wrong["message"])
            == (unknown["code"], unknown["message"])
            == ("login_failed", wrong["message"])
        )
    right = {"username": name, "password": "correct horse"}
    assert anybody.code("POST", "/auth/login", 401, json=right) == "login_failed"
    world.clock.ahead = timedelta(minutes=16)
    assert anybody.code("POST", "/auth/login", 401, json={"username": name, "password": "x"})  # the sixth: 30 minutes
    world.clock.ahead = timedelta(minutes=40)
    assert anybody.code("POST", "/auth/login", 401, json=right)
    world.clock.ahead = timedelta(minutes=47)
    anybody.data("POST", "/auth/login", 201, json=right)
    failed = admin.data("GET", "/events?tag=user:login:failed&limit=500")["items"]
    assert sum(e["actor_name"] == name for e in failed) == 8
    assert "correct horse" not in str(failed)


def test_a_new_password_ends_a_lock(world: World, admin: Api) -> None:
    name = new_name("relock")
    user = admin.data("POST", "/users", 201, json={"name": name, "password": "correct horse"})
    for _ in range(5):
        world.client(None).code("POST", "/auth/login", 401, json={"username": name, "password": "x"})
    admin.data("PATCH", f"/users/{user['id']}", json={"password": "another horse"})
    world.client(None).data("POST", "/auth/login", 201, json={"username": name, "password": "another horse"})


def test_a_disabled_user_is_out_at_once(world: World, admin: Api) -> None:
    user_id, client = world.user([{"role": "operator"}])
    client.data("GET", "/whoami")
    admin.data("PATCH", f"/users/{user_id}", json={"disabled": True})
    assert client.code("GET", "/whoami", 401) == "user_disabled"


def test_tokens_never_grow(world: World, admin: Api) -> None:
    _, narrow = world.user([{"role": "operator"}], scopes=["app:read", "logs:read"])
    assert narrow.code("POST", "/tokens", 403, json={"name": "all"}) == "scopes_exceed"
    assert narrow.code("POST", "/tokens", 403, json={"name": "more", "scopes": ["app:write"]}) == "scopes_exceed"
    narrow.data("POST", "/tokens", 201, json={"name": "less", "scopes": ["app:read"]})
    assert narrow.code("POST", "/apps", 403, json={"name": new_name(), "space_id": _space(admin)}) in ("forbidden",)
    body = {"name": "x", "user_id": admin.data("GET", "/whoami")["user"]["id"]}
    assert narrow.code("POST", "/tokens", 403, json=body) == "scopes_exceed"
    _, plain = world.user([{"role": "operator"}])
    assert plain.code("POST", "/tokens", 404, json=body) == "user_not_found"


def _space(admin: Api) -> str:
    return admin.data("GET", "/whoami")["default_space_id"]


def test_nobody_grants_above_themselves(world: World, admin: Api) -> None:
    tenant = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    other = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    chief_id, chief = world.user([{"role": "administrator", "level": "tenant", "scope_id": tenant}])
    own = {"role": "developer", "level": "tenant", "scope_id": tenant}
    someone = chief.data(
        "POST", "/users", 201, json={"name": new_name("u"), "password": "long enough!", "roles": [own]}
    )
    for role, status in (
        ({"role": "administrator", "level": "platform"}, 403),
        ({"role": "developer", "level": "tenant", "scope_id": other}, 404),
        ({"role": "administrator", "level": "tenant", "scope_id": tenant}, 201),
    ):
        assert chief.code("POST", f"/users/{someone['id']}/roles", status, json=role)
        if status != 201:
            body = {"name": new_name("u"), "password": "long enough!", "roles": [role]}
            assert chief.code("POST", "/users", status, json=body)
    assert chief.code("POST", f"/users/{chief_id}/roles", 403, json={"role": "operator", "level": "platform"})
    assert chief.code("POST", "/users", 403, json={"name": new_name("u"), "password": "long enough!"}) == "forbidden"
    # Who is bound elsewhere, too, is beyond a tenant's administrator: a token for them would reach there.
    both_id, _ = world.user([own, {"role": "operator", "level": "tenant", "scope_id": other}])
    assert chief.code("POST", "/tokens", 403, json={"name": "x", "user_id": both_id}) == "forbidden"
    assert chief.code("PATCH", f"/users/{both_id}", 403, json={"password": "taken over!!"}) == "forbidden"
    assert chief.code("DELETE", f"/users/{both_id}", 403) == "forbidden"
    root_id = admin.data("GET", "/whoami")["user"]["id"]
    assert chief.code("PATCH", f"/users/{root_id}", 404, json={"disabled": True}) == "user_not_found"
    seen = {u["id"] for u in chief.data("GET", "/users")["items"]}
    assert {chief_id, someone["id"], both_id} <= seen and root_id not in seen


def test_the_last_administrator_stays(world: World, admin: Api) -> None:
    me = admin.data("GET", "/whoami")["user"]
    binding = me["roles"][0]["id"]
    assert admin.code("PATCH", f"/users/{me['id']}", 409, json={"disabled": True}) == "last_administrator"
    assert admin.code("DELETE", f"/users/{me['id']}", 409) == "last_administrator"
    assert admin.code("DELETE", f"/users/{me['id']}/roles/{binding}", 409) == "last_administrator"
    second_id, second = world.user([{"role": "administrator", "level": "platform"}])
    admin.data("DELETE", f"/users/{me['id']}/roles/{binding}")
    assert admin.code("GET", f"/users/{second_id}", 404) == "user_not_found"  # no administrator any more
    again = {"role": "administrator", "level": "platform"}
    granted = second.data("POST", f"/users/{me['id']}/roles", 201, json=again)
    assert second.data("POST", f"/users/{me['id']}/roles", 201, json=again) == granted
    admin.data("DELETE", f"/users/{second_id}")


def test_own_password_by_a_full_token_only(world: World) -> None:
    user_id, client = world.user([{"role": "developer"}])
    client.data("PATCH", f"/users/{user_id}", json={"password": "my own new one", "display_name": "张工"})
    assert client.code("PATCH", f"/users/{user_id}", 403, json={"disabled": False}) == "forbidden"
    user_id, narrow = world.user([{"role": "developer"}], scopes=["app:read"])
    assert narrow.code("PATCH", f"/users/{user_id}", 403, json={"password": "my own new one"}) == "forbidden"


def test_a_token_is_out_from_the_answer_on_that_revoked_it(world: World, admin: Api) -> None:
    me = admin.data("GET", "/whoami")["user"]["id"]
    issued = admin.data("POST", "/tokens", 201, json={"name": "short", "user_id": me})
    client = world.client(issued["token"])
    for _ in range(3):
        client.data("GET", "/apps")
    admin.data("DELETE", f"/tokens/{issued['id']}")
    assert client.code("GET", "/apps", 401) == "token_invalid"


def test_administrators_who_disable_each_other_at_once_are_answered(world: World, admin: Api) -> None:
    role = [{"role": "administrator", "level": "platform"}]
    pairs = [[world.user(role)[0] for _ in range(2)] for _ in range(4)]

    def disable(user_id: str) -> int:
        return world.client(world.token).patch(f"/users/{user_id}", json={"disabled": True}).status_code

    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert set(pool.map(disable, [user_id for pair in pairs for user_id in pair])) == {200}
    finally:
        for pair in pairs:
            for user_id in pair:
                admin.data("DELETE", f"/users/{user_id}")
