"""Webhooks: where events are sent to. What they are, and every decision about them that needs no network. Pure.

A webhook belongs to a place and gets the events of that place and below whose tags fit its patterns, in the order of
their numbers, each at least once: `position` is the last number that is dealt with. Messages are signed as Standard
Webhooks are (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64`). One that fails is tried again, later
each time, and nothing behind it is sent meanwhile; after a day the webhook is disabled and says why.
"""

import base64
import binascii
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from gongfang.domain.errors import Reason
from gongfang.domain.values import Place

SECRET_PREFIX = "whsec_"  # noqa: S105  (a prefix)
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0
GIVE_UP_AFTER = timedelta(days=1)
KEPT_DELIVERIES = 50
EXCERPT = 200
"""Characters kept of an answer's body."""
GONE = 410


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret`: `whsec_` and base64. `attempts`: failed ones in a row of the event behind `position`."""

    id: str
    tenant_id: str | None
    organization_id: str | None
    space_id: str | None
    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    tags: tuple[str, ...]
    enabled: bool
    created_at: datetime
    created_by: str | None
    position: int
    attempts: int = 0
    failing_since: datetime | None = None
    next_attempt_at: datetime | None = None
    reason: Reason | None = None  # why the last attempt failed, or why it is disabled

    @property
    def place(self) -> Place:
        return Place(self.tenant_id, self.organization_id, self.space_id)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt. `seq` is None for a test. `response`: the beginning of the answer's body."""

    id: str
    webhook_id: str
    at: datetime
    seq: int | None
    tag: str
    attempt: int
    delivered: bool
    status: int | None
    took_ms: int
    reason: Reason | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one request. `status` None: there was no answer, for `reason`."""

    status: int | None
    took_ms: int
    reason: Reason | None = None
    response: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def matches(patterns: Iterable[str], tag: str) -> bool:
    """Whether a tag fits one of the patterns: the tag itself, `app:*`, or `*`."""
    return any(tag.startswith(p[:-1]) if p.endswith("*") else tag == p for p in patterns)


def fresh_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def secret_bytes(secret: str) -> bytes:
    """The key of a secret. Raises ValueError on what isn't `whsec_` and base64 of 24 to 64 bytes."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("prefix")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("base64") from error
    if not 24 <= len(key) <= 64:
        raise ValueError("length")
    return key


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,BASE64` of HMAC-SHA256 over `ID.TIMESTAMP.BODY`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(secret_bytes(secret), signed, "sha256")
    return f"v1,{base64.b64encode(digest).decode('ascii')}"


def headers(webhook: Webhook, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """What a message is sent with. The time is that of the attempt: receivers refuse old ones."""
    timestamp = int(now.timestamp())
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(webhook.secret, message_id, timestamp, body),
    }


def pause(attempts: int, spread: float) -> timedelta:
    """How long after so many failures in a row (from 1) the next attempt waits: twice as long each time, up to an
    hour; `spread` (0 to 1) takes up to a quarter off, so that not all try at the same moment."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 20))
    return timedelta(seconds=longest * (1 - spread / 4))


def gives_up(webhook: Webhook, sent: Sent, now: datetime) -> Reason | None:
    """Why a webhook whose attempt failed is disabled now; None where it will be tried again."""
    if sent.status == GONE:
        return Reason("webhook_gone", {})
    if webhook.failing_since is not None and now - webhook.failing_since >= GIVE_UP_AFTER:
        return Reason("webhook_given_up", {"attempts": webhook.attempts + 1, "last": why(sent).code})
    return None


def why(sent: Sent) -> Reason:
    """Why an attempt failed."""
    return sent.reason or Reason("webhook_answered", {"status": sent.status or 0})


_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # a cloud's metadata at a public address
        "192.0.0.0/24",  # another's; and relays of 6to4. Not private to every release of Python
        "192.88.99.0/24",
        "64:ff9b::/96",  # IPv4 behind NAT64: may be any address of these
        "64:ff9b:1::/48",
        "2002::/16",  # 6to4, and Teredo below: the same
        "2001::/32",
        "fec0::/10",
    )
)


def refused_address(text: str) -> bool:
    """Whether nothing is sent to this address: it isn't one of the public internet. What can't be read is refused."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return True
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, ipaddress.IPv6Address) and int(address) < 1 << 32:  # IPv4-compatible, long forbidden
        return True
    return not address.is_global or address.is_multicast or any(address in n for n in _NETWORKS)


def fault_of_url(url: str, *, private: bool) -> str | None:
    """The code of what is wrong with an address; None where it may be kept. Names are looked up when it is used."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return "webhook_url_invalid"
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\")
    if parts.scheme not in ("http", "https") or not host or port == 0 or not plain or parts.fragment:
        return "webhook_url_invalid"
    if parts.username is not None or parts.password is not None:
        return "webhook_url_userinfo"
    return None if private or not _leads_inside(host) else "webhook_url_private"


def _leads_inside(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return refused_address(host)


def public_url(url: str) -> str:
    """An address as those may see it who may not change it: scheme and host, since the rest may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"
