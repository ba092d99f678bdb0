"""What is pushed to Envoy, as plain values: a resource has a kind, a name, a version and its serialised body."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gongfang.edge.messages import Message, to_bytes


class Kind(StrEnum):
    """The kinds in the order in which they are pushed. The value is the type URL on the wire."""

    cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    secret = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105  (its type, no secret)
    listener = "type.googleapis.com/envoy.config.listener.v3.Listener"
    scope = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"

    @property
    def by_name(self) -> bool:
        """Envoy asks for each one by name; of the other kinds it takes all that there are."""
        return self in (Kind.endpoints, Kind.secret)


class Key(NamedTuple):
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """`version`: a hash of the content, so it means the same to every control plane that Envoy will ever talk to.

    `cluster`: of a scope, the cluster that its routes lead to (None: it answers by itself).
    """

    key: Key
    version: str
    body: bytes
    cluster: str | None = None


def resource(kind: Kind, name: str, message: Message, *, cluster: str | None = None) -> Resource:
    body = to_bytes(message)
    return Resource(Key(kind, name), hashlib.sha256(body).hexdigest()[:20], body, cluster)
