"""Spaces' policies made true: what a workload may reach when it starts, and for those that run when a policy changes.

A handler for `KeyedWorkers`, the key being a space's id. It says to the runtime what each of the space's workloads may
reach, whoever asked and however often; a runtime that knows it already does nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from gongfang.domain.egress import EgressPolicy, Target
from gongfang.domain.errors import Rejected
from gongfang.domain.values import App
from gongfang.runtimes.interface import Network, NetworkKind, Observation, Phase, Runtime, WorkloadKind, WorkloadSpec
from gongfang.state import Database

RESOLVE_S = 5.0
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class Egress:
    """`environment`: what builds are told of the machine's proxies and package indexes; they reach these, wherever they
    are."""

    def __init__(self, database: Database, runtime: Runtime, environment: Mapping[str, str]) -> None:
        self._database = database
        self._runtime = runtime
        self._indexes = index_places(environment.values())

    async def network(self, space_id: str, kind: WorkloadKind) -> Network:
        """What a workload of this space may reach."""
        async with self._database.reading() as tx:
            policy = await tx.one(EgressPolicy, space_id) or EgressPolicy(space_id)
        allow = policy.targets
        if kind is WorkloadKind.build:
            allow += await self._index_targets()
        return Network(NetworkKind.own, policy.internet, tuple(dict.fromkeys(allow)))

    async def spaces(self) -> list[str]:
        """Those in which something runs."""
        running = _running(await self._runtime.list())
        async with self._database.reading() as tx:
            apps = await tx.find(App, id=sorted({seen.labels.get("app", "") for seen in running})) if running else []
        return sorted({app.space_id for app in apps})

    async def __call__(self, space_id: str) -> float | None:
        running = _running(await self._runtime.list())
        async with self._database.reading() as tx:
            apps = {app.id for app in await tx.find(App, space_id=space_id)}
        wanted: dict[WorkloadKind, Network] = {}
        for seen in running:
            if seen.labels.get("app") not in apps or seen.kind is None:
                continue
            if seen.kind not in wanted:
                wanted[seen.kind] = await self.network(space_id, seen.kind)
            try:
                await self._runtime.set_network(seen.workload_id, wanted[seen.kind])
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
    """
    if egress is None:
        await runtime.start(spec)
        return
    await runtime.start(replace(spec, network=await egress.network(space_id, spec.kind)))
    await runtime.set_network(spec.id, await egress.network(space_id, spec.kind))


def _running(seen: Iterable[Observation]) -> list[Observation]:
    return [each for each in seen if each.phase is Phase.running and each.kind is not WorkloadKind.platform]


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
