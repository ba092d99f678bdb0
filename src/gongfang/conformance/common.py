"""The common rules: what holds for every interface, tried where it can be tried most plainly."""

import json
import re
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from gongfang.conformance.clauses import BAD, OPERATION, Rule, effect
from gongfang.conformance.expect import (
    LIST,
    TEXT,
    TIME,
    Failure,
    anywhere,
    each,
    either,
    enveloped,
    equal,
    having,
    holds,
    is_time,
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
from gongfang.conformance.world import App, Blocked, World, items, operation_id

_ENDED = ("succeeded", "failed", "cancelled")


def _rule(english: str, chinese: str) -> Text:
    return Text(f"Common rules: {english}", f"通用规则：{chinese}")


def _apps() -> Call:
    return Call("GET", "/apps").with_query(limit="1")


def _nobody(world: World) -> Call:
    return Call("GET", f"/apps/none-{world.nonce}")


# --- envelope --------------------------------------------------------------------------------------------------------

_ENVELOPE = _rule("every JSON answer is {success, code, message, data, request_id}",
                  "所有 JSON 应答均为 {success, code, message, data, request_id}")  # fmt: skip


@effect("a good answer says so, with code `OK`", "成功应答 code 为 `OK`", _ENVELOPE)
def _good(world: World, _: Answer) -> None:
    answer = world.web.send(_apps())
    succeeded(answer, 200)
    holds(answer.code == "OK", "the code `OK`", "code 为 `OK`", answer)


@effect("an error does, with its own code", "错误应答带有自己的代码", _ENVELOPE)
def _bad(world: World, _: Answer) -> None:
    refused(world.web.send(_nobody(world)), 404, token=world.web.token)


@effect("a path that is nothing is answered in it", "不存在的路径也以统一格式应答", _ENVELOPE)
def _nowhere(world: World, _: Answer) -> None:
    refused(world.web.send(Call("GET", f"/no-such-interface-{world.nonce}")), 404, token=world.web.token)


@effect("no two calls have the same request id", "每次调用的 request_id 各不相同", _ENVELOPE)
def _ids(world: World, _: Answer) -> None:
    answers = [world.web.send(_apps()) for _ in range(3)]
    found = [str(enveloped(answer, True)["request_id"]) for answer in answers]
    holds(len(set(found)) == 3, "three request ids for three calls", "三次调用有三个 request_id", answers[-1],
          same(", ".join(found)))  # fmt: skip


# --- errors ----------------------------------------------------------------------------------------------------------

_ERRORS = _rule("an error has its right status, a stable lower_snake code, a message that says what to do, and details "
                "where a field is at fault; never a stack trace or a secret",
                "错误有正确状态码、稳定的 lower_snake 代码、说明如何处理的消息，字段有误时带 details；不含堆栈或密钥")  # fmt: skip

_HOSTILE: tuple[tuple[str, str, bytes], ...] = (
    ("half a JSON document", "残缺的 JSON", b'{"name": '),
    ("a list for an object", "以列表代替对象", b"[]"),
    ("text that is not UTF-8", "非 UTF-8 文本", b'{"name": "\xff\xfe"}'),
    ("a hundred thousand brackets", "十万层括号", b"[" * 100_000),
    ("a name of a zero character", "名称含空字符", json.dumps({"name": "a\0b", "type": "web"}).encode()),
    ("a name of 100,000 letters", "十万字符的名称", json.dumps({"name": "a" * 100_000, "type": "web"}).encode()),
)


@effect("hostile bodies are refused clearly", "恶意请求体被明确拒绝", _ERRORS)
def _hostile(world: World, _: Answer) -> None:
    for english, chinese, body in _HOSTILE:
        call = Call("POST", "/apps", content=body).with_headers(content_type="application/json")
        answer = world.web.send(call)
        try:
            refused(answer, 400, 413, 422, token=world.web.token)
        except Failure as failure:
            what = Text("{what}, for {body}", "{what}（{body}）").fill(
                what=failure.expected, body=Text(english, chinese)
            )
            raise Failure(what, answer, failure.seen) from failure


@effect("the field at fault is named in `details`", "`details` 指明有误的字段", _ERRORS)
def _details(world: World, _: Answer) -> None:
    body = {**world.app_request(), "name": ["not", "a", "name"]}
    answer = world.web.send(Call("POST", "/apps", json=body))
    document = refused(answer, *BAD, token=world.web.token)
    shaped(answer, document, {"details": each(having(field=TEXT, message=TEXT))}, "the envelope")
    named = [fault["field"] for fault in document["details"]]
    fine = any(field == "name" or field.startswith("name.") or field.endswith(".name") for field in named)
    holds(fine, "`name` in `details`", "`details` 中有 `name`", answer)


@effect("the same mistake has the same code in every language", "同一错误在各语言下代码相同", _ERRORS)
def _stable(world: World, _: Answer) -> None:
    found = {world.web.send(_nobody(world).with_headers(accept_language=tag)).code for tag in ("zh-CN", "en")}
    holds(len(found) == 1, "one code", "同一代码", None, same(str(sorted(map(str, found)))))


# --- language --------------------------------------------------------------------------------------------------------

_LANGUAGE = _rule("messages are in the language of Accept-Language: zh-CN, en; default zh-CN",
                  "消息使用 Accept-Language 所指语言：zh-CN、en，默认 zh-CN")  # fmt: skip
_HAN = re.compile(r"[\u4e00-\u9fff]")


def _speaks(world: World, tag: str | None, chinese: bool) -> None:
    for call in (_apps(), _nobody(world)):
        answer = world.web.send(call.with_headers(accept_language=tag) if tag else call)
        document = enveloped(answer, answer.good)
        fine = bool(_HAN.search(document["message"])) == chinese
        english, words = ("a message in Chinese", "中文消息") if chinese else ("a message in English", "英文消息")
        holds(fine, f"{english} (Accept-Language: {tag})", f"{words}（Accept-Language: {tag}）", answer)


@effect("zh-CN is Chinese", "zh-CN 为中文", _LANGUAGE)
def _chinese(world: World, _: Answer) -> None:
    _speaks(world, "zh-CN", True)


@effect("en is English", "en 为英文", _LANGUAGE)
def _english(world: World, _: Answer) -> None:
    _speaks(world, "en", False)


@effect("none is Chinese, and so is a language that is not spoken", "未指定或不支持的语言为中文", _LANGUAGE)
def _default(world: World, _: Answer) -> None:
    _speaks(world, None, True)
    _speaks(world, "tlh", True)


@effect("the preferred of several is taken", "多种语言时取优先者", _LANGUAGE)
def _preferred(world: World, _: Answer) -> None:
    _speaks(world, "zh-CN;q=0.3, en;q=0.9", False)


# --- lists -----------------------------------------------------------------------------------------------------------

_LISTS = _rule("lists take ?limit= (default 50, at most 500) and ?cursor=; data is {items, next_cursor}; an unknown "
               "query parameter is an error",
               "列表接受 ?limit=（默认 50，最多 500）和 ?cursor=，data 为 {items, next_cursor}；未知参数为错误")  # fmt: skip
_PAGE = {"items": LIST, "next_cursor": maybe(TEXT)}


def _several(world: World) -> None:
    """At least three apps, so that there is something to turn pages of."""
    world.once("several", lambda: [world.new_app() for _ in range(3)])


@effect("pages of one follow each other without repeating", "逐页翻阅不重复", _LISTS)
def _pages(world: World, _: Answer) -> None:
    _several(world)
    seen: list[str] = []
    cursor: str | None = None
    for _turn in range(3):
        call = _apps().with_query(cursor=cursor) if cursor else _apps()
        answer = world.web.send(call)
        page = shaped(answer, succeeded(answer, 200), _PAGE)
        holds(len(page["items"]) == 1, "one item for limit=1", "limit=1 时一项", answer)
        holds(page["items"][0].get("id") not in seen, "an item not seen before", "此前未出现的项", answer)
        seen.append(page["items"][0].get("id"))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    holds(len(seen) == 3, "a `next_cursor` while there is more", "尚有内容时给出 `next_cursor`", None, same(str(seen)))


@effect("the last page says that it is", "末页 next_cursor 为 null", _LISTS)
def _last(world: World, _: Answer) -> None:
    _several(world)
    answer = world.web.send(Call("GET", "/apps").with_query(limit="500"))
    page = shaped(answer, succeeded(answer, 200), _PAGE)
    fine = page["next_cursor"] is None or len(page["items"]) == 500
    holds(fine, "`next_cursor` null, or a full page", "`next_cursor` 为 null 或整页", answer)


@effect("a limit out of range, a cursor that is none, and an unknown parameter are refused", "越界的 limit、无效的 cursor 和未知参数被拒绝", _LISTS)  # fmt: skip
def _bad_lists(world: World, _: Answer) -> None:
    call = Call("GET", "/apps")
    for name, value in (("limit", "0"), ("limit", "-1"), ("limit", "many"), ("limit", "501"), ("cursor", "%%%"),
                        ("no_such_parameter", "1")):  # fmt: skip
        refused(world.web.send(call.with_query(**{name: value})), *BAD, token=world.web.token)


@effect("fifty where no limit is named", "未指定 limit 时至多 50 项", _LISTS)
def _fifty(world: World, _: Answer) -> None:
    answer = world.web.send(Call("GET", "/apps"))
    page = shaped(answer, succeeded(answer, 200), _PAGE)
    holds(len(page["items"]) <= 50, "at most 50 items", "至多 50 项", answer)


# --- who -------------------------------------------------------------------------------------------------------------

_AUTH = _rule("Authorization: Bearer TOKEN; what the caller may not read answers 404, not 403",
              "Authorization: Bearer TOKEN；调用者无权读取的内容返回 404 而非 403")  # fmt: skip
_READS = Text(
    "6: a supervisor reads the monitoring interfaces and can change nothing",
    "6：监管人员查看监控接口，不能修改任何内容",
)


@effect("without a right token: 401", "无有效令牌返回 401", _AUTH)
def _unknown(world: World, _: Answer) -> None:
    call = _apps()
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


# --- sent again, and changed in between ------------------------------------------------------------------------------

_AGAIN = _rule("Idempotency-Key on POST gives the first answer again", "POST 带 Idempotency-Key 时重复调用得到首次应答")
_MATCH = _rule("If-Match with the resource's ETag gives 412 where somebody else changed it first",
               "If-Match 带资源的 ETag，资源已被他人修改时返回 412")  # fmt: skip


@effect(
    "the same POST with the same key makes one app, and answers the same",
    "相同键的相同 POST 只创建一次，应答相同",
    _AGAIN,
)
def _idempotent(world: World, _: Answer) -> None:
    call = Call("POST", "/apps", json=world.app_request()).with_headers(idempotency_key=f"key-{world.nonce}-1")
    first = world.web.send(call)
    succeeded(first, 200, 201)
    second = world.web.send(call)
    succeeded(second, first.status)
    shaped(second, resource(second.data, "app"), {"id": equal(resource(first.data, "app").get("id"))})


@effect("another key is another call", "不同的键是不同的调用", _AGAIN)
def _another_key(world: World, _: Answer) -> None:
    call = Call("POST", "/apps", json=world.app_request())
    succeeded(world.web.send(call.with_headers(idempotency_key=f"key-{world.nonce}-2")), 200, 201)
    refused(world.web.send(call.with_headers(idempotency_key=f"key-{world.nonce}-3")), 400, 409, 422)


def _tagged(world: World, app: App) -> tuple[Answer, str]:
    answer = world.web.send(Call("GET", f"/apps/{app.id}"))
    succeeded(answer, 200)
    tag = answer.headers.get("etag", "")
    holds(bool(tag), "an ETag", "带有 ETag", answer, same("ETag: -"))
    return answer, tag


def _size(app: App, tag: str, memory: int) -> Call:
    call = Call("POST", f"/apps/{app.id}/instances", json={"memory_mb": memory})
    return call.with_headers(if_match=tag)


@effect("the present ETag is taken, a former one is 412 and changes nothing", "当前 ETag 有效，过期 ETag 返回 412 且不改变任何内容", _MATCH)  # fmt: skip
def _if_match(world: World, _: Answer) -> None:
    app = world.once("matched", world.new_app)
    _, tag = _tagged(world, app)
    refused(world.web.send(_size(app, f'"never-{world.nonce}"', 208)), 412, token=world.web.token)
    unchanged, same_tag = _tagged(world, app)
    fine = same_tag == tag and not anywhere(unchanged.data, "memory_mb", 208)
    holds(fine, "the app as it was, and its ETag", "应用及其 ETag 保持不变", unchanged)
    first = world.web.send(_size(app, tag, 208))
    succeeded(first, 200, 202)
    world.finish(first)
    refused(world.web.send(_size(app, tag, 224)), 412, token=world.web.token)


# --- work that takes time --------------------------------------------------------------------------------------------

_WORK = _rule("work that takes time answers 202 with data.operation; ?wait=SECONDS (up to 300) waits for the end; "
              "GET /operations/{id} tells state, steps with times, and the reason of a failure in words",
              "耗时操作返回 202 及 data.operation；?wait=SECONDS（至多 300）等待结束；GET /operations/{id} 给出状态、"
              "带时间的步骤及失败原因")  # fmt: skip
_FOLLOW = _rule("GET /operations/{id}/events streams the same as server-sent events, resumable by Last-Event-ID",
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


# --- times, the document ---------------------------------------------------------------------------------------------

_TIMES = _rule("times are RFC 3339 with offset", "时间为带时区偏移的 RFC 3339")
_CLAUSE = _rule('every clause\'s endpoint carries x-aii-clause: "5.1(1)" in the OpenAPI document',
                "每个条款的接口在 OpenAPI 文档中带有 x-aii-clause")  # fmt: skip


def _times_in(value: Any, name: str = "") -> list[str]:
    if isinstance(value, dict):
        return [found for k, v in cast("dict[str, Any]", value).items() for found in _times_in(v, k)]
    if isinstance(value, list):
        return [found for v in cast("list[Any]", value) for found in _times_in(v, name)]
    return [f"{name}: {value}"] if name.endswith("_at") and value is not None and not is_time(value) else []


@effect("every field `…_at` of an app, a package and an operation", "应用、程序包与操作的所有 `…_at` 字段", _TIMES)
def _times(world: World, _: Answer) -> None:
    app = world.once("timed", world.new_app)
    answers = [
        world.web.send(Call("GET", f"/apps/{app.id}")),
        world.upload(app),
        world.web.send(Call("POST", f"/apps/{app.id}/stop").waiting(30)),
    ]
    for answer in answers:
        wrong = _times_in(answer.data)
        holds(
            not wrong, "times of RFC 3339 with an offset", "带时区偏移的 RFC 3339 时间", answer, same("; ".join(wrong))
        )


RULES = (
    Rule("envelope", "统一应答格式", "The envelope", _ENVELOPE, (_good, _bad, _nowhere, _ids)),
    Rule("errors", "错误", "Errors", _ERRORS, (_hostile, _details, _stable)),
    Rule("language", "语言", "Languages", _LANGUAGE, (_chinese, _english, _default, _preferred)),
    Rule("lists", "列表", "Lists", _LISTS, (_pages, _last, _bad_lists, _fifty)),
    Rule("auth", "身份", "Who is calling", _AUTH, (_unknown, _hidden)),
    Rule("supervisor", "监管人员", "The supervisor only reads", _READS, (_supervisor,)),
    Rule("idempotency", "重复提交", "Idempotency-Key", _AGAIN, (_idempotent, _another_key)),
    Rule("if-match", "并发修改", "If-Match", _MATCH, (_if_match,)),
    Rule("operations", "耗时操作", "Work that takes time", _WORK,
         (_promised, _waited, _bad_wait, _failing, _no_operation)),
    Rule("events", "操作事件流", "The stream of an operation", _FOLLOW, (_followed, _resumed)),
    Rule("times", "时间", "Times", _TIMES, (_times,)),
    Rule("coverage", "条款标注", "x-aii-clause", _CLAUSE, ()),
)  # fmt: skip
