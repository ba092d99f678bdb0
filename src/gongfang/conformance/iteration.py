"""5.2 Continuous iteration 持续迭代类: six interfaces."""

import base64
import hashlib
import io
import os
import re
import secrets
import signal
import subprocess
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from gongfang.conformance.clauses import BAD, Clause, Refusal, effect, row
from gongfang.conformance.expect import (
    OBJECT,
    TEXT,
    TIME,
    each,
    either,
    equal,
    having,
    holds,
    resource,
    shaped,
    succeeded,
)
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer, Call, at
from gongfang.conformance.world import App, Blocked, World

_HOST = row("5.2(1)", "hosts the app's code in a repository to push to and fetch from: clone_url, default_branch; version: id",
            "创建可推送和拉取的代码版本库：clone_url、default_branch；version：id")  # fmt: skip
_CODE = row("5.2(2)", "uploads a code package; answers the commit and the version it belongs to",
            "上传代码包，返回提交及其所属版本")  # fmt: skip
_DOWNLOAD = row("5.2(3)", "the archive itself, with Content-Disposition and Repr-Digest; with Accept: application/json its record and link",
                "返回归档文件本身，带 Content-Disposition 和 Repr-Digest；Accept: application/json 时返回记录和链接")  # fmt: skip
_BRANCHES = row(
    "5.2(4)", "lists the branches of any Git repository: name, commit", "列出任意 Git 仓库的分支：name、commit"
)
_PIPELINE = row("5.2(5)", "deploys by itself when the code changes; answers the pipeline, with its webhook address",
                "代码变化时自动部署，返回流水线及其 webhook 地址")  # fmt: skip
_VERSION = row("5.2(6)", "makes a version of the app: id, version, source, created_at",
               "创建应用版本：id、version、source、created_at")  # fmt: skip


# --- what these need -------------------------------------------------------------------------------------------------


def _hosted_on(app: App) -> Call:
    return Call("POST", at("/apps/{app_id}/repository", app_id=app.id), json={"version": "1.0.0"})


def _hosted(world: World) -> tuple[App, str]:
    """An app with a repository, and the address to clone it from."""

    def make() -> tuple[App, str]:
        app = world.new_app()
        answer = world.need("5.2(1)", _hosted_on(app), "/apps/{app_id}/repository")
        repository = answer.fields.get("repository")
        url = cast("dict[str, Any]", repository).get("clone_url") if isinstance(repository, dict) else None
        if not isinstance(url, str):
            raise world.failed("5.2(1)", answer)
        return app, url

    return world.once("hosted", make)


def _archive() -> tuple[str, bytes]:
    """A code package of its own, like no other."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.html", f"<!doctype html><p>{secrets.token_hex(16)}</p>\n")
    return "code.zip", packed.getvalue()


def _version_of(answer: Answer) -> str | None:
    found = answer.fields.get("version")
    value = cast("dict[str, Any]", found).get("id") if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _downloadable(world: World) -> tuple[str, bytes]:
    """A version whose code was uploaded here: its id, and the bytes of the package."""

    def make() -> tuple[str, bytes]:
        app, _ = _hosted(world)
        file = _archive()
        answer = world.need("5.2(2)", Call("POST", at("/apps/{id}/code", id=app.id), file=file), "/apps/{app_id}/code")
        version = _version_of(answer)
        if version is None:
            raise world.failed("5.2(2)", answer)
        world.needs_listed("5.2(2)", answer, at("/apps/{id}/versions", id=app.id), id=version)
        return version, file[1]

    return world.once("downloadable", make)


def _credential(world: World) -> str:
    def make() -> str:
        body = {"name": world.name(), "kind": "token", "username": "conformance", "token": world.web.token}
        with suppress(Blocked):  # a server that can derive it does so
            body["space_id"] = world.space()
        answer = world.need("POST /credentials", Call("POST", "/credentials", json=body))
        return world.needed_id("POST /credentials", answer, "credential")

    return world.once("credential", make)


def _git_url(world: World) -> str:
    """A repository with at least one commit, where code can be uploaded to it."""
    if world.options.git_url:
        return world.options.git_url
    with suppress(Blocked):
        _downloadable(world)
    return _hosted(world)[1]


# --- 5.2(1) ----------------------------------------------------------------------------------------------------------


def _repository(world: World) -> Call:
    return _hosted_on(world.once("to be hosted", world.new_app))


def _git(words: list[str], environment: dict[str, str], within: float) -> tuple[int, str]:
    """Its exit code and what it said; it and its helpers are gone afterwards."""
    try:
        process = subprocess.Popen(
            ["git", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise Blocked(Text("`git` is not installed here", "本机未安装 `git`"), missing=False) from error
    with process:
        try:
            _, said = process.communicate(timeout=within)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return 1, f"no end within {within:.0f} s"
            raise
    return process.returncode, said.strip()


def _clone(world: World, url: str) -> tuple[int, str]:
    """`git clone`: its exit code and what it said. The token goes to the server itself only, and by the environment."""
    attempts: list[str | None] = [None]
    if urlsplit(url).hostname in (world.web.host, urlsplit(world.edge).hostname):
        basic = base64.b64encode(f"token:{world.web.token}".encode()).decode()
        attempts = [f"Authorization: Bearer {world.web.token}", f"Authorization: Basic {basic}", None]
    code, said = 1, ""
    for header in attempts:
        environment = {
            **os.environ,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",  # a server under test names the address
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C",
        }
        if header is not None:
            environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "http.extraHeader",
                "GIT_CONFIG_VALUE_0": header,
            }
        with tempfile.TemporaryDirectory(prefix="conformance-") as place:
            code, said = _git(
                ["clone", "--quiet", "--", url, str(Path(place) / "code")], environment, world.options.git_s
            )
        if code == 0:
            break
    return code, said


@effect("`git clone` of `clone_url` works", "可用 `git clone` 克隆 `clone_url`", _HOST)
def _cloned(world: World, answer: Answer) -> None:
    url = answer.data["repository"]["clone_url"]
    code, said = _clone(world, url)
    holds(
        code == 0,
        "that `git clone` of `clone_url` works",
        "`git clone` 可克隆 `clone_url`",
        answer,
        same(f"git clone {url}: {said[:300]}"),
    )


# --- 5.2(2) and 5.2(3) -----------------------------------------------------------------------------------------------


def _code(world: World) -> Call:
    app, _ = _hosted(world)
    return Call("POST", at("/apps/{app_id}/code", app_id=app.id), file=_archive())


def _no_code(world: World, call: Call) -> list[Refusal]:
    del world
    empty = replace(
        call, file=None, content=b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n'
    )
    name = Text("a multipart body without the field `file`", "multipart 中没有 `file` 字段")
    return [
        Refusal(name, empty.with_headers(content_type="multipart/form-data; boundary=b"), BAD),
        Refusal(Text("an unknown version", "未知的版本"), call.with_query(version_id="none"), (404, *BAD)),
    ]


@effect("the version is in the app's list of versions", "版本出现在应用的版本列表中", _CODE)
def _in_versions(world: World, answer: Answer) -> None:
    app, _ = _hosted(world)
    found = world.listed(at("/apps/{id}/versions", id=app.id), id=answer.data["version"]["id"])
    holds(found, "the version in GET /apps/ID/versions", "GET /apps/ID/versions 中包含该版本", answer)


def _download(world: World) -> Call:
    version, _ = _downloadable(world)
    return Call("GET", at("/versions/{version_id}/code", version_id=version), headers=(("accept", "*/*"),))


@effect("the bytes are those that were uploaded", "内容与上传的一致", _DOWNLOAD)
def _same_bytes(world: World, answer: Answer) -> None:
    _, content = _downloadable(world)
    seen = same(f"{len(answer.body)} B, sha256 {hashlib.sha256(answer.body).hexdigest()}")
    text = f"{len(content)} B, sha256 {hashlib.sha256(content).hexdigest()}"
    holds(answer.body == content, text, text, answer, seen)


@effect("`Repr-Digest` has its sha-256, `Content-Disposition` its name", "`Repr-Digest` 为其 sha-256，`Content-Disposition` 给出文件名", _DOWNLOAD)  # fmt: skip
def _digest(world: World, answer: Answer) -> None:
    _, content = _downloadable(world)
    wanted = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    given = answer.headers.get("repr-digest", "")
    fine = wanted in [part.strip() for part in given.split(",")]
    holds(fine, f"Repr-Digest: {wanted}", f"Repr-Digest: {wanted}", answer, same(f"Repr-Digest: {given or '-'}"))
    disposition = answer.headers.get("content-disposition", "")
    fine = bool(re.search(r"filename\*?=", disposition))
    english, chinese = "a Content-Disposition with a file name", "带文件名的 Content-Disposition"
    holds(fine, english, chinese, answer, same(f"Content-Disposition: {disposition or '-'}"))


@effect("with Accept: application/json its record", "Accept: application/json 时返回其记录", _DOWNLOAD)
def _record(world: World, answer: Answer) -> None:
    assert answer.call is not None
    _, content = _downloadable(world)
    seen = world.web.send(replace(answer.call, headers=()))
    shaped(seen, succeeded(seen, 200), {"sha256": equal(hashlib.sha256(content).hexdigest())})


# --- 5.2(4) to 5.2(6) ------------------------------------------------------------------------------------------------


def _branches(world: World) -> Call:
    call = Call("GET", "/git/branches", patience=world.options.git_s)
    return call.with_query(credential_id=_credential(world), git_url=_git_url(world))


def _nobody_s_credential(world: World, call: Call) -> list[Refusal]:
    unknown = call.with_query(credential_id=f"none-{world.nonce}")
    return [Refusal(Text("an unknown credential", "未知的凭据"), unknown, (404, *BAD))]


@effect(
    "a branch at least, and each one's commit is a Git object name",
    "至少一个分支，且 commit 均为 Git 对象名",
    _BRANCHES,
)
def _commits(world: World, answer: Answer) -> None:
    del world
    holds(bool(answer.data["branches"]), "at least one branch", "至少一个分支", answer)
    fine = all(re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", branch["commit"]) for branch in answer.data["branches"])
    holds(fine, "40 (or 64) hex digits in each `commit`", "每个 `commit` 为 40（或 64）位十六进制", answer)


def _set_pipeline(world: World) -> Call:
    app = world.once("piped", world.new_app)
    body = {
        "credential_id": _credential(world),
        "git_url": _git_url(world),
        "build_type": world.options.build_type or world.options.runtime,
        "trigger": "manual",
        "auto_deploy": False,
    }
    return Call("POST", at("/apps/{app_id}/pipeline", app_id=app.id), json=body)


@effect("it is of the repository sent, and has a webhook address", "与所给仓库一致，并带 webhook 地址", _PIPELINE)
def _webhook(world: World, answer: Answer) -> None:
    assert answer.call is not None
    pipeline = resource(answer.data, "pipeline")
    shaped(answer, pipeline, {"git_url": equal(answer.call.json["git_url"])})
    found = [v for k, v in cast("dict[str, Any]", pipeline).items() if k.startswith("webhook")]
    fine = any(isinstance(v, str) and v for v in found)
    holds(fine, "a field `webhook…` with an address", "包含地址的 `webhook…` 字段", answer)


@effect("it is read back", "可读回", _PIPELINE)
def _pipeline_again(world: World, answer: Answer) -> None:
    assert answer.call is not None
    seen = world.web.send(Call("GET", answer.call.path))
    wanted = {"git_url": equal(answer.call.json["git_url"])}
    shaped(seen, resource(succeeded(seen, 200), "pipeline"), wanted)


def _make_version(world: World) -> Call:
    app, _ = _hosted(world)
    path = at("/apps/{app_id}/versions", app_id=app.id)
    return Call("POST", path, json={"version": f"2.0.{secrets.randbelow(10**6)}", "note": "conformance"})


@effect("it has the number that was asked for, and is listed", "版本号与请求一致，并出现在列表中", _VERSION)
def _versioned(world: World, answer: Answer) -> None:
    assert answer.call is not None
    version = resource(answer.data, "version")
    shaped(answer, version, {"version": equal(answer.call.json["version"])})
    found = world.listed(answer.call.path, id=version["id"])
    holds(found, "the version in the app's list", "应用版本列表中包含该版本", answer)


CLAUSES = (
    Clause(
        "5.2(1)", "版本库创建", "Create a repository", "POST", "/apps/{app_id}/repository", _HOST,
        send=_repository,
        statuses=(200, 201),
        shape={"repository": having(clone_url=TEXT, default_branch=TEXT), "version": having(id=TEXT)},
        required=("version",),
        wrong={"version": 7},
        effects=(_cloned,),
    ),
    Clause(
        "5.2(2)", "上传代码", "Upload code", "POST", "/apps/{app_id}/code", _CODE,
        send=_code,
        statuses=(200, 201),
        shape={"commit": either(TEXT, OBJECT), "version": having(id=TEXT)},
        more=_no_code,
        effects=(_in_versions,),
    ),
    Clause(
        "5.2(3)", "下载代码", "Download code", "GET", "/versions/{version_id}/code", _DOWNLOAD,
        send=_download,
        envelope=False,
        effects=(_same_bytes, _digest, _record),
    ),
    Clause(
        "5.2(4)", "获取代码分支", "List branches", "GET", "/git/branches", _BRANCHES,
        send=_branches,
        shape={"branches": each(having(name=TEXT, commit=TEXT))},
        required=("git_url",),
        wrong={"git_url": "not an address"},
        more=_nobody_s_credential,
        effects=(_commits,),
    ),
    Clause(
        "5.2(5)", "持续迭代设置", "Set up the pipeline", "POST", "/apps/{app_id}/pipeline", _PIPELINE,
        send=_set_pipeline,
        statuses=(200, 201),
        required=("git_url", "build_type"),
        wrong={"git_url": 7, "build_type": "no-such-type", "trigger": "no-such-trigger"},
        effects=(_webhook, _pipeline_again),
    ),
    Clause(
        "5.2(6)", "创建版本", "Create a version", "POST", "/apps/{app_id}/versions", _VERSION,
        send=_make_version,
        statuses=(200, 201),
        shape={"id": TEXT, "version": TEXT, "source": either(TEXT, OBJECT), "created_at": TIME},
        wrong={"version": 7},
        effects=(_versioned,),
    ),
)  # fmt: skip
