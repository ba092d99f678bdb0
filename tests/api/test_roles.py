"""Every role against every endpoint: what each may, what is refused, and what it may not even know of."""

import pytest

from gongfang.api.routes import ROUTES
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, AppConfig, Build, BuildState, Release, RuntimeName, Task, TaskState
from tests.api.conftest import Api, World, new_name
from tests.tls_papers import authority

ROLES = ("developer", "operator", "service_manager", "supervisor", "administrator")
READ = set(ROLES)
DEPLOY = {"developer", "operator", "administrator"}
OPERATE = {"operator", "administrator"}
ADMIN = {"administrator"}

# endpoint: who (bound at the space) gets past the permission check. An outsider, bound in another tenant, gets a 404.
TABLE: dict[str, set[str]] = {
    "GET /apps/{app_id}": READ,
    "PATCH /apps/{app_id}": OPERATE,
    "DELETE /apps/{app_id}": OPERATE,
    "POST /apps": OPERATE,
    "GET /apps/{app_id}/environment": READ,
    "PATCH /apps/{app_id}/environment": OPERATE,
    "GET /apps/{app_id}/instances": READ,
    "POST /apps/{app_id}/instances": OPERATE,
    "POST /apps/{app_id}/start": OPERATE,
    "POST /apps/{app_id}/stop": OPERATE,
    "POST /apps/{app_id}/restart": OPERATE,
    "POST /apps/{app_id}/rollback": OPERATE,
    "GET /apps/{app_id}/releases": READ,
    "GET /apps/{app_id}/releases/{number}": READ,
    "POST /apps/{app_id}/package": DEPLOY,
    "GET /apps/{app_id}/packages": READ,
    "GET /apps/{app_id}/builds": READ,
    "GET /builds/{build_id}": READ,
    "GET /builds/{build_id}/log": READ,
    "POST /apps/{app_id}/tasks": DEPLOY,
    "GET /apps/{app_id}/tasks": READ,
    "GET /tasks/{task_id}": READ,
    "POST /tasks/{task_id}/cancel": DEPLOY,
    "GET /tasks/{task_id}/log": READ,
    "GET /apps/{app_id}/logs": READ,
    "PUT /apps/{app_id}/domains/{domain_id}": OPERATE,
    "DELETE /apps/{app_id}/domains/{domain_id}": OPERATE,
    "POST /domains": OPERATE,
    "GET /domains/{domain_id}": READ,
    "PATCH /domains/{domain_id}": OPERATE,
    "DELETE /domains/{domain_id}": OPERATE,
    "GET /tenants/{tenant_id}/domains": READ,
    "POST /webhooks": OPERATE,
    "GET /webhooks/{webhook_id}": READ,
    "PATCH /webhooks/{webhook_id}": OPERATE,
    "DELETE /webhooks/{webhook_id}": OPERATE,
    "POST /webhooks/{webhook_id}/test": OPERATE,
    "GET /webhooks/{webhook_id}/deliveries": READ,
    "POST /certificates": OPERATE,
    "GET /certificates/{certificate_id}": READ,
    "PUT /certificates/{certificate_id}": OPERATE,
    "DELETE /certificates/{certificate_id}": OPERATE,
    "GET /operations/{operation_id}": READ,
    "POST /operations/{operation_id}/cancel": OPERATE,
    "GET /tenants/{tenant_id}": READ,
    "PATCH /tenants/{tenant_id}": set(),
    "DELETE /tenants/{tenant_id}": set(),
    "GET /organizations/{organization_id}": READ,
    "PATCH /organizations/{organization_id}": set(),
    "DELETE /organizations/{organization_id}": set(),
    "POST /organizations": set(),
    "GET /spaces/{space_id}": READ,
    "PATCH /spaces/{space_id}": ADMIN,
    "DELETE /spaces/{space_id}": ADMIN,
    "POST /spaces": set(),
    "GET /spaces/{space_id}/egress": READ,
    "PUT /spaces/{space_id}/egress": ADMIN,
    "GET /users/{user_id}": {"supervisor", "administrator"},
    "PATCH /users/{user_id}": ADMIN,
    "DELETE /users/{user_id}": ADMIN,
    "POST /users/{user_id}/roles": ADMIN,
    "DELETE /users/{user_id}/roles/{role_binding_id}": ADMIN,
}
# What takes the whole platform, what shows each caller only their own, and the streams (tried in `test_streams`).
ELSEWHERE = {
    *("POST /tenants", "POST /users", "GET /platform", "POST /auth/login", "GET /whoami"),
    *("GET /users", "GET /tokens", "POST /tokens", "DELETE /tokens/{token_id}"),
    *("GET /tenants", "GET /organizations", "GET /spaces", "GET /apps", "GET /domains"),
    *("GET /operations", "GET /operations/{operation_id}/events"),
    *("GET /events", "GET /events/stream", "GET /events/export", "GET /webhooks"),
    "GET /certificates",
    *("GET /healthz", "GET /readyz"),
    *("POST /platform/gc", "POST /platform/keys/rotate"),  # tried in `test_housekeeping`
}


NOT_IN_THIS_STATE = {"POST /apps/{app_id}/rollback", "DELETE /spaces/{space_id}"}


CA = authority()


class Place:
    """One tenant with a space, and apps with one of everything: one to read, and a new one for each changing call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admin = world.client(world.token)
        self.tenant = self.admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
        body = {"name": "plant", "tenant_id": self.tenant}
        self.organization = self.admin.data("POST", "/organizations", 201, json=body)["id"]
        body = {"name": "line", "organization_id": self.organization}
        self.space = self.admin.data("POST", "/spaces", 201, json=body)["id"]
        self.clients = {
            role: world.user([{"role": role, "level": "space", "scope_id": self.space}])[1] for role in ROLES
        }
        other = self.admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
        role = {"role": "administrator", "level": "tenant", "scope_id": other}
        self.outsider = world.user([role])[1]
        self.shared = self.fill()

    def fill(self, *, user: bool = True, hook: bool = True) -> dict[str, str]:
        admin = self.admin
        app = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": self.space})
        package = admin.data("POST", f"/apps/{app['id']}/package?filename=a.zip", 201, content=b"zip")
        user_id = role_id = ""
        if user:
            user_id, _ = self.world.user([{"role": "developer", "level": "space", "scope_id": self.space}])
            role_id = admin.data("GET", f"/users/{user_id}")["roles"][0]["id"]
        name = f"{new_name('d')}.example.cn"
        domain = admin.data("POST", "/domains", 201, json={"domain": name, "app_id": app["id"]})
        webhook_id = ""
        if hook:
            body = {"url": "http://127.0.0.1:9/", "level": "space", "scope_id": self.space, "enabled": False}
            webhook_id = admin.data("POST", "/webhooks", 201, json=body)["id"]
        paper = CA.sign(name)
        body = {"certificate": paper.chain, "private_key": paper.key_pem, "tenant_id": self.tenant}
        certificate = admin.data("POST", "/certificates", 201, json=body)
        operation = admin.data("POST", f"/apps/{app['id']}/start", 202)["operation"]
        built = self.world.do(self._built(app["id"], package["id"]))
        return {
            "app_id": app["id"],
            "number": "1",
            "build_id": built[0],
            "task_id": built[1],
            "domain_id": domain["id"],
            "domain": name,
            "certificate_id": certificate["id"],
            "tenant_id": self.tenant,
            "organization_id": self.organization,
            "space_id": self.space,
            "operation_id": operation["id"],
            "webhook_id": webhook_id,
            "user_id": user_id,
            "role_binding_id": role_id,
        }

    async def _built(self, app_id: str, package_id: str) -> tuple[str, str]:
        """What reconcilers would have made by now."""
        now = self.world.clock()
        build = Build(new_id("bld"), app_id, package_id, RuntimeName.auto, BuildState.succeeded, now)
        release = Release(
            new_id("rel"), app_id, 1, new_id("drp"), package_id, 1, AppConfig(), "deploy", None, now, None, now
        )
        task = Task(new_id("task"), app_id, release.id, "true", 64, 60, TaskState.running, now, None)
        async with self.world.services.database.writing() as tx:
            for value in (build, release, task):
                await tx.insert(value)
            await tx.update(App, app_id, target_release_id=release.id, current_release_id=release.id)
        return build.id, task.id

    def body(self, endpoint: str, ids: dict[str, str]) -> object:
        if "certificates" in endpoint:
            paper = CA.sign(ids["domain"])
            body = {"certificate": paper.chain, "private_key": paper.key_pem}
            return body if endpoint.startswith("PUT") else {**body, "tenant_id": self.tenant}
        return {
            "PATCH /domains/{domain_id}": {"https": "redirect"},
            "POST /apps": {"name": new_name("a"), "space_id": self.space},
            "PATCH /apps/{app_id}": {"labels": {"a": "b"}},
            "PATCH /apps/{app_id}/environment": {"variables": {"A": "b"}},
            "POST /apps/{app_id}/instances": {"instances": 2},
            "POST /apps/{app_id}/tasks": {"command": "true"},
            "POST /domains": {"domain": f"{new_name('d')}.example.cn", "app_id": ids["app_id"]},
            "POST /webhooks": {"url": "http://127.0.0.1:9/", "scope_id": self.space},
            "PATCH /webhooks/{webhook_id}": {"tags": ["app:*"]},
            "POST /organizations": {"name": new_name("o"), "tenant_id": self.tenant},
            "POST /spaces": {"name": new_name("s"), "organization_id": self.organization},
            "POST /users/{user_id}/roles": {"role": "operator", "level": "space", "scope_id": self.space},
        }.get(endpoint, {"name": new_name("x")} if endpoint.startswith("PATCH /") and "user" not in endpoint else {})

    def status(self, client: Api, endpoint: str, ids: dict[str, str]) -> int:
        method, path = endpoint.split(" ")
        more: dict[str, object] = {}
        if endpoint == "POST /apps/{app_id}/package":
            return client.post(path.format(**ids), params={"filename": "a.zip"}, content=b"x").status_code
        if method in ("POST", "PATCH") or endpoint.startswith(("PUT /certificates", "PUT /spaces")):
            more["json"] = self.body(endpoint, ids)
        return client.request(method, path.format(**ids), **more).status_code


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    return Place(world)


def test_every_endpoint_is_in_the_table() -> None:
    known = {f"{next(iter(r.methods))} {r.path.removeprefix('/api/v1')}" for r in ROUTES}
    assert known == set(TABLE) | ELSEWHERE


@pytest.mark.parametrize("endpoint", TABLE)
def test_roles(place: Place, endpoint: str) -> None:
    ids = (
        place.shared
        if endpoint.startswith("GET")
        else place.fill(user="user_id" in endpoint, hook="webhook_id" in endpoint)
    )
    may = [role for role in ROLES if role in TABLE[endpoint]]
    assert place.status(place.outsider, endpoint, ids) == 404
    for role in ROLES:
        if role not in may:
            knows = "user_id" not in endpoint or role == "supervisor"
            assert place.status(place.clients[role], endpoint, ids) == (403 if knows else 404), role
    for role in may:
        # The first finds everything there; for those after it, what it took away is gone.
        after = (404, 409) if role != may[0] or endpoint in NOT_IN_THIS_STATE else ()
        assert place.status(place.clients[role], endpoint, ids) in (200, 201, 202, *after), role


def test_lists_hold_only_what_may_be_read(place: Place) -> None:
    ids = place.shared
    for role in ROLES:
        client = place.clients[role]
        assert ids["app_id"] in {a["id"] for a in client.data("GET", "/apps?limit=500")["items"]}
        assert {t["id"] for t in client.data("GET", "/tenants")["items"]} == {place.tenant}
        assert {o["id"] for o in client.data("GET", "/organizations")["items"]} == {place.organization}
        assert {s["id"] for s in client.data("GET", "/spaces")["items"]} == {place.space}
        assert ids["domain_id"] in {d["id"] for d in client.data("GET", "/domains?limit=500")["items"]}
        assert ids["operation_id"] in {o["id"] for o in client.data("GET", "/operations?limit=500")["items"]}
        assert client.data("GET", f"/events?app_id={ids['app_id']}")["items"]
        assert {e["space_id"] for e in client.data("GET", "/events?limit=500")["items"]} == {place.space}
        assert client.code("POST", "/tenants", 403, json={"name": new_name()}) == "forbidden"
        assert client.code("GET", "/platform", 403) == "forbidden"
    for path in ("/apps", "/domains", "/operations"):
        assert place.outsider.data("GET", path)["items"] == []
    assert place.outsider.data("GET", f"/events?app_id={ids['app_id']}")["items"] == []


def test_values_of_variables_are_secrets(place: Place) -> None:
    ids = place.shared
    path = f"/apps/{ids['app_id']}/environment"
    place.admin.request("PATCH", path, json={"variables": {"PASSWORD": "hunter2"}})
    for role in ROLES:
        answer = place.clients[role].data("GET", path)
        sees = role in DEPLOY
        assert answer == {"variables": {"PASSWORD": "hunter2" if sees else "***"}, "masked": not sees}
    events = place.admin.get(f"/events?app_id={ids['app_id']}").text
    assert "PASSWORD" in events and "hunter2" not in events
