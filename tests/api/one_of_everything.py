"""A place with one of everything, and a valid body for every call: for tests that walk all endpoints."""

from dataclasses import replace
from datetime import datetime

import orjson

from gongfang.domain.hosting import HostedBinding, HostedInstance, HostedState
from gongfang.domain.ids import new_id
from gongfang.domain.services import (
    BUILTIN,
    BindingState,
    Offering,
    ServiceBinding,
    ServiceBroker,
    ServiceInstance,
    ServicePlan,
    ServiceState,
)
from gongfang.domain.values import App, AppConfig, Build, BuildState, Release, RuntimeName, Task, TaskState
from gongfang.state import Writing
from gongfang.state.service_queries import ports_taken
from tests.api.conftest import World, new_name
from tests.tls_papers import authority

SERVICES = (
    "/organizations/{organization_id}/services",
    "/spaces/{space_id}/service-instances",
    "/service-instances/{service_instance_id}/configuration",
    "/service-instances/{service_instance_id}/keys",
    "/apps/{app_id}/bindings",
)
ROLES = ("developer", "operator", "service_manager", "supervisor", "administrator")
CA = authority()


async def some_services(world: World) -> None:
    """The catalogue, as it is put into the store when the platform starts; once is enough."""
    now = world.clock()
    async with world.services.database.writing() as tx:
        if await tx.one(Offering, OFFERING.id) is not None:
            return
        if await tx.one(ServiceBroker, BUILTIN) is None:
            await tx.insert(_broker(BUILTIN, BUILTIN, now))
        for value in (_broker("brk_outside", "outside", now), OFFERING, UNBINDABLE, *PLANS):
            await tx.insert(value)


def _broker(key: str, name: str, now: datetime) -> ServiceBroker:
    outside = key != BUILTIN
    return ServiceBroker(
        id=key,
        tenant_id=None,
        organization_id=None,
        name=name,
        url="https://broker.example.cn" if outside else None,
        username="gongfang" if outside else None,
        password="broker-secret" if outside else None,
        private=False,
        created_at=now,
        created_by=None,
    )


def _offering(key: str, name: str, *, bindable: bool) -> Offering:
    return Offering(
        id=f"off_{key}",
        broker_id=BUILTIN,
        catalog_id=key,
        name=name,
        description="A database",
        tags=("postgresql",),
        requires=(),
        bindable=bindable,
        instances_retrievable=True,
        bindings_retrievable=True,
        allow_context_updates=False,
        plan_updateable=True,
        metadata={},
    )


_NUMBERS = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"lines": {"type": "integer", "minimum": 1}, "secret": {"type": "string"}},
    "additionalProperties": False,
}


def _plan(offering: Offering, name: str, position: int) -> ServicePlan:
    return ServicePlan(
        id=f"pln_{offering.catalog_id}{name}",
        offering_id=offering.id,
        catalog_id=f"{offering.catalog_id}-{name}",
        name=name,
        description=name,
        position=position,
        free=True,
        bindable=None,
        binding_rotatable=True,
        plan_updateable=None,
        schemas={
            "service_instance": {"create": {"parameters": _NUMBERS}, "update": {"parameters": _NUMBERS}},
            "service_binding": {"create": {"parameters": _NUMBERS}},
        },
        maximum_polling_s=None,
        maintenance_version=None,
        maintenance_description=None,
        metadata={"storage_mb": 1024, "connections": 20},
        memory_mb=256,
    )


OFFERING = _offering("tables", "tables", bindable=True)
UNBINDABLE = _offering("archive", "archive", bindable=False)
PLANS = (_plan(OFFERING, "small", 0), _plan(OFFERING, "large", 1), _plan(UNBINDABLE, "small", 0))


async def a_service(world: World, place: dict[str, str], *, app: str | None = None, **more: object) -> str:
    """A service instance as reconcilers would have made it by now, bound to an app where one is said; its id."""
    now = world.clock()
    instance = ServiceInstance(
        id=new_id("sin"),
        tenant_id=place["tenant_id"],
        organization_id=place["organization_id"],
        space_id=place["space_id"],
        name=new_name("s"),
        offering_id=OFFERING.id,
        plan_id=PLANS[0].id,
        parameters='{"lines": 3}',
        credentials="{}",
        tags=(),
        generation=1,
        deleting=False,
        created_at=now,
        updated_at=now,
        created_by=None,
        state=ServiceState.ready,
        observed_generation=1,
        sent=True,
        plan_seen=PLANS[0].id,
        parameters_seen='{"lines": 3}',
    )
    instance = replace(instance, **more)  # pyright: ignore[reportArgumentType]
    async with world.services.database.writing() as tx:
        await tx.insert(instance)
        if app is not None:
            await _bound(tx, world, instance, app)
    return instance.id


async def _bound(tx: Writing, world: World, instance: ServiceInstance, app: str) -> None:
    now = world.clock()
    uri = "postgresql://b_1:uri-secret@127.0.0.1:16000/app"
    binding = ServiceBinding(
        id=new_id("bnd"),
        service_instance_id=instance.id,
        app_id=app,
        tenant_id=instance.tenant_id,
        organization_id=instance.organization_id,
        space_id=instance.space_id,
        name=instance.name,
        variables={"DATABASE_URL": "uri"},
        variables_given=False,
        parameters="{}",
        predecessor_id=None,
        deleting=False,
        created_at=now,
        created_by=None,
        state=BindingState.ready,
        sent=True,
        credentials=orjson.dumps({"uri": uri, "host": "127.0.0.1", "port": 16000, "password": "uri-secret"}).decode(),
        endpoints=("127.0.0.1:16000",),
    )
    hosted = HostedInstance(
        id=new_id("hst"),
        owner="",
        instance_id=instance.id,
        service="tables",
        plan="small",
        parameters={},
        generation=1,
        deleting=False,
        port=await _free_port(tx),
        admin_secret="{}",
        created_at=now,
        state=HostedState.ready,
        host="127.0.0.1",
    )
    user = HostedBinding(
        id=new_id("hbn"),
        hosted_id=hosted.id,
        binding_id=binding.id,
        predecessor=None,
        parameters={},
        deleting=False,
        created_at=now,
        seed_secret="{}",
    )
    for value in (binding, hosted, user):
        await tx.insert(value)


async def a_key(world: World, instance_id: str) -> str:
    """A person's key of a service instance, as reconcilers would have made it by now; its id."""
    now = world.clock()
    async with world.services.database.writing() as tx:
        instance = await tx.one(ServiceInstance, instance_id)
        assert instance is not None
        key = ServiceBinding(
            id=new_id("bnd"),
            service_instance_id=instance.id,
            app_id=None,
            tenant_id=instance.tenant_id,
            organization_id=instance.organization_id,
            space_id=instance.space_id,
            name=new_name("k"),
            variables={},
            variables_given=False,
            parameters=None,
            predecessor_id=None,
            deleting=False,
            created_at=now,
            created_by=None,
            state=BindingState.ready,
            sent=True,
            credentials=orjson.dumps({"uri": "postgresql://b_2:key-secret@127.0.0.1:16000/app"}).decode(),
        )
        await tx.insert(key)
    return key.id


async def _free_port(tx: Writing) -> int:
    return max(await ports_taken(tx), default=15996) + 4


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
        world.do(some_services(world))
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
        place = {"tenant_id": self.tenant, "organization_id": self.organization, "space_id": self.space}
        body = {"name": OFFERING.name}
        path = f"/organizations/{self.organization}/services"
        service = self.admin.request("POST", path, json=body).json()["data"]["id"]
        instance = self.world.do(a_service(self.world, place, app=app["id"]))
        return {
            "service_id": service,
            "service_instance_id": instance,
            "key_id": self.world.do(a_key(self.world, instance)),
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

    def _service_body(self, endpoint: str, ids: dict[str, str]) -> object:
        own = {
            "/organizations/{organization_id}/services": {"name": UNBINDABLE.name},
            "/spaces/{space_id}/service-instances": {"service": OFFERING.name, "name": new_name("s")},
            "/service-instances/{service_instance_id}/configuration": {"plan": "large"},
            "/service-instances/{service_instance_id}/keys": {"name": new_name("k")},
            "/apps/{app_id}/bindings": {"service_instance_id": ids["service_instance_id"]},
        }
        return own[endpoint.removeprefix("POST ")]

    def body(self, endpoint: str, ids: dict[str, str]) -> object:
        if "certificates" in endpoint:
            paper = CA.sign(ids["domain"])
            body = {"certificate": paper.chain, "private_key": paper.key_pem}
            return body if endpoint.startswith("PUT") else {**body, "tenant_id": self.tenant}
        if endpoint in (f"POST {path}" for path in SERVICES):
            return self._service_body(endpoint, ids)
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
