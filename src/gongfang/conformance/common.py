"""The common rules: what holds for every interface, tried where it can be tried most plainly."""

import json
import re
from typing import Any, cast

from gongfang.conformance import people, work
from gongfang.conformance.clauses import BAD, Rule, effect, rule
from gongfang.conformance.expect import (
    LIST,
    TEXT,
    Failure,
    anywhere,
    each,
    enveloped,
    equal,
    having,
    holds,
    is_time,
    maybe,
    refused,
    resource,
    shaped,
    succeeded,
)
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer, Call
from gongfang.conformance.world import App, World


def _apps() -> Call:
    return Call("GET", "/apps").with_query(limit="1")


def _nobody(world: World) -> Call:
    return Call("GET", f"/apps/none-{world.nonce}")


# --- envelope --------------------------------------------------------------------------------------------------------

_ENVELOPE = rule("every JSON answer is {success, code, message, data, request_id}",
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

_ERRORS = rule("an error has its right status, a stable lower_snake code, a message that says what to do, and details "
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

_LANGUAGE = rule("messages are in the language of Accept-Language: zh-CN, en; default zh-CN",
                  "消息使用 Accept-Language 所指语言：zh-CN、en，默认 zh-CN")  # fmt: skip
_HAN = re.compile(r"[\u4e00-\u9fff]")


def _speaks(world: World, tag: str | None, chinese: bool) -> None:
    for call in (_apps(), _nobody(world)):
        answer = world.web.send(call.with_headers(accept_language=tag or ""))
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

_LISTS = rule("lists take ?limit= (default 50, at most 500) and ?cursor=; data is {items, next_cursor}; an unknown "
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


# --- sent again, and changed in between ------------------------------------------------------------------------------

_AGAIN = rule("Idempotency-Key on POST gives the first answer again", "POST 带 Idempotency-Key 时重复调用得到首次应答")
_MATCH = rule("If-Match with the resource's ETag gives 412 where somebody else changed it first",
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


# --- times, the document ---------------------------------------------------------------------------------------------

_TIMES = rule("times are RFC 3339 with offset", "时间为带时区偏移的 RFC 3339")
_CLAUSE = rule('every clause\'s endpoint carries x-aii-clause: "5.1(1)" in the OpenAPI document',
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
    *people.RULES,
    Rule("idempotency", "重复提交", "Idempotency-Key", _AGAIN, (_idempotent, _another_key)),
    Rule("if-match", "并发修改", "If-Match", _MATCH, (_if_match,)),
    *work.RULES,
    Rule("times", "时间", "Times", _TIMES, (_times,)),
    Rule("coverage", "条款标注", "x-aii-clause", _CLAUSE, ()),
)  # fmt: skip
