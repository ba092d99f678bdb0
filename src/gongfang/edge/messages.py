"""The protobuf messages of Envoy's API that the edge uses, as values of one small protocol.

`xds-protos` ships generated modules without types; this is the only place that touches them, so that all other code
is checked strictly. Nothing here speaks gRPC.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportAttributeAccessIssue=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnusedImport=false

from collections.abc import Mapping
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import scoped_route_pb2

# Imported so that `Any` fields which name these types can be filled from JSON.
from envoy.extensions.filters.http.lua.v3 import lua_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401
)
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format
from xds.type.v3 import typed_struct_pb2  # noqa: F401

Message = Any
"""A protobuf message. Its fields are known to the generated code alone."""

Cluster: Message = cluster_pb2.Cluster
ClusterLoadAssignment: Message = endpoint_pb2.ClusterLoadAssignment
Listener: Message = listener_pb2.Listener
ScopedRouteConfiguration: Message = scoped_route_pb2.ScopedRouteConfiguration
Secret: Message = secret_pb2.Secret
DeltaDiscoveryRequest: Message = discovery_pb2.DeltaDiscoveryRequest
DeltaDiscoveryResponse: Message = discovery_pb2.DeltaDiscoveryResponse


def from_json(message_type: Message, data: Mapping[str, Any]) -> Message:
    """A message from Envoy's documented JSON form. An unknown field is an error."""
    return json_format.ParseDict(dict(data), message_type())


def to_bytes(message: Message) -> bytes:
    """The same bytes for the same content, in every run."""
    return message.SerializeToString(deterministic=True)
