"""What a service that Gongfang runs itself has to be able to do: how its server is started, and how one talks to it.

Hard cases. A server is started again on another day with the same data: `launch` is pure, so the same site gives the
same launch, and nothing is remembered anywhere else. The control plane ends between a user being made in the server and
that being written down: every method that talks to a server may be called again. A tenant reads the server's log: no
secret stands on a command line, in an error's text, or in a statement that a server might log when it fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from gongfang.brokers.interface import CatalogOffering
from gongfang.domain.hosting import PORTS_EACH
from gongfang.domain.values import JsonObject

__all__ = ["PORTS_EACH", "Change", "Figures", "Launch", "Seed", "Server", "ServiceKind", "Site", "Size", "Wanted"]


@dataclass(frozen=True, slots=True)
class Size:
    """What a plan gives. `cpu`: cores, None = no limit. `connections`: clients at a time."""

    memory_mb: int
    storage_mb: int
    cpu: float | None
    connections: int


@dataclass(frozen=True, slots=True)
class Wanted:
    plan: str
    size: Size
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class Seed:
    """What a binding is made of: user name, password …, fixed before the server is told of it."""

    binding_id: str
    secret: JsonObject = field(repr=False)
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class Site:
    """What a launch is made for. `port`: the first of `PORTS_EACH`. `fresh`: there has never been data.

    `listen`: "0.0.0.0" in a network of its own, else "127.0.0.1"; a kind with a single port always listens on
    127.0.0.1, the namespace's redirect does the rest. `bindings`: those not deleting (kinds with users in a file).
    """

    hosted_id: str
    port: int
    listen: str
    wanted: Wanted
    admin: JsonObject = field(repr=False)
    fresh: bool
    bindings: tuple[Seed, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """`command` is looked up on PATH in the sandbox. `files`: path → content, in the sandbox's memory, read-only.
    `conf`: files of the folder /conf, which may be replaced while the server runs. `grace_s`: from SIGTERM to SIGKILL.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, bytes] = field(repr=False)
    processes: int = 256
    grace_s: float = 20.0
    conf: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs, as the control plane reaches it. `conf`: the folder that it sees as /conf."""

    host: str
    port: int
    wanted: Wanted
    admin: JsonObject = field(repr=False)
    conf: Path | None = None


class Change(Enum):
    """What a change of plan or parameters takes."""

    none = "none"
    live = "live"
    restart = "restart"


@dataclass(frozen=True, slots=True)
class Figures:
    connections: int | None = None
    storage_bytes: int | None = None
    more: Mapping[str, float] = field(default_factory=dict[str, float])


class ServiceKind(Protocol):
    """One service that Gongfang runs itself.

    Everything is told by values; a kind holds no state, and every method that talks to a server may be called again
    after a crash in its middle. Errors: `Unavailable` (not now: starting, connection lost), `Rejected(reason)` (never
    will). Nothing of `admin` or a seed's secret may reach a command line, an exception's text, or the server's log.
    """

    @property
    def name(self) -> str: ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Of the toolbox; on PATH in the sandbox."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """Guarantees of the runtime without which it is not offered, e.g. `own_network`."""
        ...

    @property
    def ports(self) -> Mapping[str, int]:
        """Name → offset from the first port: what bound apps may reach."""
        ...

    def offering(self) -> CatalogOffering: ...

    def size(self, plan: str) -> Size: ...

    def fresh_admin(self) -> JsonObject: ...

    def fresh_seed(self, parameters: JsonObject) -> JsonObject: ...

    def launch(self, site: Site) -> Launch:
        """Pure: the same site gives the same launch."""
        ...

    async def ready(self, server: Server) -> None:
        """Returns once an authenticated call of the administrator works."""
        ...

    async def prepare(self, server: Server) -> None:
        """After each start: what must be there (database, roles, buckets)."""
        ...

    async def bind(self, server: Server, seed: Seed) -> None: ...

    async def unbind(self, server: Server, seed: Seed) -> None:
        """The credentials are dead, open connections cut; data stay."""
        ...

    def credentials(self, server: Server, seed: Seed) -> JsonObject:
        """Pure: host, port, uri …"""
        ...

    def variables(self) -> Mapping[str, str]:
        """Variable → key of the credentials: `{"DATABASE_URL": "uri"}`."""
        ...

    def change(self, before: Wanted, after: Wanted) -> Change:
        """Pure. Raises `Rejected` where it can't be (storage does not shrink)."""
        ...

    async def reconfigure(self, server: Server, after: Wanted) -> None:
        """For `Change.live`."""
        ...

    async def figures(self, server: Server) -> Figures: ...
