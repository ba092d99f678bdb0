"""What an HTTP answer of a broker means: the specification's table of orphan mitigation, as a function. Pure.

Every status with every body, of every request, comes to exactly one answer:

| request | seen | answer |
|---|---|---|
| any | 200 and valid | `Done` |
| any | 200, malformed | `Unsure`, nothing to delete |
| provision, bind | 201 valid / malformed | `Done` / `Unsure`, to be deleted |
| any | 202 valid / malformed | `Accepted` / `Unsure`, to be deleted but for an update |
| deprovision, unbind | 410 | `Done(Gone())` |
| any | 408 | `Unsure`, nothing to delete |
| any | other 4xx; 3xx, which is never followed | `Refused` |
| any | anything else (other 2xx, 5xx) | `Unsure`, to be deleted but for an update |

What came of a request whose answer was never read is `lost`.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus

from gongfang.brokers.interface import (
    Accepted,
    Answer,
    Body,
    Bound,
    Done,
    Failure,
    Gone,
    Polled,
    Provisioned,
    Refused,
    Unsure,
    Updated,
)
from gongfang.brokers.osb import bodies
from gongfang.brokers.osb.bodies import MOST_WORDS, Malformed, read_object
from gongfang.domain.errors import Reason
from gongfang.domain.services import CallKind
from gongfang.domain.values import JsonObject

_DELETES = (CallKind.deprovision, CallKind.unbind)
_MAKES = (CallKind.provision, CallKind.bind)
_LONGEST_ERROR = 100
_SHORTEST_SECRET = 4


def interpret(  # noqa: PLR0911  (one answer a row of the table)
    kind: CallKind,
    status: int,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    requires: Collection[str] | None = None,
    secrets: Collection[str] = (),
) -> Answer:
    """`headers`: names in small letters. `body` None: longer than what is read. `secrets`: what no words may repeat."""
    retry_after = seconds(headers)
    if status == 408:
        return Unsure(_status(status), mitigate=False, retry_after=retry_after)
    if 300 <= status < 500:
        if status == 410 and kind in _DELETES:
            return Done(Gone())
        return refused(status, retry_after, body, secrets)
    mitigate = kind is not CallKind.update
    try:
        if status == 202:
            found = read_object(body)
            address = bodies.dashboard(found) if kind is CallKind.provision or kind is CallKind.update else None
            return Accepted(bodies.operation(found), address, retry_after)
        if status == 200 or (status == 201 and kind in _MAKES):
            value = _body(kind, read_object(body), requires)
            return Done(value) if kind in _DELETES else Done(value, created=status == 201)
    except Malformed as error:
        return Unsure(_malformed(error), mitigate=mitigate and status != 200, retry_after=retry_after)
    return Unsure(_status(status), mitigate=mitigate, retry_after=retry_after)


def _body(kind: CallKind, found: JsonObject, requires: Collection[str] | None) -> Body:
    match kind:
        case CallKind.provision:
            return bodies.provisioned(found)
        case CallKind.update:
            made = bodies.provisioned(found)
            return Updated(made.dashboard_url, made.labels, made.attributes)
        case CallKind.bind:
            return bodies.bound(found, requires)
        case _:
            return Gone()


def polled(
    status: int, headers: Mapping[str, str], body: bytes | None, secrets: Collection[str] = ()
) -> Polled | Failure:
    """Of `last_operation`: only 200 and 410 say anything, and it is never a reason to delete by itself."""
    retry_after = seconds(headers)
    if status == 410:
        return Polled("gone", retry_after=retry_after)
    if status == 200:
        try:
            told = bodies.polled(read_object(body), retry_after)
        except Malformed as error:
            return Unsure(_malformed(error), mitigate=False, retry_after=retry_after)
        description = plain(told.description, secrets) if told.description else None
        return Polled(told.state, description, told.usable, told.repeatable, retry_after)
    return _no_body(status, retry_after, body, secrets)


def fetched_binding(
    status: int,
    headers: Mapping[str, str],
    body: bytes | None,
    requires: Collection[str] | None = None,
    secrets: Collection[str] = (),
) -> Bound | Failure:
    retry_after = seconds(headers)
    if status != 200:
        return _no_body(status, retry_after, body, secrets)
    try:
        return bodies.bound(read_object(body), requires)
    except Malformed as error:
        return Unsure(_malformed(error), mitigate=False, retry_after=retry_after)


def fetched_instance(
    status: int, headers: Mapping[str, str], body: bytes | None, secrets: Collection[str] = ()
) -> Provisioned | Failure:
    retry_after = seconds(headers)
    if status != 200:
        return _no_body(status, retry_after, body, secrets)
    try:
        return bodies.provisioned(read_object(body))
    except Malformed as error:
        return Unsure(_malformed(error), mitigate=False, retry_after=retry_after)


def lost(kind: CallKind | None, reason: Reason) -> Unsure:
    """The request was sent, and its answer never came or broke off. `kind` None: it only asked for something."""
    return Unsure(reason, mitigate=kind in _MAKES)


def _no_body(status: int, retry_after: float | None, body: bytes | None, secrets: Collection[str]) -> Refused | Unsure:
    if 300 <= status < 500 and status != 408:
        return refused(status, retry_after, body, secrets)
    return Unsure(_status(status), mitigate=False, retry_after=retry_after)


def refused(status: int, retry_after: float | None, body: bytes | None, secrets: Collection[str]) -> Refused:
    """In the broker's words as far as they can be read: that they can't makes it no less refused."""
    try:
        found = read_object(body)
    except Malformed:
        found: JsonObject = {}
    error, description = found.get("error"), found.get("description")
    usable, repeatable = found.get("instance_usable"), found.get("update_repeatable")
    said = plain(description, secrets) if isinstance(description, str) else ""
    return Refused(
        status,
        plain(error, secrets)[:_LONGEST_ERROR] if isinstance(error, str) and error else None,
        said or phrase(status),
        usable if isinstance(usable, bool) else None,
        repeatable if isinstance(repeatable, bool) else None,
        retry_after,
    )


def phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def plain(said: str, secrets: Collection[str] = ()) -> str:
    """A broker's words as they may be shown and kept: on one line, bounded, and without what is secret. Secrets are
    taken out first, longest first, so that no cut leaves half of one."""
    for secret in sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True):
        said = said.replace(secret, "***")
    said = "".join(c if c.isprintable() else " " for c in said).strip()
    return said if len(said) <= MOST_WORDS else said[: MOST_WORDS - 1] + "…"


def seconds(headers: Mapping[str, str]) -> float | None:
    """`Retry-After`, where it is a number of seconds."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 6 else None


def _status(status: int) -> Reason:
    return Reason("broker_status", {"status": phrase(status)})


def _malformed(error: Malformed) -> Reason:
    return Reason("broker_malformed", {"what": str(error)})
