"""What a broker's body says, as values. Pure. Whatever is not as the API has it is `Malformed`.

A body comes from anybody: it is bounded in length and depth before anything looks at it, and holds no text that our
store can't keep (NUL, lone surrogates), and no number beyond 64 bits.
"""

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from gongfang.brokers.interface import Bound, Polled, Provisioned
from gongfang.domain.values import JsonObject

MOST_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_OPERATION = 10_000
MOST_CREDENTIALS = 64 * 1024
MOST_WORDS = 1000
_MOST_ENDPOINTS = 64
_MOST_URL = 2000
_State = Literal["in progress", "succeeded", "failed"]
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?|\[?[0-9A-Fa-f:.]{2,45}\]?")
_UNKEPT = re.compile("[\x00\ud800-\udfff]")


class Malformed(Exception):
    """Says what of it. Never holds a value of the body."""


def read_object(body: bytes | None) -> JsonObject:
    """A JSON object. None: more came than is read."""
    if body is None:
        raise Malformed("too large")
    try:
        found: Any = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(found, dict):
        raise Malformed("not a JSON object")
    _check_texts(found)
    return cast(JsonObject, found)


def _no_number(text: str) -> None:
    raise ValueError(text)  # NaN and its like are no JSON


def _check_texts(found: Any) -> None:
    level: list[Any] = [found]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                members = cast(dict[str, Any], value)
                below += [*members, *members.values()]
            elif isinstance(value, list):
                below += cast(list[Any], value)
            elif isinstance(value, str) and _UNKEPT.search(value):
                raise Malformed("text that can't be kept")
            elif isinstance(value, int | float) and not -(2**63) <= value < 2**64:  # infinite, too
                raise Malformed("a number that can't be kept")
        if not below:
            return
        level = below
    raise Malformed("too deep")


def text(found: JsonObject, name: str, *, most: int | None = None) -> str | None:
    """A text that may be absent."""
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or (most is not None and len(value) > most):
        raise Malformed(name)
    return value


def flag(found: JsonObject, name: str) -> bool | None:
    value = found.get(name)
    if value is not None and not isinstance(value, bool):
        raise Malformed(name)
    return value


def mapping(found: JsonObject, name: str) -> JsonObject:
    value = found.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(name)
    return cast(JsonObject, value)


def listing(found: JsonObject, name: str) -> list[Any]:
    value = found.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(name)
    return cast(list[Any], value)


def operation(found: JsonObject) -> str | None:
    return text(found, "operation", most=MOST_OPERATION)


def dashboard(found: JsonObject) -> str | None:
    """An address that a browser may be sent to; any other is left out."""
    address = text(found, "dashboard_url")
    if address is None or len(address) > _MOST_URL or not address.isprintable() or " " in address:
        return None
    try:
        return address if urlsplit(address).scheme in ("http", "https") else None
    except ValueError:
        return None


def provisioned(found: JsonObject) -> Provisioned:
    metadata = mapping(found, "metadata")
    labels = mapping(metadata, "labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise Malformed("metadata.labels")
    return Provisioned(dashboard(found), labels, mapping(metadata, "attributes"))


def bound(found: JsonObject, requires: Collection[str] | None) -> Bound:
    """`requires`: as the offering has it in the catalogue, None: not known. What it does not name must not be given."""
    credentials = mapping(found, "credentials")
    if len(json.dumps(credentials, ensure_ascii=False).encode()) > MOST_CREDENTIALS:
        raise Malformed("credentials")
    mounts = listing(found, "volume_mounts")
    if not all(isinstance(mount, dict) for mount in mounts):
        raise Malformed("volume_mounts")
    drain = text(found, "syslog_drain_url", most=_MOST_URL)
    route = text(found, "route_service_url", most=_MOST_URL)
    if requires is not None:
        given = (("syslog_drain", drain), ("route_forwarding", route), ("volume_mount", mounts))
        for needed, value in given:
            if value and needed not in requires:
                raise Malformed(f"requires {needed}")
    metadata = mapping(found, "metadata")
    expires, renew = _moment(metadata, "expires_at"), _moment(metadata, "renew_before")
    if expires is not None and renew is not None and renew > expires:
        raise Malformed("metadata.renew_before")
    return Bound(
        credentials,
        endpoints=_endpoints(found),
        syslog_drain_url=drain,
        route_service_url=route,
        volume_mounts=tuple(mounts),
        expires_at=expires,
        renew_before=renew,
    )


def _moment(found: JsonObject, name: str) -> datetime | None:
    value = text(found, name, most=64)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"metadata.{name}") from None


def _endpoints(found: JsonObject) -> tuple[str, ...]:
    """ "host:port" each. Ranges of ports are left out: nothing here is reached by one."""
    every: dict[str, None] = {}
    for each in listing(found, "endpoints"):
        if not isinstance(each, dict):
            raise Malformed("endpoints")
        endpoint = cast(JsonObject, each)
        host = endpoint.get("host")
        if not isinstance(host, str) or not _HOST.fullmatch(host):
            raise Malformed("endpoints.host")
        for port in listing(endpoint, "ports"):
            said = str(port) if isinstance(port, int) and not isinstance(port, bool) else port
            if not isinstance(said, str) or not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", said):
                raise Malformed("endpoints.ports")
            if "-" not in said and 1 <= int(said) <= 65535:
                every[f"{host}:{int(said)}"] = None
    return tuple(every)[:_MOST_ENDPOINTS]


def polled(found: JsonObject, retry_after: float | None) -> Polled:
    state = found.get("state")
    if state not in get_args(_State):
        raise Malformed("state")
    description = text(found, "description")
    return Polled(
        cast(_State, state), description, flag(found, "instance_usable"), flag(found, "update_repeatable"), retry_after
    )
