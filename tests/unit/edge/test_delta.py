"""The protocol's state for one Envoy, played through against a model of Envoy, without a server."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.edge.envoy.delta import Request, Response, Session
from gongfang.edge.resources import Key, Kind, Resource

WILD = (Kind.cluster, Kind.listener, Kind.scope)


class Table:
    def __init__(self) -> None:
        self.wanted: dict[Kind, dict[str, Resource]] = {kind: {} for kind in Kind}

    def put(self, kind: Kind, name: str, version: str, cluster: str | None = None) -> Key:
        key = Key(kind, name)
        self.wanted[kind][name] = Resource(key, version, version.encode(), cluster)
        return key

    def drop(self, kind: Kind, name: str) -> Key:
        self.wanted[kind].pop(name, None)
        return Key(kind, name)


class ModelEnvoy:
    """Does what Envoy does: a response with a bad resource is dropped whole; clusters make it ask for endpoints."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.has: dict[Kind, dict[str, Resource]] = {kind: {} for kind in Kind}
        self.inbox: deque[Response] = deque()
        self.asked: set[str] = set()
        self.broken: list[str] = []  # moments in which a host led nowhere
        self.answered: list[Kind] = []

    def connect(self, session: Session) -> None:
        self.session = session
        self.inbox.clear()
        for kind in (Kind.cluster, Kind.endpoints, Kind.listener, Kind.scope):
            initial = {name: r.version for name, r in self.has[kind].items()}
            if kind is Kind.endpoints:
                self.asked = set(self.has[Kind.cluster])
                if self.asked:
                    session.receive(Request(kind, subscribe=tuple(self.asked), initial=initial))
            else:
                session.receive(Request(kind, initial=initial))
        self.pump()

    def pump(self) -> None:
        self.inbox.extend(self.session.due())

    def step(self) -> None:
        """Takes in one response and answers it."""
        response = self.inbox.popleft()
        kind = response.kind
        self.answered.append(kind)
        if any(r.version.startswith("bad") for r in response.resources):
            self.session.receive(Request(kind, nonce=response.nonce, error="bad"))
            self.pump()
            return
        for r in response.resources:
            self.has[kind][r.key.name] = r
        for name in response.removed:
            self.has[kind].pop(name, None)
        self.session.receive(Request(kind, nonce=response.nonce))
        if kind is Kind.cluster:
            self.ask_for_endpoints()
        self.look()
        self.pump()

    def ask_for_endpoints(self) -> None:
        clusters = set(self.has[Kind.cluster])
        more, less = clusters - self.asked, self.asked - clusters
        self.asked = clusters
        for name in less:
            self.has[Kind.endpoints].pop(name, None)
        if more or less:
            self.session.receive(Request(Kind.endpoints, subscribe=tuple(more), unsubscribe=tuple(less)))

    def look(self) -> None:
        for name, r in self.has[Kind.scope].items():
            if r.cluster is not None and r.cluster not in self.has[Kind.cluster]:
                self.broken.append(name)

    def drain(self) -> None:
        self.pump()
        while self.inbox:
            self.step()


def fresh(table: Table) -> ModelEnvoy:
    envoy = ModelEnvoy(Session(table.wanted))
    envoy.connect(envoy.session)
    return envoy


def app(table: Table, name: str, version: str = "1", hosts: tuple[str, ...] = ()) -> list[Key]:
    return [
        table.put(Kind.endpoints, name, version),
        table.put(Kind.cluster, name, "c1"),
        *(table.put(Kind.scope, host, f"s-{name}", name) for host in hosts or (f"{name}.test",)),
    ]


def test_first_answers_come_even_when_there_is_nothing():
    envoy = fresh(Table())
    assert [r.kind for r in envoy.inbox] == [Kind.cluster, Kind.listener]
    envoy.drain()
    assert set(envoy.answered) == {Kind.cluster, Kind.listener, Kind.scope}
    assert envoy.session.quiet()


def test_a_scope_waits_for_its_cluster_and_endpoints():
    table = Table()
    envoy = fresh(table)
    envoy.drain()
    envoy.session.changed(app(table, "a"))
    envoy.pump()
    assert [r.kind for r in envoy.inbox] == [Kind.cluster]
    envoy.step()
    assert [r.kind for r in envoy.inbox] == [Kind.endpoints]
    assert not envoy.session.quiet()
    envoy.step()
    assert [r.kind for r in envoy.inbox] == [Kind.scope]
    envoy.drain()
    assert envoy.session.quiet()
    assert not envoy.broken


def test_a_cluster_leaves_after_its_scopes():
    table = Table()
    envoy = fresh(table)
    envoy.session.changed(app(table, "a", hosts=("x", "y")))
    envoy.drain()
    envoy.session.changed([table.drop(Kind.cluster, "a"), table.drop(Kind.endpoints, "a")])
    envoy.session.changed([table.drop(Kind.scope, "x"), table.drop(Kind.scope, "y")])
    envoy.pump()
    assert [(r.kind, sorted(r.removed)) for r in envoy.inbox] == [(Kind.scope, ["x", "y"])]
    envoy.step()
    assert [(r.kind, r.removed) for r in envoy.inbox] == [(Kind.cluster, ("a",))]
    envoy.drain()
    assert envoy.session.quiet()
    assert not envoy.broken


def test_one_bad_resource_is_found_and_the_others_served():
    table = Table()
    envoy = fresh(table)
    envoy.drain()
    keys: list[Key] = []
    for n in range(30):
        keys += app(table, f"a{n}", "bad" if n == 17 else "1")
    envoy.session.changed(keys)
    envoy.drain()
    assert set(envoy.has[Kind.scope]) == {f"a{n}.test" for n in range(30) if n != 17}
    assert envoy.session.refusal(Key(Kind.endpoints, "a17")) == "bad"
    assert envoy.session.quiet()
    envoy.session.changed(app(table, "a17", "2"))
    envoy.drain()
    assert "a17.test" in envoy.has[Kind.scope]
    assert envoy.session.refusal(Key(Kind.endpoints, "a17")) is None


def test_a_stream_that_comes_back_is_sent_only_what_differs():
    table = Table()
    envoy = fresh(table)
    for n in range(250):
        envoy.session.changed(app(table, f"a{n}"))
    envoy.drain()
    table.put(Kind.endpoints, "a7", "2")
    table.drop(Kind.scope, "a9.test")
    envoy.connect(Session(table.wanted))
    sent: list[tuple[Kind, list[str], tuple[str, ...]]] = []
    while envoy.inbox:
        response = envoy.inbox[0]
        if response.resources or response.removed:
            sent.append((response.kind, [r.key.name for r in response.resources], response.removed))
        envoy.step()
    assert sent == [(Kind.endpoints, ["a7"], ()), (Kind.scope, [], ("a9.test",))]


def test_a_changed_cluster_gets_its_endpoints_again():
    table = Table()
    envoy = fresh(table)
    envoy.session.changed(app(table, "a"))
    envoy.drain()
    envoy.session.changed([table.put(Kind.cluster, "a", "c2")])
    envoy.pump()
    assert [r.kind for r in envoy.inbox] == [Kind.cluster, Kind.endpoints]
    envoy.drain()
    table.put(Kind.cluster, "a", "c3")  # while nobody was there to send it
    session = Session(table.wanted)
    session.receive(Request(Kind.cluster, initial={"a": "c2"}))
    assert [r.kind for r in session.due()] == [Kind.cluster]
    session.receive(Request(Kind.endpoints, subscribe=("a",), initial={"a": "1"}))
    assert [r.kind for r in session.due()] == [Kind.endpoints]


def test_a_changed_listener_gets_its_scopes_again():
    table = Table()
    table.put(Kind.listener, "edge", "bad")
    envoy = fresh(table)
    envoy.session.changed(app(table, "a"))
    envoy.drain()
    envoy.session.changed([table.put(Kind.listener, "edge", "1")])
    envoy.pump()
    envoy.step()
    assert [(r.kind, len(r.resources)) for r in envoy.inbox] == [(Kind.scope, 1)]
    envoy.drain()
    envoy.connect(Session(table.wanted))
    envoy.drain()
    table.put(Kind.listener, "edge", "2")
    envoy.connect(Session(table.wanted))
    sent: list[tuple[Kind, int]] = []
    while envoy.inbox:
        sent.append((envoy.inbox[0].kind, len(envoy.inbox[0].resources)))
        envoy.step()
    assert sent == [(Kind.cluster, 0), (Kind.listener, 1), (Kind.scope, 1)]


def test_endpoints_of_an_unknown_name_are_said_not_to_exist():
    envoy = fresh(Table())
    envoy.drain()
    envoy.session.receive(Request(Kind.endpoints, subscribe=("ghost",)))
    envoy.pump()
    assert [(r.kind, r.removed) for r in envoy.inbox] == [(Kind.endpoints, ("ghost",))]


def test_a_secret_is_told_when_it_is_asked_for_and_a_made_up_name_is_forgotten():
    table = Table()
    envoy = fresh(table)
    envoy.drain()
    key = table.put(Kind.secret, "a.test", "1")
    envoy.session.changed([key])
    envoy.pump()
    assert not envoy.inbox  # nobody has asked
    envoy.session.receive(Request(Kind.secret, subscribe=("a.test", "made-up.test")))
    envoy.pump()
    (answer,) = envoy.inbox
    assert ([r.key.name for r in answer.resources], answer.removed) == (["a.test"], ("made-up.test",))
    envoy.drain()
    assert envoy.session.settled(key) and envoy.session.asked(Key(Kind.secret, "made-up.test"))
    envoy.session.receive(Request(Kind.secret, unsubscribe=("made-up.test",)))
    assert not envoy.session.asked(Key(Kind.secret, "made-up.test"))
    envoy.session.changed([table.put(Kind.secret, "a.test", "2")])
    assert not envoy.session.settled(key)
    envoy.drain()
    assert envoy.session.settled(key) and envoy.has[Kind.secret]["a.test"].version == "2"
    # Gone, before Envoy's word that it no more asks has come.
    envoy.session.changed([table.drop(Kind.secret, "a.test")])
    envoy.drain()
    envoy.session.changed([table.put(Kind.secret, "a.test", "3")])
    envoy.session.receive(Request(Kind.secret, unsubscribe=("a.test",)))
    envoy.session.receive(Request(Kind.secret, subscribe=("a.test",)))
    envoy.drain()
    assert envoy.has[Kind.secret]["a.test"].version == "3" and envoy.session.settled(key)


def test_what_was_refused_is_sent_again_only_on_demand():
    table = Table()
    key = table.put(Kind.listener, "edge", "bad")
    envoy = fresh(table)
    envoy.drain()
    assert envoy.session.refusal(key) == "bad"
    assert not list(envoy.session.due())
    envoy.session.retry(key)
    assert [r.kind for r in envoy.session.due()] == [Kind.listener]


def test_a_scope_that_is_wanted_again_as_envoy_has_it_keeps_no_other_cluster():
    table = Table()
    envoy = fresh(table)
    envoy.session.changed([*app(table, "a"), *app(table, "c")])
    envoy.drain()
    table.drop(Kind.scope, "a.test")  # while the stream is away, and back before anything was sent
    envoy.connect(Session(table.wanted))
    envoy.session.changed(app(table, "a"))
    envoy.session.changed([table.drop(Kind.scope, "c.test"), table.drop(Kind.cluster, "c")])
    envoy.session.changed([table.drop(Kind.endpoints, "c")])
    envoy.drain()
    assert envoy.session.quiet() and set(envoy.has[Kind.cluster]) == {"a"}


names = st.sampled_from(["a", "b", "c"])
steps = st.one_of(
    st.tuples(st.just("put"), names, st.sampled_from(["1", "2", "bad"]), st.sampled_from(["c1", "c2"])),
    st.tuples(st.just("host"), names, names),
    st.tuples(st.just("drop"), names),
    st.tuples(st.just("step")),
    st.tuples(st.just("reconnect")),
)


@settings(max_examples=300)
@given(st.lists(steps, max_size=40))
def test_whatever_happens_envoy_ends_with_what_is_wanted(script: list[tuple[str, ...]]):
    """Apps come, change, go, take hosts from one another; Envoy is slow, refuses, and reconnects."""
    table = Table()
    envoy = fresh(table)
    for action, *values in script:
        match action, values:
            case "put", [name, version, cluster]:
                keys = [table.put(Kind.endpoints, name, version), table.put(Kind.cluster, name, cluster)]
                envoy.session.changed(keys)
            case "host", [host, name] if name in table.wanted[Kind.cluster]:
                envoy.session.changed([table.put(Kind.scope, host, f"s-{name}", name)])
            case "drop", [name]:
                users = [h for h, r in table.wanted[Kind.scope].items() if r.cluster == name]
                keys = [table.drop(Kind.scope, h) for h in users]
                envoy.session.changed([*keys, table.drop(Kind.cluster, name), table.drop(Kind.endpoints, name)])
            case "step", [] if envoy.inbox:
                envoy.step()
            case "reconnect", []:
                envoy.connect(Session(table.wanted))
            case _:
                pass
    reconnected = any(action == "reconnect" for action, *_ in script)
    envoy.drain()
    assert envoy.session.quiet()
    assert {k: r.version for k, r in envoy.has[Kind.cluster].items()} == {
        k: r.version for k, r in table.wanted[Kind.cluster].items()
    }
    for name, r in table.wanted[Kind.endpoints].items():
        if r.version != "bad":
            assert envoy.has[Kind.endpoints][name].version == r.version
            assert envoy.session.settled(r.key)
        else:
            assert envoy.session.refusal(r.key) == "bad"
    for host, r in table.wanted[Kind.scope].items():
        if table.wanted[Kind.endpoints][r.cluster or ""].version != "bad":
            assert envoy.has[Kind.scope][host].cluster == r.cluster
    assert envoy.has[Kind.scope].keys() <= table.wanted[Kind.scope].keys()
    if not reconnected:
        assert not envoy.broken
