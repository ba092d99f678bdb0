"""Every role, bound at every level inside and outside of the object's place, on every endpoint; and tokens that are cut
down. What each may, what is refused, and what it may not even know of.

Each call is a probe: past the permission check it changes nothing that another probe needs (an `If-Match` that never
matches, an operation that has ended, a folder that isn't empty), so that all callers can meet the same objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gongfang.api.routes import ROUTES
from gongfang.domain.ids import new_id
from gongfang.domain.values import (
    App,
    AppConfig,
    Build,
    BuildState,
    Level,
    Operation,
    OperationStatus,
    Permission,
    Release,
    Role,
    RoleBinding,
    RuntimeName,
    Task,
    TaskState,
    Token,
    User,
)
from gongfang.operations.access import issue
from tests.api.conftest import Api, World, new_name
from tests.api.one_of_everything import OFFERING, a_service, some_services
from tests.tls_papers import authority

ROLES = ("developer", "operator", "service_manager", "supervisor", "administrator")
READ = set(ROLES)
DEPLOY = {"developer", "operator", "administrator"}
MANAGE = {"service_manager", "administrator"}
OPERATE = {"operator", "administrator"}
ADMIN = {"administrator"}

# endpoint: who, bound at the space or anywhere above it, gets past the permission check. `ABOVE` says where the space
# is not enough, `NEEDS` which permissions a token that is cut down must keep.
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
    "DELETE /domains/{domain_id}": OPERATE,
    "PATCH /domains/{domain_id}": OPERATE,
    "POST /certificates": OPERATE,
    "GET /certificates/{certificate_id}": READ,
    "PUT /certificates/{certificate_id}": OPERATE,
    "DELETE /certificates/{certificate_id}": OPERATE,
    "GET /tenants/{tenant_id}/domains": READ,
    "POST /webhooks": OPERATE,
    "GET /webhooks/{webhook_id}": READ,
    "PATCH /webhooks/{webhook_id}": OPERATE,
    "DELETE /webhooks/{webhook_id}": OPERATE,
    "POST /webhooks/{webhook_id}/test": OPERATE,
    "GET /webhooks/{webhook_id}/deliveries": READ,
    "GET /operations/{operation_id}": READ,
    "POST /operations/{operation_id}/cancel": OPERATE,
    "GET /tenants/{tenant_id}": READ,
    "PATCH /tenants/{tenant_id}": ADMIN,
    "DELETE /tenants/{tenant_id}": ADMIN,
    "GET /organizations/{organization_id}": READ,
    "PATCH /organizations/{organization_id}": ADMIN,
    "DELETE /organizations/{organization_id}": ADMIN,
    "POST /organizations": ADMIN,
    "GET /organizations/{organization_id}/quota": READ,
    "PUT /organizations/{organization_id}/quota": ADMIN,
    "GET /spaces/{space_id}/quota": READ,
    "PUT /spaces/{space_id}/quota": ADMIN,
    "GET /spaces/{space_id}/egress": READ,
    "PUT /spaces/{space_id}/egress": ADMIN,
    "GET /spaces/{space_id}": READ,
    "PATCH /spaces/{space_id}": ADMIN,
    "DELETE /spaces/{space_id}": ADMIN,
    "POST /spaces": ADMIN,
    "GET /users/{user_id}": {"supervisor", "administrator"},
    "PATCH /users/{user_id}": ADMIN,
    "DELETE /users/{user_id}": ADMIN,
    "POST /users/{user_id}/roles": ADMIN,
    "DELETE /users/{user_id}/roles/{role_binding_id}": ADMIN,
    "POST /users": ADMIN,
    "POST /tenants": ADMIN,
    "GET /platform": {"supervisor", "administrator"},
    "DELETE /tokens/{token_id}": ADMIN,
    "POST /platform/gc": ADMIN,
    "POST /platform/keys/rotate": ADMIN,
    "GET /operations/{operation_id}/events": READ,
    "GET /organizations/{organization_id}/services": READ,
    "POST /organizations/{organization_id}/services": MANAGE,
    "GET /organizations/{organization_id}/services/{service_id}": READ,
    "DELETE /organizations/{organization_id}/services/{service_id}": MANAGE,
    "POST /spaces/{space_id}/service-instances": MANAGE,
    "GET /service-instances/{service_instance_id}": READ,
    "DELETE /service-instances/{service_instance_id}": MANAGE,
    "POST /service-instances/{service_instance_id}/configuration": MANAGE,
    "GET /service-instances/{service_instance_id}/status": READ,
    "GET /service-instances/{service_instance_id}/bindings": READ,
    "GET /service-instances/{service_instance_id}/log": READ,
    "POST /apps/{app_id}/bindings": MANAGE,
    "GET /apps/{app_id}/bindings": READ,
    "GET /apps/{app_id}/bindings/{service_instance_id}": READ,
    "DELETE /apps/{app_id}/bindings/{service_instance_id}": MANAGE,
    "GET /apps/{app_id}/services/{service_instance_id}/environment": READ,
}
# What is the same for everybody, or shows each caller only their own (`test_lists_hold_only_what_may_be_read`), and the
# stream of all events (`test_streams`).
ELSEWHERE = {
    *("POST /auth/login", "GET /whoami", "GET /healthz", "GET /readyz"),
    *("GET /users", "GET /tokens", "POST /tokens"),
    *("GET /tenants", "GET /organizations", "GET /spaces", "GET /apps", "GET /domains"),
    *("GET /operations", "GET /events", "GET /events/stream", "GET /certificates"),
    *("GET /events/export", "GET /webhooks", "GET /services", "GET /service-instances"),
}

LEVELS = ("platform", "tenant", "organization", "space")
ABOVE: dict[str, str] = {
    "PATCH /tenants/{tenant_id}": "tenant",
    "DELETE /tenants/{tenant_id}": "tenant",
    "POST /organizations": "tenant",
    "PATCH /organizations/{organization_id}": "organization",
    "DELETE /organizations/{organization_id}": "organization",
    "POST /spaces": "organization",
    "PUT /organizations/{organization_id}/quota": "tenant",
    "PUT /spaces/{space_id}/quota": "organization",
    "POST /organizations/{organization_id}/services": "organization",
    "DELETE /organizations/{organization_id}/services/{service_id}": "organization",
    "POST /tenants": "platform",
    "GET /platform": "platform",
    "POST /platform/gc": "platform",
    "POST /platform/keys/rotate": "platform",
}
# Where nothing is said: what the start of the line needs.
NEEDS: dict[str, tuple[str, ...]] = {
    "POST /apps": ("app:write",),
    "PATCH /apps/{app_id}": ("app:write",),
    "DELETE /apps/{app_id}": ("app:write",),
    "PATCH /apps/{app_id}/environment": ("app:operate",),
    "POST /apps/{app_id}/package": ("app:deploy",),
    "POST /apps/{app_id}/tasks": ("app:run",),
    "POST /tasks/{task_id}/cancel": ("app:run",),
    "GET /apps/{app_id}/logs": ("logs:read",),
    "GET /builds/{build_id}/log": ("logs:read",),
    "GET /tasks/{task_id}/log": ("logs:read",),
    "PUT /apps/{app_id}/domains/{domain_id}": ("domain:write", "domain:read"),
    "DELETE /apps/{app_id}/domains/{domain_id}": ("domain:write",),
    "POST /domains": ("domain:write",),
    "GET /domains/{domain_id}": ("domain:read",),
    "DELETE /domains/{domain_id}": ("domain:write", "domain:read"),
    "PATCH /domains/{domain_id}": ("domain:write", "domain:read"),
    "POST /certificates": ("domain:write",),
    "GET /certificates/{certificate_id}": ("domain:read",),
    "PUT /certificates/{certificate_id}": ("domain:write", "domain:read"),
    "DELETE /certificates/{certificate_id}": ("domain:write", "domain:read"),
    "GET /tenants/{tenant_id}/domains": ("domain:read",),
    "GET /platform": ("platform:read",),
    "POST /platform/gc": ("platform:write",),
    "POST /platform/keys/rotate": ("platform:write",),
    "POST /webhooks": ("webhook:write",),
    "GET /webhooks/{webhook_id}": ("event:read",),
    "GET /webhooks/{webhook_id}/deliveries": ("event:read",),
    "PATCH /webhooks/{webhook_id}": ("webhook:write", "event:read"),
    "DELETE /webhooks/{webhook_id}": ("webhook:write", "event:read"),
    "POST /webhooks/{webhook_id}/test": ("webhook:write", "event:read"),
    "GET /users/{user_id}": ("user:read",),
    "POST /organizations/{organization_id}/services": ("service:write",),
    "DELETE /organizations/{organization_id}/services/{service_id}": ("service:write",),
    "POST /spaces/{space_id}/service-instances": ("service:write",),
    "GET /service-instances/{service_instance_id}/log": ("logs:read",),
    "POST /apps/{app_id}/bindings": ("service:write", "service:read"),
    "DELETE /apps/{app_id}/bindings/{service_instance_id}": ("service:write",),
    "GET /apps/{app_id}/bindings": ("service:read",),
    "GET /apps/{app_id}/bindings/{service_instance_id}": ("service:read",),
    "GET /apps/{app_id}/services/{service_instance_id}/environment": ("service:read",),
}
_STARTS = {
    "GET /apps": ("app:read",),
    "GET /builds": ("app:read",),
    "GET /tasks": ("app:read",),
    "GET /operations": ("app:read",),
    "POST /apps": ("app:operate",),
    "POST /operations": ("app:operate",),
    "GET /service-instances": ("service:read",),
    "POST /service-instances": ("service:write",),
    "DELETE /service-instances": ("service:write",),
    "GET /tenants": ("tree:read",),
    "GET /organizations": ("tree:read",),
    "GET /spaces": ("tree:read",),
    **{
        f"{method} /{noun}": ("tree:write",)
        for method in ("POST", "PATCH", "PUT", "DELETE")
        for noun in ("tenants", "organizations", "spaces")
    },
}
# Nothing but a token that is not cut down gives what it takes here (roles, passwords), or every token sees the place.
UNCUT = {"POST /users", "PATCH /users/{user_id}", "DELETE /users/{user_id}", "POST /users/{user_id}/roles"}
UNCUT |= {"DELETE /users/{user_id}/roles/{role_binding_id}", "DELETE /tokens/{token_id}"}
SEEN_BY_ANY_TOKEN = {e for e in TABLE if e.startswith(("GET /tenants/{tenant_id}", "GET /organ", "GET /spaces"))}
SEEN_BY_ANY_TOKEN -= {"GET /tenants/{tenant_id}/domains"}

# Past the check and refused for another reason: the codes that say so. All else that passes is 200, 201, 202 or 204.
NEVER_MATCHES = {"if-match": '"never"'}
PASSED = {
    "DELETE /spaces/{space_id}": "not_empty",
    "DELETE /organizations/{organization_id}": "not_empty",
    "DELETE /tenants/{tenant_id}": "not_empty",
    "POST /operations/{operation_id}/cancel": "operation_ended",
    "POST /apps/{app_id}/package": "validation_failed",  # no file name
    "DELETE /apps/{app_id}/domains/{domain_id}": "domain_not_attached",
    "DELETE /domains/{domain_id}": "domain_is_default",
    "POST /apps/{app_id}/rollback": "changed_meanwhile",
    **{f"POST /apps/{{app_id}}/{verb}": "changed_meanwhile" for verb in ("start", "stop", "restart", "instances")},
    "PATCH /apps/{app_id}": "changed_meanwhile",
    "DELETE /apps/{app_id}": "changed_meanwhile",
    "PATCH /apps/{app_id}/environment": "changed_meanwhile",
    "DELETE /organizations/{organization_id}/services/{service_id}": "service_in_use",
    "DELETE /service-instances/{service_instance_id}": "service_changed_meanwhile",
    "POST /service-instances/{service_instance_id}/configuration": "service_changed_meanwhile",
    "POST /apps/{app_id}/bindings": "already_bound",
    "DELETE /apps/{app_id}/bindings/{service_instance_id}": "service_changed_meanwhile",
    "POST /platform/gc": "not_here",  # the work is the whole platform's, which these tests do without
    "POST /platform/keys/rotate": "not_here",
}


def needs(endpoint: str) -> tuple[str, ...]:
    method, path = endpoint.split(" ")
    return NEEDS.get(endpoint) or _STARTS[f"{method} /{path.split('/')[1]}"]


@dataclass(frozen=True)
class Bound:
    """A caller: a role at a level, of the object's own place or of another one beside it."""

    role: str | None
    level: str
    inside: bool

    def __str__(self) -> str:
        return f"{self.role or 'nobody'} at the {self.level} {'inside' if self.inside else 'outside'}"


CALLERS = [
    Bound(None, "space", False),
    *(Bound(role, level, True) for role in ROLES for level in LEVELS),
    *(Bound(role, level, False) for role in ROLES for level in LEVELS if level != "platform"),
]


_OF_PLATFORM = ("POST /tenants", "GET /platform", "POST /platform/gc", "POST /platform/keys/rotate")


def reaches(bound: Bound, endpoint: str) -> bool:
    """Whether the caller may know of the object: it lies in their place, or (of the tree and domains) above it."""
    if bound.role is None:
        return endpoint in _OF_PLATFORM
    if bound.inside or endpoint in _OF_PLATFORM:
        return True
    # Outside are another tenant, another organisation of the tenant, and another space of the organisation.
    tenants = ("{tenant_id}", "/domains/{domain_id}", "/certificates")
    of_tenant = any(part in endpoint for part in tenants) or endpoint == "POST /organizations"
    of_organization = "{organization_id}" in endpoint or endpoint == "POST /spaces"
    if "{app_id}" in endpoint:
        return False
    return (of_tenant and bound.level in ("organization", "space")) or (of_organization and bound.level == "space")


def expected(bound: Bound, endpoint: str) -> int:
    """0: past the check; else the status of the refusal."""
    about_users = "{user_id}" in endpoint or "{token_id}" in endpoint
    at = ABOVE.get(endpoint, "space")
    enough = LEVELS.index(bound.level) <= LEVELS.index(at)
    reads = endpoint.startswith("GET") and at == "space"
    if bound.role in TABLE[endpoint] and enough and (bound.inside or (reads and reaches(bound, endpoint))):
        return 0
    if "{token_id}" in endpoint:
        return 404
    if about_users:
        return 403 if bound.inside and bound.role in ("supervisor", "administrator") else 404
    if endpoint == "POST /users":
        return 404 if bound.role == "administrator" else 403
    return 403 if reaches(bound, endpoint) else 404


@dataclass
class Place:
    """A tenant, an organisation and a space with one of everything; beside each of them another one."""

    world: World
    admin: Api
    ids: dict[str, str]
    others: dict[str, str]
    callers: dict[Bound, Api] = field(default_factory=dict[Bound, Api])
    tokens: dict[tuple[str, ...], Api] = field(default_factory=dict[tuple[str, ...], Api])

    def caller(self, bound: Bound) -> Api:
        if bound not in self.callers:
            scope = (
                None if bound.level == "platform" else (self.ids if bound.inside else self.others)[f"{bound.level}_id"]
            )
            roles = [(bound.role, bound.level, scope)] if bound.role else []
            self.callers[bound] = self.world.client(self.world.do(make_user(self.world, roles))[2])
        return self.callers[bound]

    def cut_down(self, scopes: tuple[str, ...]) -> Api:
        """An administrator of the platform with a token that is cut down."""
        if scopes not in self.tokens:
            made = make_user(self.world, [("administrator", "platform", None)], scopes)
            self.tokens[scopes] = self.world.client(self.world.do(made)[2])
        return self.tokens[scopes]

    def status(self, client: Api, endpoint: str, *, alone: bool) -> tuple[int, str]:
        """What the probe answers. `alone`: it will take something away, so it gets something of its own."""
        method, path = endpoint.split(" ")
        ids = self.ids
        if alone and method == "DELETE" and ("{user_id}" in path or "{token_id}" in path):
            made = self.world.do(make_user(self.world, [("developer", "space", ids["space_id"])]))
            ids = {**ids, "user_id": made[0], "role_binding_id": made[1], "token_id": made[3]}
        if alone and endpoint == "DELETE /certificates/{certificate_id}":
            ids = {**ids, "certificate_id": certificate(self.admin, ids["tenant_id"], f"{new_name('c')}.example.cn")}
        if alone and endpoint == "DELETE /webhooks/{webhook_id}":
            ids = {**ids, "webhook_id": webhook(self.admin, ids["space_id"])}
        if endpoint == "DELETE /apps/{app_id}/domains/{domain_id}":
            ids = {**ids, "domain_id": ids["detached_id"]}
        if endpoint == "DELETE /domains/{domain_id}":
            ids = {**ids, "domain_id": ids["default_id"]}
        headers = {} if endpoint not in PASSED else NEVER_MATCHES
        if method == "GET":
            headers = {"last-event-id": "99999999"}
        more: dict[str, Any] = {"content": b"x"} if path.endswith("/package") else {}
        if method in ("POST", "PATCH", "PUT") and not more:
            more = {"json": self.body(endpoint)}
        response = client.request(method, path.format(**ids), headers=headers, **more)
        return response.status_code, response.json()["code"] if response.content else ""

    def body(self, endpoint: str) -> object:
        ids = self.ids
        if endpoint.endswith("/quota"):
            return {"apps": 1000}
        if endpoint.endswith("/egress"):
            return {"internet": True}
        if "certificates" in endpoint:
            paper = CA.sign(ids["domain"])
            body = {"certificate": paper.chain, "private_key": paper.key_pem}
            return body if endpoint.startswith("PUT") else {**body, "tenant_id": ids["tenant_id"]}
        return {
            "POST /organizations/{organization_id}/services": {"name": OFFERING.name},
            "POST /spaces/{space_id}/service-instances": {"service": OFFERING.name, "name": new_name("s")},
            "POST /service-instances/{service_instance_id}/configuration": {"plan": "large"},
            "POST /apps/{app_id}/bindings": {"service_instance_id": ids["service_instance_id"]},
            "POST /apps": {"name": new_name("a"), "space_id": ids["space_id"], "type": "worker"},
            "PATCH /apps/{app_id}/environment": {"variables": {"A": "b"}},
            "POST /apps/{app_id}/instances": {"instances": 2},
            "POST /apps/{app_id}/tasks": {"command": "true"},
            "POST /domains": {"domain": ids["domain"], "app_id": ids["app_id"]},
            "POST /tenants": {"name": new_name("t")},
            "POST /organizations": {"name": new_name("o"), "tenant_id": ids["tenant_id"]},
            "POST /spaces": {"name": new_name("s"), "organization_id": ids["organization_id"]},
            "POST /users": {
                "name": new_name("u"),
                "password": "long enough to pass",
                "roles": [{"role": "developer", "level": "space", "scope_id": ids["space_id"]}],
            },
            "POST /users/{user_id}/roles": {"role": "developer", "level": "space", "scope_id": ids["space_id"]},
            "PATCH /domains/{domain_id}": {"https": "redirect"},
            "PATCH /users/{user_id}": {"display_name": "x"},
            "POST /webhooks": {"url": "http://127.0.0.1:9/", "level": "space", "scope_id": ids["space_id"]},
            "PATCH /webhooks/{webhook_id}": {"tags": ["app:*"]},
        }.get(endpoint, {"name": new_name("x")} if endpoint.startswith("PATCH /") else {})


CA = authority()


def certificate(admin: Api, tenant: str, name: str) -> str:
    admin.data("POST", "/domains", 201, json={"domain": name, "tenant_id": tenant})
    paper = CA.sign(name)
    body = {"certificate": paper.chain, "private_key": paper.key_pem, "tenant_id": tenant}
    return admin.data("POST", "/certificates", 201, json=body)["id"]


def webhook(admin: Api, space: str) -> str:
    body = {"url": "http://127.0.0.1:9/", "level": "space", "scope_id": space, "enabled": False}
    return admin.data("POST", "/webhooks", 201, json=body)["id"]


async def make_user(
    world: World, roles: list[tuple[str, str, str | None]], scopes: tuple[str, ...] = ()
) -> tuple[str, str, str, str]:
    """A user without a password: its id, the id of its last binding, a token's text and id."""
    now = world.clock()
    user = User(new_id("usr"), new_name("u"), "", disabled=False, created_at=now)
    binding_id = ""
    async with world.services.database.writing() as tx:
        await tx.insert(user, password_hash="!")
        for role, level, scope_id in roles:
            binding_id = new_id("rol")
            await tx.insert(RoleBinding(binding_id, user.id, Role(role), Level(level), scope_id))
        cut = tuple(Permission(scope) for scope in scopes)
        issued = await issue(tx, Token(new_id("tok"), user.id, "t", cut, now, None, None))
    return user.id, binding_id, issued.text, issued.token.id


async def _built(world: World, app_id: str, package_id: str, operation_id: str) -> tuple[str, str]:
    """What reconcilers would have made by now."""
    now = world.clock()
    build = Build(new_id("bld"), app_id, package_id, RuntimeName.auto, BuildState.succeeded, now)
    release = Release(
        new_id("rel"), app_id, 1, new_id("drp"), package_id, 1, AppConfig(), "deploy", None, now, None, now
    )
    task = Task(new_id("task"), app_id, release.id, "true", 64, 60, TaskState.succeeded, now, None)
    async with world.services.database.writing() as tx:
        for value in (build, release, task):
            await tx.insert(value)
        await tx.update(App, app_id, target_release_id=release.id, current_release_id=release.id)
        await tx.update(Operation, operation_id, status=OperationStatus.succeeded, finished_at=now)
    return build.id, task.id


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    admin = world.client(world.token)

    def tree(tenant: str, organization: str | None = None) -> tuple[str, str]:
        body = {"name": new_name("o"), "tenant_id": tenant}
        organization = organization or admin.data("POST", "/organizations", 201, json=body)["id"]
        body = {"name": new_name("s"), "organization_id": organization}
        return organization, admin.data("POST", "/spaces", 201, json=body)["id"]

    tenant = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    organization, space = tree(tenant)
    others = {
        "tenant_id": admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"],
        "organization_id": tree(tenant)[0],
        "space_id": tree(tenant, organization)[1],
    }
    app = admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": space})
    package = admin.data("POST", f"/apps/{app['id']}/package?filename=a.zip", 201, content=b"zip")
    user = world.do(make_user(world, [("developer", "space", space)]))
    domain = f"{new_name('d')}.example.cn"
    attached = admin.data("POST", "/domains", 201, json={"domain": domain, "app_id": app["id"]})
    detached = admin.data("POST", "/domains", 201, json={"domain": f"{new_name('d')}.example.cn", "tenant_id": tenant})
    default = next(
        d for d in admin.data("GET", f"/domains?tenant_id={tenant}")["items"] if "apps.localhost" in d["domain"]
    )
    operation = admin.data("POST", f"/apps/{app['id']}/start", 202)["operation"]
    build_id, task_id = world.do(_built(world, app["id"], package["id"], operation["id"]))
    ids = {
        **{"tenant_id": tenant, "organization_id": organization, "space_id": space},
        **{"app_id": app["id"], "number": "1", "build_id": build_id, "task_id": task_id},
        **{"domain_id": attached["id"], "domain": domain, "detached_id": detached["id"], "default_id": default["id"]},
        **{"operation_id": operation["id"], "user_id": user[0], "role_binding_id": user[1], "token_id": user[3]},
    }
    ids["certificate_id"] = certificate(admin, tenant, domain)
    ids["webhook_id"] = webhook(admin, space)
    world.do(some_services(world))
    path = f"/organizations/{organization}/services"
    ids["service_id"] = admin.data("POST", path, 201, json={"name": OFFERING.name})["id"]
    ids["service_instance_id"] = world.do(a_service(world, ids, app=app["id"]))
    return Place(world, admin, ids, others)


def test_every_endpoint_is_in_the_table() -> None:
    known = {f"{next(iter(r.methods))} {r.path.removeprefix('/api/v1')}" for r in ROUTES}
    assert known == set(TABLE) | ELSEWHERE
    assert not set(TABLE) & ELSEWHERE
    for endpoint in set(TABLE) - UNCUT:
        assert needs(endpoint), endpoint


@pytest.mark.parametrize("endpoint", TABLE)
def test_roles(place: Place, endpoint: str) -> None:
    wrong: list[str] = []
    for bound in CALLERS:
        refusal = expected(bound, endpoint)
        status, code = place.status(place.caller(bound), endpoint, alone=not refusal)
        if not _as(refusal, endpoint, status, code):
            wrong.append(f"{bound}: {status} {code}, not {refusal or 'passed'}")
    assert not wrong, "\n".join(wrong)


def _as(refusal: int, endpoint: str, status: int, code: str) -> bool:
    if refusal == 0:
        return status in (200, 201, 202, 204) if endpoint not in PASSED else code == PASSED[endpoint]
    codes = (
        ("forbidden", "quota_from_above", "certificate_covers_others")
        if refusal == 403
        else tuple(f"{noun}_not_found" for noun in _NOUNS)
    )
    return status == refusal and code in codes


_NOUNS = (
    "service_instance",
    "certificate",
    "webhook",
    "app",
    "build",
    "task",
    "operation",
    "domain",
    "tenant",
    "organization",
    "space",
    "user",
    "token",
)


@pytest.mark.parametrize("endpoint", [e for e in TABLE if e not in UNCUT])
def test_tokens_that_are_cut_down(place: Place, endpoint: str) -> None:
    """Of an administrator of the platform: the scopes that are needed are enough, and without any of them all others
    are not."""
    wanted = needs(endpoint)
    status, code = place.status(place.cut_down(wanted), endpoint, alone=True)
    assert _as(0, endpoint, status, code), f"with {wanted}: {status} {code}"
    for missing in () if endpoint in SEEN_BY_ANY_TOKEN else wanted:
        rest = tuple(p.value for p in Permission if p.value != missing)
        status, code = place.status(place.cut_down(rest), endpoint, alone=False)
        assert _as(403, endpoint, status, code) or _as(404, endpoint, status, code), f"no {missing}: {status} {code}"


@pytest.mark.parametrize("endpoint", sorted(UNCUT))
def test_a_cut_down_token_gives_nothing_that_it_lacks(place: Place, endpoint: str) -> None:
    """Roles and passwords could be used without its limits, so it needs all that they give."""
    rest = tuple(p.value for p in Permission if p is not Permission.user_write)
    status, code = place.status(place.cut_down(rest), endpoint, alone=False)
    assert status in (403, 404), code
    if endpoint.startswith("POST"):
        status, code = place.status(place.cut_down(("user:write", "user:read")), endpoint, alone=False)
        assert (status, code) == (403, "scopes_below_role")


LISTS: dict[str, tuple[str, Callable[[Bound], bool]]] = {
    "/apps?limit=500": ("app_id", lambda b: b.inside),
    "/operations?limit=500": ("operation_id", lambda b: b.inside),
    "/spaces?limit=500": ("space_id", lambda b: b.inside),
    "/organizations?limit=500": ("organization_id", lambda b: reaches(b, "GET /organizations/{organization_id}")),
    "/tenants?limit=500": ("tenant_id", lambda b: reaches(b, "GET /tenants/{tenant_id}")),
    "/domains?limit=500": ("domain_id", lambda b: reaches(b, "GET /domains/{domain_id}")),
    "/service-instances?limit=500": ("service_instance_id", lambda b: b.inside),
    "/users?limit=500": ("user_id", lambda b: b.inside and b.role in ("supervisor", "administrator")),
}


def test_lists_hold_only_what_may_be_read(place: Place) -> None:
    for bound in CALLERS:
        client = place.caller(bound)
        for path, (name, sees) in LISTS.items():
            narrowed = path.replace("?", f"?tenant_id={place.ids['tenant_id']}&") if path.startswith("/apps") else path
            found = {item["id"] for item in _all(client, narrowed)}
            assert (place.ids[name] in found) is sees(bound), (str(bound), path)
        events = client.data("GET", f"/events?app_id={place.ids['app_id']}")["items"]
        assert bool(events) is bound.inside, str(bound)
        me = client.data("GET", "/whoami")["user"]["id"]
        assert {t["user_id"] for t in client.data("GET", "/tokens")["items"]} == {me}
        administers = bound.inside and bound.role == "administrator"
        path = f"/tokens?user_id={place.ids['user_id']}"
        assert (client.get(path).status_code == 200) is administers, str(bound)


def _all(client: Api, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.data("GET", path + cursor)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"


def test_values_of_variables_are_secrets(place: Place) -> None:
    path = f"/apps/{place.ids['app_id']}/environment"
    place.admin.request("PATCH", path, json={"variables": {"PASSWORD": "hunter2"}})
    for bound in CALLERS:
        if bound.inside:
            answer = place.caller(bound).data("GET", path)
            sees = bound.role in DEPLOY
            assert answer == {"variables": {"PASSWORD": "hunter2" if sees else "***"}, "masked": not sees}, str(bound)
    without = tuple(p.value for p in Permission if p is not Permission.app_secrets)
    assert place.cut_down(without).data("GET", path)["masked"]
    events = place.admin.get(f"/events?app_id={place.ids['app_id']}").text
    assert "PASSWORD" in events and "hunter2" not in events
