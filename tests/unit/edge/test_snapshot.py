"""The pure step from apps to Envoy's resources."""

from dataclasses import replace

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import scoped_route_pb2
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.errors import Rejected
from gongfang.edge import pages, snapshot
from gongfang.edge.interface import EdgeApp, EdgeEndpoint, EdgeHttps
from gongfang.edge.resources import Key, Kind

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
endpoints = st.builds(
    EdgeEndpoint,
    host=st.ip_addresses(v=4).map(str),
    port=st.integers(1, 65535),
    draining=st.booleans(),
)
apps = st.builds(
    EdgeApp,
    app_id=st.text("abcdef0123456789", min_size=1, max_size=8),
    hosts=st.lists(hosts, max_size=4).map(tuple),
    endpoints=st.lists(endpoints, max_size=4).map(tuple),
    serving=st.booleans(),
)


def scope(app: EdgeApp, host: str):
    return scoped_route_pb2.ScopedRouteConfiguration.FromString(snapshot.resources(app)[Key(Kind.scope, host)].body)


@given(apps)
def test_an_app_is_the_same_whatever_the_order_of_its_parts(app: EdgeApp):
    mirrored = replace(app, hosts=app.hosts[::-1], endpoints=app.endpoints[::-1])
    assert snapshot.resources(app) == snapshot.resources(mirrored)


@given(apps)
def test_every_host_has_one_scope_that_leads_to_the_apps_cluster(app: EdgeApp):
    made = snapshot.resources(app)
    assert {key.name for key in made if key.kind is Kind.scope} == set(app.hosts)
    name = snapshot.cluster_name(app.app_id)
    for host in app.hosts:
        message = scope(app, host)
        assert [f.string_key for f in message.key.fragments] == [host]
        targets = {r.route.cluster for r in message.route_configuration.virtual_hosts[0].routes if r.HasField("route")}
        assert targets == ({name} if app.serving else set())
        assert not app.serving or Key(Kind.cluster, name) in made
    assert (Key(Kind.cluster, name) in made) == (Key(Kind.endpoints, name) in made)


@given(apps)
def test_every_endpoint_is_listed_once_and_draining_wins(app: EdgeApp):
    made = snapshot.resources(app).get(Key(Kind.endpoints, snapshot.cluster_name(app.app_id)))
    if made is None:
        assert not app.serving
        assert not app.endpoints
        return
    message = endpoint_pb2.ClusterLoadAssignment.FromString(made.body)
    listed = {}
    for entry in message.endpoints[0].lb_endpoints:
        address = entry.endpoint.address.socket_address
        assert (address.address, address.port_value) not in listed
        listed[address.address, address.port_value] = entry.health_status == 3
    wanted: dict[tuple[str, int], bool] = {}
    for endpoint in app.endpoints:
        wanted[endpoint.host, endpoint.port] = wanted.get((endpoint.host, endpoint.port), False) or endpoint.draining
    assert listed == wanted


@given(apps, endpoints)
def test_a_new_endpoint_changes_the_endpoints_alone(app: EdgeApp, endpoint: EdgeEndpoint):
    app = replace(app, serving=True, endpoints=())
    before = snapshot.resources(app)
    after = snapshot.resources(replace(app, endpoints=(endpoint,)))
    assert {key for key in after if after[key] != before.get(key)} == {
        Key(Kind.endpoints, snapshot.cluster_name(app.app_id))
    }


@given(st.lists(apps, max_size=6), st.randoms())
def test_of_a_whole_set_each_host_goes_to_one_app_whatever_the_order(some: list[EdgeApp], random):
    distinct = list({app.app_id: app for app in some}.values())
    accepted, faults = snapshot.settle(distinct)
    random.shuffle(distinct)
    assert snapshot.settle(distinct)[0] == accepted
    given_out = [host for app in accepted.values() for host in set(app.hosts)]
    assert len(given_out) == len(set(given_out)) == len({host for app in distinct for host in app.hosts})
    assert all(fault.code == "edge_host_taken" for fault in faults)


HOSTILE = [
    "",
    "*",
    "*.example.com",
    "Example.com",
    "example.com.",
    "example..com",
    ".example.com",
    "example.com:80",
    "-a.com",
    "a-.com",
    "a b.com",
    "a/b",
    "a%00b",
    "a\nb.com",
    "a.com\n",
    "[::1]",
    "工坊.com",
    "a" * 64 + ".com",
    ".".join(["abcdefg"] * 40),
]


@pytest.mark.parametrize("host", HOSTILE)
def test_hostile_hosts_are_refused(host: str):
    app = EdgeApp("a", ("good.example", host), ())
    with pytest.raises(Rejected) as caught:
        snapshot.check(app, {})
    assert caught.value.code == "edge_host_invalid"
    accepted, faults = snapshot.settle([app])
    assert accepted["a"].hosts == ("good.example",)
    assert [fault.code for fault in faults] == ["edge_host_invalid"]


@given(st.text(max_size=80))
def test_what_is_taken_for_a_host_is_lower_case_ascii(text: str):
    if snapshot.valid_host(text):
        assert text.isascii()
        assert text == text.lower().strip(".")
        assert not set(text) & set(" :*/%\n")


def test_a_host_of_another_app_is_refused_by_name():
    with pytest.raises(Rejected) as caught:
        snapshot.check(EdgeApp("b", ("x.example",), ()), {"x.example": "a"})
    assert caught.value.code == "edge_host_taken"
    assert caught.value.facts["host"] == "x.example"
    snapshot.check(EdgeApp("a", ("x.example",), ()), {"x.example": "a"})


def test_a_stopped_app_answers_by_itself_and_keeps_a_cluster_only_while_it_drains():
    stopped = EdgeApp("a", ("x.example",), (), serving=False)
    assert [key.kind for key in snapshot.resources(stopped)] == [Kind.scope]
    routes = scope(stopped, "x.example").route_configuration.virtual_hosts[0].routes
    assert [route.direct_response.status for route in routes] == [503, 503]
    draining = replace(stopped, endpoints=(EdgeEndpoint("127.0.0.1", 80, draining=True),))
    assert {key.kind for key in snapshot.resources(draining)} == {Kind.scope, Kind.cluster, Kind.endpoints}


@pytest.mark.parametrize("page", pages.ALL, ids=lambda page: page.reason)
def test_pages_say_it_in_both_languages_and_fit(page: pages.Page):
    for body in (page.html(), page.json()):
        assert len(body.encode()) < 4096
        assert all(text in body for text in (*page.title, *page.advice, page.reason))


@given(apps, st.sampled_from([None, 443, 7443]), st.sampled_from([None, "max-age=60"]))
def test_https_is_a_hosts_own_affair(app: EdgeApp, redirect: int | None, hsts: str | None):
    """Whatever one host wants, the others' routes stay as they were, and HSTS is never sent in clear."""
    if not app.hosts:
        return
    host = app.hosts[0]
    before = snapshot.resources(app)
    after = snapshot.resources(replace(app, https=(EdgeHttps(host, redirect, hsts),)))
    changed = {key.name for key in before if before[key].version != after[key].version}
    assert changed == (set() if redirect is None and hsts is None else {host})
    routes = scope(replace(app, https=(EdgeHttps(host, redirect, hsts),)), host).route_configuration.virtual_hosts[0]
    assert len([r for r in routes.routes if r.HasField("redirect")]) == (redirect is not None)
    for place, route in enumerate(routes.routes):
        conditions = {h.name: h.string_match.exact for h in route.match.headers}
        if route.HasField("redirect"):
            assert place == 0 and conditions == {"x-forwarded-proto": "http"}
            assert (route.redirect.port_redirect, route.redirect.response_code) == (redirect, 4)
        elif any(h.header.key == snapshot.HSTS_HEADER for h in route.response_headers_to_add):
            assert redirect is not None or conditions["x-forwarded-proto"] == "https"
    if app.serving:
        targets = {r.route.cluster for r in routes.routes if not r.HasField("redirect")}
        assert targets == {snapshot.cluster_name(app.app_id)}
