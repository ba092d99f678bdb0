"""What Envoy is started with, as values: its bootstrap, its command line, and the one listener that it is sent.

The bootstrap holds only what lets Envoy find the control plane. The listener comes over discovery, so that a newer
control plane can change it without restarting Envoy.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gongfang.edge import pages
from gongfang.edge.envoy.tls import tls_listener
from gongfang.edge.messages import Listener, from_json
from gongfang.edge.resources import Kind, Resource, resource

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}

# Scope keys are exact strings; a client may write the host as it likes.
_LOWER_CASE_HOST = """
function envoy_on_request(handle)
  local host = handle:headers():get(":authority")
  if host and host:find("%u") then
    handle:headers():replace(":authority", host:lower())
    handle:clearRouteCache()
  end
end
"""

# What Envoy itself says went wrong between it and an instance (its response flags).
_UPSTREAM_FLAGS = ["UF", "UC", "UR", "UPE", "UO", "UT", "LR", "URX"]


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """Where things are. `run_dir`: holds `xds.sock`, which the control plane makes, and the folder `envoy`, which must
    belong to the user that Envoy runs as and where Envoy makes its admin socket. `listen`: address and port of the
    edge. `inside_host`: the machine's address as workloads see it, where they have networks of their own."""

    run_dir: Path
    listen_host: str
    listen_port: int
    tls_port: int | None = None  # None: no HTTPS
    inside_host: str | None = None

    @property
    def more_hosts(self) -> tuple[str, ...]:
        """Where it listens besides: at the address that workloads know the machine by, unless it listens everywhere."""
        if self.inside_host is None or self.listen_host in ("0.0.0.0", self.inside_host):  # noqa: S104
            return ()
        return (self.inside_host,)

    @property
    def xds_socket(self) -> Path:
        return self.run_dir / "xds.sock"

    @property
    def envoy_dir(self) -> Path:
        return self.run_dir / "envoy"

    @property
    def admin_socket(self) -> Path:
        return self.envoy_dir / "admin.sock"

    @property
    def bootstrap_file(self) -> Path:
        """Where `command` expects the text of `bootstrap`."""
        return self.envoy_dir / "bootstrap.json"


def command(executable: str, config: EnvoyConfig, *, concurrency: int = 2) -> tuple[str, ...]:
    """The command line. `concurrency`: worker threads; about as many as there are cores."""
    return (
        *(executable, "--config-path", str(config.bootstrap_file), "--concurrency", str(concurrency)),
        *("--disable-hot-restart", "--log-level", "warning", "--log-format", "%Y-%m-%d %T.%e %l %n: %v"),
    )


def bootstrap(config: EnvoyConfig) -> str:
    """The bootstrap as JSON text."""
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [
            {
                "envoy_grpc": {
                    "cluster_name": "xds",
                    # A control plane that comes back is found within a second.
                    "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                }
            }
        ],
    }
    return json.dumps(
        {
            "node": {"id": "edge", "cluster": "gongfang"},
            "admin": {"address": {"pipe": {"path": str(config.admin_socket), "mode": 0o666}}},
            "dynamic_resources": {"ads_config": ads, "cds_config": _ADS, "lds_config": _ADS},
            "static_resources": {"clusters": [_xds_cluster(config)]},
            **_statistics(),
        },
        indent=1,
    )


def _xds_cluster(config: EnvoyConfig) -> dict[str, Any]:
    address = {"pipe": {"path": str(config.xds_socket)}}
    protocol: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _statistics() -> dict[str, Any]:
    """A few of Envoy's own. Per-app ones cost 30 kB an app, and reading them stalls changes."""
    kept = ["http.edge.", "cluster_manager.", "listener_manager.", "server.", "control_plane."]
    return {
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": prefix} for prefix in kept]}}},
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        # Else Envoy walks through all of them every 5 s, and changes wait for it.
        "stats_flush_on_admin": True,
    }


def listener(config: EnvoyConfig) -> Resource:
    """The listener as a resource. It takes every protocol on one port: HTTP/1.1, HTTP/2 in clear, WebSocket."""
    message = from_json(
        Listener,
        {
            "name": "edge",
            "address": {"socket_address": {"address": config.listen_host, "port_value": config.listen_port}},
            "additional_addresses": [
                {"address": {"socket_address": {"address": host, "port_value": config.listen_port}}}
                for host in config.more_hosts
            ],
            # With it two Envoys of two platforms would silently share one port and take each other's requests.
            "enable_reuse_port": False,
            "per_connection_buffer_limit_bytes": 32768,
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager()}]}
            ],
        },
    )
    return resource(Kind.listener, "edge", message)


def https_listener(config: EnvoyConfig) -> Resource | None:
    """The one for HTTPS, where there is to be one."""
    if config.tls_port is None:
        return None
    return tls_listener(config.listen_host, config.tls_port, _manager(), config.more_hosts)


def _manager() -> dict[str, Any]:
    return {
        "@type": _HCM,
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        # A client that reads to the end of the connection gets the edge's own pages at once, not a second later.
        "delayed_close_timeout": "0.1s",
        "scoped_routes": _scoped_routes(),
        "http_filters": _filters(),
        "local_reply_config": _local_replies(),
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "strip_trailing_host_dot": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        # Streams may be silent and uploads slow for as long as they like; only headers must come in time.
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "request_headers_timeout": "60s",
        "http_protocol_options": {"accept_http_10": True},
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 262144,
            "initial_connection_window_size": 1048576,
        },
    }


def _scoped_routes() -> dict[str, Any]:
    """A request's scope is its host, as far as the colon: what the app sees keeps its port."""
    host = {"name": ":authority", "element_separator": ":", "index": 0}
    return {
        "name": "apps",
        "scope_key_builder": {"fragments": [{"header_value_extractor": host}]},
        "rds_config_source": _ADS,
        "scoped_rds": {"scoped_rds_config_source": _ADS},
    }


def _filters() -> list[dict[str, Any]]:
    lua = {"@type": f"{_HTTP}.lua.v3.Lua", "default_source_code": {"inline_string": _LOWER_CASE_HOST}}
    router = {"@type": f"{_HTTP}.router.v3.Router", "dynamic_stats": False, "suppress_envoy_headers": True}
    return [
        {"name": "envoy.filters.http.lua", "typed_config": lua},
        {"name": "envoy.filters.http.router", "typed_config": router},
    ]


def _local_replies() -> dict[str, Any]:
    """What Envoy says by itself, in the platform's words. The first mapper that fits counts."""
    mappers: list[dict[str, Any]] = []
    for flags, page in (
        (["NR"], pages.HOST_UNKNOWN),
        (["UH", "NC"], pages.NO_HEALTHY_INSTANCE),
        (_UPSTREAM_FLAGS, pages.UPSTREAM_FAILED),
    ):
        by_flag = {"response_flag_filter": {"flags": flags}}
        wants_json = {"header_filter": {"header": {"name": "accept", "string_match": {"contains": pages.JSON}}}}
        both = {"and_filter": {"filters": [by_flag, wants_json]}}
        mappers += [_mapper(both, page, page.json(), pages.JSON), _mapper(by_flag, page, page.html(), pages.HTML)]
    return {"mappers": mappers}


def _mapper(condition: dict[str, Any], page: pages.Page, body: str, content_type: str) -> dict[str, Any]:
    headers = {pages.REASON_HEADER: page.reason, "cache-control": "no-store"}
    return {
        "filter": condition,
        "status_code": page.status,
        # `%` begins a command of Envoy's format.
        "body_format_override": {
            "text_format_source": {"inline_string": body.replace("%", "%%")},
            "content_type": content_type,
        },
        "headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ],
    }
