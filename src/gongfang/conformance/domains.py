"""5.1(10) to 5.1(12): a tenant's domains, with their filing numbers, and the apps that answer at them."""

from contextlib import suppress
from dataclasses import replace

from gongfang.conformance.clauses import BAD, Clause, Refusal, effect, row
from gongfang.conformance.expect import (
    OBJECT,
    TEXT,
    each,
    either,
    enveloped,
    equal,
    having,
    holds,
    maybe,
    shaped,
    status,
    succeeded,
)
from gongfang.conformance.texts import Text
from gongfang.conformance.web import Answer, Call, at
from gongfang.conformance.world import ICP, Blocked, World

# --- 5.1(10) to 5.1(12) ----------------------------------------------------------------------------------------------

_DOMAINS = row("5.1(10)", "lists a tenant's domains: id, domain, icp_number, app_id, status, tls",
               "列出租户的域名：id、domain、icp_number、app_id、status、tls")  # fmt: skip
_FILE = row("5.1(11)", "binds a domain to its ICP filing, and to an app", "绑定域名与备案号，并可绑定到应用")
_DETACH = row("5.1(12)", "unbinds a domain from an app; it stays the tenant's", "从应用解绑域名，域名仍属租户")
_DOMAIN = having(
    id=TEXT, domain=TEXT, icp_number=maybe(TEXT), app_id=maybe(TEXT), status=TEXT, tls=either(TEXT, OBJECT)
)


def _bind_domain(world: World) -> Call:
    body = {"domain": world.domain(), "icp_number": ICP, "app_id": world.running().id}
    return Call("POST", "/domains", json=body)


def _bad_domains(world: World, call: Call) -> list[Refusal]:
    unknown = {**call.json, "app_id": f"none-{world.nonce}"}
    return [Refusal(Text("an unknown app", "未知的应用"), replace(call, json=unknown), (404, *BAD))]


def _domain(world: World, purpose: str) -> tuple[str, str]:
    """A domain bound to the running app, one a purpose: its id and its name."""

    def make() -> tuple[str, str]:
        call = _bind_domain(world)
        return world.needed_id("5.1(11)", world.need("5.1(11)", call), "domain"), call.json["domain"]

    return world.once(f"domain to {purpose}", make)


def _list_domains(world: World) -> Call:
    """With a domain bound before, where that can be done: of an empty list no shape can be seen."""
    with suppress(Blocked):
        _domain(world, "list")
    return Call("GET", at("/tenants/{tenant_id}/domains", tenant_id=world.tenant()))


@effect(
    "a domain that was bound is in the list, with its app and number", "列表包含已绑定的域名及其应用和备案号", _DOMAINS
)
def _domain_listed(world: World, answer: Answer) -> None:
    assert answer.call is not None
    identifier, name = _domain(world, "list")
    found = world.listed(answer.call.path, id=identifier, domain=name, icp_number=ICP, app_id=world.running().id)
    holds(found, "the bound domain in the tenant's list", "租户域名列表中包含已绑定的域名", answer)


@effect("the answer is of the domain, number and app sent", "返回的域名、备案号和应用与请求一致", _FILE)
def _filed(world: World, answer: Answer) -> None:
    assert answer.call is not None
    shaped(answer, answer.data, {name: equal(value) for name, value in answer.call.json.items()})


@effect("the app's page answers at the domain", "该域名返回应用页面", _FILE)
def _served(world: World, answer: Answer) -> None:
    assert answer.call is not None
    world.answers(world.running(), answer.call.json["domain"])


def _detach(world: World) -> Call:
    identifier, _ = _domain(world, "detach")
    path = at("/apps/{app_id}/domains/{domain_id}", app_id=world.running().id, domain_id=identifier)
    return Call("DELETE", path)


@effect("the app answers at it no more, and still at its own", "应用不再响应该域名，但仍响应原域名", _DETACH)
def _detached(world: World, answer: Answer) -> None:
    _, name = _domain(world, "detach")
    world.silent(world.running(), name)
    world.answers(world.running())


@effect("the domain stays the tenant's, with its number", "域名及备案号仍属租户", _DETACH)
def _still_there(world: World, answer: Answer) -> None:
    identifier, name = _domain(world, "detach")
    seen = world.web.send(Call("GET", at("/domains/{id}", id=identifier)))
    shaped(seen, succeeded(seen, 200), {"domain": equal(name), "icp_number": equal(ICP), "app_id": equal(None)})


@effect("detaching again is clear", "重复解绑有明确答复", _DETACH)
def _detach_again(world: World, answer: Answer) -> None:
    assert answer.call is not None
    again = world.web.send(answer.call)
    status(again, 200, 404, 409)
    enveloped(again, again.good)


CLAUSES = (
    Clause(
        "5.1(10)", "域名详情", "List domains", "GET", "/tenants/{tenant_id}/domains", _DOMAINS,
        send=_list_domains,
        shape={"items": each(_DOMAIN)},
        wrong={"limit": "many"},
        effects=(_domain_listed,),
    ),
    Clause(
        "5.1(11)", "绑定域名", "Bind a domain", "POST", "/domains", _FILE,
        send=_bind_domain,
        statuses=(200, 201),
        shape={"id": TEXT},
        required=("domain",),
        wrong={"domain": "no domain!", "icp_number": "12345678"},
        more=_bad_domains,
        effects=(_filed, _served),
    ),
    Clause(
        "5.1(12)", "解绑域名", "Unbind a domain", "DELETE", "/apps/{app_id}/domains/{domain_id}", _DETACH,
        send=_detach,
        effects=(_detached, _still_there, _detach_again),
    ),
)  # fmt: skip
