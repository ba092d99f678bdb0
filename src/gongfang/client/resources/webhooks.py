"""Where events are sent to."""

from collections.abc import Sequence

from gongfang.client.pages import Pages
from gongfang.client.resources.base import Resource, given, part
from gongfang.wire.webhooks import DeliveryOut, WebhookOut


class Webhooks(Resource):
    """`client.webhooks`."""

    def list(self, *, page_size: int | None = None) -> Pages[WebhookOut]:
        return self._list("/webhooks", WebhookOut, page_size=page_size)

    def create(
        self,
        url: str,
        *,
        tags: Sequence[str] = ("*",),
        name: str | None = None,
        secret: str | None = None,
        level: str = "space",
        scope_id: str | None = None,
        enabled: bool = True,
    ) -> WebhookOut:
        """The answer's `secret` is shown this once. `level`, `scope_id`: whose events."""
        body = given(
            url=url, tags=list(tags), name=name, secret=secret, level=level, scope_id=scope_id, enabled=enabled
        )
        return self._post("/webhooks", WebhookOut, body)

    def get(self, webhook_id: str) -> WebhookOut:
        return self._get(f"/webhooks/{part(webhook_id)}", WebhookOut)

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        tags: Sequence[str] | None = None,
        name: str | None = None,
        secret: str | None = None,
        enabled: bool | None = None,
    ) -> WebhookOut:
        body = given(url=url, tags=None if tags is None else list(tags), name=name, secret=secret, enabled=enabled)
        return WebhookOut.model_validate(self._patch(f"/webhooks/{part(webhook_id)}", body).data)

    def remove(self, webhook_id: str) -> None:
        self._delete(f"/webhooks/{part(webhook_id)}")

    def test(self, webhook_id: str) -> DeliveryOut:
        """Sends one message now, and says how it went."""
        return self._post(f"/webhooks/{part(webhook_id)}/test", DeliveryOut)

    def deliveries(self, webhook_id: str) -> Pages[DeliveryOut]:
        """The last 50 attempts, the newest first."""
        return self._list(f"/webhooks/{part(webhook_id)}/deliveries", DeliveryOut)
