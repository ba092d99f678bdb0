"""Start, stop, scale, restart, roll back, destroy; and the releases that these run."""

from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import release_out
from gongfang.api.routes.apps import IfMatch
from gongfang.api.settle import Wait, settle_app, settle_operation
from gongfang.domain.errors import invalid_field
from gongfang.operations import lifecycle
from gongfang.wire.envelope import Page
from gongfang.wire.models import (
    AppWithOperation,
    InstancesRequest,
    OnlyOperation,
    ReleaseOut,
    RollbackRequest,
    StartRequest,
)

routes = Routes("lifecycle")

_MOST = 2**31 - 1


@routes.add(
    "POST", "/apps/{app_id}/start", AppWithOperation, "Start or deploy", "应用启动", status=202, clause="5.1(3)"
)
async def start(
    call: Call, app_id: str, body: StartRequest | None = None, if_match: IfMatch = None, wait: Wait = None
) -> Response:
    """Runs the newest package: builds and starts it, rolls it out where an older one runs, does nothing where it
    runs already."""
    package_id = body.package_id if body else None
    view, operation = await lifecycle.start(call.context, app_id, package_id=package_id, if_match=if_match)
    return await settle_app(call, view, operation, wait)


@routes.add("POST", "/apps/{app_id}/stop", AppWithOperation, "Stop", "应用停止", status=202, clause="5.1(6)")
async def stop(call: Call, app_id: str, if_match: IfMatch = None, wait: Wait = None) -> Response:
    """All instances; everything else is kept."""
    view, operation = await lifecycle.stop(call.context, app_id, if_match=if_match)
    return await settle_app(call, view, operation, wait)


@routes.add("POST", "/apps/{app_id}/restart", AppWithOperation, "Restart", "应用重启", status=202)
async def restart(call: Call, app_id: str, if_match: IfMatch = None, wait: Wait = None) -> Response:
    """Replaces every instance, the new one ready before the old one leaves."""
    view, operation = await lifecycle.restart(call.context, app_id, if_match=if_match)
    return await settle_app(call, view, operation, wait)


@routes.add(
    "POST", "/apps/{app_id}/instances", AppWithOperation, "Scale", "应用实例数设置", status=202, clause="5.1(4)"
)
async def scale(
    call: Call, app_id: str, body: InstancesRequest, if_match: IfMatch = None, wait: Wait = None
) -> Response:
    """How many instances, and how much memory each; at least one of the two."""
    view, operation = await lifecycle.scale(call.context, app_id, body, if_match=if_match)
    return await settle_app(call, view, operation, wait)


@routes.add("POST", "/apps/{app_id}/rollback", AppWithOperation, "Roll back", "应用回滚", status=202)
async def rollback(
    call: Call, app_id: str, body: RollbackRequest | None = None, if_match: IfMatch = None, wait: Wait = None
) -> Response:
    """To the release before, or to any that is kept: code, variables and configuration."""
    number = body.release if body else None
    if number is not None and number > _MOST:
        raise invalid_field("release", "v_less_than_equal", le=_MOST)
    view, operation = await lifecycle.rollback(call.context, app_id, number, if_match=if_match)
    return await settle_app(call, view, operation, wait)


@routes.add("DELETE", "/apps/{app_id}", OnlyOperation, "Destroy", "应用销毁", status=202, clause="5.1(7)")
async def destroy(call: Call, app_id: str, if_match: IfMatch = None, wait: Wait = None) -> Response:
    """Stops and removes all of it. Twice is the same as once."""
    operation = await lifecycle.destroy(call.context, app_id, if_match=if_match)
    return await settle_operation(call, operation, wait)


@routes.add("GET", "/apps/{app_id}/releases", Page[ReleaseOut], "List releases", "版本发布列表")
async def list_releases(call: Call, app_id: str, pages: Pages) -> Response:
    """The newest first."""
    found = await lifecycle.list_releases(call.context, app_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda v: v.release.id, lambda v: release_out(v, call.language)))


@routes.add("GET", "/apps/{app_id}/releases/{number}", ReleaseOut, "Show a release", "查看版本发布")
async def show_release(call: Call, app_id: str, number: Annotated[int, Path(ge=1, le=_MOST)]) -> Response:
    return call.ok(release_out(await lifecycle.show_release(call.context, app_id, number), call.language))
