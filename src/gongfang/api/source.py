"""Where a call comes from: the peer of the connection, or what a trusted proxy in front says. Pure.

`X-Forwarded-For` is written by whoever likes to, so it counts only as far as it was written by proxies that the
administrator trusts (`GONGFANG_TRUSTED_PROXIES`): the list is read from its end, each address is believed because the
one that reported it is trusted, and the first that isn't trusted is the client. What can't be read ends the search at
the last believed address. IPv4 inside IPv6 is shown as IPv4, so that one client has one spelling.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST = 32  # proxies in a row that are looked through


def client_address(peer: str | None, forwarded: Iterable[str], trusted: Sequence[Network]) -> str | None:
    """`peer`: the connection's other end. `forwarded`: the values of all `X-Forwarded-For` headers, in order."""
    if not trusted:
        return _spelt(peer or "") or peer
    believed = _address(peer or "")
    if believed is None:
        return peer
    if not _among(believed, trusted):
        return str(believed)
    hops = [hop for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops[-_MOST:]):
        said = _address(hop.strip())
        if said is None:
            break
        believed = said
        if not _among(said, trusted):
            break
    return str(believed)


@lru_cache(1024)
def _spelt(peer: str) -> str | None:
    address = _address(peer)
    return None if address is None else str(address)


def _among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Also with a port, as some proxies write it: `1.2.3.4:80`, `[::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
