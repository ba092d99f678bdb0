"""The common rules about who is calling: tokens, what is hidden, and who only reads."""

import secrets
from dataclasses import replace
from typing import Any

from gongfang.conformance.clauses import Rule, effect, rule
from gongfang.conformance.expect import (
    equal,
    holds,
    refused,
    shaped,
    succeeded,
)
from gongfang.conformance.texts import Text
from gongfang.conformance.web import Answer, Call
from gongfang.conformance.world import Blocked, World, items

# --- who -------------------------------------------------------------------------------------------------------------

_AUTH = rule("Authorization: Bearer TOKEN; what the caller may not read answers 404, not 403",
              "Authorization: Bearer TOKEN；调用者无权读取的内容返回 404 而非 403")  # fmt: skip
_READS = Text(
    "6: a supervisor reads the monitoring interfaces and can change nothing",
    "6：监管人员查看监控接口，不能修改任何内容",
)


@effect("without a right token: 401", "无有效令牌返回 401", _AUTH)
def _unknown(world: World, _: Answer) -> None:
    call = Call("GET", "/apps").with_query(limit="1")
    for wrong in (
        replace(call, token=None),
        replace(call, token=f"wrong-{world.nonce}"),
        replace(call, token=None).with_headers(authorization=world.web.token),
        replace(call, token=None).with_headers(authorization="Basic dGVzdDp0ZXN0"),
        replace(call, token=world.web.token + "x"),
        replace(call, token=world.web.token[:-1]),
    ):
        refused(world.web.send(wrong), 401, token=world.web.token)


def _somebody(world: World, roles: list[dict[str, Any]], option: str) -> str:
    """A token of a user made here. It is no part of the 29, so that a server may well have it otherwise."""
    name, password = world.name(), f"Aa1!{secrets.token_urlsafe(24)}"
    hint = Text(" (give one with {option})", "（可用 {option} 给出令牌）").fill(option=option)
    made = world.web.send(Call("POST", "/users", json={"name": name, "password": password, "roles": roles}))
    login = world.web.send(Call("POST", "/auth/login", json={"username": name, "password": password}, token=None))
    token = login.fields.get("token")
    if isinstance(token, str) and token:
        return token
    wrong = login if made.good else made
    cause = Text("no second user could be made: {request}: {seen}{hint}", "无法创建第二个用户：{request}：{seen}{hint}")
    raise Blocked(cause.fill(request=wrong.request, seen=wrong.seen, hint=hint), missing=True)


@effect(
    "somebody else's app is not there: 404, not 403, and in no list", "他人的应用返回 404 而非 403，也不在列表中", _AUTH
)
def _hidden(world: World, _: Answer) -> None:
    app = world.app()
    other = world.options.other_token or world.once("other", lambda: _somebody(world, [], "--other-token"))
    refused(world.web.send(replace(Call("GET", f"/apps/{app.id}"), token=other)), 404, token=world.web.token)
    stop = Call("POST", f"/apps/{app.id}/stop")
    refused(world.web.send(replace(stop, token=other)), 404, token=world.web.token)
    answer = world.web.send(replace(Call("GET", "/apps").with_query(limit="500"), token=other))
    if answer.good:
        holds(all(i.get("id") != app.id for i in items(answer)), "a list without it", "列表中不含它", answer)
    else:
        refused(answer, 403, 404, token=world.web.token)


@effect("a supervisor reads, and can change nothing", "监管人员只能查看，不能修改", _READS)
def _supervisor(world: World, _: Answer) -> None:
    app = world.app()
    role = [{"role": "supervisor", "level": "organization", "scope_id": world.organization()}]
    token = world.options.supervisor_token or world.once(
        "supervisor", lambda: _somebody(world, role, "--supervisor-token")
    )
    seen = world.web.send(replace(Call("GET", f"/apps/{app.id}"), token=token))
    shaped(seen, succeeded(seen, 200), {"id": equal(app.id)})
    before = world.web.send(Call("GET", f"/apps/{app.id}"))
    for call in (
        Call("POST", f"/apps/{app.id}/stop"),
        Call("POST", f"/apps/{app.id}/instances", json={"instances": 2}),
        Call("POST", f"/apps/{app.id}/package", file=("x.zip", b"PK")),
        Call("POST", "/apps", json=world.app_request()),
        Call("DELETE", f"/apps/{app.id}"),
    ):
        refused(world.web.send(replace(call, token=token)), 403, token=world.web.token)
    after = world.web.send(Call("GET", f"/apps/{app.id}"))
    succeeded(after, 200)
    same_tag = after.headers.get("etag") == before.headers.get("etag")
    holds(same_tag, "the app as it was, and its ETag", "应用及其 ETag 保持不变", after)


RULES = (
    Rule("auth", "身份", "Who is calling", _AUTH, (_unknown, _hidden)),
    Rule("supervisor", "监管人员", "The supervisor only reads", _READS, (_supervisor,)),
)
