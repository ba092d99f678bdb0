"""One Envoy's side of the delta protocol, without I/O: what it has, what it refused, what is due next.

A `Session` lives as long as one stream. It reads the wanted resources from a table that its owner changes and tells it
about by `changed`; it is told what Envoy said by `receive`; and `due` yields the responses to write. All of it is
level-triggered: only the difference between what Envoy was last sent and what is wanted now ever counts.

Some rules make changes seamless:

- *Make before break.* A scope waits until Envoy has confirmed the cluster that it leads to and its endpoints; a cluster
  is taken away only when no scope that Envoy may still have leads to it.
- *One bad resource harms nobody else.* Envoy drops a whole response for one fault and does not ask again: the resources
  of a refused response are sent again one by one, until the guilty one is alone.
- *A changed cluster gets its endpoints again*, since Envoy warms it as if it were new; so does a changed listener its
  scopes. Envoy does not ask for either again, and waits for 15 s.

The first answer of each kind on a stream is whole and does not wait for other kinds: a listener that starts must not
answer 404 to hosts whose turn has not come.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gongfang.edge.resources import Key, Kind, Resource

CHUNK = 100  # resources in one response

Wanted = Mapping[Kind, Mapping[str, Resource]]


@dataclass(frozen=True, slots=True)
class Request:
    """`error`: Envoy's words when it refused the response `nonce`. `initial`: what it has, at the start of a stream."""

    kind: Kind
    nonce: str = ""
    error: str | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Response:
    kind: Kind
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


@dataclass(slots=True)
class _Watch:
    """What is known of one kind. A version of None stands for "Envoy does not have it"."""

    opened: bool = False
    answered: bool = False
    names: set[str] = field(default_factory=set[str])  # only of a kind asked for by name
    sent: dict[str, str | None] = field(default_factory=dict[str, str | None])
    acked: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, tuple[str | None, str]] = field(default_factory=dict[str, tuple[str | None, str]])
    dirty: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    alone: set[str] = field(default_factory=set[str])

    def forget(self, name: str) -> None:
        self.sent.pop(name, None)
        self.acked.pop(name, None)
        self.refused.pop(name, None)


class _Uses:
    """Which scopes that Envoy may have lead to which clusters. An unknown scope may lead to any."""

    def __init__(self) -> None:
        self._of_scope: defaultdict[str, set[str]] = defaultdict(set)
        self._of_cluster: defaultdict[str, set[str]] = defaultdict(set)
        self._unknown: set[str] = set()

    def may_have(self, scope: str, cluster: str | None) -> None:
        if cluster is not None:
            self._of_scope[scope].add(cluster)
            self._of_cluster[cluster].add(scope)

    def unknown(self, scope: str) -> None:
        self._unknown.add(scope)

    def has_only(self, scope: str, cluster: str | None) -> None:
        self._unknown.discard(scope)
        for old in self._of_scope.pop(scope, set()):
            self._of_cluster[old].discard(scope)
            if not self._of_cluster[old]:
                del self._of_cluster[old]
        self.may_have(scope, cluster)

    def user(self, cluster: str) -> str | None:
        """A scope that may lead to the cluster."""
        users = self._of_cluster.get(cluster) or self._unknown
        return next(iter(users), None)


class Session:
    """See the module's docstring. Not to be used from two tasks at once; nothing in it waits."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._watches = {kind: _Watch() for kind in Kind}
        self._in_flight: dict[str, tuple[Kind, dict[str, Resource | None]]] = {}
        self._parked: defaultdict[Key, set[Key]] = defaultdict(set)  # by the key that they wait for
        self._uses = _Uses()
        self._nonce = 0
        self._changed_clusters: set[str] = set()  # sent on this stream

    # --- what Envoy said ---------------------------------------------------------------------------------------------

    def receive(self, request: Request) -> list[Key]:
        """Takes in a request; returns the keys about which Envoy's word is new."""
        watch = self._watches[request.kind]
        touched: list[Key] = []
        for name in request.unsubscribe:
            watch.names.discard(name)
            watch.forget(name)
            touched.append(Key(request.kind, name))
        if not watch.opened:
            self._start(request, watch)
        elif request.kind.by_name:
            for name in request.subscribe:
                watch.names.add(name)
                watch.forget(name)
                watch.dirty[name] = None
        if request.nonce in self._in_flight:
            kind, content = self._in_flight.pop(request.nonce)
            if request.error is None:
                self._accepted(kind, content)
            else:
                self._refused(kind, content, request.error)
            touched += [Key(kind, name) for name in content]
        self._unpark(touched)
        return touched

    def _unpark(self, keys: Iterable[Key]) -> None:
        for key in keys:
            for waiting in self._parked.pop(key, ()):
                self._mark(waiting)

    def _start(self, request: Request, watch: _Watch) -> None:
        watch.opened = True
        watch.sent.update(request.initial)
        watch.acked.update(request.initial)
        wanted = self._wanted[request.kind]
        watch.dirty.update(dict.fromkeys(request.initial))
        if request.kind.by_name:
            watch.names.update(request.subscribe)
            for name in self._changed_clusters:
                watch.forget(name)
            watch.dirty.update(dict.fromkeys(request.subscribe))
        else:
            watch.dirty.update(dict.fromkeys(wanted))
        if request.kind is Kind.scope:
            for name, version in request.initial.items():
                here = wanted.get(name)
                if here is not None and here.version == version:
                    self._uses.has_only(name, here.cluster)
                else:
                    self._uses.unknown(name)

    def _accepted(self, kind: Kind, content: Mapping[str, Resource | None]) -> None:
        watch = self._watches[kind]
        for name, resource in content.items():
            if kind.by_name and name not in watch.names:
                continue
            if resource is not None:
                watch.acked[name] = resource.version
            else:
                watch.acked.pop(name, None)
                if not kind.by_name and watch.sent.get(name) is None:
                    watch.sent.pop(name, None)
            watch.alone.discard(name)
            watch.refused.pop(name, None)
            if kind is Kind.scope and watch.sent.get(name) == watch.acked.get(name):
                self._uses.has_only(name, resource.cluster if resource else None)
        if kind is Kind.listener and content and self._watches[Kind.scope].opened:
            self._scopes_again()

    def _scopes_again(self) -> None:
        watch = self._watches[Kind.scope]
        watch.answered = False
        for name in self._wanted[Kind.scope]:
            watch.sent.pop(name, None)
            watch.dirty[name] = None

    def _refused(self, kind: Kind, content: Mapping[str, Resource | None], error: str) -> None:
        watch = self._watches[kind]
        for name, resource in content.items():
            version = resource.version if resource else None
            if watch.sent.get(name) != version:
                continue  # something newer is on its way
            if len(content) == 1:
                watch.refused[name] = (version, error)
            else:
                watch.alone.add(name)
                self._send_again(watch, name)

    def _send_again(self, watch: _Watch, name: str) -> None:
        if name in watch.acked:
            watch.sent[name] = watch.acked[name]
        else:
            watch.sent.pop(name, None)
        watch.dirty[name] = None

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def changed(self, keys: Iterable[Key]) -> None:
        """The owner has changed these in the table."""
        for key in keys:
            self._mark(key)
            self._unpark((key,))

    def _mark(self, key: Key) -> None:
        watch = self._watches[key.kind]
        resource = self._wanted[key.kind].get(key.name)
        if self._differs(watch, key.kind, key.name, resource):
            watch.dirty[key.name] = None
        elif key.kind is Kind.scope and resource is not None and self.settled(key):
            # What Envoy came with is wanted after all: nothing will be sent, so no answer will say where it leads.
            self._uses.has_only(key.name, resource.cluster)

    def retry(self, key: Key) -> None:
        """Sends again what was refused."""
        watch = self._watches[key.kind]
        if watch.refused.pop(key.name, None) is not None:
            self._send_again(watch, key.name)

    def due(self) -> Iterator[Response]:
        """Responses to write now, in order. What Envoy says or what changes meanwhile is taken in at each step."""
        while True:
            response = next((r for kind in Kind if (r := self._next(kind)) is not None), None)
            if response is None:
                return
            yield response

    def _next(self, kind: Kind) -> Response | None:
        watch = self._watches[kind]
        if not watch.opened:
            return None
        if kind is Kind.scope and any(sent is Kind.listener for sent, _ in self._in_flight.values()):
            return None  # else a new listener could start with an answer that was meant for the one before
        whole = not watch.answered and not kind.by_name
        content: dict[str, Resource | None] = {}
        while watch.dirty and (whole or len(content) < CHUNK):
            name, _ = watch.dirty.popitem(last=False)
            resource = self._wanted[kind].get(name)
            if not self._differs(watch, kind, name, resource):
                continue
            blocker = None if whole else self._blocker(kind, name, resource)
            if blocker is not None:
                self._parked[blocker].add(Key(kind, name))
            elif name not in watch.alone:
                content[name] = resource
            elif content:
                watch.dirty[name] = None
                watch.dirty.move_to_end(name, last=False)
                break
            else:
                content[name] = resource
                break
        if not content and not whole:
            return None
        watch.answered = True
        return self._send(kind, content)

    def _differs(self, watch: _Watch, kind: Kind, name: str, resource: Resource | None) -> bool:
        if kind.by_name:
            if name not in watch.names:
                return False
            if resource is None:  # a name that does not exist must be said not to exist
                return name not in watch.sent or watch.sent[name] is not None
        return watch.sent.get(name) != (resource.version if resource else None)

    def _blocker(self, kind: Kind, name: str, resource: Resource | None) -> Key | None:
        """What Envoy must have confirmed before this is sent."""
        if kind is Kind.scope and resource is not None and resource.cluster is not None:
            needs = (Key(Kind.cluster, resource.cluster), Key(Kind.endpoints, resource.cluster))
            return next((key for key in needs if not self.settled(key)), None)
        if kind is Kind.cluster and resource is None:
            user = self._uses.user(name)
            return Key(Kind.scope, user) if user is not None else None
        if kind is Kind.endpoints and resource is None and name in self._watches[Kind.cluster].acked:
            return Key(Kind.cluster, name)
        return None

    def _send(self, kind: Kind, content: dict[str, Resource | None]) -> Response:
        watch = self._watches[kind]
        self._nonce += 1
        nonce = str(self._nonce)
        self._in_flight[nonce] = (kind, content)
        for name, resource in content.items():
            watch.sent[name] = resource.version if resource else None
            if kind is Kind.scope and resource is not None:
                self._uses.may_have(name, resource.cluster)
            if kind is Kind.cluster and resource is not None:
                self._changed_clusters.add(name)
                self._watches[Kind.endpoints].forget(name)
                self._mark(Key(Kind.endpoints, name))
        removed = tuple(name for name, resource in content.items() if resource is None)
        return Response(kind, nonce, tuple(r for r in content.values() if r is not None), removed)

    # --- how it stands -----------------------------------------------------------------------------------------------

    def asked(self, key: Key) -> bool:
        """Envoy has asked for this one, of a kind asked for by name."""
        return key.name in self._watches[key.kind].names

    def settled(self, key: Key) -> bool:
        """Envoy has confirmed what is wanted (or that it does not have what is not wanted)."""
        watch = self._watches[key.kind]
        resource = self._wanted[key.kind].get(key.name)
        return watch.opened and watch.acked.get(key.name) == (resource.version if resource else None)

    def refusal(self, key: Key) -> str | None:
        """Envoy's words, when it refused what is wanted now."""
        resource = self._wanted[key.kind].get(key.name)
        version, words = self._watches[key.kind].refused.get(key.name, (None, None))
        return words if version == (resource.version if resource else None) else None

    def quiet(self) -> bool:
        """Everything wanted has been sent and answered, be it with a refusal."""
        if self._in_flight or not all(watch.opened for kind, watch in self._watches.items() if not kind.by_name):
            return False
        if any(watch.dirty for watch in self._watches.values()):
            return False
        return all(self.settled(key) or self.refusal(key) is not None for key in self._parked)
