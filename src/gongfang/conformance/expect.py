"""Assertions over answers. Each raises `Failure`, which says in words what was expected and what was seen instead.

A *kind* is what a value has to be: a function from the value to None, or to what it should have been. A *shape* names
the fields that an object has at least; more fields are always welcome.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer

Kind = Callable[[Any], Text | None]
Shape = Mapping[str, Kind]


class Failure(Exception):
    """Something is not as the standard says. `seen`: where it is not simply the whole answer."""

    def __init__(self, expected: Text, answer: Answer | None = None, seen: Text | None = None) -> None:
        super().__init__(expected.english)
        self.expected = expected
        self.request = answer.request if answer else ""
        self.seen = seen or (answer.seen if answer else same(""))


# --- kinds -----------------------------------------------------------------------------------------------------------


def _kind(test: Callable[[Any], bool], english: str, chinese: str) -> Kind:
    return lambda value: None if test(value) else Text(english, chinese)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_time(value: Any) -> bool:
    """RFC 3339 with an offset."""
    if not isinstance(value, str) or not re.fullmatch(
        r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value
    ):
        return False
    try:
        read_time(value)
    except ValueError:
        return False
    return True


def read_time(value: str) -> datetime:
    """A time of `is_time`, whatever digits its fraction has."""
    whole = re.sub(r"\.(\d+)", lambda m: "." + m[1][:6].ljust(6, "0"), value.upper().replace("Z", "+00:00"))
    return datetime.fromisoformat(whole)


TEXT = _kind(lambda v: isinstance(v, str) and v != "", "text", "非空字符串")
WHOLE = _kind(lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number", "整数")
NUMBER = _kind(_is_number, "a number", "数字")
OBJECT = _kind(lambda v: isinstance(v, dict), "an object", "对象")
LIST = _kind(lambda v: isinstance(v, list), "a list", "列表")
TIME = _kind(is_time, "a time of RFC 3339 with an offset", "带时区偏移的 RFC 3339 时间")
SHA256 = _kind(
    lambda v: isinstance(v, str) and bool(re.fullmatch(r"[0-9a-f]{64}", v)), "64 hex digits", "64 位十六进制"
)


def equal(wanted: Any) -> Kind:
    return _kind(lambda v: v == wanted and isinstance(v, bool) == isinstance(wanted, bool), repr(wanted), repr(wanted))


def one_of(*values: str) -> Kind:
    return _kind(lambda v: v in values, "one of " + ", ".join(values), "以下之一：" + "、".join(values))


def maybe(kind: Kind) -> Kind:
    """That, or null; the field itself has to be there."""

    def check(value: Any) -> Text | None:
        wrong = None if value is None else kind(value)
        return wrong and Text("{what} or null", "{what}或 null").fill(what=wrong)

    return check


def either(*kinds: Kind) -> Kind:
    def check(value: Any) -> Text | None:
        wrong = [kind(value) for kind in kinds]
        if None in wrong:
            return None
        return Text(" or ".join(w.english for w in wrong if w), "或".join(w.chinese for w in wrong if w))

    return check


def having(**fields: Kind) -> Kind:
    """An object with these fields."""

    def check(value: Any) -> Text | None:
        return wrong_in(value, fields)

    return check


def each(kind: Kind) -> Kind:
    """A list in which every item is of a kind."""

    def check(value: Any) -> Text | None:
        if not isinstance(value, list):
            return Text("a list", "列表")
        for number, item in enumerate(cast("list[Any]", value)):
            wrong = kind(item)
            if wrong is not None:
                return Text("[{n}]: {what}", "[{n}]：{what}").fill(n=number, what=wrong)
        return None

    return check


def wrong_in(value: Any, shape: Shape) -> Text | None:
    """What an object lacks of a shape; None where it has all."""
    if not isinstance(value, dict):
        return Text("an object with {names}", "包含 {names} 的对象").fill(names=", ".join(shape))
    found = cast("dict[str, Any]", value)
    for name, kind in shape.items():
        if name not in found:
            return Text("a field `{name}`", "包含字段 `{name}`").fill(name=name)
        wrong = kind(found[name])
        if wrong is not None:
            return Text("`{name}`: {what}", "`{name}`：{what}").fill(name=name, what=wrong)
    return None


# --- assertions ------------------------------------------------------------------------------------------------------


def shaped(answer: Answer, value: Any, shape: Shape, where: str = "data") -> Any:
    wrong = wrong_in(value, shape)
    if wrong is not None:
        raise Failure(Text("in `{where}`: {what}", "`{where}` 中：{what}").fill(where=where, what=wrong), answer)
    return value


def holds(condition: bool, english: str, chinese: str, answer: Answer | None = None, seen: Text | None = None) -> None:
    if not condition:
        raise Failure(Text(english, chinese), answer, seen)


def status(answer: Answer, *wanted: int) -> None:
    if answer.status not in wanted:
        text = " or ".join(str(s) for s in wanted)
        raise Failure(Text("status {s}", "状态码 {s}").fill(s=text), answer)


_FIELDS: Shape = {"code": TEXT, "message": TEXT, "request_id": TEXT}
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TRACES = re.compile(
    r"Traceback \(most recent call last\)|File \\?\"[^\"]+\\?\", line \d+|\bat [\w$.<>]+\([\w$]+\.(java|kt|scala):\d+\)"
    r"|\bat [^ ]+ \(?[^ ]+\.[cm]?[jt]s:\d+:\d+|goroutine \d+ \[|\bpanicked at "
)


def enveloped(answer: Answer, success: bool) -> dict[str, Any]:
    """The envelope of any JSON answer, and that it says what its status says."""
    document = answer.document
    kind = answer.headers.get("content-type", "")
    holds(kind.startswith("application/json"), "a JSON answer (Content-Type: application/json)", "JSON 应答", answer)
    wrong = wrong_in(document, {"success": equal(success), **_FIELDS})
    if wrong is not None:
        raise Failure(Text("the envelope: {what}", "统一应答格式：{what}").fill(what=wrong), answer)
    return cast("dict[str, Any]", document)


def succeeded(answer: Answer, *statuses: int) -> Any:
    """A good answer in its envelope; its data."""
    status(answer, *statuses)
    document = enveloped(answer, True)
    holds(
        document["code"] == "OK" or answer.status == 202 or bool(_SNAKE.fullmatch(document["code"])),
        "the envelope's code `OK`",
        "统一应答格式中的 code 为 `OK`",
        answer,
    )
    holds("data" in document, "the envelope: a field `data`", "统一应答格式：包含字段 `data`", answer)
    return document["data"]


def _strings(value: Any) -> list[str]:
    """Every text in a document, as it reads once JSON's escapes are gone."""
    if isinstance(value, dict):
        return [text for item in cast("dict[str, Any]", value).values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in cast("list[Any]", value) for text in _strings(item)]
    return [value] if isinstance(value, str) else []


def refused(answer: Answer, *statuses: int, token: str = "") -> dict[str, Any]:
    """A clear error: its status, the envelope, a stable code, no insides of the program and no secret."""
    status(answer, *statuses)
    text = "\n".join([answer.body.decode("utf-8", "replace"), *_strings(answer.document)])
    holds(not _TRACES.search(text), "an error without a stack trace", "错误中不含堆栈信息", answer)
    holds(not token or token not in text, "an error without a secret", "错误中不含密钥或令牌", answer, same("(token)"))
    document = enveloped(answer, False)
    holds(bool(_SNAKE.fullmatch(document["code"])), "a lower_snake error code", "lower_snake 形式的错误代码", answer)
    details = document.get("details")
    if details is not None:
        wrong = each(having(field=TEXT, message=TEXT))(details)
        if wrong is not None:
            raise Failure(Text("in `details`: {what}", "`details` 中：{what}").fill(what=wrong), answer)
    return document


def resource(data: Any, *names: str) -> Any:
    """The resource of an answer: under one of its names beside an operation, else `data` itself."""
    if isinstance(data, dict):
        found = cast("dict[str, Any]", data)
        for name in names:
            if isinstance(found.get(name), dict):
                return found[name]
    return cast("Any", data)


def anywhere(value: Any, name: str, wanted: Any) -> bool:
    """Whether a field of this name and value is anywhere in a document."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return found.get(name) == wanted or any(anywhere(item, name, wanted) for item in found.values())
    return isinstance(value, list) and any(anywhere(item, name, wanted) for item in cast("list[Any]", value))
