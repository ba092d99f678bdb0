"""The networks of a home's workloads, as the driver uses them: opened once, then one `spawn` a start.

All that must outlive the control plane lives in the kernel (interfaces, the table) or in `network.json` (the
subnet). What is in memory, who may reach what, is told anew by the driver's own records at each `open`.

Forwarding is a setting of the whole machine. Where it was off, it is put on, the interfaces that are there then are
kept from forwarding among each other as before, and `take_down` puts it off again when nobody else forwards. That is
noted once a machine (for each boot and network namespace), since several homes share it.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from gongfang.domain.egress import Target
from gongfang.domain.errors import Unavailable
from gongfang.runtimes.local.net import firewall, links, nft
from gongfang.runtimes.local.net.addresses import Addresses, choose_subnet, fits, tag
from gongfang.runtimes.local.net.firewall import Policy, Rules
from gongfang.runtimes.local.net.namespace import in_new_network
from gongfang.runtimes.local.net.netlink import Netlink
from gongfang.runtimes.local.processes import boot_id

T = TypeVar("T")
RESOLVER_PORT = 10053
_TRIAL_S = 3.0
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_LOCALNET = Path("/proc/sys/net/ipv4/conf/eth0/route_localnet")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """`wanted` False: workloads share the machine's network. `subnet` None: one is chosen, and kept. `edge_ports`,
    `edge_hosts`, `edge_uid`: where the edge listens, and as whom. `open`: what every workload may reach besides its
    own policy, addresses of this machine included."""

    wanted: bool = True
    subnet: IPv4Network | None = None
    edge_ports: Sequence[int] = ()
    edge_hosts: Sequence[str] = ()
    edge_uid: int = 0
    open: Sequence[Target] = ()
    resolver_port: int = RESOLVER_PORT


class NoNetwork(Exception):
    """Why there can be none: a message code and its facts."""

    def __init__(self, code: str, **facts: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


@dataclass(slots=True)
class _State:
    addresses: Addresses
    rules: Rules
    members: dict[IPv4Address, Policy] = field(default_factory=dict[IPv4Address, Policy])


class Networks:
    """`folder`: the driver's. Its path, as given, is what interfaces and table are named by. `slots`: how many
    workloads there may be at once; `pinned`: how many more have places that are kept for them. A subnet that the
    setting names may have room for fewer of those. Calls block (some milliseconds) and may come from any thread."""

    def __init__(self, folder: Path, settings: NetworkSettings, slots: int, pinned: int) -> None:
        self._file = folder / "network.json"
        self._settings = settings
        self._slots = slots if settings.subnet is not None else slots + pinned
        self._tag = tag(folder)
        self._lock = threading.Lock()
        self._state: _State | None = None

    @property
    def table(self) -> str:
        return f"gongfang_{self._tag}"

    @property
    def prefix(self) -> str:
        """All of the home's interfaces begin with it."""
        return f"gf{self._tag}"

    @property
    def addresses(self) -> Addresses | None:
        """None where workloads have no network of their own."""
        return None if self._state is None else self._state.addresses

    # --- once ------------------------------------------------------------------------------------------------------

    def open(self, members: Mapping[IPv4Address, Policy]) -> None:
        """Puts everything in place and tries it. `members`: what runs already. Raises `NoNetwork`, and then nothing
        of it is left, unless something that runs is in it."""
        if not self._settings.wanted:
            raise NoNetwork("network_not_wanted")
        try:
            with Netlink(links.ROUTE) as routes, Netlink(nft.NETFILTER) as tables:
                addresses = Addresses(self._subnet(routes, bool(members)))
                rules = self._rules(addresses, _begin_forwarding(routes))
                links.put_address(routes, addresses.gateway)
                nft.transaction(tables, firewall.whole(rules, members))
            self._try(addresses)
        except OSError as error:
            if not members:
                take_down(self._file.parent)
            raise NoNetwork("no_network", detail=error.strerror or str(error)) from error
        self._state = _State(addresses, rules, dict(members))

    def _subnet(self, routes: Netlink, in_use: bool) -> IPv4Network:
        """The setting's, else the one kept, else a new one. What runs keeps its addresses, so then only the one
        kept."""
        kept = _kept_subnet(self._file)
        if in_use and kept is not None:
            return kept
        subnet = self._settings.subnet or kept
        used = [n for n in links.networks_in_use(routes) if not (n.prefixlen == 32 and kept and n.subnet_of(kept))]
        if subnet is not None and self._settings.subnet is None and any(subnet.overlaps(each) for each in used):
            subnet = None  # the machine has come to use it for something else
        if subnet is None or not fits(subnet, self._slots):
            if self._settings.subnet is not None:
                raise NoNetwork("network_too_small", network=str(subnet), slots=self._slots)
            subnet = choose_subnet(self._file.parent, self._slots, used)
        if subnet is None:
            raise NoNetwork("network_taken")
        _write(self._file, {"subnet": str(subnet)})
        return subnet

    def _rules(self, addresses: Addresses, outside: Sequence[str]) -> Rules:
        settings = self._settings
        return Rules(
            table=self.table,
            prefix=self.prefix,
            addresses=addresses,
            edge_ports=settings.edge_ports,
            edge_hosts=settings.edge_hosts,
            resolver_port=settings.resolver_port,
            edge_uid=settings.edge_uid,
            open=settings.open,
            outside=outside,
        )

    def _try(self, addresses: Addresses) -> None:
        """A namespace like a workload's: reached from here, reaching the names, and nothing else. Raises `OSError`."""
        pair = links.Pair(self.prefix + "t", addresses.trial, addresses.gateway)
        gateway = str(addresses.gateway)
        with contextlib.ExitStack() as stack:
            keep = stack.enter_context

            def work() -> tuple[socket.socket, socket.socket, socket.socket]:
                return socket.create_server(("", 0)), socket.socket(), socket.socket()

            server, asks, pries = in_new_network(links.ROUTE, _joining(pair), work)
            for each in (server, asks, pries):
                keep(each)  # they are in there, wherever they are used
            with contextlib.suppress(OSError):  # the resolver itself has it
                keep(socket.create_server((gateway, self._settings.resolver_port)))
            hidden = keep(socket.create_server((gateway, 0)))
            port = server.getsockname()[1]
            keep(socket.create_connection((str(addresses.trial), port), _TRIAL_S))
            for each in (asks, pries):
                each.settimeout(_TRIAL_S)
            asks.connect((gateway, firewall.NAMES_PORT))
            try:
                pries.connect((gateway, hidden.getsockname()[1]))
            except OSError:
                return
            raise OSError(0, "a trial reached a port that the firewall should have closed")

    def check(self) -> bool:
        """Whether the table still stands; if somebody has taken it away (a flush of all rules), it is put in place
        again with the gateway's address, and the answer is False. Raises `OSError` where that fails."""
        with self._lock:
            if self._state is None:
                return True
            with Netlink(nft.NETFILTER) as tables:
                if nft.has_table(tables, self.table):
                    return True
                self._assert(tables)
            return False

    def _assert(self, tables: Netlink) -> None:
        assert self._state is not None
        with Netlink(links.ROUTE) as routes:
            links.put_address(routes, self._state.addresses.gateway)
        nft.transaction(tables, firewall.whole(self._state.rules, self._state.members))

    # --- for each workload -----------------------------------------------------------------------------------------

    def spawn(self, name: str, address: IPv4Address, policy: Policy, port: int | None, work: Callable[[], T]) -> T:
        """Does `work` (starts a process) in a network namespace of its own, with this address. `name`: of its
        interface, after the home's prefix. `port`: where requests go, also to a server that listens on loopback only.

        Raises `Unavailable("workload_network_failed")`, and what `work` raises.
        """
        state = self._state
        assert state is not None
        pair = links.Pair(self.prefix + name, address, state.addresses.gateway)
        try:
            self.set_policy(address, policy)
            return in_new_network(links.ROUTE, _joining(pair, port), work)
        except BaseException as error:
            self.release(address)
            if isinstance(error, OSError):
                detail = error.strerror or str(error)
                raise Unavailable("workload_network_failed", detail=detail, retry_after=5) from error
            raise

    def set_policy(self, address: IPv4Address, policy: Policy) -> None:
        """From now on, also for connections that stand. Raises `OSError`."""
        self._become(address, policy)

    def release(self, address: IPv4Address) -> None:
        """The workload with this address is gone; its interface goes by itself."""
        with contextlib.suppress(OSError):  # no table: nothing to be listed in
            self._become(address, None)

    def _become(self, address: IPv4Address, policy: Policy | None) -> None:
        with self._lock:
            state = self._state
            if state is None:
                return
            before = state.members.get(address)
            if before == policy:
                return
            messages = firewall.change(self.table, address, before, policy)
            if policy is None:
                state.members.pop(address, None)
            else:
                state.members[address] = policy
            if not messages:
                return
            with Netlink(nft.NETFILTER) as tables:
                try:
                    nft.transaction(tables, messages)
                except OSError:  # the table is not what it should be: then all of it anew
                    self._assert(tables)


def _joining(pair: links.Pair, port: int | None = None) -> Callable[[int, Netlink, Netlink], None]:
    """What furnishes a new namespace; runs in it."""

    def furnish(namespace: int, outside: Netlink, inside: Netlink) -> None:
        links.make_pair(outside, namespace, pair)
        links.join_inside(inside, pair)
        links.join_outside(outside, pair)
        if port is not None:
            _LOCALNET.write_text("1")
            with Netlink(nft.NETFILTER) as tables:
                nft.transaction(tables, firewall.for_loopback_servers(port))

    return furnish


def take_down(folder: Path) -> None:
    """Takes away what a home has put on the machine: for when nothing of it runs any more. As an ordinary user, or
    where nothing is, it does nothing."""
    subnet = _kept_subnet(folder / "network.json")
    if os.geteuid() != 0 or subnet is None:
        return
    table, prefix = f"gongfang_{tag(folder)}", f"gf{tag(folder)}"
    with contextlib.suppress(OSError), Netlink(links.ROUTE) as routes:
        links.take_address(routes, Addresses(subnet).gateway)
        for name in links.names(routes):
            if name.startswith(prefix):
                links.delete(routes, name)
    with contextlib.suppress(OSError), Netlink(nft.NETFILTER) as tables:
        with contextlib.suppress(OSError):
            nft.transaction(tables, firewall.none(table))
        if not nft.forwarding_tables(tables):
            _end_forwarding()


def _kept_subnet(file: Path) -> IPv4Network | None:
    try:
        return IPv4Network(json.loads(file.read_text())["subnet"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, data: Mapping[str, Any]) -> None:
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(data))
    draft.replace(file)


# --- forwarding: of the machine, noted once for all homes ----------------------------------------------------------


def _note() -> Path:
    """Where it is noted that a platform has put forwarding on, in this network namespace."""
    inode = Path("/proc/self/ns/net").stat().st_ino
    return Path(f"/run/gongfang-forwarding-{inode}.json")


def _noted() -> list[str] | None:
    """The interfaces that there were when a platform put it on, in this boot; None where none has."""
    try:
        data = json.loads(_note().read_text())
        return [str(name) for name in data["outside"]] if data["boot"] == boot_id() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _begin_forwarding(routes: Netlink) -> list[str]:
    """Puts it on. Gives the interfaces that may not forward among each other."""
    if _FORWARD.read_text().strip() != "0":
        return _noted() or []
    outside = [name for name in links.names(routes) if name != "lo" and not name.startswith("gf")]
    _write(_note(), {"boot": boot_id(), "outside": outside})
    _FORWARD.write_text("1")
    return outside


def _end_forwarding() -> None:
    if _noted() is not None:
        _FORWARD.write_text("0")
    _note().unlink(missing_ok=True)
