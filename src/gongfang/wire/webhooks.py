"""Webhooks over the wire. The secret is in one answer only: that of the call which made it."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from gongfang.domain.values import Level
from gongfang.wire.models import Answer, ReasonOut, Request

TAG_PATTERN = r"^(\*|[a-z][a-z0-9_:.-]{0,62}\*?)$"
URL_PATTERN = r"^https?://[\x21-\x7e]+$"

TagPattern = Annotated[
    str,
    StringConstraints(pattern=TAG_PATTERN, max_length=64),
    Field(examples=["app:*"], description="A tag, the beginning of one with `*`, or `*`"),
]
Tags = Annotated[list[TagPattern], Field(min_length=1, max_length=50)]
WebhookName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=64)]
Url = Annotated[str, StringConstraints(min_length=8, max_length=2048, pattern=URL_PATTERN)]


class WebhookRequest(Request):
    """Where the events of a place are sent to."""

    url: Url = Field(examples=["https://mes.example.com/events"])
    name: WebhookName = ""
    secret: SecretStr | None = Field(
        default=None,
        max_length=128,
        description="`whsec_` and base64 of 24 to 64 bytes; one is made where none is given",
    )
    tags: Tags = Field(default_factory=lambda: ["*"])
    enabled: bool = True
    level: Level = Field(default=Level.space, description="Whose events: the platform's, a tenant's, …")
    scope_id: str | None = Field(default=None, max_length=40, description="Of the level; derived where it can be")


class WebhookChange(Request):
    """Absent fields stay. Enabling one that was disabled goes on where it stopped."""

    url: Url | None = None
    name: WebhookName | None = None
    secret: SecretStr | None = Field(default=None, max_length=128)
    tags: Tags | None = None
    enabled: bool | None = None


class WebhookOut(Answer):
    id: str
    name: str
    url: str = Field(description="Whole for those who may change it, else its host")
    tags: list[str]
    enabled: bool
    level: Level
    tenant_id: str | None
    organization_id: str | None
    space_id: str | None
    position: int = Field(description="`seq` of the last event that is dealt with")
    attempts: int = Field(description="Failures in a row of the event that comes next")
    failing_since: datetime | None
    next_attempt_at: datetime | None
    reason: ReasonOut | None = Field(description="Why the last attempt failed, or why it is disabled")
    created_at: datetime
    created_by: str | None
    secret: str | None = Field(default=None, description="Only in the answer of the call that made it")


class DeliveryOut(Answer):
    """One attempt."""

    at: datetime
    seq: int | None = Field(description="Of the event; none for a test")
    tag: str
    attempt: int
    delivered: bool
    status: int | None = Field(description="Of the receiver's answer; none where there was none")
    took_ms: int
    reason: ReasonOut | None
    response: str | None = Field(description="The beginning of the receiver's answer")
