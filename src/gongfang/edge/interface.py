"""The edge: where requests come in, and how they find the app. One interface; Envoy behind it.

Desired state per app is one `EdgeApp` value. `apply` is idempotent and level-triggered: the last value wins. It
returns when the edge has *acknowledged* it, so "the route is active" is something seen, not hoped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class EdgeEndpoint:
    """`draining`: gets no new requests, keeps those in flight, and is still counted by `in_flight`."""

    host: str
    port: int
    draining: bool = False


@dataclass(frozen=True, slots=True)
class EdgeHttps:
    """What a host that has a certificate wants of its clients.

    `redirect`: plain HTTP is sent on to this port (308, same path and query); None: both are served. `hsts`: the value
    of `strict-transport-security`, sent over TLS only.
    """

    host: str
    redirect: int | None = None
    hsts: str | None = None


@dataclass(frozen=True, slots=True)
class EdgeCertificate:
    """`chain`: PEM, the leaf first. `key`: PEM, not encrypted; it goes to the edge over its socket and nowhere else."""

    chain: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EdgeApp:
    """`hosts`: exact names, lower-case ASCII. `serving` False: its hosts answer with the page "stopped" (503);
    True with no endpoint that isn't draining: the page "no healthy instance" (502). An unknown host gets 404."""

    app_id: str
    hosts: tuple[str, ...]
    endpoints: tuple[EdgeEndpoint, ...]
    serving: bool = True
    name: str = ""
    https: tuple[EdgeHttps, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    connected: bool
    acknowledged: bool  # everything wanted has been sent and answered (a refusal is an answer, see last_rejection)
    apps: int
    last_ack_at: datetime | None
    last_rejection: str | None


class Edge(Protocol):
    """Errors: `Rejected("edge_rejected")` with Envoy's words (the rest stays served), `Rejected("edge_host_invalid")`
    and `Rejected("edge_host_taken")` before anything is sent, `Unavailable("edge_away")`, and of `in_flight`
    `Unavailable("edge_unreadable")`."""

    async def open(self) -> None:
        """Begins to listen for the edge. It is told nothing until the first `replace_all`, and goes on as it was."""
        ...

    async def close(self) -> None:
        """Stops serving configuration. The edge goes on with its last one."""
        ...

    async def replace_all(self, apps: Sequence[EdgeApp]) -> None:
        """The whole of it, when the control plane starts: what is not named is removed. Does not wait, and raises
        nothing: a host that cannot be served is left out, and `last_rejection` tells of it."""
        ...

    async def apply(self, app: EdgeApp, *, timeout_s: float | None = 5.0) -> None:
        """Returns when acknowledged. After `Unavailable` the value stays wanted and is pushed on reconnect. Without a
        time it waits for as long as the edge is away."""
        ...

    async def remove(self, app_id: str, *, timeout_s: float | None = 5.0) -> None: ...

    def wants(self, app: EdgeApp) -> bool:
        """Whether the edge was told just this last, be it acknowledged or on its way."""
        ...

    def serves(self, app: EdgeApp) -> bool:
        """Whether it was, and the edge has acknowledged it: `apply` would return at once."""
        ...

    async def replace_certificates(self, certificates: Mapping[str, EdgeCertificate]) -> None:
        """The whole of them by host name, when the control plane starts, before `replace_all`. Does not wait."""
        ...

    async def certify(self, certificates: Mapping[str, EdgeCertificate | None], *, timeout_s: float = 5.0) -> None:
        """These hosts have these certificates from now on (None: no more). Returns when handshakes see them.

        A host without one gets no handshake at all: never another's certificate. Connections that are open stay, also
        where a certificate is replaced or taken away. Does nothing but remember where the edge has no TLS port.
        After `Unavailable` the value stays wanted. Raises `Rejected("edge_rejected")` where the edge refuses one (it
        goes on with the one before).
        """
        ...

    async def in_flight(self, app_id: str, endpoints: Sequence[EdgeEndpoint]) -> dict[EdgeEndpoint, int]:
        """Requests (WebSockets too) that each endpoint is answering now; one that the edge doesn't know has 0.

        An endpoint that was applied as draining and is seen at 0 stays at 0: then it can be stopped. One that was
        taken out altogether is not counted any more, though what it has in flight still ends well.
        """
        ...

    def status(self) -> EdgeStatus: ...
