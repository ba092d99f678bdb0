"""5.4 Middleware access 中间件接入类: six interfaces."""

import re
from dataclasses import replace
from typing import Any, cast

from gongfang.conformance.clauses import BAD, OPERATION, Clause, Refusal, effect, row, twice
from gongfang.conformance.expect import (
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    each,
    either,
    equal,
    having,
    holds,
    maybe,
    resource,
    shaped,
    succeeded,
)
from gongfang.conformance.services import (
    INSTANCE,
    bound,
    bring,
    create,
    instance,
    new_instance,
    on_instance,
    services,
    show,
)
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer, Call, at
from gongfang.conformance.world import World

# --- the contract ----------------------------------------------------------------------------------------------------

_BRING = row("5.4(1)", "brings a middleware service into an organisation; answers the service with its plans",
             "将中间件服务接入组织，返回服务及其套餐")  # fmt: skip
_MAKE = row("5.4(2)", "creates a service instance in a space; answers the instance, operation",
            "在空间中创建服务实例，返回实例和 operation")  # fmt: skip
_CONFIGURE = row("5.4(3)", "configures or enlarges an instance: plan and/or parameters; answers the instance, operation",
                 "配置或扩容服务实例：plan 和/或 parameters，返回实例和 operation")  # fmt: skip
_ENVIRONMENT = row("5.4(4)", "host, port, and environment: the variables as the app gets them",
                   "host、port 以及应用实际获得的环境变量 environment")  # fmt: skip
_DELETE = row("5.4(5)", "deletes an instance", "删除服务实例")
_STATUS = row("5.4(6)", "live state of an instance: name, host, port, cpu, memory, state",
              "服务实例的实时状态：name、host、port、cpu、memory、state")  # fmt: skip


@effect("it is in the organisation's list of services", "出现在组织的服务列表中", _BRING)
def _brought(world: World, answer: Answer) -> None:
    found = world.listed(services(world), name=world.options.service)
    holds(found, "the service in the organisation's list", "组织的服务列表中包含该服务", answer, same("GET …/services"))


def _there_already(world: World, answer: Answer) -> Text | None:
    """A server may refuse to bring the same service in twice; then another has to be named."""
    if answer.status != 409:
        return None
    text = Text(
        "the organisation has `{s}` already; name another service with --service",
        "组织中已有服务 `{s}`，请用 --service 指定另一服务",
    )
    return text.fill(s=world.options.service)


@effect("the answer is of the instance, with its operation", "返回实例及 operation", _MAKE)
def _made(world: World, answer: Answer) -> None:
    assert answer.call is not None
    shaped(answer, resource(answer.data, *INSTANCE), {"id": TEXT, "name": equal(answer.call.json["name"])})


@effect("it comes to be, and can be shown and listed", "创建完成，可查看、可列出", _MAKE)
def _there(world: World, answer: Answer) -> None:
    world.finish(answer)
    identifier = resource(answer.data, *INSTANCE)["id"]
    seen = show(world, identifier)
    shaped(seen, succeeded(seen, 200), {"id": equal(identifier)})
    found = world.listed("/service-instances", id=identifier)
    holds(found, "that GET /service-instances lists it", "GET /service-instances 列出它", answer, same("GET /service-instances"))  # fmt: skip


def _configuration(world: World) -> Call:
    identifier = world.once("configured", lambda: new_instance(world))
    seen = show(world, identifier)
    plan = seen.fields.get("plan")
    if isinstance(plan, dict):
        plan = cast("dict[str, Any]", plan).get("name")
    body: dict[str, Any] = {"plan": plan} if isinstance(plan, str) else {"parameters": {}}
    return on_instance(identifier, "POST", "/configuration", body)


def _no_change(world: World, call: Call) -> list[Refusal]:
    nothing = Refusal(
        Text("neither `plan` nor `parameters`", "`plan` 与 `parameters` 均缺失"), replace(call, json={}), BAD
    )
    unknown = Refusal(
        Text("an unknown plan", "未知的套餐"), replace(call, json={"plan": f"none-{world.nonce}"}), (404, *BAD)
    )
    return [nothing, unknown]


@effect("the instance lives on under its id", "实例仍在，id 不变", _CONFIGURE)
def _configured(world: World, answer: Answer) -> None:
    world.finish(answer)
    assert answer.call is not None
    identifier = answer.call.path.split("/")[2]
    seen = show(world, identifier)
    shaped(seen, succeeded(seen, 200), {"id": equal(identifier)})


def _environment(world: World) -> Call:
    app, identifier = bound(world, "look at")
    return Call("GET", at("/apps/{app}/services/{id}/environment", app=app.id, id=identifier))


@effect("there is at least one variable, each with a text", "至少有一个变量，值均为文本", _ENVIRONMENT)
def _variables(world: World, answer: Answer) -> None:
    environment = answer.data["environment"]
    fine = bool(environment) and all(isinstance(v, str) and re.fullmatch(r"\w+", k) for k, v in environment.items())
    holds(fine, "variables with texts in `environment`", "`environment` 为文本变量", answer)


def _doomed(world: World) -> str:
    return world.once("doomed instance", lambda: new_instance(world))


@effect("it is gone: 404, and in no list", "已移除：返回 404，不在列表中", _DELETE)
def _gone(world: World, answer: Answer) -> None:
    world.finish(answer)
    identifier = _doomed(world)
    expected = Text("404 for an instance that was deleted", "已删除的实例返回 404")
    world.eventually(lambda: show(world, identifier), lambda a: a.status == 404, expected)
    listed = world.listed("/service-instances", id=identifier)
    holds(not listed, "that GET /service-instances does not list it", "GET /service-instances 不再列出", answer)


CLAUSES = (
    Clause(
        "5.4(1)", "服务接入", "Bring in a service", "POST", "/organizations/{organization_id}/services", _BRING,
        send=bring,
        statuses=(200, 201),
        shape={"name": TEXT, "plans": each(having(name=TEXT))},
        required=("name",),
        wrong={"name": 7, "broker": "not an object"},
        effects=(_brought,),
        excuse=_there_already,
    ),
    Clause(
        "5.4(2)", "创建服务", "Create a service instance", "POST", "/spaces/{space_id}/service-instances", _MAKE,
        send=create,
        statuses=(200, 201, 202),
        shape={"operation": OPERATION},
        required=("service",),
        wrong={"service": 7, "parameters": "not an object"},
        effects=(_made, _there),
    ),
    Clause(
        "5.4(3)", "服务配置", "Configure a service", "POST", "/service-instances/{service_instance_id}/configuration", _CONFIGURE,
        send=_configuration,
        statuses=(200, 202),
        shape={"operation": OPERATION},
        wrong={"plan": 7, "parameters": "not an object"},
        more=_no_change,
        effects=(_configured,),
    ),
    Clause(
        "5.4(4)", "获取环境变量", "Show a service's environment", "GET", "/apps/{app_id}/services/{service_instance_id}/environment", _ENVIRONMENT,
        send=_environment,
        shape={"host": TEXT, "port": WHOLE, "environment": OBJECT},
        effects=(_variables,),
    ),
    Clause(
        "5.4(5)", "删除服务", "Delete a service instance", "DELETE", "/service-instances/{service_instance_id}", _DELETE,
        send=lambda world: on_instance(_doomed(world), "DELETE", ""),
        statuses=(200, 202),
        shape={"operation": OPERATION},
        effects=(_gone, twice(Text("deleting again is clear", "重复删除有明确答复"), _DELETE)),
    ),
    Clause(
        "5.4(6)", "服务运行状态", "Show a service's state", "GET", "/service-instances/{service_instance_id}/status", _STATUS,
        send=lambda world: on_instance(instance(world), "GET", "/status"),
        shape={
            "name": TEXT,
            "host": TEXT,
            "port": WHOLE,
            "cpu": maybe(either(NUMBER, OBJECT)),
            "memory": maybe(either(NUMBER, OBJECT)),
            "state": TEXT,
        },
    ),
)  # fmt: skip
