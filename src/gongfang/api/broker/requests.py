"""What another platform asks, read by the rules of the Open Service Broker API. Pure.

Two kinds of fault: what can't be read or lacks what must be there is `Malformed` (400), and nothing was looked at yet.
Fields that this version does not know are left alone, as the specification wants it.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote_to_bytes

import orjson

from gongfang.api.bodies import parsed
from gongfang.api.validation import Malformed
from gongfang.brokers.interface import Where, Who
from gongfang.domain.errors import Precondition
from gongfang.domain.services import CallKind
from gongfang.domain.values import JsonObject

LONGEST_ID = 255
OLDEST, NEWEST = 13, 17
"""Minor versions of major 2: the oldest whose requests are taken, and the one that is spoken. A later minor version
only adds what a broker may ignore."""
_VERSION = re.compile(r"2\.(0|[1-9][0-9]{0,2})")
_OPERATION = re.compile(r"([a-z]{4,11})\.[0-9a-f]{1,64}")
_PLATFORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_IDENTITY = 16 << 10


@dataclass(frozen=True, slots=True)
class Address:
    """What is named after `/v2`. `what`: a name of `METHODS`."""

    what: str
    instance_id: str = ""
    binding_id: str | None = None


METHODS: Mapping[str, Sequence[str]] = {
    "catalog": ("GET",),
    "instance": ("GET", "PUT", "PATCH", "DELETE"),
    "instance operation": ("GET",),
    "binding": ("GET", "PUT", "DELETE"),
    "binding operation": ("GET",),
}


def address(raw_path: bytes) -> Address | None:
    """Of a path as it was sent, since an id may hold a `/` that is written as `%2F`. None: there is no such path.

    Raises `Malformed`: an id that can be none.
    """
    parts = raw_path.split(b"/")
    match parts:
        case [b"", b"v2", b"catalog"]:
            return Address("catalog")
        case [b"", b"v2", b"service_instances", instance]:
            return Address("instance", _id(instance))
        case [b"", b"v2", b"service_instances", instance, b"last_operation"]:
            return Address("instance operation", _id(instance))
        case [b"", b"v2", b"service_instances", instance, b"service_bindings", binding]:
            return Address("binding", _id(instance), _id(binding))
        case [b"", b"v2", b"service_instances", instance, b"service_bindings", binding, b"last_operation"]:
            return Address("binding operation", _id(instance), _id(binding))
        case _:
            return None


def _id(sent: bytes) -> str:
    try:
        name = unquote_to_bytes(sent).decode()
    except UnicodeDecodeError:
        raise Malformed("osb_id_invalid", longest=LONGEST_ID) from None
    if not name or len(name) > LONGEST_ID or "\0" in name:
        raise Malformed("osb_id_invalid", longest=LONGEST_ID)
    return name


def token_of(authorization: str) -> str | None:
    """The password of `Basic`: the user's name may be anything."""
    scheme, _, told = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, colon, password = base64.b64decode(told.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password if colon and password else None


def check_version(said: str | None) -> None:
    """Raises `Precondition`: another one than is spoken, or none."""
    found = _VERSION.fullmatch((said or "").strip())
    if found is None or int(found[1]) < OLDEST:
        shown = "".join(c for c in said or "-" if c.isprintable())[:40]
        raise Precondition("osb_version", given=shown, spoken=f"2.{NEWEST}", oldest=f"2.{OLDEST}")


@dataclass(frozen=True, slots=True)
class Origin:
    """For whom the other platform asks. `user`: what it calls its user, where it says so in the usual way."""

    platform: str
    user: str | None

    @property
    def who(self) -> Who:
        return Who(self.user, None)


def origin_of(said: str | None) -> Origin | None:
    """`X-Broker-API-Originating-Identity`: a platform's name, a space, and a JSON object in base64."""
    if said is None:
        return None
    platform, _, value = said.strip().partition(" ")
    if not _PLATFORM.fullmatch(platform) or len(value) > _LONGEST_IDENTITY:
        raise Malformed("osb_identity")
    try:
        told = orjson.loads(base64.b64decode(value.strip(), validate=True))
    except ValueError:
        raise Malformed("osb_identity") from None
    if not isinstance(told, dict):
        raise Malformed("osb_identity")
    told = cast(JsonObject, told)
    names = (told.get(key) for key in ("user_id", "username", "user_name", "uid"))
    user = next((n for n in names if isinstance(n, str) and 0 < len(n) <= LONGEST_ID and n.isprintable()), None)
    return Origin(platform, user)


def kind_of_operation(said: str) -> CallKind:
    """Of what the operation is, which was told in the 202 that it came with. Raises `Malformed`."""
    found = _OPERATION.fullmatch(said)
    if found is None or found[1] not in CallKind.__members__:
        raise Malformed("osb_operation")
    return CallKind(found[1])


# --- bodies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """A body. What is not there is None; `parameters` {} is there."""

    service_id: str | None
    plan_id: str | None
    parameters: JsonObject | None
    where: Where
    maintenance_version: str | None
    previous_plan_id: str | None
    app_id: str | None
    predecessor_id: str | None


def wish(kind: CallKind, body: bytes) -> Wish:
    """Raises `Malformed`, `Invalid`. What must be there depends on `kind`; a rotation needs only its predecessor."""
    value = parsed(body) if body else None
    if not isinstance(value, dict):
        raise Malformed("osb_body")
    try:
        orjson.dumps(value)  # numbers and texts that no store and no other program could take
    except TypeError:
        raise Malformed("osb_body") from None
    fields = cast(JsonObject, value)
    context = _object(fields, "context") or {}
    previous = _object(fields, "previous_values") or {}
    resource = _object(fields, "bind_resource") or {}
    maintenance = _object(fields, "maintenance_info")
    found = Wish(
        service_id=_text(fields, "service_id"),
        plan_id=_text(fields, "plan_id"),
        parameters=_object(fields, "parameters"),
        where=_where(fields, context),
        maintenance_version=_text(maintenance, "version") if maintenance is not None else None,
        previous_plan_id=_text(previous, "plan_id"),
        app_id=_text(resource, "app_guid") or _text(fields, "app_guid"),
        predecessor_id=_text(fields, "predecessor_binding_id"),
    )
    if maintenance is not None and found.maintenance_version is None:
        raise Malformed("osb_field_missing", field="maintenance_info.version")
    _whole(kind, fields, found)
    return found


_MUST: Mapping[CallKind, Sequence[str]] = {
    CallKind.provision: ("service_id", "plan_id", "organization_guid", "space_guid"),
    CallKind.update: ("service_id",),
    CallKind.bind: ("service_id", "plan_id"),
}


def _whole(kind: CallKind, fields: JsonObject, found: Wish) -> None:
    if kind is CallKind.bind and found.predecessor_id is not None:
        return
    for name in _MUST[kind]:
        if _text(fields, name) is None:
            raise Malformed("osb_field_missing", field=name)


def _where(fields: JsonObject, context: JsonObject) -> Where:
    def told(name: str) -> str:
        found: Any = context.get(name)
        return found if isinstance(found, str) else ""

    return Where(
        tenant_id="",
        organization_id=_text(fields, "organization_guid") or told("organization_guid"),
        organization_name=told("organization_name"),
        space_id=_text(fields, "space_guid") or told("space_guid"),
        space_name=told("space_name"),
        instance_name=told("instance_name"),
    )


def _text(fields: JsonObject, name: str) -> str | None:
    found: Any = fields.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not found or len(found) > LONGEST_ID:
        raise Malformed("osb_field_text", field=name, longest=LONGEST_ID)
    return found


def _object(fields: JsonObject, name: str) -> JsonObject | None:
    found: Any = fields.get(name)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise Malformed("osb_field_object", field=name)
    return cast(JsonObject, found)
