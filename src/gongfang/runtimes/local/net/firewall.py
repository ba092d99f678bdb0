"""Who reaches what: the rules of one home, as messages. Pure.

One table holds all of it, and is put in place in one transaction that also takes the former one away: at no moment is
there none, and connections that stand are not touched, since the kernel keeps those elsewhere. Rules look only at
packets from and to the home's own interfaces, so several homes, and whatever else filters on the machine, stay apart.

    from a workload to the machine     the edge's ports and the names, at the gateway; at the edge's own addresses too
    from a workload to another         endpoints that its policy names, asked for each packet of either direction
    from a workload to elsewhere       its policy, asked for each packet: a policy that is closed ends what is under way
    to a workload from the machine     connections of root (health) and of the edge; nobody else goes past the edge
    to a workload from elsewhere       answers to what it asked; another machine cannot open anything
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from gongfang.domain.egress import NEVER, PRIVATE, Target, disjoint
from gongfang.runtimes.local.net import nft
from gongfang.runtimes.local.net.addresses import Addresses
from gongfang.runtimes.local.net.netlink import Message

NAMES_PORT = 53
_TCP, _UDP = 6, 17
_INTERNET, _ALLOWED, _OPEN, _PRIVATE, _NEVER, _BOUND = "internet", "allowed", "open", "private", "never", "bound"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  (addresses to compare with)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one workload may reach. `services`: endpoints of the home's own workloads, which `allow` cannot open."""

    internet: bool = True
    allow: tuple[Target, ...] = ()
    services: tuple[Target, ...] = ()


Members = Mapping[IPv4Address, Policy]


@dataclass(frozen=True, slots=True)
class Rules:
    """`table`, `prefix`: the home's own names. `edge_ports` at the gateway and at `edge_hosts`. `resolver_port`: where
    the names answer, reached by port 53. `edge_uid`: whom the edge runs as. `open`: what every workload may reach.
    `outside`: interfaces between which the machine does not forward (it would not, if the platform had not asked it
    to forward for its workloads)."""

    table: str
    prefix: str
    addresses: Addresses
    edge_ports: Sequence[int] = ()
    edge_hosts: Sequence[str] = ()
    resolver_port: int = 0
    edge_uid: int = 0
    open: Sequence[Target] = ()
    outside: Sequence[str] = field(default=())


def whole(rules: Rules, members: Members) -> list[Message]:
    """The table as it should be, in place of the one that is there."""
    table = rules.table
    return [
        nft.new_table(table),  # so that there is one to delete
        nft.delete_table(table),
        nft.new_table(table),
        *_sets(rules),
        *_first(rules),
        *_to_the_machine(rules),
        *_elsewhere(rules),
        *_to_workloads(rules),
        *_as_the_machine(rules),
        *_added(table, members),
    ]


def none(table: str) -> list[Message]:
    """No table, whether there is one or not."""
    return [nft.new_table(table), nft.delete_table(table)]


def change(table: str, address: IPv4Address, before: Policy | None, after: Policy | None) -> list[Message]:
    """One workload's membership, changed. None: it has none."""
    gone: list[Message] = []
    if before is not None and before.internet and not (after is not None and after.internet):
        gone += nft.remove_addresses(table, _INTERNET, [address])
    made: list[Message] = []
    if after is not None and after.internet and not (before is not None and before.internet):
        made += nft.add_addresses(table, _INTERNET, [address])
    for name in (_ALLOWED, _BOUND):
        old = {} if before is None else dict.fromkeys(_ranges(address, _targets(before, name)))
        new = {} if after is None else dict.fromkeys(_ranges(address, _targets(after, name)))
        gone += nft.remove_ranges(table, name, [each for each in old if each not in new])
        made += nft.add_ranges(table, name, [each for each in new if each not in old])
    return gone + made


def _targets(policy: Policy, name: str) -> tuple[Target, ...]:
    return policy.services if name == _BOUND else policy.allow


def _added(table: str, members: Members) -> list[Message]:
    online = [address for address, policy in members.items() if policy.internet]
    found = nft.add_addresses(table, _INTERNET, online)
    for name in (_ALLOWED, _BOUND):
        ranges = [each for address, policy in members.items() for each in _ranges(address, _targets(policy, name))]
        found += nft.add_ranges(table, name, ranges)
    return found


def _ranges(address: IPv4Address, allow: Iterable[Target]) -> list[nft.Range]:
    return [
        (
            address.packed + target.network.network_address.packed + _port(target.first),
            address.packed + target.network.broadcast_address.packed + _port(target.last),
        )
        for target in disjoint(allow)
    ]


def _port(number: int) -> bytes:
    return number.to_bytes(2) + b"\0\0"


def _sets(rules: Rules) -> list[Message]:
    table = rules.table
    everyone = [
        (
            target.network.network_address.packed + _port(target.first),
            target.network.broadcast_address.packed + _port(target.last),
        )
        for target in disjoint(rules.open)
    ]
    return [
        nft.address_set(table, _INTERNET, 1),
        nft.range_set(table, _ALLOWED, (4, 4, 2), 2),
        nft.range_set(table, _OPEN, (4, 2), 3),
        nft.range_set(table, _PRIVATE, (4,), 4),
        nft.range_set(table, _NEVER, (4,), 5),
        nft.range_set(table, _BOUND, (4, 4, 2), 6),
        *nft.add_ranges(table, _OPEN, everyone),
        *nft.add_networks(table, _PRIVATE, _networks(PRIVATE)),
        *nft.add_networks(table, _NEVER, _networks((*NEVER, rules.addresses.subnet))),
    ]


def _networks(networks: Iterable[IPv4Network]) -> list[IPv4Network]:
    return list(collapse_addresses(networks))


def _first(rules: Rules) -> list[Message]:
    """Before anything else: what only a liar sends, and where the names really are."""
    table, prefix, gateway = rules.table, rules.prefix, IPv4Network(rules.addresses.gateway)
    ours = nft.comes_from(prefix)
    not_ours = [*nft.comes_from(prefix, yes=False), *nft.comes_from_exactly("lo", yes=False)]
    found = [
        nft.base_chain(table, "arriving", "prerouting", -300),
        nft.rule(table, "arriving", [*ours, *nft.not_ipv4(), *nft.drop()]),
        nft.rule(table, "arriving", [*ours, *nft.source_is_forged(), *nft.drop()]),
        nft.rule(table, "arriving", [*not_ours, *nft.ipv4(), *nft.target_in(rules.addresses.subnet), *nft.drop()]),
        nft.base_chain(table, "names", "prerouting", -100, "nat"),
    ]
    for protocol in (_UDP, _TCP):
        asks = [*ours, *nft.ipv4(), *nft.target_in(gateway), *nft.protocol(protocol), *nft.target_port(NAMES_PORT)]
        to = nft.redirect_to(rules.addresses.gateway, rules.resolver_port)
        found.append(nft.rule(table, "names", [*asks, *to]))
    return found


def _to_the_machine(rules: Rules) -> list[Message]:
    table, gateway = rules.table, nft.target_in(IPv4Network(rules.addresses.gateway))
    found = [
        nft.base_chain(table, "input", "input", 0),
        nft.chain(table, "inward"),
        nft.rule(table, "input", [*nft.comes_from(rules.prefix), *nft.jump("inward")]),
        nft.rule(table, "inward", [*nft.state(nft.ESTABLISHED | nft.RELATED), *nft.accept()]),
    ]
    for protocol in (_UDP, _TCP):
        port = [*nft.protocol(protocol), *nft.target_port(rules.resolver_port)]
        found.append(nft.rule(table, "inward", [*nft.ipv4(), *gateway, *port, *nft.accept()]))
        opened = [*nft.ipv4(), *nft.protocol(protocol), *nft.target_port_listed(_OPEN)]
        found.append(nft.rule(table, "inward", [*opened, *nft.accept()]))
    places = [gateway]
    if any(host in _EVERYWHERE for host in rules.edge_hosts):
        places.append(nft.target_is_ours())
    else:
        places += [nft.target_in(IPv4Network(host)) for host in rules.edge_hosts if ":" not in host]
    for place in places:
        for port in rules.edge_ports:
            to_edge = [*nft.ipv4(), *place, *nft.protocol(_TCP), *nft.target_port(port)]
            found.append(nft.rule(table, "inward", [*to_edge, *nft.accept()]))
    return found + _refuse(table, "inward")


def _elsewhere(rules: Rules) -> list[Message]:
    table, prefix = rules.table, rules.prefix
    found = [
        nft.base_chain(table, "forward", "forward", 0),
        nft.chain(table, "outward"),
        nft.chain(table, "refused"),
        nft.chain(table, "homeward"),
        nft.rule(table, "forward", [*nft.comes_from(prefix), *nft.jump("outward")]),
        nft.rule(table, "forward", [*nft.goes_to(prefix), *nft.jump("homeward")]),
        *_refuse(table, "refused"),
        *_among_workloads(rules),
        nft.rule(table, "outward", [*nft.goes_to(prefix), *nft.jump("refused")]),
        nft.rule(table, "outward", [*nft.target_listed(_NEVER), *nft.jump("refused")]),
    ]
    for protocol in (_TCP, _UDP):
        of = nft.protocol(protocol)
        found.append(nft.rule(table, "outward", [*of, *nft.source_target_port_listed(_ALLOWED), *nft.accept()]))
        found.append(nft.rule(table, "outward", [*of, *nft.target_port_listed(_OPEN), *nft.accept()]))
    found += [
        nft.rule(table, "outward", [*nft.target_listed(_PRIVATE), *nft.jump("refused")]),
        nft.rule(table, "outward", [*nft.source_listed(_INTERNET), *nft.accept()]),
        nft.rule(table, "outward", nft.jump("refused")),
        nft.rule(table, "homeward", [*nft.state(nft.ESTABLISHED | nft.RELATED), *nft.accept()]),
        nft.rule(table, "homeward", nft.drop()),
    ]
    if rules.outside:
        found.append(nft.chain(table, "through"))
        for name in rules.outside:
            found.append(nft.rule(table, "forward", [*nft.comes_from_exactly(name), *nft.jump("through")]))
            found.append(nft.rule(table, "through", [*nft.goes_to_exactly(name), *nft.drop()]))
    return found


def _among_workloads(rules: Rules) -> list[Message]:
    """To an endpoint that is listed, and its answers. Both look the element up again for each packet, so that taking
    it out ends what is under way; and since only answers go back, the endpoint's own side can open nothing. An address
    that is no workload's any more (of another subnet) opens nothing elsewhere."""
    table, tcp = rules.table, [*nft.goes_to(rules.prefix), *nft.protocol(_TCP)]
    asks = [*tcp, *nft.source_target_port_listed(_BOUND), *nft.accept()]
    answers = [*tcp, *nft.is_reply(), *nft.target_source_port_listed(_BOUND), *nft.accept()]
    return [nft.rule(table, "outward", asks), nft.rule(table, "outward", answers)]


def _to_workloads(rules: Rules) -> list[Message]:
    """Of the machine's own processes. What is for a workload that has ended has no interface to go to: it must not
    leave by the default route instead, to whoever has that address out there."""
    table = rules.table
    lost = [*nft.ipv4(), *nft.target_in(rules.addresses.subnet), *nft.goes_to(rules.prefix, yes=False)]
    return [
        nft.base_chain(table, "output", "output", 0),
        nft.chain(table, "outbound"),
        nft.rule(table, "output", [*nft.goes_to(rules.prefix), *nft.jump("outbound")]),
        nft.rule(table, "output", [*lost, *nft.goes_to_exactly("lo", yes=False), *nft.jump("refused")]),
        nft.rule(table, "outbound", [*nft.state(nft.ESTABLISHED | nft.RELATED), *nft.accept()]),
        nft.rule(table, "outbound", [*nft.made_by(0), *nft.accept()]),
        nft.rule(table, "outbound", [*nft.made_by(rules.edge_uid), *nft.accept()]),
        *_refuse(table, "outbound"),
    ]


def _as_the_machine(rules: Rules) -> list[Message]:
    table = rules.table
    leaves = [*nft.ipv4(), *nft.source_in(rules.addresses.subnet), *nft.goes_to(rules.prefix, yes=False)]
    return [
        nft.base_chain(table, "leaving", "postrouting", 100, "nat"),
        nft.rule(table, "leaving", [*leaves, *nft.goes_to_exactly("lo", yes=False), *nft.masquerade()]),
    ]


def _refuse(table: str, chain: str) -> list[Message]:
    """Says no at once, rather than letting somebody wait."""
    return [
        nft.rule(table, chain, [*nft.protocol(_TCP), *nft.reset()]),
        nft.rule(table, chain, nft.reject()),
    ]


# --- in a workload's own namespace ----------------------------------------------------------------------------------


def for_loopback_servers(port: int) -> list[Message]:
    """Requests to a workload's port go to its loopback address, so that a program which listens there only is reached
    as it is without a network of its own."""
    table = "gongfang"
    to = [*nft.ipv4(), *nft.protocol(_TCP), *nft.target_port(port), *nft.redirect_to(IPv4Address("127.0.0.1"), port)]
    return [
        nft.new_table(table),
        nft.base_chain(table, "arriving", "prerouting", -100, "nat"),
        nft.rule(table, "arriving", to),
    ]
