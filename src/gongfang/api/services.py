"""What the API is given: the platform's parts as values and callables. `main` makes them; nothing here does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gongfang.api.present_services import Figures
from gongfang.api.source import Network
from gongfang.api.written import WrittenApps
from gongfang.blobs.interface import BlobStore
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.policies import IcpPolicy
from gongfang.domain.quotas import Defaults
from gongfang.domain.values import JsonObject
from gongfang.domain.webhooks import Sent, Webhook
from gongfang.reconcile.builtin import BuiltinBroker, Note
from gongfang.reconcile.gc import GcActor, GcReport
from gongfang.reconcile.keys import Rotation
from gongfang.runtimes.interface import Guarantee, Runtime
from gongfang.state import Database


@dataclass(frozen=True, slots=True)
class PlatformPart:
    """One part of the platform as it is seen to work. `reason` words a state that isn't `ok`."""

    name: str
    state: Literal["ok", "starting", "down", "degraded"]
    reason: Reason | None = None
    facts: JsonObject = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class PlatformState:
    """What `GET /platform` shows. `apps`, `instances`: how many there are, `instances` counting those that run."""

    version: str
    parts: tuple[PlatformPart, ...]
    guarantees: tuple[Guarantee, ...]
    apps: int
    instances: int


@dataclass(frozen=True, slots=True)
class ApiServices:
    """`edge_url`: a host name → the address that a browser opens. `upload_limit`: bytes of one package. `ready`:
    name of a check → whether it holds, and why not. `closing`: set when the server is about to stop; streams and
    waiting calls end then, so that a graceful shutdown isn't held up by them. `trusted_proxies`: whose word about a
    client's address counts. `send_webhook`: one message to one webhook, now; `webhook_private`: whether addresses of
    private networks may be given. `room`: raises where the disk gets full.
    `gc`, `rotate_keys`: what `operations.housekeeping` lets administrators do. `https_url`: as `edge_url`, for hosts
    that have a certificate; None where the edge has no HTTPS port. `service_figures`: a service instance's id → what
    its server is seen to take, where it is one of our own and runs. `broker`: what `/broker/v2` speaks to, over this
    store, for the platform that has this user's token.
    """

    database: Database
    clock: Clock
    blobs: BlobStore
    runtime: Runtime
    base_domain: str
    edge_url: Callable[[str], str]
    platform: Callable[[], Awaitable[PlatformState]]
    ready: Callable[[], Awaitable[Mapping[str, tuple[bool, Reason | None]]]]
    upload_limit: int
    send_webhook: Callable[[Webhook, str, bytes], Awaitable[Sent]]
    webhook_private: bool = False
    trusted_proxies: Sequence[Network] = ()
    room: Callable[[], None] = lambda: None
    gc: Callable[[bool, GcActor], Awaitable[GcReport]] | None = None
    rotate_keys: Callable[[GcActor], Awaitable[Rotation]] | None = None
    icp: IcpPolicy = IcpPolicy.optional
    https_url: Callable[[str], str] | None = None
    quota_defaults: Defaults = field(default_factory=Defaults)
    service_figures: Callable[[str], Figures | None] = lambda _: None
    broker: Callable[[Database, str, Note], BuiltinBroker] | None = None
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    written: WrittenApps = field(default_factory=WrittenApps)
