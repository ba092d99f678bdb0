"""A place with one of everything, and a valid body for every call: for tests that walk all endpoints."""

from gongfang.domain.ids import new_id
from gongfang.domain.values import App, AppConfig, Build, BuildState, Release, RuntimeName, Task, TaskState
from tests.api.conftest import World, new_name
from tests.tls_papers import authority

ROLES = ("developer", "operator", "service_manager", "supervisor", "administrator")
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
        if endpoint.endswith("/quota"):
            return {"apps": 1000}
        if endpoint.endswith("/egress"):
            return {"internet": False}
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
