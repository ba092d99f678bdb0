"""Interfaces, addresses and routes (rtnetlink): one workload's pair of interfaces, and the gateway's address.

Both ends know each other's hardware address from the start, so that nothing is asked on the wire, and no setting of
the machine about who answers such questions matters. IPv6 is not spoken: neither end gets an address of it.
"""

import errno
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from gongfang.runtimes.local.net.netlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

ROUTE = 0  # NETLINK_ROUTE
_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _GETROUTE = 24, 26
_NEWNEIGH = 28
_UP = 1
_LOOPBACK = 1  # its index, in every namespace
_INSIDE = "eth0"
_MAIN, _STATIC, _UNICAST, _LINK, _HOST = 254, 4, 1, 253, 254
_ONLINK, _PERMANENT = 4, 0x80
_IPV4 = socket.AF_INET


@dataclass(frozen=True, slots=True)
class Pair:
    """A workload's two ends. `outside`: the name of the one in the machine's namespace."""

    outside: str
    address: IPv4Address
    gateway: IPv4Address


def make_pair(here: Netlink, inside: int, pair: Pair) -> None:
    """Makes both ends. `inside`: the namespace of the other one. One that is left of that name is taken away first."""
    try:
        here.ask(_new_pair(pair, inside))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        delete(here, pair.outside)
        here.ask(_new_pair(pair, inside))


def join_outside(here: Netlink, pair: Pair) -> None:
    """The way from the machine to the workload; the machine speaks from the gateway's address."""
    index = index_of(here, pair.outside)
    _without_ipv6(here, index)
    route = struct.pack("=BBBBBBBBI", _IPV4, 32, 0, 0, _MAIN, _STATIC, _LINK, _UNICAST, 0)
    route += attribute(1, pair.address.packed) + u32(4, index) + attribute(7, pair.gateway.packed)
    here.ask(
        Message(_NEWLINK, 0, _link(index, _UP)),
        Message(_NEWROUTE, CREATE | REPLACE, route),
        _neighbour(index, pair.address, _hardware(6, pair.address)),
    )


def join_inside(there: Netlink, pair: Pair) -> None:
    """Loopback, the address, and the gateway as the way to everything else."""
    index = index_of(there, _INSIDE)
    _without_ipv6(there, index)
    address = struct.pack("=BBBBI", _IPV4, 32, 0, 0, index)
    address += attribute(1, pair.address.packed) + attribute(2, pair.address.packed)
    route = struct.pack("=BBBBBBBBI", _IPV4, 0, 0, 0, _MAIN, _STATIC, 0, _UNICAST, _ONLINK)
    route += u32(4, index) + attribute(5, pair.gateway.packed)
    there.ask(
        Message(_NEWLINK, 0, _link(_LOOPBACK, _UP)),
        Message(_NEWLINK, 0, _link(index, _UP)),
        Message(_NEWADDR, CREATE | EXCLUSIVE, address),
        _neighbour(index, pair.gateway, _hardware(2, pair.address)),
        Message(_NEWROUTE, CREATE | EXCLUSIVE, route),
    )


def _without_ipv6(socket_: Netlink, index: int) -> None:
    """Keeps an interface that is not up yet from giving itself an IPv6 address."""
    with suppress(OSError):  # a machine that has none anyway
        silent = nested(26, nested(socket.AF_INET6, attribute(8, b"\1")))
        socket_.ask(Message(_NEWLINK, 0, _link(index, 0) + silent))


def index_of(here: Netlink, name: str) -> int:
    """An interface's number. Raises `OSError` (ENODEV) where there is none."""
    body = here.get(Message(_GETLINK, 0, _link(0, 0) + text(3, name)))
    return int(struct.unpack_from("=BBHi", body)[3])


def delete(here: Netlink, name: str) -> None:
    """Takes an interface away, and with it its other end. One that is not there is no error."""
    with suppress(OSError):
        here.ask(Message(_DELLINK, 0, _link(0, 0) + text(3, name)))


def put_address(here: Netlink, address: IPv4Address) -> None:
    """Gives the machine an address, on loopback. One that it has stays."""
    here.ask(Message(_NEWADDR, CREATE | REPLACE, _on_loopback(address)))


def take_address(here: Netlink, address: IPv4Address) -> None:
    """Takes it away again; one that is not there is no error."""
    with suppress(OSError):
        here.ask(Message(_DELADDR, 0, _on_loopback(address)))


def names(here: Netlink) -> list[str]:
    """All interfaces."""
    bodies = here.dump(Message(_GETLINK, 0, _link(0, 0)))
    return [attributes(body[16:]).get(3, b"").rstrip(b"\0").decode(errors="replace") for body in bodies]


def networks_in_use(here: Netlink) -> list[IPv4Network]:
    """What the machine's addresses and routes take up, without the default route and loopback's."""
    found: list[IPv4Network] = []
    for body in here.dump(Message(_GETADDR, 0, struct.pack("=BBBBI", _IPV4, 0, 0, 0, 0))):
        length = body[1]
        raw = attributes(body[8:]).get(2)
        if raw is not None:
            found.append(IPv4Network((raw, length), strict=False))
    for body in here.dump(Message(_GETROUTE, 0, struct.pack("=BBBBBBBBI", _IPV4, 0, 0, 0, 0, 0, 0, 0, 0))):
        length = body[1]
        raw = attributes(body[12:]).get(1)
        if raw is not None and length > 0:
            found.append(IPv4Network((raw, length), strict=False))
    return [network for network in dict.fromkeys(found) if not network.is_loopback and not network.is_multicast]


def hardware_inside(address: IPv4Address) -> str:
    """For people and tests: what the workload's end is known by."""
    return ":".join(f"{byte:02x}" for byte in _hardware(6, address))


def _hardware(first: int, address: IPv4Address) -> bytes:
    """A locally administered address. `first`: 2 for the machine's end, 6 for the workload's."""
    return bytes((first, 0x67)) + address.packed


def _link(index: int, flags: int) -> bytes:
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, flags, flags)


def _new_pair(pair: Pair, inside: int) -> Message:
    peer = _link(0, 0) + text(3, _INSIDE) + attribute(1, _hardware(6, pair.address)) + u32(28, inside)
    body = _link(0, 0) + text(3, pair.outside) + attribute(1, _hardware(2, pair.address))
    body += nested(18, text(1, "veth"), nested(2, attribute(1, peer)))
    return Message(_NEWLINK, CREATE | EXCLUSIVE, body)


def _neighbour(index: int, address: IPv4Address, hardware: bytes) -> Message:
    body = struct.pack("=BBHiHBB", _IPV4, 0, 0, index, _PERMANENT, 0, 0)
    return Message(_NEWNEIGH, CREATE | REPLACE, body + attribute(1, address.packed) + attribute(2, hardware))


def _on_loopback(address: IPv4Address) -> bytes:
    body = struct.pack("=BBBBI", _IPV4, 32, 0, 0, _LOOPBACK)
    return body + attribute(1, address.packed) + attribute(2, address.packed)
