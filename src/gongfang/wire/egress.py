"""What a space's apps may reach: request and answer."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from gongfang.domain.egress import MOST_TARGETS
from gongfang.wire.models import Answer, Request


class EgressRequest(Request):
    """The whole policy, in place of the one that holds. `internet`: whether public addresses are reached. `allow`: what
    else is: IPv4 addresses or networks, with a port, a range of ports or all of them (`10.1.2.0/24:5432`,
    `10.1.2.7:8000-8010`, `10.0.0.0/8`)."""

    internet: bool = True
    allow: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list[str], max_length=MOST_TARGETS)


class EgressOut(Answer):
    """`changed_at`: null where it is the one that every space begins with. `enforced`: false where this machine cannot
    keep apps from anything; `GET /platform` says why."""

    space_id: str
    internet: bool
    allow: list[str]
    changed_at: datetime | None
    enforced: bool
