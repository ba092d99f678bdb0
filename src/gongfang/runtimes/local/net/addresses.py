"""Which addresses a home's workloads get. Pure.

Each slot has one address for good, in a subnet that the home keeps: below it lie the gateway's and a trial's. Pinned
slots are counted from the subnet's end, so that another number of ordinary ones doesn't move them.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_GATEWAY, _TRIAL, _FIRST = 1, 2, 16
_WHOLE = IPv4Network("10.0.0.0/8")


def tag(home: Path) -> str:
    """Six letters that tell a home's interfaces and tables from another's."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:6]


@dataclass(frozen=True, slots=True)
class Addresses:
    subnet: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """The machine's, where workloads find the edge and the names."""
        return self.subnet.network_address + _GATEWAY

    @property
    def trial(self) -> IPv4Address:
        return self.subnet.network_address + _TRIAL

    def of_slot(self, slot: int) -> IPv4Address:
        return self.subnet.network_address + _FIRST + slot

    def of_pinned(self, index: int) -> IPv4Address:
        return self.subnet.broadcast_address - 1 - index

    def has_room(self, ordinary: int, pinned: int) -> bool:
        """Whether so many slots of each kind have different addresses."""
        return _FIRST + ordinary + pinned < self.subnet.num_addresses


def prefix_for(slots: int) -> int:
    """How long a prefix leaves room for so many slots."""
    return 32 - (slots + _FIRST).bit_length()


def fits(subnet: IPv4Network, slots: int) -> bool:
    return subnet.prefixlen <= prefix_for(slots)


def choose_subnet(home: Path, slots: int, in_use: Iterable[IPv4Network]) -> IPv4Network | None:
    """A subnet of 10.0.0.0/8 that overlaps with nothing in use; the same home begins to look at the same place. None
    where there is none."""
    taken = list(in_use)
    length = prefix_for(slots)
    count = 1 << (length - _WHOLE.prefixlen)
    digest = hashlib.sha256(b"subnet:" + str(home).encode()).digest()
    start = int.from_bytes(digest[:8]) % count
    size = 1 << (32 - length)
    for step in range(count):
        place = int(_WHOLE.network_address) + (start + step) % count * size
        subnet = IPv4Network((place, length))
        if not any(subnet.overlaps(network) for network in taken):
            return subnet
    return None
