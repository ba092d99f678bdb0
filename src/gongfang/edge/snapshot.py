"""From `EdgeApp` to Envoy resources. Pure: no clock, no I/O, no order that matters.

An app is one cluster, its endpoints, and for each of its host names one scope with the route table inside, so that a
change costs the same with ten apps and ten thousand. Envoy's scope keys are exact strings and two scopes with one key
spoil a whole push: hence hosts are checked here, before anything is sent.

A stopped app without endpoints has no cluster at all; one that still drains keeps it, so that what is in flight is
finished and counted.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from gongfang.domain.errors import GongfangError, Rejected
from gongfang.edge import pages
from gongfang.edge.interface import EdgeApp, EdgeEndpoint, EdgeHttps
from gongfang.edge.messages import Cluster, ClusterLoadAssignment, Message, ScopedRouteConfiguration, from_json
from gongfang.edge.resources import Key, Kind, Resource, resource

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HEALTHY, _DRAINING = 1, 3  # envoy.config.core.v3.HealthStatus

HSTS_HEADER = "strict-transport-security"

# Instances close idle connections after 2 s at the earliest (gunicorn); the edge must be first, or a POST that is sent
# at that moment is lost.
UPSTREAM_IDLE_S = 1.5


def cluster_name(app_id: str) -> str:
    return f"app/{app_id}"


def valid_host(host: str) -> bool:
    """An exact name: lower-case ASCII labels, no port, no wildcard, no dot at the end; at most 253 characters."""
    return len(host) <= 253 and _HOST.fullmatch(host) is not None


def check(app: EdgeApp, taken: Mapping[str, str]) -> None:
    """Refuses what Envoy would choke on. `taken`: host name to the id of the app that has it.

    Raises `Rejected`: `edge_host_invalid`, or `edge_host_taken` when the host is another app's.
    """
    for host in app.hosts:
        if not valid_host(host):
            raise Rejected("edge_host_invalid", host=host, app=app.name or app.app_id)
        owner = taken.get(host, app.app_id)
        if owner != app.app_id:
            raise Rejected("edge_host_taken", host=host, app=app.name or app.app_id, owner=owner)


def settle(apps: Iterable[EdgeApp]) -> tuple[dict[str, EdgeApp], list[GongfangError]]:
    """What of a whole set can be served: a bad host is left out and its fault told, all else stays.

    Of two apps that claim one host the one with the lower id gets it, whatever the order in which they are given; of
    one app named twice the last counts.
    """
    accepted: dict[str, EdgeApp] = {}
    taken: dict[str, str] = {}
    faults: list[GongfangError] = []
    latest = {app.app_id: app for app in apps}
    for app_id in sorted(latest):
        app = latest[app_id]
        good: list[str] = []
        for host in app.hosts:
            try:
                check(replace(app, hosts=(host,)), taken)
            except Rejected as fault:
                faults.append(fault)
            else:
                good.append(host)
                taken[host] = app_id
        accepted[app_id] = replace(app, hosts=tuple(good))
    return accepted, faults


def resources(app: EdgeApp) -> dict[Key, Resource]:
    """All that Envoy needs of one app."""
    made = [_scope(app, host) for host in sorted(set(app.hosts))]
    if app.serving or app.endpoints:
        made += [_cluster(app), _endpoints(app)]
    return {r.key: r for r in made}


def keys(app: EdgeApp) -> list[Key]:
    """Of `resources(app)`, without making them."""
    scopes = [Key(Kind.scope, host) for host in sorted(set(app.hosts))]
    name = cluster_name(app.app_id)
    cluster = [Key(Kind.cluster, name), Key(Kind.endpoints, name)] if app.serving or app.endpoints else []
    return [*scopes, *cluster]


def _cluster(app: EdgeApp) -> Resource:
    name = cluster_name(app.app_id)
    message = _copy(Cluster, _cluster_template())
    message.name = name
    return resource(Kind.cluster, name, message)


def _endpoints(app: EdgeApp) -> Resource:
    name = cluster_name(app.app_id)
    message = ClusterLoadAssignment(cluster_name=name)
    group = message.endpoints.add()
    for endpoint in _distinct(app.endpoints):
        entry = group.lb_endpoints.add()
        entry.health_status = _DRAINING if endpoint.draining else _HEALTHY
        entry.endpoint.address.socket_address.address = endpoint.host
        entry.endpoint.address.socket_address.port_value = endpoint.port
    return resource(Kind.endpoints, name, message)


def _distinct(endpoints: Iterable[EdgeEndpoint]) -> list[EdgeEndpoint]:
    """One entry an address, in order; one that is said to drain drains, whatever else is said of it."""
    found: dict[tuple[str, int], EdgeEndpoint] = {}
    for endpoint in sorted(endpoints):
        found[endpoint.host, endpoint.port] = endpoint
    return list(found.values())


def _scope(app: EdgeApp, host: str) -> Resource:
    wish = next((wish for wish in app.https if wish.host == host), EdgeHttps(host))
    message = _copy(ScopedRouteConfiguration, _template(app.serving, wish.redirect, wish.hsts))
    message.name = host
    message.key.fragments.add().string_key = host
    message.route_configuration.name = host
    if not app.serving:
        return resource(Kind.scope, host, message)
    cluster = cluster_name(app.app_id)
    for route in message.route_configuration.virtual_hosts[0].routes:
        if route.HasField("route"):
            route.route.cluster = cluster
    return resource(Kind.scope, host, message, cluster=cluster)


def _copy(message_type: Message, template: Message) -> Message:
    message = message_type()
    message.CopyFrom(template)
    return message


@cache
def _cluster_template() -> Message:
    no_limit = 1_000_000
    return from_json(
        Cluster,
        {
            "type": "EDS",
            "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            # An endpoint that is taken out finishes what it has in flight.
            "ignore_health_on_host_removal": True,
            # Never fall back to endpoints that drain, even when there is no other.
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
            "per_connection_buffer_limit_bytes": 65536,
            "circuit_breakers": {
                "thresholds": [
                    {
                        "max_connections": no_limit,
                        "max_pending_requests": no_limit,
                        "max_requests": no_limit,
                        # The default of three retries at once lets a crash under load fail nearly everything.
                        "retry_budget": {"budget_percent": {"value": 100}, "min_retry_concurrency": 1000},
                    }
                ]
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                    "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_S}s"},
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            },
        },
    )


def _retry(conditions: str) -> dict[str, Any]:
    return {
        "retry_on": conditions,
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.010s"},
        # The one that has just died has the fewest requests, so least-request offers it first, again and again.
        "host_selection_retry_max_attempts": 30,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{_EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
    }


# What Envoy itself saw of the connection: a client's own `x-forwarded-proto` is overwritten before routes are chosen.
_PLAIN, _TLS = ({"name": "x-forwarded-proto", "string_match": {"exact": scheme}} for scheme in ("http", "https"))


@lru_cache(maxsize=256)
def _template(serving: bool, redirect: int | None, hsts: str | None) -> Message:
    """The routes of a host: those of its app, below what it wants of HTTPS."""
    routes = _serving_routes() if serving else _stopped_routes()
    if redirect is not None:
        return _scope_template([_redirect(redirect), *(_with_hsts(route, hsts) for route in routes)])
    if hsts is not None:
        return _scope_template([*(_only_tls(_with_hsts(route, hsts)) for route in routes), *routes])
    return _scope_template(routes)


def _redirect(port: int) -> dict[str, Any]:
    to = {"https_redirect": True, "response_code": "PERMANENT_REDIRECT"}
    return {"match": {"prefix": "/", "headers": [_PLAIN]}, "redirect": {**to, "port_redirect": port}}


def _only_tls(route: dict[str, Any]) -> dict[str, Any]:
    match = {**route["match"], "headers": [_TLS, *route["match"].get("headers", [])]}
    return {**route, "match": match}


def _with_hsts(route: dict[str, Any], hsts: str | None) -> dict[str, Any]:
    if hsts is None:
        return route
    return {
        **route,
        "response_headers_to_add": [*route.get("response_headers_to_add", []), _header(HSTS_HEADER, hsts)],
    }


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _serving_routes() -> list[dict[str, Any]]:
    """Two routes: what may be repeated safely is retried even when the instance died while answering."""
    before = "connect-failure,refused-stream,reset-before-request"
    repeatable = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    return [
        {
            "match": {"prefix": "/", "headers": [repeatable]},
            "route": {"cluster": "-", "timeout": "0s", "retry_policy": _retry(f"{before},reset")},
        },
        {
            "match": {"prefix": "/"},
            "route": {"cluster": "-", "timeout": "0s", "retry_policy": _retry(before)},
        },
    ]


def _stopped_routes() -> list[dict[str, Any]]:
    page = pages.APP_STOPPED
    wants_json = {"name": "accept", "string_match": {"contains": pages.JSON}}
    return [
        {"match": {"prefix": "/", "headers": [wants_json]}, **_direct(page, page.json(), pages.JSON)},
        {"match": {"prefix": "/"}, **_direct(page, page.html(), pages.HTML)},
    ]


def _direct(page: pages.Page, body: str, content_type: str) -> dict[str, Any]:
    headers = {"content-type": content_type, pages.REASON_HEADER: page.reason, "cache-control": "no-store"}
    return {
        "direct_response": {"status": page.status, "body": {"inline_string": body}},
        "response_headers_to_add": [_header(key, value) for key, value in headers.items()],
    }


def _scope_template(routes: list[dict[str, Any]]) -> Message:
    virtual_host = {"name": "app", "domains": ["*"], "routes": routes}
    # A route to a cluster that Envoy does not have (yet) must not spoil the push.
    table = {"virtual_hosts": [virtual_host], "validate_clusters": False}
    return from_json(ScopedRouteConfiguration, {"route_configuration": table})
