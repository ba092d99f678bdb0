"""5.1 Deploy and release 部署发布类: twelve interfaces."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from gongfang.conformance import domains
from gongfang.conformance.clauses import APP_AND_OPERATION, BAD, OPERATION, Clause, Refusal, effect, row, twice
from gongfang.conformance.expect import (
    SHA256,
    TEXT,
    WHOLE,
    Failure,
    anywhere,
    equal,
    holds,
    refused,
    shaped,
    succeeded,
)
from gongfang.conformance.services import bound, instance
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import NOTHING, Answer, Call, at
from gongfang.conformance.world import App, World


def on_app(method: str, template: str, make: Callable[[World], App], json: Any = NOTHING) -> Callable[[World], Call]:
    """A call about an app."""
    return lambda world: Call(method, at(template, app_id=make(world).id), json=json)


def app_in(world: World, answer: Answer) -> str:
    """The id of the app that a call was about."""
    assert answer.call is not None
    return answer.call.path.split("/")[2]


def show(world: World, identifier: str) -> Answer:
    return world.web.send(Call("GET", f"/apps/{identifier}"))


# --- 5.1(1) ----------------------------------------------------------------------------------------------------------

_CREATE = row("5.1(1)", "creates an app from name, type, runtime and domain; answers the app, with `id`",
              "按 name、type、runtime、domain 创建应用，返回含 `id` 的应用")  # fmt: skip


@effect("the app has the name that was asked for", "应用名称与请求一致", _CREATE)
def _named(world: World, answer: Answer) -> None:
    assert answer.call is not None
    new = answer.data["id"] not in world.undoing.kept
    holds(new, "the id of a new app, not of one that was there before", "新应用的 id，而非已有应用的 id", answer)
    shaped(answer, answer.data, {"name": equal(answer.call.json["name"])})


@effect("it is in the list of apps", "出现在应用列表中", _CREATE)
def _listed(world: World, answer: Answer) -> None:
    found = world.listed("/apps", id=answer.data["id"])
    holds(found, "that GET /apps lists the new app", "GET /apps 列出新应用", answer, same("GET /apps"))


@effect("it can be shown", "可以查看", _CREATE)
def _shown(world: World, answer: Answer) -> None:
    seen = show(world, answer.data["id"])
    shaped(seen, succeeded(seen, 200), {"id": equal(answer.data["id"]), "name": equal(answer.data["name"])})


@effect("its name is taken", "名称不可重复", _CREATE)
def _taken(world: World, answer: Answer) -> None:
    assert answer.call is not None
    body = {**answer.call.json, "domain": f"{world.name()}.{world.base_domain}"}
    refused(world.web.send(replace(answer.call, json=body)), 409, 422, 400, token=world.web.token)


# --- 5.1(2) ----------------------------------------------------------------------------------------------------------

_UPLOAD = row("5.1(2)", "uploads the app's file; answers its record: id, filename, size, sha256",
              "上传应用文件，返回文件记录：id、filename、size、sha256")  # fmt: skip


def _upload(world: World) -> Call:
    filename, content, _ = world.package()
    return Call("POST", at("/apps/{app_id}/package", app_id=world.app().id), file=(filename, content))


def _bad_uploads(world: World, call: Call) -> list[Refusal]:
    assert call.file is not None
    return [
        Refusal(
            Text("a multipart body without the field `file`", "multipart 中没有 `file` 字段"),
            replace(call, file=None, content=b"--b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--b--\r\n")
            .with_headers(content_type="multipart/form-data; boundary=b"),
            BAD,
        ),
        Refusal(
            Text("a raw body without `?filename=`", "原始请求体缺少 `?filename=`"),
            replace(call, file=None, content=call.file[1]),
            BAD,
        ),
    ]  # fmt: skip


def _matches(answer: Answer, filename: str, content: bytes) -> None:
    wanted = {
        "filename": equal(filename),
        "size": equal(len(content)),
        "sha256": equal(hashlib.sha256(content).hexdigest()),
    }
    shaped(answer, answer.data, wanted)


@effect(
    "the record's name, size and sha256 are those of the file sent", "记录的文件名、大小和 sha256 与所传一致", _UPLOAD
)
def _recorded(world: World, answer: Answer) -> None:
    assert answer.call is not None and answer.call.file is not None
    _matches(answer, *answer.call.file)


@effect("the raw body with `?filename=` is taken as well", "也接受带 `?filename=` 的原始请求体", _UPLOAD)
def _raw(world: World, answer: Answer) -> None:
    assert answer.call is not None and answer.call.file is not None
    filename, content = answer.call.file
    call = replace(answer.call, file=None, content=content).with_query(filename=filename)
    raw = world.web.send(call)
    shaped(raw, succeeded(raw, 200, 201), {"id": TEXT})
    _matches(raw, filename, content)


# --- 5.1(3) ----------------------------------------------------------------------------------------------------------

_START = row("5.1(3)", "starts the app with its newest package; on a running one it rolls the newer package out",
             "以最新程序包启动应用；运行中则滚动更新")  # fmt: skip
_NOTHING_RUNS = row("5.1", "uploading changes nothing that runs", "上传不改变正在运行的应用")
_NEWER = row("5.1", "start on a running app rolls the newer package out", "对运行中的应用启动即更新到更新的程序包")
_SAME = row("5.1", "where nothing is newer, start succeeds without doing anything", "没有更新的程序包时，启动直接成功")


def _startable(world: World) -> Call:
    app = world.once("startable", world.uploaded)
    return Call("POST", at("/apps/{app_id}/start", app_id=app.id))


def _startable_app(world: World) -> App:
    return world.once("startable", world.uploaded)


@effect("the app's page answers with the bytes of the package", "应用页面返回程序包的内容", _START)
def _answers(world: World, answer: Answer) -> None:
    world.finish(answer)
    world.answers(_startable_app(world))


@effect("a newer upload changes nothing that runs", "上传新包不影响运行", _NOTHING_RUNS)
def _untouched(world: World, answer: Answer) -> None:
    app = _startable_app(world)
    before = replace(app)
    world.upload(app)
    page = world.visit(app.domain)
    expected = Text("the page as it was before the upload", "页面与上传前一致")
    if not world.shows(before, page):
        raise Failure(expected, page)


@effect("start rolls the newer package out", "再次启动更新到新包", _NEWER)
def _rolled_out(world: World, answer: Answer) -> None:
    assert answer.call is not None
    again = world.web.send(answer.call)
    succeeded(again, 200, 202)
    world.finish(again)
    world.answers(_startable_app(world))


@effect("start again succeeds and changes nothing", "重复启动直接成功", _SAME)
def _again(world: World, answer: Answer) -> None:
    assert answer.call is not None
    again = world.web.send(answer.call)
    succeeded(again, 200, 202)
    world.finish(again)
    world.answers(_startable_app(world))


# --- 5.1(4) ----------------------------------------------------------------------------------------------------------

_SCALE = row("5.1(4)", "sets instances, up or down, and memory; at least one of the two",
             "设置实例数（增减）与内存，至少给出其一")  # fmt: skip


def _no_size(world: World, call: Call) -> list[Refusal]:
    return [
        Refusal(
            Text("neither `instances` nor `memory_mb`", "`instances` 与 `memory_mb` 均缺失"),
            replace(call, json={}),
            BAD,
        )
    ]


def _count_of(data: Any) -> int | None:
    """How many instances an app's own record shows."""
    found = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    for name in ("instances_ready", "instances"):
        value = found.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, list):
            return len(cast("list[Any]", value))
    return None


def _instances(world: World, app: App, count: int) -> None:
    wrong = Text("{n} instances, in GET /apps/ID", "GET /apps/ID 显示 {n} 个实例").fill(n=count)
    world.eventually(lambda: show(world, app.id), lambda a: a.good and _count_of(a.data) == count, wrong)


@effect("two instances are seen", "可见两个实例", _SCALE)
def _two(world: World, answer: Answer) -> None:
    world.finish(answer)
    _instances(world, world.running(), 2)
    world.answers(world.running())


@effect("one instance again, after scaling down", "缩减后恢复一个实例", _SCALE)
def _one(world: World, answer: Answer) -> None:
    assert answer.call is not None
    down = world.web.send(replace(answer.call, json={"instances": 1}))
    succeeded(down, 200, 202)
    world.finish(down)
    _instances(world, world.running(), 1)


@effect("memory alone is taken, and read back", "可仅设置内存并能读回", _SCALE)
def _memory(world: World, answer: Answer) -> None:
    assert answer.call is not None
    changed = world.web.send(replace(answer.call, json={"memory_mb": 192}))
    succeeded(changed, 200, 202)
    world.finish(changed)
    expected = Text("`memory_mb` = 192 somewhere in GET /apps/ID", "GET /apps/ID 中有 `memory_mb` = 192")
    app = world.running()
    world.eventually(lambda: show(world, app.id), lambda a: anywhere(a.data, "memory_mb", 192), expected)


# --- 5.1(5) ----------------------------------------------------------------------------------------------------------

_AUTO = row("5.1(5)", "sets autoscaling by instances or memory: instances, scale_type, scale_value; answers the policy",
            "设置实例或内存的动态伸缩：instances、scale_type、scale_value，返回策略")  # fmt: skip
_POLICY = {"min_instances": 1, "max_instances": 2, "scale_type": "instances", "scale_value": 1}


@effect("the policy is read back", "可读回策略", _AUTO)
def _policy(world: World, answer: Answer) -> None:
    assert answer.call is not None
    seen = world.web.send(Call("GET", answer.call.path))
    shaped(seen, succeeded(seen, 200), {k: equal(v) for k, v in _POLICY.items()})


# --- 5.1(6) ----------------------------------------------------------------------------------------------------------

_STOP = row("5.1(6)", "stops the app; stopping keeps everything", "停止应用，保留全部内容")


def _stoppable(world: World) -> App:
    return world.once("stoppable", world.new_running)


@effect("the page answers no more", "页面不再响应", _STOP)
def _stopped(world: World, answer: Answer) -> None:
    world.finish(answer)
    world.silent(_stoppable(world))


@effect("the app is kept, and starts again with its page", "应用保留，可再次启动", _STOP)
def _kept(world: World, answer: Answer) -> None:
    app = _stoppable(world)
    seen = show(world, app.id)
    shaped(seen, succeeded(seen, 200), {"id": equal(app.id)})
    again = world.web.send(Call("POST", at("/apps/{id}/start", id=app.id)))
    succeeded(again, 200, 202)
    world.finish(again)
    world.answers(app)


# --- 5.1(7) ----------------------------------------------------------------------------------------------------------

_DESTROY = row("5.1(7)", "destroys the app; destroying removes it", "销毁应用并将其移除")


def _doomed(world: World) -> App:
    return world.once("doomed", world.new_running)


@effect("it is gone: 404, and in no list", "已移除：返回 404，不在列表中", _DESTROY)
def _gone(world: World, answer: Answer) -> None:
    app = _doomed(world)
    world.finish(answer)
    expected = Text("404 for an app that was destroyed", "已销毁的应用返回 404")
    world.eventually(lambda: show(world, app.id), lambda a: a.status == 404, expected)
    listed = world.listed("/apps", id=app.id)
    holds(not listed, "that GET /apps does not list it", "GET /apps 不再列出", answer, same("GET /apps"))


@effect("its page answers no more", "页面不再响应", _DESTROY)
def _page_gone(world: World, answer: Answer) -> None:
    world.silent(_doomed(world))


# --- 5.1(8), 5.1(9) --------------------------------------------------------------------------------------------------

_BIND = row("5.1(8)", "binds a service instance to the app; answers the binding", "将服务实例绑定到应用，返回绑定")
_UNBIND = row("5.1(9)", "unbinds a service instance from the app", "解除应用与服务实例的绑定")


def _bind(world: World) -> Call:
    app = world.once("binder", world.new_app)
    body = {"service_instance_id": instance(world)}
    return Call("POST", at("/apps/{app_id}/bindings", app_id=app.id), json=body)


def _nobody_s_service(world: World, call: Call) -> list[Refusal]:
    body = {"service_instance_id": f"none-{world.nonce}"}
    return [Refusal(Text("an unknown service instance", "未知的服务实例"), replace(call, json=body), (404, *BAD))]


def _unbind(world: World) -> Call:
    app, identifier = bound(world, "unbind")
    return Call("DELETE", at("/apps/{app_id}/bindings/{id}", app_id=app.id, id=identifier))


@effect("it is in the app's list of bindings", "出现在应用的绑定列表中", _BIND)
def _bound(world: World, answer: Answer) -> None:
    assert answer.call is not None
    world.finish(answer)
    found = world.listed(answer.call.path, service_instance_id=answer.call.json["service_instance_id"])
    holds(found, "that the list of bindings has it", "绑定列表中包含它", answer, same(f"GET {answer.call.path}"))


@effect("it is in the app's list of bindings no more", "不再出现在绑定列表中", _UNBIND)
def _unbound(world: World, answer: Answer) -> None:
    assert answer.call is not None
    world.finish(answer)
    path, _, identifier = answer.call.path.rpartition("/")
    found = world.listed(path, service_instance_id=identifier)
    holds(not found, "that the list of bindings has it no more", "绑定列表中不再包含它", answer, same(f"GET {path}"))


CLAUSES = (
    Clause(
        "5.1(1)", "应用创建", "Create an app", "POST", "/apps", _CREATE,
        send=lambda world: Call("POST", "/apps", json=world.app_request()),
        statuses=(200, 201),
        shape={"id": TEXT},
        required=("name",),
        wrong={"name": 7, "type": "no-such-type", "runtime": "no-such-runtime", "domain": ["a"]},
        effects=(_named, _listed, _shown, _taken),
    ),
    Clause(
        "5.1(2)", "应用上传", "Upload a package", "POST", "/apps/{app_id}/package", _UPLOAD,
        send=_upload,
        statuses=(200, 201),
        shape={"id": TEXT, "filename": TEXT, "size": WHOLE, "sha256": SHA256},
        more=_bad_uploads,
        effects=(_recorded, _raw),
    ),
    Clause(
        "5.1(3)", "应用启动", "Start", "POST", "/apps/{app_id}/start", _START,
        send=_startable,
        statuses=(200, 202),
        shape=APP_AND_OPERATION,
        effects=(_answers, _untouched, _rolled_out, _again),
    ),
    Clause(
        "5.1(4)", "应用实例数设置", "Set instances", "POST", "/apps/{app_id}/instances", _SCALE,
        send=on_app("POST", "/apps/{app_id}/instances", World.running, {"instances": 2}),
        statuses=(200, 202),
        shape=APP_AND_OPERATION,
        wrong={"instances": -1, "memory_mb": "plenty"},
        more=_no_size,
        effects=(_two, _one, _memory),
    ),
    Clause(
        "5.1(5)", "应用动态伸缩设置", "Set autoscaling", "PUT", "/apps/{app_id}/autoscaling", _AUTO,
        send=on_app("PUT", "/apps/{app_id}/autoscaling", World.app, _POLICY),
        statuses=(200, 201),
        shape={name: equal(value) for name, value in _POLICY.items()},
        required=("scale_type", "scale_value"),
        wrong={"scale_type": "no-such-type", "scale_value": "much", "max_instances": 0},
        effects=(_policy,),
    ),
    Clause(
        "5.1(6)", "应用停止", "Stop", "POST", "/apps/{app_id}/stop", _STOP,
        send=on_app("POST", "/apps/{app_id}/stop", _stoppable),
        statuses=(200, 202),
        shape=APP_AND_OPERATION,
        effects=(_stopped, _kept),
    ),
    Clause(
        "5.1(7)", "应用销毁", "Destroy", "DELETE", "/apps/{app_id}", _DESTROY,
        send=on_app("DELETE", "/apps/{app_id}", _doomed),
        statuses=(200, 202),
        shape={"operation": OPERATION},
        effects=(
            _gone,
            _page_gone,
            twice(Text("destroying again is clear", "重复销毁有明确答复"), _DESTROY),
        ),
    ),
    Clause(
        "5.1(8)", "服务绑定", "Bind a service", "POST", "/apps/{app_id}/bindings", _BIND,
        send=_bind,
        statuses=(200, 201, 202),
        required=("service_instance_id",),
        wrong={"service_instance_id": 7},
        more=_nobody_s_service,
        effects=(_bound,),
    ),
    Clause(
        "5.1(9)", "服务解绑定", "Unbind a service", "DELETE", "/apps/{app_id}/bindings/{service_instance_id}", _UNBIND,
        send=_unbind,
        statuses=(200, 202),
        effects=(
            _unbound,
            twice(Text("unbinding again is clear", "重复解绑有明确答复"), _UNBIND),
        ),
    ),
    *domains.CLAUSES,
)  # fmt: skip
