"""A service instance, and an app bound to one: what the clauses about middleware build on."""

from typing import Any

from gongfang.conformance.expect import Failure
from gongfang.conformance.texts import Text
from gongfang.conformance.web import Answer, Call, at
from gongfang.conformance.world import App, Blocked, World

INSTANCE = ("service_instance", "instance")


def services(world: World) -> str:
    return at("/organizations/{id}/services", id=world.organization())


def bring(world: World) -> Call:
    """5.4(1). A service that the organisation has already is not taken from it at the end."""
    path = services(world)
    try:
        for item in world.all_items(path):
            if isinstance(item.get("id"), str) and item.get("name") == world.options.service:
                world.undoing.kept.add(item["id"])
    except Failure:  # what is wrong with the list shows where the service has to be in it
        pass
    return Call("POST", path, json={"name": world.options.service})


def has_service(world: World) -> bool:
    try:
        return world.listed(services(world), name=world.options.service)
    except Failure:
        return False


def service(world: World) -> str:
    """The name of a service that the organisation has: brought in here where it is not there yet."""

    def make() -> str:
        if not has_service(world):
            world.need("5.4(1)", bring(world), "/organizations/{organization_id}/services")
        return world.options.service

    return world.once("service", make)


def create(world: World) -> Call:
    path = at("/spaces/{space_id}/service-instances", space_id=world.space())
    return Call("POST", path, json={"service": service(world), "name": world.name()})


def new_instance(world: World) -> str:
    answer = world.need("5.4(2)", create(world), "/spaces/{space_id}/service-instances")
    identifier = world.needed_id("5.4(2)", answer, *INSTANCE)
    try:
        world.finish(answer)
    except Failure as failure:
        cause = Text("5.4(2) failed: {seen}", "5.4(2) 失败：{seen}").fill(seen=failure.seen)
        raise Blocked(cause, missing=False) from failure
    return identifier


def instance(world: World) -> str:
    """A service instance that is left as it is."""
    return world.once("instance", lambda: new_instance(world))


def bound(world: World, purpose: str) -> tuple[App, str]:
    """An app with a service instance bound to it, one a purpose."""

    def make() -> tuple[App, str]:
        app, identifier = world.new_app(), instance(world)
        path = at("/apps/{app_id}/bindings", app_id=app.id)
        call = Call("POST", path, json={"service_instance_id": identifier})
        answer = world.need("5.1(8)", call, "/apps/{app_id}/bindings")
        try:
            world.finish(answer)
        except Failure as failure:
            cause = Text("5.1(8) failed: {seen}", "5.1(8) 失败：{seen}").fill(seen=failure.seen)
            raise Blocked(cause, missing=False) from failure
        world.needs_listed("5.1(8)", answer, path, service_instance_id=identifier)
        return app, identifier

    return world.once(f"bound to {purpose}", make)


def on_instance(identifier: str, method: str, below: str, json: Any = None) -> Call:
    path = at("/service-instances/{id}", id=identifier) + below
    return Call(method, path, json=json) if json is not None else Call(method, path)


def show(world: World, identifier: str) -> Answer:
    return world.web.send(on_instance(identifier, "GET", ""))
