"""What a clause is: what to send, what must come back, what must be refused, and what must then be true.

A clause is tried in that spirit, but in another order: first what must be refused, while its target still lives, then
the call itself, then its effects. The very first call has an unknown query parameter and is otherwise right: it must
be refused by a server that has the interface, and tells a server that has none, which is `missing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from gongfang.conformance.expect import TEXT, Kind, Shape, enveloped, having, one_of, refused
from gongfang.conformance.texts import Text
from gongfang.conformance.web import NOTHING, Answer, Call
from gongfang.conformance.world import World

BAD = (400, 422)
"""What a value that does not fit its field is answered with."""
NO_SUCH = (404,)
NOWHERE = (404, 405, 501)

OPERATION = having(id=TEXT, kind=TEXT, status=one_of("pending", "running", "succeeded", "failed", "cancelled"))
APP_AND_OPERATION: Shape = {"app": having(id=TEXT), "operation": OPERATION}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Bad input, and the statuses that say so."""

    name: Text
    call: Call
    statuses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that must be true after the call. `basis`: the sentence of the standard."""

    name: Text
    basis: Text
    check: Callable[[World, Answer], None]


@dataclass(frozen=True, slots=True)
class Clause:
    """One interface.

    `send` makes a right call (and all that it needs). `required`: the fields without which it must be refused, in the
    body or the query. `wrong`: fields with values that they must not take. `more`: bad input of this clause's own.
    `excuse`: why an answer to the right call is nobody's fault; the clause is then blocked. `envelope`: whether the
    answer is JSON in the envelope, rather than a file.
    """

    number: str
    chinese: str
    english: str
    method: str
    path: str
    basis: Text
    send: Callable[[World], Call]
    statuses: tuple[int, ...] = (200,)
    shape: Shape = field(default_factory=dict[str, Kind])
    required: tuple[str, ...] = ()
    wrong: Mapping[str, Any] = field(default_factory=dict[str, Any])
    more: Callable[[World, Call], list[Refusal]] = lambda _world, _call: []
    effects: tuple[Effect, ...] = ()
    envelope: bool = True
    excuse: Callable[[World, Answer], Text | None] = lambda _world, _answer: None

    @property
    def group(self) -> str:
        return self.number.partition("(")[0]

    @property
    def title(self) -> Text:
        return Text(self.english, self.chinese)

    def probe(self, world: World) -> Call:
        """The call with ids that nobody has and no body: harmless, and enough to see whether there is anything."""
        path = self.path
        for name in _ids(self.path):
            path = path.replace(f"{{{name}}}", f"none-{world.nonce}")
        body: Any = {} if self.method in ("POST", "PUT") else NOTHING
        return Call(self.method, path, json=body)

    def unknown_parameter(self, call: Call) -> Refusal:
        name = Text("an unknown query parameter", "未知的查询参数")
        return Refusal(name, call.with_query(no_such_parameter="1"), BAD)

    def refusals(self, world: World, call: Call) -> list[Refusal]:
        """Everything that must be refused, beside the unknown parameter."""
        found = [
            Refusal(Text("no token", "无令牌"), replace(call, token=None), (401,)),
            Refusal(Text("a wrong token", "错误的令牌"), replace(call, token=f"wrong-{world.nonce}"), (401,)),
            Refusal(
                Text("a method that nothing has", "不存在的方法"),
                replace(call, method="PROPFIND", json=NOTHING, content=None, file=None),
                NOWHERE,
            ),
        ]
        parts = self.path.split("/")
        for number, name in enumerate(parts):
            if name.startswith("{"):
                path = call.path.split("/")
                path[number] = f"none-{world.nonce}"
                text = Text("an unknown {name}", "未知的 {name}").fill(name=name.strip("{}"))
                found.append(Refusal(text, replace(call, path="/".join(path)), NO_SUCH))
        found += [self._without(call, name) for name in self.required]
        found += [self._with(call, name, value) for name, value in self.wrong.items()]
        if call.json is not NOTHING:
            found.append(
                Refusal(
                    Text("a body that is no JSON", "请求体不是 JSON"),
                    replace(call, json=NOTHING, content=b'{"name": ').with_headers(content_type="application/json"),
                    BAD,
                )
            )
        return found + self.more(world, call)

    def _without(self, call: Call, name: str) -> Refusal:
        text = Text("without `{name}`", "缺少 `{name}`").fill(name=name)
        if call.json is NOTHING:
            return Refusal(text, replace(call, query=tuple(p for p in call.query if p[0] != name)), BAD)
        body = {k: v for k, v in cast("dict[str, Any]", call.json).items() if k != name}
        return Refusal(text, replace(call, json=body), BAD)

    def _with(self, call: Call, name: str, value: Any) -> Refusal:
        text = Text("`{name}` = {value}", "`{name}` = {value}").fill(name=name, value=repr(value))
        if call.json is NOTHING:
            return Refusal(text, call.with_query(**{name: str(value)}), BAD)
        return Refusal(text, replace(call, json={**cast("dict[str, Any]", call.json), name: value}), BAD)


@dataclass(frozen=True, slots=True)
class Rule:
    """One of the common rules, by its name. Its checks are effects without a call before them."""

    name: str
    chinese: str
    english: str
    basis: Text
    checks: tuple[Effect, ...]

    @property
    def title(self) -> Text:
        return Text(self.english, self.chinese)


def effect(english: str, chinese: str, basis: Text) -> Callable[[Callable[[World, Answer], None]], Effect]:
    """Makes an `Effect` of a function."""

    def made(check: Callable[[World, Answer], None]) -> Effect:
        return Effect(Text(english, chinese), basis, check)

    return made


def row(number: str, english: str, chinese: str) -> Text:
    """The basis of a clause: its row in the standard's table, in words."""
    return Text(f"{number}: {english}", f"{number}：{chinese}")


def twice(name: Text, basis: Text) -> Effect:
    """The same call again has a clear answer: done already, or nothing there."""

    def check(world: World, answer: Answer) -> None:
        assert answer.call is not None
        again = world.web.send(answer.call)
        if again.good:
            enveloped(again, True)
        else:
            refused(again, 404, 409, 410, token=world.web.token)

    return Effect(name, basis, check)


def rule(english: str, chinese: str) -> Text:
    """The basis of a common rule, in words."""
    return Text(f"Common rules: {english}", f"通用规则：{chinese}")


def _ids(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]
