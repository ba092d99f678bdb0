"""Failed log-ins by source address: who guesses many names is sent away before anything is looked at or hashed.

Kept in memory: a restart forgets it, and the lock of each name, which is in the database, still holds. Behind a proxy
that is not in `GONGFANG_TRUSTED_PROXIES` all clients are one source.
"""

import ipaddress
from collections import deque
from datetime import datetime, timedelta

from gongfang.domain.errors import TooMany

WINDOW = timedelta(minutes=5)
MOST = 100
_SOURCES = 10_000


def source_of(address: str | None) -> str:
    """One client: an IPv4 address, or the /64 network of an IPv6 one, all of which one customer has."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "-"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
    return str(ip)


class Throttle:
    """At most `MOST` failures within `WINDOW` of one source. Bounded: the sources that failed longest ago go first."""

    def __init__(self) -> None:
        self._failures: dict[str, deque[datetime]] = {}

    def check(self, source: str, now: datetime) -> None:
        """Raises `TooMany("login_too_often")`."""
        times = self._recent(source, now)
        if len(times) >= MOST:
            wait = (times[0] + WINDOW - now).total_seconds()
            raise TooMany("login_too_often", retry_after=wait, seconds=max(1, round(wait)))

    def note(self, source: str, now: datetime) -> None:
        """Counts one failure."""
        times = self._recent(source, now)
        times.append(now)
        self._failures.pop(source, None)
        self._failures[source] = times
        if len(self._failures) > _SOURCES:
            del self._failures[next(iter(self._failures))]

    def _recent(self, source: str, now: datetime) -> deque[datetime]:
        times = self._failures.get(source) or deque[datetime](maxlen=MOST)
        while times and not now - WINDOW < times[0] <= now:
            times.popleft()
        return times
