"""Webhooks: who may have events of a place sent somewhere. Sending itself is `reconcile.webhooks`.

A webhook belongs to the place and not to whoever made it: it goes on when that person leaves, and is seen and removed
by those who administer or operate the place. Whoever may read the place's events sees it, with its address cut down to
the host, since the rest of an address may be what lets in.
"""

from typing import Any

import orjson

from gongfang.domain.errors import Conflict, Forbidden, NotFound, invalid_field
from gongfang.domain.ids import new_id
from gongfang.domain.values import Level, Organization, Permission, Place, Space, Tenant
from gongfang.domain.webhooks import Delivery, Sent, Webhook, fault_of_url, fresh_secret, secret_bytes, why
from gongfang.operations.context import Context
from gongfang.operations.tree import NODES, default_node, place_of_node
from gongfang.state import Reading
from gongfang.wire.webhooks import WebhookChange, WebhookRequest

MOST_AT_A_PLACE = 20


def may_change(context: Context, webhook: Webhook) -> bool:
    return context.caller.may(Permission.webhook_write, webhook.place)


async def create_webhook(context: Context, request: WebhookRequest, *, private: bool) -> Webhook:
    """Gets every event of its place from now on. The answer holds the secret.

    Raises `Forbidden`, `NotFound` of the place, `Invalid` about address or secret, `Conflict("too_many_webhooks")`.
    """
    _check_url(request.url, private)
    secret = _checked_secret(request.secret.get_secret_value()) if request.secret else fresh_secret()
    position, _ = await context.database.settled()
    async with context.database.writing() as tx:
        place, place_key = await _place(tx, context, request.level, request.scope_id)
        _require_write(context, place)
        if place_key is not None:
            await tx.lock(NODES[request.level], place_key)
        tenant_id, organization_id, space_id = place.tenant_id, place.organization_id, place.space_id
        here = await tx.count(Webhook, tenant_id=tenant_id, organization_id=organization_id, space_id=space_id)
        if here >= MOST_AT_A_PLACE:
            raise Conflict("too_many_webhooks", limit=MOST_AT_A_PLACE)
        webhook = Webhook(
            id=new_id("whk"),
            tenant_id=tenant_id,
            organization_id=organization_id,
            space_id=space_id,
            name=request.name,
            url=request.url,
            secret=secret,
            tags=tuple(dict.fromkeys(request.tags)),
            enabled=request.enabled,
            created_at=context.clock(),
            created_by=context.caller.user.name,
            position=position,
        )
        await tx.insert(webhook)
        await context.event(tx, "webhook:create", place=place, object_id=webhook.id)
        tx.wake("webhook", webhook.id)
        return webhook


def _check_url(url: str, private: bool) -> None:
    fault = fault_of_url(url, private=private)
    if fault is not None:
        raise invalid_field("url", fault)


def _checked_secret(secret: str) -> str:
    try:
        secret_bytes(secret)
    except ValueError:
        raise invalid_field("secret", "webhook_secret_invalid") from None
    return secret


async def _place(tx: Reading, context: Context, level: Level, scope_id: str | None) -> tuple[Place, str | None]:
    match level:
        case Level.platform:
            if scope_id is not None:
                raise invalid_field("scope_id", "webhook_scope_level")
            return Place(), None
        case Level.tenant:
            node = await default_node(tx, context, Tenant, scope_id)
        case Level.organization:
            node = await default_node(tx, context, Organization, scope_id)
        case Level.space:
            node = await default_node(tx, context, Space, scope_id)
    return place_of_node(node), node.id


def _require_write(context: Context, place: Place) -> None:
    context.trace.place = place
    if not context.caller.may(Permission.webhook_write, place):
        raise Forbidden("forbidden", permission=Permission.webhook_write.value)


async def _find(tx: Reading, context: Context, webhook_id: str, permission: Permission) -> Webhook:
    missing = NotFound("webhook_not_found", webhook=webhook_id)
    webhook = await tx.one(Webhook, webhook_id)
    if webhook is None:
        raise missing
    if not context.caller.may(Permission.event_read, webhook.place):
        context.trace.place = webhook.place
        raise missing
    context.require(permission, webhook.place, missing=missing)
    return webhook


async def list_webhooks(context: Context, *, after: str | None = None, limit: int = 50) -> list[Webhook]:
    """Those of the places whose events the caller may read."""
    async with context.database.reading() as tx:
        return await tx.find(Webhook, scope=context.caller.scope(Permission.event_read), after=after, limit=limit)


async def show_webhook(context: Context, webhook_id: str) -> Webhook:
    async with context.database.reading() as tx:
        return await _find(tx, context, webhook_id, Permission.event_read)


async def change_webhook(context: Context, webhook_id: str, change: WebhookChange, *, private: bool) -> Webhook:
    """A new address is tried at once, and has a day of its own before it is given up; one that is enabled (again) goes
    on behind the last event that it got."""
    changes: dict[str, Any] = {}
    if change.url is not None:
        _check_url(change.url, private)
        changes["url"] = change.url
    if change.secret is not None:
        changes["secret"] = _checked_secret(change.secret.get_secret_value())
    if change.tags is not None:
        changes["tags"] = tuple(dict.fromkeys(change.tags))
    if change.name is not None:
        changes["name"] = change.name
    async with context.database.writing() as tx:
        await _find(tx, context, webhook_id, Permission.webhook_write)
        webhook = await tx.lock(Webhook, webhook_id)
        if webhook is None:
            raise NotFound("webhook_not_found", webhook=webhook_id)
        if change.url is not None:
            changes["next_attempt_at"] = None
            if change.url != webhook.url:
                changes |= {"attempts": 0, "failing_since": None}
        if change.enabled is not None:
            changes["enabled"] = change.enabled
            if change.enabled:
                changes |= {"attempts": 0, "failing_since": None, "next_attempt_at": None, "reason": None}
        changed = await tx.update(Webhook, webhook.id, **changes) if changes else webhook
        assert changed is not None  # it is held by this transaction
        await context.event(tx, "webhook:change", place=webhook.place, object_id=webhook.id)
        tx.wake("webhook", webhook.id)
        return changed


async def delete_webhook(context: Context, webhook_id: str) -> None:
    async with context.database.writing() as tx:
        webhook = await _find(tx, context, webhook_id, Permission.webhook_write)
        await tx.delete(Webhook, id=webhook.id)
        await context.event(tx, "webhook:delete", place=webhook.place, object_id=webhook.id)
        tx.wake("webhook", webhook.id)


async def list_deliveries(context: Context, webhook_id: str) -> list[Delivery]:
    """The last attempts, the newest first."""
    async with context.database.reading() as tx:
        await _find(tx, context, webhook_id, Permission.event_read)
        return await tx.find(Delivery, webhook_id=webhook_id, descending=True)


async def begin_test(context: Context, webhook_id: str) -> tuple[Webhook, str, bytes]:
    """The webhook, and the id and body of a message to try it with. A disabled one can be tried, too."""
    async with context.database.writing() as tx:
        webhook = await _find(tx, context, webhook_id, Permission.webhook_write)
        await context.event(
            tx, "webhook:test", place=webhook.place, object_id=webhook.id, object_name=webhook.name, before={}, after={}
        )
    body = {
        "type": "webhook:test",
        "timestamp": context.clock().isoformat(),
        "data": {"webhook_id": webhook.id, "name": webhook.name, "by": context.caller.user.name},
    }
    return webhook, f"{webhook.id}_test_{new_id('tst')}", orjson.dumps(body)


async def record_test(context: Context, webhook: Webhook, sent: Sent) -> Delivery:
    """Writes down how the test went, beside the other deliveries."""
    reason = None if sent.delivered else why(sent)
    delivery = Delivery(
        id=new_id("dlv"),
        webhook_id=webhook.id,
        at=context.clock(),
        seq=None,
        tag="webhook:test",
        attempt=1,
        delivered=sent.delivered,
        status=sent.status,
        took_ms=sent.took_ms,
        reason=reason,
        response=sent.response,
    )
    async with context.database.writing() as tx:
        tx.unrecorded("the test's event was written when it began; this is what came of it")
        if await tx.lock(Webhook, webhook.id) is not None:
            await tx.add_delivery(delivery)
    return delivery
