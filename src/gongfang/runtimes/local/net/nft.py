"""The words of nftables as messages: tables, chains, sets, rules, and the expressions that rules are made of.

A rule is a list of expressions that each look at a packet or stop the rule; registers carry values between them. The
numbers are those of `linux/netfilter/nf_tables.h`. Everything is sent in transactions: all of it holds from one
moment on, or nothing has changed.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from gongfang.runtimes.local.net.netlink import (
    APPEND,
    CREATE,
    Message,
    Netlink,
    attribute,
    attributes,
    be32,
    nested,
    text,
)

NETFILTER = 12  # NETLINK_NETFILTER
INET = 1
_SUBSYSTEM = 10
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _NEWRULE, _NEWSET, _NEWELEMENT, _DELELEMENT = (
    0,
    1,
    2,
    3,
    4,
    6,
    9,
    12,
    14,
)
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
DROP, ACCEPT, JUMP = 0, 1, -3
ESTABLISHED, RELATED = 2, 4
_REGISTER = 8  # NFT_REG32_00: the first of 16 registers of four bytes

Expression = bytes
Range = tuple[bytes, bytes]
"""The first and the last key of a range; each field of it padded to four bytes."""


def transaction(socket_: Netlink, messages: Sequence[Message]) -> None:
    """All of it or nothing. Raises `OSError`."""
    edge = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    socket_.batch(Message(16, 0, edge), list(messages), Message(17, 0, edge))


def _message(kind: int, body: bytes, flags: int = 0) -> Message:
    return Message(_SUBSYSTEM << 8 | kind, flags, struct.pack(">BBH", INET, 0, 0) + body)


# --- tables, chains, sets -------------------------------------------------------------------------------------------


def new_table(table: str) -> Message:
    return _message(_NEWTABLE, text(1, table) + be32(2, 0), CREATE)


def delete_table(table: str) -> Message:
    return _message(_DELTABLE, text(1, table))


def base_chain(table: str, name: str, hook: str, priority: int, kind: str = "filter") -> Message:
    """A chain that packets come through by themselves; one that no rule decides about is accepted."""
    place = nested(4, be32(1, HOOKS[hook]), attribute(2, struct.pack(">i", priority)))
    return _message(_NEWCHAIN, text(1, table) + text(3, name) + place + be32(5, ACCEPT) + text(7, kind), CREATE)


def chain(table: str, name: str) -> Message:
    """A chain that is jumped to."""
    return _message(_NEWCHAIN, text(1, table) + text(3, name), CREATE)


def rule(table: str, chain: str, expressions: Iterable[Expression]) -> Message:
    body = text(1, table) + text(2, chain) + nested(4, *(nested(1, each) for each in expressions))
    return _message(_NEWRULE, body, CREATE | APPEND)


def address_set(table: str, name: str, identity: int) -> Message:
    """A set of IPv4 addresses. `identity`: any number, another one for each set of a transaction."""
    body = text(1, table) + text(2, name) + be32(3, 0) + be32(4, 7) + be32(5, 4) + be32(10, identity)
    return _message(_NEWSET, body, CREATE)


def range_set(table: str, name: str, fields: Sequence[int], identity: int) -> Message:
    """A set of ranges over several fields at once. `fields`: how many bytes each has. Elements may not overlap."""
    width = sum(_padded(field) for field in fields)
    flags = 0x04 | (0x80 if len(fields) > 1 else 0)
    description = [nested(2, *(nested(1, be32(1, field)) for field in fields))] if len(fields) > 1 else []
    body = text(1, table) + text(2, name) + be32(3, flags) + be32(4, 0) + be32(5, width)
    body += nested(9, *description) + be32(10, identity)
    return _message(_NEWSET, body, CREATE)


def add_addresses(table: str, name: str, addresses: Iterable[IPv4Address]) -> list[Message]:
    return _elements(_NEWELEMENT, table, name, [_element(address.packed) for address in addresses])


def remove_addresses(table: str, name: str, addresses: Iterable[IPv4Address]) -> list[Message]:
    return _elements(_DELELEMENT, table, name, [_element(address.packed) for address in addresses])


def add_ranges(table: str, name: str, ranges: Iterable[Range]) -> list[Message]:
    return _elements(_NEWELEMENT, table, name, [_element(first, last) for first, last in ranges])


def remove_ranges(table: str, name: str, ranges: Iterable[Range]) -> list[Message]:
    return _elements(_DELELEMENT, table, name, [_element(first, last) for first, last in ranges])


def add_networks(table: str, name: str, networks: Iterable[IPv4Network]) -> list[Message]:
    """For a set of ranges with one field. The networks may not overlap."""
    found: list[bytes] = []
    for network in sorted(networks):
        found.append(_element(network.network_address.packed))
        beyond = int(network.broadcast_address) + 1
        if beyond < 1 << 32:
            found.append(_element(beyond.to_bytes(4)) + be32(3, 1))  # where the range ends
    return _elements(_NEWELEMENT, table, name, found)


def _elements(kind: int, table: str, name: str, elements: Sequence[bytes]) -> list[Message]:
    # One attribute holds at most 64 kB.
    parts = [elements[at : at + 500] for at in range(0, len(elements), 500)]
    flags = CREATE if kind == _NEWELEMENT else 0
    return [
        _message(kind, text(1, table) + text(2, name) + nested(3, *(nested(1, each) for each in part)), flags)
        for part in parts
    ]


def _element(first: bytes, last: bytes | None = None) -> bytes:
    key = nested(1, attribute(1, first))
    return key if last is None else key + nested(10, attribute(1, last))


def _padded(length: int) -> int:
    return (length + 3) & ~3


# --- expressions ----------------------------------------------------------------------------------------------------


def _expression(name: str, *parts: bytes) -> Expression:
    return text(1, name) + nested(2, *parts)


def _meta(key: int) -> Expression:
    return _expression("meta", be32(2, key), be32(1, _REGISTER))


def _compare(value: bytes, *, equal: bool = True) -> Expression:
    return _expression("cmp", be32(1, _REGISTER), be32(2, 0 if equal else 1), nested(3, attribute(1, value)))


def _payload(base: int, offset: int, length: int, register: int = _REGISTER) -> Expression:
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


def _mask(mask: bytes) -> Expression:
    register = be32(1, _REGISTER) + be32(2, _REGISTER)
    length = be32(3, len(mask))
    return _expression(
        "bitwise", register, length, nested(4, attribute(1, mask)), nested(5, attribute(1, bytes(len(mask))))
    )


def comes_from(prefix: str, *, yes: bool = True) -> list[Expression]:
    """Whether the interface that it came in by has a name with this beginning."""
    return [_meta(6), _compare(prefix.encode(), equal=yes)]


def goes_to(prefix: str, *, yes: bool = True) -> list[Expression]:
    return [_meta(7), _compare(prefix.encode(), equal=yes)]


def comes_from_exactly(name: str, *, yes: bool = True) -> list[Expression]:
    return [_meta(6), _compare(name.encode().ljust(16, b"\0"), equal=yes)]


def goes_to_exactly(name: str, *, yes: bool = True) -> list[Expression]:
    return [_meta(7), _compare(name.encode().ljust(16, b"\0"), equal=yes)]


def ipv4() -> list[Expression]:
    return [_meta(15), _compare(bytes([socket.AF_INET]))]


def not_ipv4() -> list[Expression]:
    return [_meta(15), _compare(bytes([socket.AF_INET]), equal=False)]


def protocol(number: int) -> list[Expression]:
    return [_meta(16), _compare(bytes([number]))]


def source_in(network: IPv4Network) -> list[Expression]:
    return [_payload(1, 12, 4), _mask(network.netmask.packed), _compare(network.network_address.packed)]


def target_in(network: IPv4Network) -> list[Expression]:
    return [_payload(1, 16, 4), _mask(network.netmask.packed), _compare(network.network_address.packed)]


def target_is_ours() -> list[Expression]:
    """Whether it is for an address of the machine itself."""
    return [
        _expression("fib", be32(1, _REGISTER), be32(2, 3), be32(3, 2)),
        _compare(struct.pack("=I", 2)),  # RTN_LOCAL
    ]


def source_is_forged() -> list[Expression]:
    """Whether no route leads back to its source by the interface that it came in by."""
    return [_expression("fib", be32(1, _REGISTER), be32(2, 1), be32(3, 1 | 8)), _compare(struct.pack("=I", 0))]


def target_port(port: int) -> list[Expression]:
    """To be asked of TCP and UDP only."""
    return [_payload(2, 2, 2), _compare(port.to_bytes(2))]


def state(bits: int) -> list[Expression]:
    """Whether its connection is in one of these states."""
    mask = struct.pack("=I", bits)
    return [
        _expression("ct", be32(2, 0), be32(1, _REGISTER)),
        _mask(mask),
        _compare(bytes(4), equal=False),
    ]


def is_reply() -> list[Expression]:
    """Whether it goes against the direction in which its connection was opened."""
    return [_expression("ct", be32(2, 1), be32(1, _REGISTER)), _compare(b"\1")]


def made_by(uid: int) -> list[Expression]:
    """Whether a socket of this user sent it."""
    return [_meta(10), _compare(struct.pack("=I", uid))]


def source_listed(name: str) -> list[Expression]:
    return [_payload(1, 12, 4), _lookup(name)]


def target_listed(name: str) -> list[Expression]:
    return [_payload(1, 16, 4), _lookup(name)]


def source_target_port_listed(name: str) -> list[Expression]:
    """Looks up source address . target address . target port."""
    return [_payload(1, 12, 4), _payload(1, 16, 4, _REGISTER + 1), _payload(2, 2, 2, _REGISTER + 2), _lookup(name)]


def target_source_port_listed(name: str) -> list[Expression]:
    """The same of an answer, seen the other way round: target address . source address . source port."""
    return [_payload(1, 16, 4), _payload(1, 12, 4, _REGISTER + 1), _payload(2, 0, 2, _REGISTER + 2), _lookup(name)]


def target_port_listed(name: str) -> list[Expression]:
    """Looks up target address . target port."""
    return [_payload(1, 16, 4), _payload(2, 2, 2, _REGISTER + 1), _lookup(name)]


def _lookup(name: str) -> Expression:
    return _expression("lookup", text(1, name), be32(2, _REGISTER))


def accept() -> list[Expression]:
    return [_verdict(ACCEPT)]


def drop() -> list[Expression]:
    return [_verdict(DROP)]


def jump(chain: str) -> list[Expression]:
    return [_verdict(JUMP, text(2, chain))]


def _verdict(code: int, *more: bytes) -> Expression:
    return _expression("immediate", be32(1, 0), nested(2, nested(2, attribute(1, struct.pack(">i", code)), *more)))


def reject() -> list[Expression]:
    """Says no with "administratively prohibited"."""
    return [_expression("reject", be32(1, 2), attribute(2, b"\3"))]


def reset() -> list[Expression]:
    """Says no to a TCP connection as a closed port does."""
    return [_expression("reject", be32(1, 1), attribute(2, b"\0"))]


def masquerade() -> list[Expression]:
    return [_expression("masq")]


def redirect_to(address: IPv4Address, port: int) -> list[Expression]:
    """Another target than it was sent to."""
    value = nested(2, attribute(1, address.packed))
    number = nested(2, attribute(1, port.to_bytes(2)))
    return [
        _expression("immediate", be32(1, _REGISTER), value),
        _expression("immediate", be32(1, _REGISTER + 1), number),
        _expression("nat", be32(1, 1), be32(2, 2), be32(3, _REGISTER), be32(5, _REGISTER + 1)),
    ]


# --- looking --------------------------------------------------------------------------------------------------------


def has_table(socket_: Netlink, table: str) -> bool:
    try:
        socket_.get(_message(_GETTABLE, text(1, table)))
    except FileNotFoundError:
        return False
    return True


def forwarding_tables(socket_: Netlink) -> set[str]:
    """Names of all tables that have a chain on the machine's forwarded packets."""
    bodies = socket_.dump(Message(_SUBSYSTEM << 8 | _GETCHAIN, 0, struct.pack(">BBH", 0, 0, 0)))
    found: set[str] = set()
    for body in bodies:
        parts = attributes(body[4:])
        hook = attributes(parts.get(4, b""))
        if hook.get(1) == struct.pack(">I", HOOKS["forward"]):
            found.add(parts[1].rstrip(b"\0").decode())
    return found
