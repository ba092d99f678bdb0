"""The driver's side of `network`: what it asks in values and awaits, and the watch over the rules."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import structlog

from gongfang.domain.errors import Unavailable
from gongfang.runtimes.interface import Guarantee, Network, NetworkKind
from gongfang.runtimes.local.launch import Launch, spawn
from gongfang.runtimes.local.net import files
from gongfang.runtimes.local.net.firewall import Policy
from gongfang.runtimes.local.net.network import Networks, NetworkSettings, NoNetwork
from gongfang.runtimes.local.ports import Ports
from gongfang.runtimes.local.records import Record
from gongfang.runtimes.local.sandbox import FDS

WATCH_S = 5.0
_log = structlog.get_logger()


class NetworkKeeper:
    """Opened by the driver once its records are read."""

    def __init__(self, folder: Path, settings: NetworkSettings, ports: Ports) -> None:
        self._ports = ports
        self._networks = Networks(folder, settings, *ports.slots)
        self._why = NoNetwork("network_not_wanted")
        self._watch: asyncio.Task[None] | None = None

    @property
    def enforced(self) -> bool:
        return self._networks.addresses is not None

    @property
    def gateway(self) -> IPv4Address | None:
        addresses = self._networks.addresses
        return None if addresses is None else addresses.gateway

    def guarantee(self) -> Guarantee:
        if self.enforced:
            return Guarantee("own_network", True)
        return Guarantee("own_network", False, self._why.code, self._why.facts)

    async def open(self, running: Sequence[Record], *, why_not: str) -> None:
        """`why_not`: a code, where the driver knows already that there can be none."""
        members = {IPv4Address(r.address): _policy(r.network) for r in running if r.address is not None}
        try:
            if why_not:
                raise NoNetwork(why_not)
            await asyncio.to_thread(self._networks.open, members)
        except NoNetwork as error:
            self._why = error
            if why_not != "network_needs_sandbox":  # `down` looks without one
                _log.warning("no networks of their own", code=error.code, **error.facts)
            return
        self._watch = asyncio.create_task(self._keep(), name="network-watch")

    async def close(self) -> None:
        """What is in place stays."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    def address(self, port: int) -> str:
        """Raises `Unavailable("network_outgrown")` where the subnet was chosen for fewer workloads: it is kept while
        anything runs in it, and then two slots could mean the same address."""
        addresses = self._networks.addresses
        assert addresses is not None
        ordinary, pinned = self._ports.slots
        slot = self._ports.slot(port)
        room = (ordinary, slot.index + 1) if slot.pinned else (slot.index + 1, 0)
        if not addresses.has_room(*room):
            raise Unavailable(
                "network_outgrown", network=str(addresses.subnet), slots=ordinary + pinned, retry_after=60
            )
        return str(addresses.of_pinned(slot.index) if slot.pinned else addresses.of_slot(slot.index))

    def files(self, hostname: str) -> dict[int, bytes]:
        """What is shown in /etc, by descriptor."""
        assert self.gateway is not None
        resolver = files.resolv_conf(_text("/etc/resolv.conf"), self.gateway)
        return {FDS.resolver: resolver, FDS.hosts: files.hosts(_text("/etc/hosts"), hostname)}

    def spawn(self, record: Record, launch: Launch) -> tuple[int, int]:
        """As `launch.spawn`, in a network of its own; what else the calling thread sees, it sees too. Takes some
        milliseconds. Raises `Unavailable`."""
        assert record.address is not None
        slot = self._ports.slot(record.port)
        name = f"s{slot.index}" if slot.pinned else str(slot.index)
        port = record.port if record.wants_port else None
        address = IPv4Address(record.address)
        return self._networks.spawn(name, address, _policy(record.network), port, lambda: spawn(launch))

    async def change(self, record: Record) -> None:
        """Another policy. Raises `Unavailable`."""
        if record.address is None:
            return
        try:
            await asyncio.to_thread(self._networks.set_policy, IPv4Address(record.address), _policy(record.network))
        except OSError as error:
            raise Unavailable("workload_network_failed", detail=str(error), retry_after=5) from error

    async def release(self, record: Record) -> None:
        if record.address is not None:
            await asyncio.to_thread(self._networks.release, IPv4Address(record.address))

    async def _keep(self) -> None:
        """Puts the rules in place again where somebody has flushed them: a firewall's own restart does that."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                if not await asyncio.to_thread(self._networks.check):
                    _log.warning("the firewall's table was gone, and is in place again", table=self._networks.table)
            except OSError as error:
                _log.error("the firewall's table cannot be put in place", detail=str(error))


def _policy(network: Network) -> Policy:
    if network.kind is not NetworkKind.own:
        return Policy(internet=False)
    return Policy(network.internet, network.allow, network.services)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
