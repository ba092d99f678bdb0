"""Tries what was asked for, one clause after another, and judges.

What a server answers is not to be trusted to have any shape: a check that trips over an answer is a failure of that
check, with what it tripped over. A server that answers nothing any more ends the run: what was not tried is blocked.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from gongfang.conformance import common, deploy, iteration, middleware, monitoring
from gongfang.conformance.clauses import Clause, Effect, Refusal, Rule
from gongfang.conformance.expect import Failure, refused, shaped, status, succeeded
from gongfang.conformance.report import Check, Report, Result, Verdict
from gongfang.conformance.texts import Text, same
from gongfang.conformance.undoing import clean_up, spare_what_is_there
from gongfang.conformance.web import OWN, Answer, Call, Web
from gongfang.conformance.world import Blocked, Options, World

CLAUSES: tuple[Clause, ...] = deploy.CLAUSES + iteration.CLAUSES + monitoring.CLAUSES + middleware.CLAUSES
ALL: tuple[Clause | Rule, ...] = CLAUSES + common.RULES
_FIRST = ("5.4(1)",)  # before other clauses bring the same service in
_GONE = 5  # answers in a row that never came, after which the server is looked at

_REFUSES = Text("bad input is refused: {name}", "拒绝错误输入：{name}")
_ANSWERS = Text("a right call is answered", "正确的调用得到应答")
_ERROR_RULE = Text(
    "Common rules: an error has its right HTTP status and the same envelope, a stable code, no stack trace, no secret",
    "通用规则：错误有正确状态码、统一应答格式、稳定代码，不含堆栈和密钥",
)
_PARAMETER_RULE = Text(
    "Common rules: an unknown query parameter is an error, not ignored", "通用规则：未知查询参数为错误"
)


class SelectionError(ValueError):
    """`--clause` names nothing that there is."""


class Unreachable(Exception):
    """The run could not begin: nothing answers (`status` 0), the token is refused (401), or it may not create apps
    (403), without which nearly nothing can be tried."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.seen.english)
        self.status = answer.status
        self.seen = answer.seen


class _ServerGone(Exception):
    """It answers nothing any more."""


def key_of(item: Clause | Rule) -> str:
    return item.number if isinstance(item, Clause) else item.name


def chosen(names: Sequence[str]) -> list[Clause | Rule]:
    """What `5`, `5.1`, `5.1(3)`, `common` or a rule's name stand for; all where none is named.

    A name is a whole clause or a whole group, never the beginning of one. Raises `SelectionError`.
    """
    if not names:
        return list(ALL)
    found: list[Clause | Rule] = []
    for name in names:
        wanted = name.strip().replace("（", "(").replace("）", ")")
        matching = [item for item in ALL if wanted in _names(item)]
        if not matching:
            raise SelectionError(name)
        found += [item for item in matching if item not in found]
    return [item for item in ALL if item in found]


def _names(item: Clause | Rule) -> tuple[str, ...]:
    return (item.number, item.group, "5") if isinstance(item, Clause) else (item.name, "common")


def run(
    options: Options,
    *,
    told: Callable[[Result], None] = lambda _result: None,
    begins: Callable[[Clause | Rule], None] = lambda _item: None,
) -> Report:
    """Tries everything chosen. Raises `SelectionError`, `Unreachable`.

    Ctrl-C ends the run, not the cleaning up; pressed again it ends that too, and the report says what is left."""
    wanted = chosen(options.select)
    web = Web(options.url, options.token, limit_s=options.answer_s, trust=options.trust, language=options.language)
    report = Report(web.url, datetime.now(UTC))
    try:
        first = web.send(Call("GET", "/apps").with_query(limit="1"))
        if first.status in (0, 401):
            raise Unreachable(first)
        world = World(options, web)
        spare_what_is_there(world)
        web.observers.append(_Watch(web))
        try:
            _try_all(wanted, world, report, told, begins)
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            web.observers = [o for o in web.observers if not isinstance(o, _Watch)]
            report.left_behind = _clean_up(world, report)
    finally:
        web.close()
        report.finished_at = datetime.now(UTC)
    return report


def _clean_up(world: World, report: Report) -> list[Text]:
    left = list(world.undoing.undo)
    try:
        return clean_up(world)
    except KeyboardInterrupt:
        report.interrupted = True
        return [Text("{path}: not destroyed", "{path}：未销毁").fill(path=path) for path in left]


class _Watch:
    """Raises `_ServerGone` once the server answers nothing, and not even a plain list; and `Unreachable` where the
    caller's token may not create the first app."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._silent = 0
        self._asking = False
        self._may_create = False

    def __call__(self, answer: Answer) -> None:
        if self._asking:
            return
        call = answer.call
        if call is not None and call.method == "POST" and call.path == "/apps" and call.token == OWN:
            if answer.status == 403 and not self._may_create:
                raise Unreachable(answer)
            self._may_create = self._may_create or answer.good
        self._silent = self._silent + 1 if answer.status == 0 else 0
        if self._silent >= _GONE:
            self._asking = True
            try:
                if self._web.send(Call("GET", "/apps").with_query(limit="1")).status == 0:
                    raise _ServerGone
            finally:
                self._asking = False
            self._silent = 0


def _try_all(
    wanted: list[Clause | Rule],
    world: World,
    report: Report,
    told: Callable[[Result], None],
    begins: Callable[[Clause | Rule], None],
) -> None:
    results: dict[str, Result] = {}
    gone = False
    try:
        for item in sorted(wanted, key=lambda i: key_of(i) not in _FIRST):
            began = time.monotonic()
            result = _empty(item)
            result.verdict = Verdict.blocked
            result.note = Text("the server answers no more", "服务器不再应答")
            if not gone:
                begins(item)
                try:
                    result = _try(item, world, results)
                except _ServerGone:
                    gone = True
            result.seconds = time.monotonic() - began
            results[result.key] = result.masked(world.options.token)
            told(result)
    finally:
        report.results = [results[key_of(item)] for item in wanted if key_of(item) in results]


def _try(item: Clause | Rule, world: World, results: dict[str, Result]) -> Result:
    if isinstance(item, Clause):
        return try_clause(item, world)
    if item.name == "coverage":
        return _coverage(item, world, results)
    result = _empty(item)
    nothing = Answer("", None)
    result.checks = [_effect(check, world, nothing, result) for check in item.checks]
    return result.settle()


def _empty(item: Clause | Rule) -> Result:
    endpoint = f"{item.method} {item.path}" if isinstance(item, Clause) else ""
    return Result(key_of(item), item.chinese, item.english, endpoint)


# --- one clause ------------------------------------------------------------------------------------------------------


def try_clause(clause: Clause, world: World) -> Result:
    result = _empty(clause)
    try:
        call = clause.send(world)
    except Blocked as blocked:
        return _not_tried(clause, world, blocked, result)
    except _ODD as error:
        return _not_tried(clause, world, Blocked(same(repr(error)), missing=False), result)
    first = clause.unknown_parameter(call)
    answer = world.web.send(first.call)
    if world.absent(answer, clause.method, clause.path):
        return _missing(answer, result)
    result.checks.append(_refusal(first, answer, world, _PARAMETER_RULE))
    result.checks += [
        _refusal(refusal, world.web.send(refusal.call), world, _ERROR_RULE) for refusal in clause.refusals(world, call)
    ]
    answer = world.web.send(call)
    excuse = clause.excuse(world, answer)
    if excuse is not None:
        result.note, result.verdict = excuse, Verdict.blocked
        return result.settle()
    called = _called(clause, answer)
    result.checks.append(called)
    if called.verdict is Verdict.passed:
        result.checks += [_effect(check, world, answer, result) for check in clause.effects]
    else:
        why = Text("not tried, since the call itself failed", "调用本身失败，未检查")
        result.checks += [Check(e.name, Verdict.blocked, seen=why, basis=e.basis) for e in clause.effects]
    return result.settle()


def _not_tried(clause: Clause, world: World, blocked: Blocked, result: Result) -> Result:
    """What it needs is not to be had: whether there is such an interface at all can still be seen."""
    probe = world.web.send(clause.probe(world))
    sure = probe.status != 404 or probe.code == "path_not_found" or bool(world.openapi)
    if sure and world.absent(probe, clause.method, clause.path):
        return _missing(probe, result)
    text = Text("could not be tried because {cause}", "无法检查，因为 {cause}")
    result.note, result.verdict, result.excused = text.fill(cause=blocked.cause), Verdict.blocked, blocked.missing
    return result


def _missing(answer: Answer, result: Result) -> Result:
    result.verdict, result.excused = Verdict.missing, True
    result.note = same(f"{answer.status} {answer.code or ''}".strip())
    return result


def _refusal(refusal: Refusal, answer: Answer, world: World, basis: Text) -> Check:
    name = _REFUSES.fill(name=refusal.name)
    return _judged(name, basis, answer, lambda: refused(answer, *refusal.statuses, token=world.web.token))


def _called(clause: Clause, answer: Answer) -> Check:
    def check() -> None:
        if not clause.envelope:
            status(answer, *clause.statuses)
        else:
            data = succeeded(answer, *clause.statuses)
            if clause.shape:
                shaped(answer, data, clause.shape)

    return _judged(_ANSWERS, clause.basis, answer, check)


_ODD = (LookupError, TypeError, AttributeError, ValueError, AssertionError)


def _effect(check: Effect, world: World, answer: Answer, result: Result) -> Check:
    try:
        return _judged(check.name, check.basis, answer, lambda: check.check(world, answer))
    except Blocked as blocked:
        result.excused = blocked.missing and not any(c.verdict is Verdict.blocked for c in result.checks)
        text = Text("could not be tried because {cause}", "无法检查，因为 {cause}")
        return Check(check.name, Verdict.blocked, seen=text.fill(cause=blocked.cause), basis=check.basis)


def _judged(name: Text, basis: Text, answer: Answer, check: Callable[[], Any]) -> Check:
    try:
        check()
    except Failure as failure:
        request = failure.request or answer.request
        return Check(name, Verdict.failed, request, failure.expected, failure.seen, basis)
    except _ODD as error:
        expected = Text("an answer of the shape that the standard gives", "符合标准格式的应答")
        seen = Text("{a} ({e})", "{a}（{e}）").fill(a=answer.seen, e=repr(error)[:120])
        return Check(name, Verdict.failed, answer.request, expected, seen, basis)
    return Check(name, Verdict.passed, answer.request, basis=basis)


# --- the document's coverage -----------------------------------------------------------------------------------------


def _coverage(rule: Rule, world: World, results: dict[str, Result]) -> Result:
    """Every clause that the server has is marked in its OpenAPI document, and none that it has not. What was not tried
    in this run is only looked up: a clause that the document has must have its mark."""
    result = _empty(rule)
    request = "GET /api/v1/openapi.json"
    if not world.openapi:
        expected = Text("an OpenAPI document at {p}", "{p} 提供 OpenAPI 文档").fill(p="/api/v1/openapi.json")
        result.checks.append(Check(rule.title, Verdict.failed, request, expected, same("-"), rule.basis))
        return result.settle()
    for clause in CLAUSES:
        found = world.documented(clause.method, clause.path)
        marks = found.get("x-aii-clause") if found is not None else None
        there = clause.number in marks if isinstance(marks, list) else marks == clause.number
        tried = results.get(clause.number)
        absent = tried is not None and tried.verdict is Verdict.missing
        if absent and found is None:
            continue
        if absent:
            expected = Text("no {n} in the document, since nothing serves it", "文档中不应有未提供的 {n}")
        else:
            expected = Text('`x-aii-clause: "{n}"` at {m} {p}', '{m} {p} 处标有 `x-aii-clause: "{n}"`')
            if found is None and tried is None:
                continue
        name = Text("{n} is marked", "{n} 已标注").fill(n=clause.number)
        verdict = Verdict.failed if absent or not there else Verdict.passed
        seen = same(f"x-aii-clause: {marks}") if found is not None else Text("no such endpoint", "没有该接口")
        told = expected.fill(n=clause.number, m=clause.method, p=clause.path)
        result.checks.append(Check(name, verdict, request, told, seen, rule.basis))
    return result.settle()
