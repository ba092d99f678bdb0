"""What of the network workloads may reach: targets, the ranges that are closed unless opened, and a space's policy.
Pure.

A target is a range of IPv4 addresses and of ports: `10.1.2.0/24:5432`, `10.1.2.7:8000-8010`, `10.0.0.0/8` (all
ports). Names are not taken: what they resolve to changes, and a firewall sees addresses.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError, collapse_addresses
from itertools import pairwise

LAST_PORT = 65535
MOST_TARGETS = 64  # of a space

PRIVATE = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16"),
    )
)
"""Closed unless a policy opens them: a company's own network, a carrier's, a protocol's."""

NEVER = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # "this" network
            "127.0.0.0/8",  # the machine itself
            "169.254.0.0/16",  # link-local: metadata services, which hand out a machine's credentials
            "100.100.100.200/32",  # the same, elsewhere
            "168.63.129.16/32",
            "192.0.0.192/32",
            "224.0.0.0/4",  # to many
            "240.0.0.0/4",  # reserved, and to all
        ),
    )
)
"""Closed whatever a policy says."""

_TARGET = re.compile(r"(?P<network>[0-9.]+(?:/[0-9]{1,2})?)(?::(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?)?")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Addresses and ports (of TCP and UDP), both ends included."""

    network: IPv4Network
    first: int = 0
    last: int = LAST_PORT

    def __str__(self) -> str:
        if (self.first, self.last) == (0, LAST_PORT):
            return str(self.network)
        return f"{self.network}:{self.first}" + (f"-{self.last}" if self.last != self.first else "")

    @property
    def public(self) -> bool:
        """Whether all of it is reached through the internet, so that it opens nothing that is closed by itself."""
        return not any(self.network.overlaps(closed) for closed in (*PRIVATE, *NEVER))

    @property
    def hopeless(self) -> bool:
        """Whether no policy can open any of it."""
        return any(self.network.subnet_of(never) for never in NEVER)


def parse_target(text: str) -> Target:
    """Raises `ValueError` where it is none. An address with bits beyond its mask is none: it may not mean what it
    says."""
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    try:
        network = IPv4Network(match["network"])
    except (AddressValueError, NetmaskValueError) as error:
        raise ValueError(text) from error
    first = int(match["first"]) if match["first"] else 0
    last = int(match["last"]) if match["last"] else (first if match["first"] else LAST_PORT)
    if not first <= last <= LAST_PORT or (match["first"] and first == 0):
        raise ValueError(text)
    return Target(network, first, last)


def disjoint(targets: Iterable[Target]) -> list[Target]:
    """The same addresses and ports, no two of them with anything in common."""
    wanted = list(targets)
    starts = sorted({t.first for t in wanted} | {t.last + 1 for t in wanted})
    found: list[Target] = []
    for first, beyond in pairwise(starts):
        here = [t.network for t in wanted if t.first <= first and t.last >= beyond - 1]
        found += [Target(network, first, beyond - 1) for network in collapse_addresses(here)]
    # What came apart only for the sake of others is put together again.
    merged: list[Target] = []
    for each in sorted(found):
        before = merged[-1] if merged else None
        if before is not None and before.network == each.network and before.last + 1 == each.first:
            merged[-1] = Target(each.network, before.first, each.last)
        else:
            merged.append(each)
    return merged


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What a space's workloads may reach beyond the edge and the names. `id`: the space's. `allow`: targets in words,
    so that a policy survives what it says about them."""

    id: str
    internet: bool = True
    allow: tuple[str, ...] = ()
    changed_at: datetime | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(parse_target(text) for text in self.allow)
