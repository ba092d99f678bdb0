"""The common rules about work that takes time: operations, and the stream of their events."""

import json
from contextlib import suppress
from typing import Any

from gongfang.conformance.clauses import BAD, OPERATION, Rule, effect, rule
from gongfang.conformance.expect import (
    TEXT,
    TIME,
    each,
    either,
    enveloped,
    equal,
    having,
    holds,
    maybe,
    one_of,
    refused,
    resource,
    shaped,
    status,
    succeeded,
)
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer, Call, Message, at
from gongfang.conformance.world import App, World, operation_id

_ENDED = ("succeeded", "failed", "cancelled")

# --- work that takes time --------------------------------------------------------------------------------------------

_WORK = rule("work that takes time answers 202 with data.operation; ?wait=SECONDS (up to 300) waits for the end; "
              "GET /operations/{id} tells state, steps with times, and the reason of a failure in words",
              "耗时操作返回 202 及 data.operation；?wait=SECONDS（至多 300）等待结束；GET /operations/{id} 给出状态、"
              "带时间的步骤及失败原因")  # fmt: skip
_FOLLOW = rule("GET /operations/{id}/events streams the same as server-sent events, resumable by Last-Event-ID",
                "GET /operations/{id}/events 以 SSE 推送，可由 Last-Event-ID 续接")  # fmt: skip

_STEP = having(name=TEXT, started_at=maybe(TIME), finished_at=maybe(TIME))
_OPERATION = {
    "id": TEXT,
    "kind": TEXT,
    "status": one_of("pending", "running", "succeeded", "failed", "cancelled"),
    "steps": each(_STEP),
}


def _worker(world: World) -> App:
    """An app with a package; the rules of work start and stop it."""
    return world.once("worker", world.uploaded)


def _begin(world: World) -> Answer:
    """Starts it, after it was stopped: work that takes time."""
    app = _worker(world)
    stop = world.need("5.1(6)", Call("POST", f"/apps/{app.id}/stop"), "/apps/{app_id}/stop")
    world.finish(stop)
    return world.need("5.1(3)", Call("POST", f"/apps/{app.id}/start"), "/apps/{app_id}/start")


@effect(
    "it answers 202 with the operation, which can be looked at to its end",
    "返回 202 及 operation，可查看直至结束",
    _WORK,
)
def _promised(world: World, _: Answer) -> None:
    answer = _begin(world)
    status(answer, 202)
    shaped(answer, enveloped(answer, True)["data"], {"operation": OPERATION})
    path = at("/operations/{id}", id=operation_id(answer) or "")
    seen = world.web.send(Call("GET", path))
    shaped(seen, succeeded(seen, 200), {**_OPERATION, "id": equal(operation_id(answer))})
    expected = Text("`status` succeeded in the end", "`status` 最终为 succeeded")
    seen = world.eventually(
        lambda: world.web.send(Call("GET", path)),
        lambda a: a.fields.get("status") in _ENDED,
        expected,
        world.options.operation_s,
    )
    data = shaped(seen, succeeded(seen, 200), {**_OPERATION, "status": equal("succeeded")})
    finished = all(step.get("started_at") and step.get("finished_at") for step in data["steps"])
    holds(bool(data["steps"]) and finished, "steps, each with its times", "各步骤带有起止时间", seen)


@effect("with ?wait= it answers its end: 200 or 201", "带 ?wait= 时等待结束并返回 200 或 201", _WORK)
def _waited(world: World, _: Answer) -> None:
    app = _worker(world)
    stop = world.need("5.1(6)", Call("POST", f"/apps/{app.id}/stop"), "/apps/{app_id}/stop")
    world.finish(stop)
    answer = world.web.send(Call("POST", f"/apps/{app.id}/start").waiting(world.options.operation_s))
    data = succeeded(answer, 200, 201)
    operation = resource(data, "operation")
    if operation is not data:
        shaped(answer, operation, {"status": equal("succeeded")}, "data.operation")
    identifier = operation_id(answer)
    if identifier is not None:
        seen = world.web.send(Call("GET", at("/operations/{id}", id=identifier)))
        shaped(seen, succeeded(seen, 200), {"status": equal("succeeded")})


@effect("a wait out of range is refused", "超出范围的 wait 被拒绝", _WORK)
def _bad_wait(world: World, _: Answer) -> None:
    app = _worker(world)
    for wait in ("301", "-1", "long"):
        refused(world.web.send(Call("POST", f"/apps/{app.id}/stop").with_query(wait=wait)), *BAD)


@effect(
    "an operation that fails says why, and ?wait= answers the error", "失败的操作说明原因，?wait= 返回该错误", _WORK
)
def _failing(world: World, _: Answer) -> None:
    app = world.once("failing", world.new_app)
    broken = Call("POST", f"/apps/{app.id}/package", file=("broken.zip", b"PK\x03\x04 this is no archive"))
    uploaded = world.web.send(broken)
    if not uploaded.good:  # a server may look into the package at once
        refused(uploaded, *BAD, token=world.web.token)
        return
    answer = world.web.send(Call("POST", f"/apps/{app.id}/start").waiting(world.options.operation_s))
    refused(answer, 400, 409, 422, token=world.web.token)
    identifier = operation_id(answer)
    if identifier is None:
        return
    seen = world.web.send(Call("GET", at("/operations/{id}", id=identifier)))
    reason = either(TEXT, having(message=TEXT))
    shaped(seen, succeeded(seen, 200), {**_OPERATION, "status": equal("failed"), "reason": reason})


@effect("an operation that nobody has is 404", "不存在的操作返回 404", _WORK)
def _no_operation(world: World, _: Answer) -> None:
    refused(world.web.send(Call("GET", f"/operations/none-{world.nonce}")), 404, token=world.web.token)


def _told(head: Answer, messages: list[Message]) -> list[Message]:
    """The messages about the operation itself, checked."""
    status(head, 200)
    kind = head.headers.get("content-type", "")
    holds(kind.startswith("text/event-stream"), "Content-Type: text/event-stream", "Content-Type: text/event-stream",
          head, same(f"Content-Type: {kind or '-'}"))  # fmt: skip
    found: list[Message] = []
    for message in messages:
        data: Any = None
        with suppress(ValueError):
            data = json.loads(message.data)
        shown = same(f"event: {message.event} id: {message.id or '-'} data: {message.data[:120]}")
        holds(isinstance(data, dict), "JSON in `data:`", "`data:` 为 JSON", head, shown)
        holds(message.id != "", "an `id:` at each message", "每条消息带 `id:`", head, shown)
        if data.get("status") in ("pending", "running", *_ENDED):
            found.append(message)
    return found


def _stream(world: World, last_id: str | None = None) -> tuple[Answer, list[Message]]:
    path = world.once("streamed", lambda: _streamed(world))
    within = max(world.options.operation_s, world.options.answer_s)
    return world.web.events(path, last_id, within)


def _streamed(world: World) -> str:
    answer = _begin(world)
    identifier = operation_id(answer)
    if identifier is None:
        raise world.failed("5.1(3)", answer)
    return at("/operations/{id}/events", id=identifier)


@effect("it is followed to its end, which ends the stream", "可跟踪至结束，随后流结束", _FOLLOW)
def _followed(world: World, _: Answer) -> None:
    head, messages = _stream(world)
    told = _told(head, messages)
    last = json.loads(told[-1].data).get("status") if told else None
    holds(last in _ENDED, "a last message with how it ended", "最后一条消息给出结果", head, same(str(last)))


@effect("behind a Last-Event-ID nothing comes twice", "给出 Last-Event-ID 后不重复推送", _FOLLOW)
def _resumed(world: World, _: Answer) -> None:
    head, messages = _stream(world)
    told = _told(head, messages)
    holds(bool(told), "at least one message", "至少一条消息", head, same("-"))
    for number, message in enumerate(messages):
        again, rest = _stream(world, message.id)
        if again.status == 204:
            rest = []
        else:
            status(again, 200)
        seen = {m.id for m in messages[: number + 1]}
        repeated = [m.id for m in rest if m.id in seen]
        holds(not repeated, f"nothing of {sorted(seen)[:3]} again", "不再出现已收到的消息", again, same(str(repeated)))
        ended = message is messages[-1]
        holds(ended or bool(rest), "what came behind it", "其后的消息", again, same(f"Last-Event-ID: {message.id}"))


RULES = (
    Rule(
        "operations",
        "耗时操作",
        "Work that takes time",
        _WORK,
        (_promised, _waited, _bad_wait, _failing, _no_operation),
    ),
    Rule("events", "操作事件流", "The stream of an operation", _FOLLOW, (_followed, _resumed)),
)
