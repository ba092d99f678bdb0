"""What the API is given: the platform's parts as values and callables. `main` makes them; nothing here does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gongfang.blobs.interface import BlobStore
from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason
from gongfang.domain.policies import IcpPolicy
from gongfang.domain.quotas import Defaults
from gongfang.domain.values import JsonObject
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
    waiting calls end then, so that a graceful shutdown isn't held up by them. `https_url`: as `edge_url`, for hosts
    that have a certificate; None where the edge has no HTTPS port.
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
    icp: IcpPolicy = IcpPolicy.optional
    https_url: Callable[[str], str] | None = None
    quota_defaults: Defaults = field(default_factory=Defaults)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
