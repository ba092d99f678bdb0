"""Apps: what they are and what is wanted of them. Running them is in `lifecycle`."""

from typing import Annotated, Any

from fastapi import Header, Query
from starlette.responses import Response

from gongfang.api.call import Call, KnownCall
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import app_out, instance_out
from gongfang.api.settle import Wait, settle_app
from gongfang.api.written import Written, written_page
from gongfang.domain.errors import FieldError, Invalid
from gongfang.domain.values import AppState, AppType, DesiredState, RuntimeName
from gongfang.operations import apps
from gongfang.operations.views import AppView
from gongfang.wire.envelope import Envelope, Page
from gongfang.wire.models import (
    AppChange,
    AppOut,
    AppRequest,
    AppWithOperation,
    EnvironmentChange,
    EnvironmentOut,
    InstanceOut,
)

routes = Routes("apps")

IfMatch = Annotated[str | None, Header(alias="If-Match", description="The app's ETag; 412 where it has changed since")]

_PROMISED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Nothing had to be rolled out"},
    202: {"model": Envelope[AppWithOperation], "description": "A release is being rolled out"},
}


def show(call: KnownCall, view: AppView) -> AppOut:
    return app_out(view, call.services.edge_url, call.language, call.services.https_url)


def write(call: KnownCall, view: AppView) -> bytes:
    """The same as JSON."""
    return call.services.written(view, call.services.edge_url, call.language, call.services.https_url)


def labels_of(pairs: list[str]) -> dict[str, str]:
    """`key=value` pairs; raises `Invalid` on anything else."""
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise Invalid("validation_failed", details=[FieldError("label", "label_invalid", {})])
        labels[key] = value
    return labels


@routes.add("POST", "/apps", AppOut, "Create an app", "应用创建", status=201, clause="5.1(1)")
async def create_app(call: Call, body: AppRequest) -> Response:
    """It is stopped and has no code yet: upload a package, then start it."""
    view = await apps.create_app(call.context, body)
    return call.ok(show(call, view), status=201, etag=apps.app_etag(view.app))


@routes.add("GET", "/apps", Page[AppOut], "List apps", "应用列表")
async def list_apps(
    call: Call,
    pages: Pages,
    name: str | None = None,
    space_id: str | None = None,
    organization_id: str | None = None,
    tenant_id: str | None = None,
    kind: Annotated[AppType | None, Query(alias="type")] = None,
    runtime: RuntimeName | None = None,
    state: AppState | None = None,
    desired_state: DesiredState | None = None,
    label: Annotated[list[str] | None, Query(description="`key=value`; may be repeated, then all must match")] = None,
) -> Response:
    """With desired and actual state, instances and routes, in one call."""
    found = await apps.list_apps(
        call.context,
        name=name,
        space_id=space_id,
        organization_id=organization_id,
        tenant_id=tenant_id,
        type_=kind,
        runtime=runtime,
        state=state,
        desired=desired_state,
        labels=labels_of(label or []),
        after=pages.after,
        limit=pages.one_more,
    )
    return call.ok(written_page(pages.page(found, lambda v: v.app.id, lambda v: write(call, v))))


@routes.add("GET", "/apps/{app_id}", AppOut, "Show an app", "查看应用")
async def show_app(call: Call, app_id: str) -> Response:
    """By its id, or by its name where the caller sees only one app of it."""
    view = await apps.show_app(call.context, app_id)
    return call.ok(Written(write(call, view)), etag=apps.app_etag(view.app))


@routes.add("PATCH", "/apps/{app_id}", AppOut, "Change an app", "修改应用", responses=_PROMISED)
async def change_app(call: Call, app_id: str, body: AppChange, if_match: IfMatch = None, wait: Wait = None) -> Response:
    """A field that is absent stays as it is. On a started app, process settings are rolled out as a release: 202."""
    view, operation = await apps.change_app(call.context, app_id, body, if_match)
    if operation is None:
        return call.ok(show(call, view), etag=apps.app_etag(view.app))
    return await settle_app(call, view, operation, wait)


@routes.add("GET", "/apps/{app_id}/environment", EnvironmentOut, "Show an app's variables", "查看应用环境变量")
async def show_environment(call: Call, app_id: str) -> Response:
    variables, masked = await apps.environment(call.context, app_id)
    return call.ok(EnvironmentOut(variables=dict(variables), masked=masked))


@routes.add(
    "PATCH",
    "/apps/{app_id}/environment",
    EnvironmentOut,
    "Change an app's variables",
    "修改应用环境变量",
    responses=_PROMISED,
)
async def change_environment(
    call: Call, app_id: str, body: EnvironmentChange, if_match: IfMatch = None, wait: Wait = None
) -> Response:
    """Merged; null removes one. On a started app they are rolled out as a release: 202."""
    view, operation = await apps.change_environment(call.context, app_id, body, if_match)
    if operation is not None:
        return await settle_app(call, view, operation, wait)
    variables, masked = await apps.environment(call.context, view.app.id)
    return call.ok(EnvironmentOut(variables=dict(variables), masked=masked), etag=apps.app_etag(view.app))


@routes.add("GET", "/apps/{app_id}/instances", Page[InstanceOut], "List an app's instances", "应用实例列表")
async def list_instances(
    call: Call,
    app_id: str,
    pages: Pages,
    ended: Annotated[bool, Query(description="With those that have ended")] = False,
) -> Response:
    found, numbers = await apps.list_instances(
        call.context, app_id, ended=ended, after=pages.after, limit=pages.one_more
    )
    return call.ok(pages.page(found, lambda i: i.id, lambda i: instance_out(i, numbers, call.language)))
