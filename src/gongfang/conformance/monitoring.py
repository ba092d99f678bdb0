"""5.3 Monitoring 监控管理类: five interfaces. Four are lists of points over time; the fifth sets alarms."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

from gongfang.conformance.clauses import BAD, Clause, Effect, Refusal, effect, row
from gongfang.conformance.expect import (
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TIME,
    WHOLE,
    Failure,
    Shape,
    each,
    equal,
    having,
    holds,
    maybe,
    one_of,
    read_time,
    resource,
    shaped,
    succeeded,
)
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer, Call, at
from gongfang.conformance.world import World

VISITS = 12
"""How many requests are made to see whether they are counted."""

_TRAFFIC = row("5.3(1)", "points of bytes in and out, and totals", "各时段流入流出字节数及合计")
_VISITS = row("5.3(2)", "visits by day or hour: requests, unique visitors, by status class, and totals",
              "按日或小时的访问量：请求数、独立访客、按状态分类及合计")  # fmt: skip
_CPU = row("5.3(3)", "points of average, maximum, p95, in cores and in percent of the limit",
           "平均、最大、p95，以核数和占限额百分比表示")  # fmt: skip
_MEMORY = row("5.3(4)", "points of average, maximum, p95, in bytes and in percent of the limit",
              "平均、最大、p95，以字节和占限额百分比表示")  # fmt: skip
_ALARM = row("5.3(5)", "alarms that start and stop apps by themselves; app_states: which app runs, and by which alarm",
             "可自动启停应用的报警；app_states：各应用运行状态及对应报警")  # fmt: skip
_BUCKETS = Text("5.3: every point list has one entry a bucket, empty buckets included, `start` in the asked time zone, and the last marked `partial`",
                "5.3：每个时段一项，空时段也在内，`start` 按所求时区，最后一项标记 `partial`")  # fmt: skip
_FRESH = Text("5.3: the newest measurements are in the answer within 30 seconds", "5.3：最新数据在 30 秒内可查")

_USED: Shape = {name + percent: maybe(NUMBER) for name in ("average", "maximum", "p95") for percent in ("", "_percent")}
_CLASSES: Shape = {f"status_{n}xx": NUMBER for n in range(2, 6)}
_LATENCY = maybe(having(p50=maybe(NUMBER), p95=maybe(NUMBER), p99=maybe(NUMBER)))


def _metrics(kind: str) -> Callable[[World], Call]:
    def send(world: World) -> Call:
        path = at("/apps/{app_id}/metrics/" + kind, app_id=world.running().id)
        return Call("GET", path).with_query(granularity="hour")

    return send


def _shape(point: Shape, totals: Shape) -> Shape:
    return {
        "points": each(having(start=TIME, **point)),
        "totals": having(**totals) if totals else OBJECT,
        "granularity": equal("hour"),
        "timezone": TEXT,
        "from": TIME,
        "to": TIME,
    }


def _backwards(world: World, call: Call) -> list[Refusal]:
    del world
    later, earlier = "2026-01-02T00:00:00+08:00", "2026-01-01T00:00:00+08:00"
    return [
        Refusal(Text("`from` after `to`", "`from` 晚于 `to`"), call.with_query(**{"from": later, "to": earlier}), BAD),
        Refusal(Text("a `from` that is no time", "`from` 不是时间"), call.with_query(**{"from": "yesterday"}), BAD),
    ]


@effect(
    "one point a bucket, without gaps, the last and only the last `partial`",
    "时段连续，仅最后一项为 `partial`",
    _BUCKETS,
)
def _buckets(world: World, answer: Answer) -> None:
    for granularity, step in (("hour", timedelta(hours=1)), ("day", timedelta(days=1))):
        assert answer.call is not None
        seen = world.web.send(answer.call.with_query(granularity=granularity))
        points = cast("list[dict[str, Any]]", shaped(seen, succeeded(seen, 200), {"points": LIST})["points"])
        holds(bool(points), "at least the current bucket", "至少包含当前时段", seen)
        starts = [read_time(point["start"]) for point in points]
        gaps = [b for a, b in pairwise(starts) if b - a != step]
        holds(
            not gaps, f"a point each {granularity}", f"每个 {granularity} 一项", seen, same(str(gaps[:1] and gaps[0]))
        )
        partial = [point.get("partial") is True for point in points]
        holds(partial[-1] and not any(partial[:-1]), "`partial` at the last point only", "仅最后一项 `partial`", seen)


@effect("`start` is at the bucket's beginning in the asked time zone, Asia/Shanghai where none is", "`start` 为所求时区的时段起点，默认 Asia/Shanghai", _BUCKETS)  # fmt: skip
def _zones(world: World, answer: Answer) -> None:
    for zone, offset in (("UTC", 0), ("Asia/Tokyo", 9), (None, 8)):
        assert answer.call is not None
        call = answer.call.with_query(granularity="day")
        seen = world.web.send(call.with_query(timezone=zone) if zone else call)
        data = succeeded(seen, 200)
        shaped(seen, data, {"timezone": equal(zone or "Asia/Shanghai"), "points": LIST})
        start = read_time(data["points"][-1]["start"])
        fine = start.utcoffset() == timedelta(hours=offset) and (start.hour, start.minute) == (0, 0)
        english, chinese = f"midnight at +{offset:02}:00 in `start`", f"`start` 为 +{offset:02}:00 的零点"
        holds(fine, english, chinese, seen, same(data["points"][-1]["start"]))


def _total(answer: Answer, name: str) -> float:
    totals = answer.fields.get("totals")
    value = cast("dict[str, Any]", totals).get(name) if isinstance(totals, dict) else None
    return float(value) if isinstance(value, int | float) else -1.0


def _grows(
    name: str, least: Callable[[World], float], most: Callable[[World], float]
) -> Callable[[World, Answer], None]:
    """The total grows by what a few requests make of it, and by no more than all that were ever made here."""

    def check(world: World, answer: Answer) -> None:
        assert answer.call is not None
        call = answer.call
        app = world.running()
        before = _total(world.web.send(call), name)
        for _ in range(VISITS):
            world.answers(app)
        wanted = before + least(world)
        expected = Text("{name} of at least {n} more after {v} requests", "{v} 次请求后 {name} 至少增加 {n}")
        seen = world.eventually(
            lambda: world.web.send(call),
            lambda a: _total(a, name) >= wanted,
            expected.fill(name=name, n=round(least(world)), v=VISITS),
            world.options.measured_s,
        )
        limit = most(world)
        holds(_total(seen, name) <= limit, f"{name} of at most {limit:.0f}", f"{name} 不超过 {limit:.0f}", seen)

    return check


def _page_size(world: World) -> int:
    return len(world.running().page or b"x")


_counted = Effect(
    Text(f"{VISITS} requests are counted within 30 seconds", f"{VISITS} 次请求在 30 秒内计入"),
    _FRESH,
    _grows("requests", lambda _: VISITS, lambda world: world.visits[world.running().domain] + 3 * VISITS),
)
_weighed = Effect(
    Text(f"{VISITS} requests show in the bytes out within 30 seconds", f"{VISITS} 次请求的流量在 30 秒内计入"),
    _FRESH,
    _grows(
        "bytes_out",
        lambda world: VISITS * _page_size(world),
        lambda world: world.visits[world.running().domain] * (_page_size(world) + 65536),
    ),
)


def _measured(kind: str) -> Effect:
    def check(world: World, answer: Answer) -> None:
        assert answer.call is not None
        call = answer.call

        def last(seen: Answer) -> Any:
            points = seen.fields.get("points")
            return cast("list[Any]", points)[-1] if isinstance(points, list) and points else {}

        def fine(seen: Answer) -> bool:
            point = last(seen)
            value = cast("dict[str, Any]", point).get("average") if isinstance(point, dict) else None
            return isinstance(value, int | float) and (value > 0 if kind == "memory" else value >= 0)

        expected = Text("a measured `average` in the last point", "最后一项含实测的 `average`")
        seen = world.eventually(lambda: world.web.send(call), fine, expected, world.options.measured_s)
        point = last(seen)
        ordered = point["average"] <= point["maximum"] and (point["p95"] is None or point["p95"] <= point["maximum"])
        holds(ordered, "average and p95 of at most the maximum", "平均值与 p95 不超过最大值", seen)

    return Effect(
        Text("the running app is measured within 30 seconds", "运行中的应用在 30 秒内有测量值"), _FRESH, check
    )


# --- 5.3(5) ----------------------------------------------------------------------------------------------------------

_STATE = having(app_id=TEXT, name=TEXT, state=TEXT, since=maybe(TIME), alarm_id=maybe(TEXT))


def _set_alarm(world: World) -> Call:
    body: dict[str, Any] = {
        "metric": world.options.alarm_metric,
        "operator": ">",
        "threshold": 1000000,
        "for_seconds": 3600,
        "action": "notify",
        "channels": [],
    }
    return Call("POST", at("/apps/{app_id}/alarms", app_id=world.running().id), json=body)


@effect("the alarm is the rule that was sent", "报警与所设规则一致", _ALARM)
def _rule(world: World, answer: Answer) -> None:
    del world
    assert answer.call is not None
    wanted = {name: equal(value) for name, value in answer.call.json.items() if name != "channels"}
    shaped(answer, answer.data["alarm"], wanted, "data.alarm")


@effect("`app_states` has the app, running", "`app_states` 中该应用为运行状态", _ALARM)
def _states(world: World, answer: Answer) -> None:
    app = world.running()
    for state in answer.data["app_states"]:
        if state["app_id"] == app.id:
            shaped(answer, state, {"name": equal(app.name), "state": one_of("running", "started")}, "app_states[]")
            return
    raise Failure(Text("the app in `app_states`", "`app_states` 中包含该应用"), answer)


@effect("it is in the app's list of alarms", "出现在应用的报警列表中", _ALARM)
def _alarm_listed(world: World, answer: Answer) -> None:
    assert answer.call is not None
    found = world.listed(answer.call.path, id=resource(answer.data, "alarm")["id"])
    holds(found, "the alarm in GET /apps/ID/alarms", "GET /apps/ID/alarms 中包含该报警", answer)


def _no_threshold(world: World, call: Call) -> list[Refusal]:
    del world
    endless = replace(call, json={**call.json, "for_seconds": -1})
    return [Refusal(Text("`for_seconds` below zero", "`for_seconds` 为负"), endless, BAD)]


_WRONG = {"granularity": "fortnight", "timezone": "Mars/Olympus"}

CLAUSES = (
    Clause(
        "5.3(1)", "查看应用流量", "Show traffic", "GET", "/apps/{app_id}/metrics/traffic", _TRAFFIC,
        send=_metrics("traffic"),
        shape=_shape({"bytes_in": NUMBER, "bytes_out": NUMBER}, {"bytes_in": NUMBER, "bytes_out": NUMBER}),
        wrong=_WRONG,
        more=_backwards,
        effects=(_buckets, _zones, _weighed),
    ),
    Clause(
        "5.3(2)", "查看应用访问量", "Show visits", "GET", "/apps/{app_id}/metrics/visits", _VISITS,
        send=_metrics("visits"),
        shape=_shape(
            {"requests": WHOLE, "unique_visitors": WHOLE, **_CLASSES, "latency_ms": _LATENCY},
            {"requests": WHOLE, **_CLASSES},
        ),
        wrong=_WRONG,
        more=_backwards,
        effects=(_buckets, _zones, _counted),
    ),
    Clause(
        "5.3(3)", "查看应用 CPU", "Show CPU", "GET", "/apps/{app_id}/metrics/cpu", _CPU,
        send=_metrics("cpu"),
        shape=_shape(_USED, {}),
        wrong=_WRONG,
        more=_backwards,
        effects=(_buckets, _zones, _measured("cpu")),
    ),
    Clause(
        "5.3(4)", "查看应用内存", "Show memory", "GET", "/apps/{app_id}/metrics/memory", _MEMORY,
        send=_metrics("memory"),
        shape=_shape(_USED, {}),
        wrong=_WRONG,
        more=_backwards,
        effects=(_buckets, _zones, _measured("memory")),
    ),
    Clause(
        "5.3(5)", "监控报警设置", "Set an alarm", "POST", "/apps/{app_id}/alarms", _ALARM,
        send=_set_alarm,
        statuses=(200, 201),
        shape={"alarm": having(id=TEXT), "app_states": each(_STATE)},
        required=("metric", "operator", "threshold", "action"),
        wrong={"metric": "no-such-metric", "operator": "~", "threshold": "high", "action": "explode"},
        more=_no_threshold,
        effects=(_rule, _states, _alarm_listed),
    ),
)  # fmt: skip
