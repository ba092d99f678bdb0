"""Connections to addresses that somebody else has named: made only to addresses that were looked at.

Where a name leads is decided when the connection is made: all its addresses are looked up and checked, and the
connection goes to an address that was checked, so a name that leads elsewhere a moment later (DNS rebinding) gains
nothing. What is refused is the caller's: `public_only`, or `private_too` for what an administrator has allowed.
"""

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Network
from typing import Any, Literal
from urllib.parse import urlsplit

import httpcore2

from gongfang.domain.egress import NEVER
from gongfang.domain.webhooks import refused_address

_TRIED = 4  # addresses of one name

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Allowed = Callable[[str, int], bool]
"""Whether this address may be spoken with at this port."""

Fault = Literal["refused", "broken_off", "certificate", "no_tls", "name_unknown", "no_route", "unreachable"]


class AddressRefused(Exception):
    """The name leads to none but refused addresses."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, as the machine finds them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def anything(address: str, port: int) -> bool:
    return True


def public_only(address: str, port: int) -> bool:
    """This machine, private and link-local networks and clouds' metadata are not of the public internet."""
    return not refused_address(address)


def private_too(closed: Sequence[IPv4Network] = (), own_ports: Collection[int] = ()) -> Allowed:
    """Private networks and this machine, too; never `closed` (the workloads' own), never this machine at `own_ports`
    (the platform's), never link-local addresses, where metadata services hand out a machine's credentials."""
    loopback = IPv4Network("127.0.0.0/8")
    never = [network for network in NEVER if network != loopback] + list(closed)

    def allowed(text: str, port: int) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if isinstance(address, ipaddress.IPv6Address):
            inside = address.is_loopback or address in ipaddress.ip_network("fc00::/7")
            if not inside and refused_address(str(address)):
                return False
        elif any(address in network for network in never):
            return False
        return port not in own_ports or not is_own(str(address))

    return allowed


def is_own(address: str) -> bool:
    """Whether it is one of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _plain_backend() -> Any:
    return httpcore2.AnyIOBackend()


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were looked at, and to nothing by name."""

    def __init__(self, resolve: Resolve, allowed: Allowed) -> None:
        self._inner: httpcore2.AsyncNetworkBackend = _plain_backend()
        self._resolve = resolve
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        found = await self._resolve(host, port)
        allowed = [address for address in found if self._allowed(address, port)]
        if not allowed:
            raise AddressRefused(host)
        for address in allowed[:_TRIED]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if address == allowed[:_TRIED][-1]:
                    raise
        raise AddressRefused(host)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise AddressRefused(path)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
_KINDS: tuple[tuple[type[BaseException], Fault], ...] = (
    (ConnectionRefusedError, "refused"),
    (BrokenPipeError, "broken_off"),
    (ConnectionResetError, "broken_off"),
    (httpcore2.RemoteProtocolError, "broken_off"),
    (httpcore2.ReadError, "broken_off"),
)


def why(error: BaseException, url: str) -> tuple[Fault, dict[str, str | int | float]]:
    """What a connection failed of, with its facts: of what lies deepest of its causes, what is commonest, else what
    the machine says."""
    causes: list[BaseException] = []
    todo: list[BaseException] = [error]
    while todo and len(causes) < 20:
        each = todo.pop()
        causes.append(each)
        todo += [e for e in (each.__cause__, each.__context__) if e is not None and e not in causes]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "certificate", {"what": cause.verify_message}
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return "no_tls", {"what": cause.reason or _words(cause)}
        if isinstance(cause, socket.gaierror):
            return "name_unknown", {"host": urlsplit(url).hostname or url}
        if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
            return "no_route", {}
    for kind, fault in _KINDS:
        if any(isinstance(cause, kind) for cause in causes):
            return fault, {}
    return "unreachable", {"what": _words(error)}


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return "".join(c for c in text if c.isprintable())[:200]
