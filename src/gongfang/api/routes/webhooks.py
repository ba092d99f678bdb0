"""Webhooks: where the events of a place are sent to."""

from starlette.responses import Response

from gongfang.api.call import Call, KnownCall
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import reason_out
from gongfang.domain.messages import Language
from gongfang.domain.values import Level
from gongfang.domain.webhooks import Delivery, Webhook, public_url
from gongfang.operations import webhooks
from gongfang.wire.envelope import Page
from gongfang.wire.webhooks import DeliveryOut, WebhookChange, WebhookOut, WebhookRequest

routes = Routes("webhooks")


def _out(call: KnownCall, webhook: Webhook, *, secret: bool = False) -> WebhookOut:
    level = (
        Level.space
        if webhook.space_id
        else Level.organization
        if webhook.organization_id
        else Level.tenant
        if webhook.tenant_id
        else Level.platform
    )
    return WebhookOut(
        id=webhook.id,
        name=webhook.name,
        url=webhook.url if webhooks.may_change(call.context, webhook) else public_url(webhook.url),
        tags=list(webhook.tags),
        enabled=webhook.enabled,
        level=level,
        tenant_id=webhook.tenant_id,
        organization_id=webhook.organization_id,
        space_id=webhook.space_id,
        position=webhook.position,
        attempts=webhook.attempts,
        failing_since=webhook.failing_since,
        next_attempt_at=webhook.next_attempt_at if webhook.enabled else None,
        reason=reason_out(webhook.reason, call.language),
        created_at=webhook.created_at,
        created_by=webhook.created_by,
        secret=webhook.secret if secret else None,
    )


def _delivery_out(delivery: Delivery, language: Language) -> DeliveryOut:
    return DeliveryOut(
        at=delivery.at,
        seq=delivery.seq,
        tag=delivery.tag,
        attempt=delivery.attempt,
        delivered=delivery.delivered,
        status=delivery.status,
        took_ms=delivery.took_ms,
        reason=reason_out(delivery.reason, language),
        response=delivery.response,
    )


@routes.add("POST", "/webhooks", WebhookOut, "Send events somewhere", "创建 Webhook", status=201)
async def create_webhook(call: Call, body: WebhookRequest) -> Response:
    """From now on every event of the place and below, signed as Standard Webhooks are. The answer holds the secret,
    this once."""
    made = await webhooks.create_webhook(call.context, body, private=call.services.webhook_private)
    return call.ok(_out(call, made, secret=True), status=201)


@routes.add("GET", "/webhooks", Page[WebhookOut], "List webhooks", "Webhook 列表")
async def list_webhooks(call: Call, pages: Pages) -> Response:
    found = await webhooks.list_webhooks(call.context, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda w: w.id, lambda w: _out(call, w)))


@routes.add("GET", "/webhooks/{webhook_id}", WebhookOut, "Show a webhook", "查看 Webhook")
async def show_webhook(call: Call, webhook_id: str) -> Response:
    return call.ok(_out(call, await webhooks.show_webhook(call.context, webhook_id)))


@routes.add("PATCH", "/webhooks/{webhook_id}", WebhookOut, "Change a webhook", "修改 Webhook")
async def change_webhook(call: Call, webhook_id: str, body: WebhookChange) -> Response:
    """One that is enabled again goes on where it stopped."""
    changed = await webhooks.change_webhook(call.context, webhook_id, body, private=call.services.webhook_private)
    return call.ok(_out(call, changed))


@routes.add("DELETE", "/webhooks/{webhook_id}", None, "Remove a webhook", "删除 Webhook")
async def delete_webhook(call: Call, webhook_id: str) -> Response:
    await webhooks.delete_webhook(call.context, webhook_id)
    return call.ok()


@routes.add("POST", "/webhooks/{webhook_id}/test", DeliveryOut, "Send a test", "发送测试消息")
async def test_webhook(call: Call, webhook_id: str) -> Response:
    """One message, now, whatever the webhook's tags are; the answer says how it went."""
    webhook, message_id, message = await webhooks.begin_test(call.context, webhook_id)
    sent = await call.services.send_webhook(webhook, message_id, message)
    return call.ok(_delivery_out(await webhooks.record_test(call.context, webhook, sent), call.language))


@routes.add(
    "GET", "/webhooks/{webhook_id}/deliveries", Page[DeliveryOut], "List a webhook's deliveries", "Webhook 推送记录"
)
async def list_deliveries(call: Call, webhook_id: str) -> Response:
    """The last 50 attempts, the newest first."""
    found = await webhooks.list_deliveries(call.context, webhook_id)
    return call.ok({"items": [_delivery_out(d, call.language) for d in found], "next_cursor": None})
