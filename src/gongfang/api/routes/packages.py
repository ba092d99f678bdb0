"""Uploaded packages, and the builds that are made of them."""

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import build_out
from gongfang.api.uploads import receive
from gongfang.operations import packages
from gongfang.wire.envelope import Page
from gongfang.wire.models import BuildOut, PackageOut

routes = Routes("packages")

_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}},
            },
            "application/octet-stream": {"schema": _FILE},
        },
    }
}


@routes.add(
    "POST",
    "/apps/{app_id}/package",
    PackageOut,
    "Upload an app's package",
    "应用上传",
    status=201,
    clause="5.1(2)",
    upload=True,
    extra=_BODY,
)
async def upload_package(
    call: Call,
    app_id: str,
    filename: Annotated[str | None, Query(max_length=1024, description="Needed for a raw body")] = None,
) -> Response:
    """zip, tar(.gz|.xz|.zst), jar, war, whl or a single file; multipart (part `file`) or the raw body. It is stored as
    it comes and tied to the app as its newest package; nothing that runs changes until the app is started."""
    app = await packages.may_upload(call.context, app_id)
    services = call.services
    name, blob = await receive(call.request, services.blobs, filename, services.upload_limit)
    await call.confirm()  # a body may take an hour
    package = await packages.record_package(call.context, app.id, name, blob)
    return call.ok(PackageOut.model_validate(package), status=201)


@routes.add("GET", "/apps/{app_id}/packages", Page[PackageOut], "List an app's packages", "应用包列表")
async def list_packages(call: Call, app_id: str, pages: Pages) -> Response:
    """The newest first."""
    found = await packages.list_packages(call.context, app_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda p: p.id, PackageOut.model_validate))


@routes.add("GET", "/apps/{app_id}/builds", Page[BuildOut], "List an app's builds", "应用构建列表")
async def list_builds(call: Call, app_id: str, pages: Pages) -> Response:
    """The newest first."""
    found = await packages.list_builds(call.context, app_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda b: b.id, lambda b: build_out(b, call.language)))


@routes.add("GET", "/builds/{build_id}", BuildOut, "Show a build", "查看构建")
async def show_build(call: Call, build_id: str) -> Response:
    return call.ok(build_out(await packages.show_build(call.context, build_id), call.language))
