"""Quotas over the wire."""

from typing import Annotated

from pydantic import Field

from gongfang.domain.values import Level
from gongfang.wire.models import Answer, Request

Limit = Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]


class QuotaRequest(Request):
    """All three limits at once. Absent or null: the platform's default, which is no limit unless a setting says so."""

    apps: Limit | None = Field(default=None, description="Apps, started or not", examples=[20])
    instances: Limit | None = Field(default=None, description="Wanted instances of started apps", examples=[40])
    memory_mb: Limit | None = Field(
        default=None, description="MiB of all wanted instances of started apps together", examples=[16384]
    )


class LimitsOut(Answer):
    """Null: no limit."""

    apps: int | None
    instances: int | None
    memory_mb: int | None


class UsageOut(Answer):
    """What is wanted: of stopped apps only their number counts."""

    apps: int
    instances: int
    memory_mb: int


class QuotaOut(Answer):
    id: str
    level: Level
    name: str
    limits: LimitsOut = Field(description="What holds")
    own: LimitsOut = Field(description="What was set here; null: the platform's default")
    used: UsageOut
