"""The answer to a call that began an operation: 202 at once, or its end where the call waits for it."""

from contextlib import suppress
from typing import Any

from starlette.responses import Response

from gongfang.api.answers import envelope
from gongfang.api.call import KnownCall
from gongfang.api.present import app_out, operation_out
from gongfang.api.present_services import binding_out, key_out, service_instance_out
from gongfang.api.waiting import Wait, until
from gongfang.domain.errors import NotFound, Reason
from gongfang.domain.values import OperationStatus
from gongfang.operations import apps, bindings, service_keys, services
from gongfang.operations.operation_queries import show_operation
from gongfang.operations.service_views import BindingView, ServiceView
from gongfang.operations.views import AppView, OperationView

__all__ = ["Wait", "settle_app", "settle_binding", "settle_key", "settle_operation", "settle_service"]


async def settle_app(call: KnownCall, view: AppView, operation: OperationView, wait: float | None) -> Response:
    """`{app, operation}`, both as they are when the call is answered."""
    if wait:
        operation = await _ended(call, operation, wait)
        view = await _again(call, view)
    data = {
        "app": app_out(view, call.services.edge_url, call.language, call.services.https_url),
        "operation": operation_out(operation, call.language),
    }
    return _answer(call, operation, data, waited=bool(wait), etag=apps.app_etag(view.app))


async def settle_service(call: KnownCall, view: ServiceView, operation: OperationView, wait: float | None) -> Response:
    """`{service_instance, operation}`; the instance as it was, where it is gone by then."""
    if wait:
        operation = await _ended(call, operation, wait)
        with suppress(NotFound):
            view = await services.show_service(call.context, view.instance.id)
    data = {
        "service_instance": service_instance_out(view, call.language),
        "operation": operation_out(operation, call.language),
    }
    return _answer(call, operation, data, waited=bool(wait), etag=services.service_etag(view.instance))


async def settle_binding(call: KnownCall, view: BindingView, operation: OperationView, wait: float | None) -> Response:
    """`{binding, operation}`; the binding as it was, where it did not come to be."""
    if wait:
        operation = await _ended(call, operation, wait)
        with suppress(NotFound):
            view = await bindings.show_binding(
                call.context, view.binding.app_id or "", view.binding.service_instance_id
            )
    data = {"binding": binding_out(view, call.language), "operation": operation_out(operation, call.language)}
    return _answer(call, operation, data, waited=bool(wait), etag=bindings.binding_etag(view.binding))


async def settle_key(call: KnownCall, view: BindingView, operation: OperationView, wait: float | None) -> Response:
    """`{key, operation}`, without credentials; the key as it was, where it did not come to be."""
    if wait:
        operation = await _ended(call, operation, wait)
        with suppress(NotFound):
            view, _ = await service_keys.show_key(call.context, view.binding.id)
    data = {"key": key_out(view, call.language), "operation": operation_out(operation, call.language)}
    return _answer(call, operation, data, waited=bool(wait), etag=None)


async def settle_operation(call: KnownCall, operation: OperationView, wait: float | None) -> Response:
    """`{operation}`, of a call after which there is no app."""
    if wait:
        operation = await _ended(call, operation, wait)
    data = {"operation": operation_out(operation, call.language)}
    return _answer(call, operation, data, waited=bool(wait), etag=None)


async def _ended(call: KnownCall, view: OperationView, wait: float) -> OperationView:
    key = view.operation.id
    return await until(
        call,
        "operation",
        key,
        lambda: show_operation(call.context, key),
        lambda seen: seen.operation.status.ended,
        wait,
    )


async def _again(call: KnownCall, view: AppView) -> AppView:
    """The app as it is now; as it was, where it was destroyed in the meantime."""
    try:
        return await apps.show_app(call.context, view.app.id)
    except NotFound:
        return view


def _answer(call: KnownCall, view: OperationView, data: dict[str, Any], *, waited: bool, etag: str | None) -> Response:
    status = view.operation.status
    if not waited or not status.ended:
        return call.ok(data, status=202, etag=etag)
    if status is OperationStatus.succeeded:
        return call.ok(data, etag=etag)
    reason = view.operation.reason
    if status is OperationStatus.cancelled:
        return envelope(call.visit, 409, "operation_cancelled", data, facts=reason.facts if reason else {})
    reason = reason or Reason("operation_failed", {})
    return envelope(call.visit, 422, reason.code, data, facts=reason.facts)
