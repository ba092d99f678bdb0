"""What an event tells of a change: the fields that changed, before and after, without a secret. Pure.

`facts` makes a noun flat: `{"desired": "stopped", "environment.LINE": Secret("3"), "labels.area": "north"}`. `changed`
compares two of them and keeps what differs. A value that may be secret is compared like any other and then shown as
`***`; where it is another one than before, `after` says `*** (changed)`. What may be secret is told by the name of the
field, so that a noun which is added later is masked before anybody has thought of it: too much rather than too little.

Hard cases: environment variables (their names are shown, their values never), one-off commands (people put passwords
into them), addresses with a password or a token in them, values of many kilobytes, and nouns with hundreds of fields.
"""

import dataclasses
import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gongfang.domain.values import JsonObject, Outcome

MASKED = "***"
LONGEST_TEXT = 500
MOST_FIELDS = 100

_KINDS = {
    "app": "app",
    "op": "operation",
    "dom": "domain",
    "pkg": "package",
    "bld": "build",
    "rel": "release",
    "ins": "instance",
    "task": "task",
    "usr": "user",
    "rol": "role",
    "tok": "token",
    "ten": "tenant",
    "org": "organization",
    "spc": "space",
    "whk": "webhook",
    "crt": "certificate",
    "drp": "droplet",
    "dlv": "delivery",
    "svc": "service",
    "sin": "service_instance",
    "bnd": "service_binding",
    "brk": "service_broker",
    "off": "service_offering",
    "pln": "service_plan",
    "hst": "hosted_instance",
    "hbn": "hosted_binding",
    "srv": "hosted_server",
    "orp": "orphan",
    "sbk": "service_backup",
}
_OUTCOMES = {
    "requested": Outcome.requested,
    "refused": Outcome.refused,
    "failed": Outcome.failed,
    "crashed": Outcome.failed,
    "cancelled": Outcome.cancelled,
}
# What changes by itself with every change, or only says where a thing is.
_BOOKKEEPING = frozenset(
    {
        *("id", "generation", "observed_generation", "sequence", "created_at", "updated_at", "last_used_at"),
        *("tenant_id", "organization_id", "space_id", "bindings", "steps", "params", "output", "deadline"),
        *("position", "attempts", "failing_since", "next_attempt_at"),
    }
)
_SECRET = re.compile(
    r"password|passwd|secret|private|credential|parameters|hash|sealed|^environment$|^command$|(^|_)(key|token)$"
)


class Secret(NamedTuple):
    """A value that is compared and never shown; `shown` is what stands for it."""

    value: Any
    shown: str = MASKED


def kind_of(object_id: str | None, tag: str) -> str:
    """What an object is: by the prefix of its id, else by the first word of the event's tag."""
    prefix = (object_id or "").partition("_")[0]
    return _KINDS.get(prefix, tag.partition(":")[0])


def outcome_of(tag: str) -> Outcome:
    """By the last word of a tag; what says nothing else has succeeded."""
    return _OUTCOMES.get(tag.rpartition(":")[2], Outcome.succeeded)


def name_of(value: object) -> str | None:
    """What people call a noun."""
    for field in ("name", "domain", "filename", "number"):
        found = getattr(value, field, None)
        if found is not None:
            return str(found)[:255]
    return None


def facts(value: object, *, unlike: object | None = None) -> dict[str, Any]:
    """A noun's fields as flat, plain values by dotted names; what is None is left out. A `config` adds no level.

    `unlike`: another state of the same noun; fields that are equal in both are left out.
    """
    found: dict[str, Any] = {}
    for field, secret in _told_of(type(value)):
        said = getattr(value, field)
        if unlike is not None and said == getattr(unlike, field):
            continue
        name = "" if field == "config" else field
        if field == "url":
            found[name] = _address(said)
            continue
        _flatten(name, said, secret, found)
    return found


@cache
def _told_of(noun: type[Any]) -> tuple[tuple[str, bool], ...]:
    """Names of a noun's fields that are told, and whether by its name one is secret."""
    names = [field.name for field in dataclasses.fields(noun) if field.name not in _BOOKKEEPING]
    return tuple((name, bool(_SECRET.search(name))) for name in names)


def _flatten(name: str, value: Any, secret: bool, into: dict[str, Any]) -> None:
    if value is None:
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            part = str(key)  # pyright: ignore[reportUnknownArgumentType]
            # A label called "key" is no secret for its name; a field is.
            hidden = secret or (name not in ("labels", "scale") and bool(_SECRET.search(part)))
            _flatten(f"{name}.{part}" if name else part, item, hidden, into)
        return
    into[name] = Secret(value) if secret else _plain(value)


def _plain(value: Any) -> Any:  # noqa: PLR0911  (a case a line)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        shown = _without_userinfo(value)
        return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]}…"
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bool | int | float | Mapping) or value is None:
        return value  # pyright: ignore[reportUnknownVariableType]
    return str(value)


def _address(url: Any) -> Secret:
    """Of an address that something is sent to, scheme and host: the rest may be what lets in."""
    parts = urlsplit(str(url))
    return Secret(url, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASKED}")


def _without_userinfo(text: str) -> str:
    """An address without what stands before its `@` and behind its `?`; any other text as it is."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return MASKED
    if not (parts.query or parts.username or parts.password):
        return text
    return parts._replace(netloc=host, query=MASKED if parts.query else "", fragment="").geturl()


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[JsonObject, JsonObject]:
    """The fields that differ, as they may be shown: before, and after."""
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    left_out = len(names) - MOST_FIELDS
    names = names[:MOST_FIELDS]
    was = {name: _shown(before[name]) for name in names if name in before}
    now = {name: _shown(after[name], changed=name in before) for name in names if name in after}
    if left_out > 0:
        now["…"] = left_out
    return was, now


def shortened(fields: JsonObject) -> JsonObject:
    """The first of many fields, and how many were left out."""
    left_out = len(fields) - MOST_FIELDS
    return fields if left_out <= 0 else {**dict(list(fields.items())[:MOST_FIELDS]), "…": left_out}


def _shown(value: Any, *, changed: bool = False) -> Any:
    if isinstance(value, Secret):
        return f"{value.shown} (changed)" if changed else value.shown
    return value
