"""Spaces' policies made true: what a workload may reach when it starts, and for those that run when a policy changes.
What an app is bound to belongs to it: its instances and tasks reach those servers, its builds do not.

A handler for `KeyedWorkers`, the key being a space's id. It says to the runtime what each of the space's workloads may
reach, whoever asked and however often; a runtime that knows it already does nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from gongfang.domain.egress import EgressPolicy, Target
from gongfang.domain.errors import Rejected
from gongfang.domain.values import App
from gongfang.runtimes.interface import Network, NetworkKind, Observation, Phase, Runtime, WorkloadKind, WorkloadSpec
from gongfang.state import Database
from gongfang.state.service_queries import bound_of, bound_servers

RESOLVE_S = 5.0
_BOUND_KINDS = (WorkloadKind.instance, WorkloadKind.task)
_NO_APPS = (WorkloadKind.platform, WorkloadKind.service)
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class Egress:
    """`environment`: what builds are told of the machine's proxies and package indexes; they reach these, wherever they
    are."""

    def __init__(self, database: Database, runtime: Runtime, environment: Mapping[str, str]) -> None:
        self._database = database
        self._runtime = runtime
        self._indexes = index_places(environment.values())

    async def network(self, space_id: str, kind: WorkloadKind, app_id: str | None = None) -> Network:
        """What a workload of this space and this app may reach."""
        async with self._database.reading() as tx:
            policy = await tx.one(EgressPolicy, space_id) or EgressPolicy(space_id)
            bound = await bound_servers(tx, app_id) if app_id and kind in _BOUND_KINDS else []
        return await self._network(policy, kind, bound)

    async def _network(self, policy: EgressPolicy, kind: WorkloadKind, bound: Sequence[tuple[str, int]]) -> Network:
        allow = policy.targets
        if kind is WorkloadKind.build:
            allow += await self._index_targets()
        services = tuple(Target(ipaddress.IPv4Network(host), port, port) for host, port in bound)
        return Network(NetworkKind.own, policy.internet, tuple(dict.fromkeys(allow)), services)

    async def spaces(self) -> list[str]:
        """Those in which something runs."""
        running = _running(await self._runtime.list())
        async with self._database.reading() as tx:
            apps = await tx.find(App, id=sorted({seen.labels.get("app", "") for seen in running})) if running else []
        return sorted({app.space_id for app in apps})

    async def __call__(self, space_id: str) -> float | None:
        """A few questions for all of a space: most apps are bound to nothing."""
        running = _running(await self._runtime.list())
        async with self._database.reading() as tx:
            apps = {app.id for app in await tx.find(App, space_id=space_id)}
            policy = await tx.one(EgressPolicy, space_id) or EgressPolicy(space_id)
            found = sorted({app for seen in running if (app := seen.labels.get("app", "")) in apps})
            bound = {app: await bound_servers(tx, app) for app in await bound_of(tx, found)}
        wanted: dict[tuple[WorkloadKind, str], Network] = {}
        for seen in running:
            app = seen.labels.get("app", "")
            if app not in apps or seen.kind is None:
                continue
            of = (seen.kind, app if app in bound and seen.kind in _BOUND_KINDS else "")
            if of not in wanted:
                wanted[of] = await self._network(policy, seen.kind, bound[app] if of[1] else ())
            try:
                await self._runtime.set_network(seen.workload_id, wanted[of])
            except Rejected:  # of a release before: it has the machine's network until it is started anew
                continue
        return None

    async def _index_targets(self) -> tuple[Target, ...]:
        """Looked up when a build starts; what can't be found then is not reached."""
        loop = asyncio.get_running_loop()
        found: list[Target] = []
        for host, port in self._indexes:
            try:
                async with asyncio.timeout(RESOLVE_S):
                    answers = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
            except (OSError, TimeoutError, UnicodeError):
                continue
            found += [Target(ipaddress.IPv4Network(answer[4][0]), port, port) for answer in answers]
        return tuple(sorted({t for t in found if not t.hopeless}))


async def start_in(runtime: Runtime, egress: Egress | None, space_id: str, spec: WorkloadSpec) -> None:
    """Starts a workload that may reach what its space's policy says; without policies (None), what a space begins with.

    A policy may change between the look and the start, when nobody finds the workload yet: so it is looked at again.
    The same holds for what its app (the label) is bound to.
    """
    if egress is None:
        await runtime.start(spec)
        return
    app_id = spec.labels.get("app")
    await runtime.start(replace(spec, network=await egress.network(space_id, spec.kind, app_id)))
    await runtime.set_network(spec.id, await egress.network(space_id, spec.kind, app_id))


def _running(seen: Iterable[Observation]) -> list[Observation]:
    return [each for each in seen if each.phase is Phase.running and each.kind not in _NO_APPS]


def index_places(values: Iterable[str]) -> list[tuple[str, int]]:
    """Hosts and ports that addresses in the values name. Pure."""
    found: dict[tuple[str, int], None] = {}
    for value in values:
        for word in value.replace(",", " ").replace("|", " ").split():
            scheme, separator, _ = word.partition("://")
            if not separator or scheme not in _DEFAULT_PORTS:
                continue
            try:
                parts = urlsplit(word)
                if parts.hostname:
                    found[parts.hostname, parts.port or _DEFAULT_PORTS[scheme]] = None
            except ValueError:
                continue
    return list(found)
