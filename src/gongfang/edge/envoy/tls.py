"""HTTPS at the edge: a second listener, the same for ever, and a secret for each host name.

A handshake names the host (SNI); Envoy asks the control plane for the secret of that name when it first meets it, holds
the handshake until it has it, and keeps it. So thousands of certificates cost the listener nothing, one that comes,
goes or is replaced touches no other connection, and a host without one is refused: there is no fallback that could show
the certificate of somebody else. A name that does not exist is answered with "removed", and Envoy forgets it: made-up
names fill no memory.

Private keys are in these messages only, which go over the discovery socket; Envoy never writes them down, and its
admin dump masks them.
"""

from collections.abc import Sequence
from typing import Any

from gongfang.edge.interface import EdgeCertificate
from gongfang.edge.messages import Listener, Secret, from_json
from gongfang.edge.resources import Key, Kind, Resource, resource

NAME = "edge-tls"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls"
_ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
# What a client that sends no name asks for; no host has this name, so it is refused.
NO_NAME = "(none)"

# TLS 1.3 has its own; these are for 1.2: forward secret and authenticated.
_CIPHERS = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
]


def tls_listener(host: str, port: int, manager: dict[str, Any], more_hosts: Sequence[str] = ()) -> Resource:
    """The listener for HTTPS; `manager`: the connection manager of the plain one, so both answer alike.
    `more_hosts`: other addresses with the same port."""
    message = from_json(
        Listener,
        {
            "name": NAME,
            "address": {"socket_address": {"address": host, "port_value": port}},
            "additional_addresses": [
                {"address": {"socket_address": {"address": each, "port_value": port}}} for each in more_hosts
            ],
            "enable_reuse_port": False,
            "per_connection_buffer_limit_bytes": 32768,
            "filter_chains": [
                {
                    "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
                    "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _context()},
                    # A handshake whose secret does not come (no control plane) ends.
                    "transport_socket_connect_timeout": "10s",
                }
            ],
        },
    )
    return resource(Kind.listener, NAME, message)


def _context() -> dict[str, Any]:
    return {
        "@type": f"{_TLS}.v3.DownstreamTlsContext",
        # Envoy does not tie sessions to certificates that come on demand.
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
                "cipher_suites": _CIPHERS,
            },
            "custom_tls_certificate_selector": {
                "name": "envoy.tls.certificate_selectors.on_demand_secret",
                "typed_config": _typed(
                    f"{_TLS}.cert_selectors.on_demand_secret.v3.Config",
                    {
                        "config_source": _ADS,
                        "certificate_mapper": {
                            "name": "envoy.tls.certificate_mappers.sni",
                            "typed_config": _typed(f"{_TLS}.cert_mappers.sni.v3.SNI", {"default_value": NO_NAME}),
                        },
                    },
                ),
            },
        },
    }


def _typed(type_url: str, value: dict[str, Any]) -> dict[str, Any]:
    """A message whose generated code `xds-protos` does not have yet."""
    return {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": type_url, "value": value}


def secret_key(host: str) -> Key:
    return Key(Kind.secret, host)


def secret(host: str, certificate: EdgeCertificate) -> Resource:
    message = from_json(
        Secret,
        {
            "name": host,
            "tls_certificate": {
                "certificate_chain": {"inline_string": certificate.chain},
                "private_key": {"inline_string": certificate.key},
            },
        },
    )
    return resource(Kind.secret, host, message)
