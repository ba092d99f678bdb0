"""A broker's catalogue, checked whole before any of it is kept. Pure.

One fault makes all of it invalid, and is told by its place: half a catalogue would take services away from those who
have instances of them. Ids stay for ever, so they are what rows are found by; names are what people write.
"""

import re
from collections.abc import Sequence
from typing import Any, cast

from gongfang.brokers.interface import Catalog, CatalogOffering, CatalogPlan
from gongfang.brokers.osb.bodies import Malformed, flag, listing, mapping, read_object, text
from gongfang.brokers.schemas import fault
from gongfang.domain.errors import Rejected
from gongfang.domain.messages import words
from gongfang.domain.values import JsonObject

MOST_CATALOGUE_BYTES = 4 << 20
MOST_OFFERINGS = 200
MOST_PLANS = 200
_MOST_NAME = 100
_MOST_ID = 255
_MOST_TEXT = 10_000
_MOST_TAGS = 50
_LONGEST_POLLING_S = 7 * 86400
_REQUIRES = ("syslog_drain", "route_forwarding", "volume_mount")
_SCHEMAS = (("service_instance", "create"), ("service_instance", "update"), ("service_binding", "create"))
_SHOWN = 200


def parse(body: bytes | None, etag: str | None) -> Catalog:
    """Raises `Rejected("catalog_invalid", place, what)`. Takes its time for large ones: call it in a thread."""
    try:
        found = read_object(body)
        services = listing(found, "services")
    except Malformed as error:
        raise _invalid("", str(error)) from None
    if not services or len(services) > MOST_OFFERINGS:
        raise _invalid("services", f"has {len(services)} entries, not 1 to {MOST_OFFERINGS}")
    offerings = tuple(_offering(each, f"services.{number}") for number, each in enumerate(services))
    ids = [o.id for o in offerings] + [p.id for o in offerings for p in o.plans]
    _once(ids, "services", "id")
    _once([o.name for o in offerings], "services", "name")
    return Catalog(offerings, etag if etag is not None and len(etag) <= _MOST_ID and etag.isprintable() else None)


def _invalid(place: str, what: str) -> Rejected:
    return Rejected("catalog_invalid", place=(place or "-")[:_SHOWN], what=what[:_SHOWN])


def _once(values: Sequence[str], place: str, what: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise _invalid(place, f"{what} {value[:_SHOWN]!r} occurs twice")
        seen.add(value)


def _offering(each: Any, place: str) -> CatalogOffering:
    found = _object(each, place)
    try:
        if not isinstance(found.get("bindable"), bool):
            raise Malformed("bindable")
        plans = listing(found, "plans")
        tags = listing(found, "tags")
        requires = listing(found, "requires")
        if len(tags) > _MOST_TAGS or not all(isinstance(tag, str) and len(tag) <= _MOST_ID for tag in tags):
            raise Malformed("tags")
        if any(needed not in _REQUIRES for needed in requires):
            raise Malformed("requires")
        if not plans or len(plans) > MOST_PLANS:
            raise Malformed("plans")
        made = tuple(_plan(plan, f"{place}.plans.{number}") for number, plan in enumerate(plans))
        _once([p.name for p in made], f"{place}.plans", "name")
        return CatalogOffering(
            id=_id(found),
            name=_name(found),
            description=_description(found),
            plans=made,
            tags=tuple(tags),
            requires=tuple(dict.fromkeys(requires)),
            bindable=bool(found["bindable"]),
            instances_retrievable=flag(found, "instances_retrievable") or False,
            bindings_retrievable=flag(found, "bindings_retrievable") or False,
            allow_context_updates=flag(found, "allow_context_updates") or False,
            plan_updateable=flag(found, "plan_updateable") or False,
            metadata=mapping(found, "metadata"),
        )
    except Malformed as error:
        raise _invalid(place, f"{error} is missing or not as it must be") from None


def _plan(each: Any, place: str) -> CatalogPlan:
    found = _object(each, place)
    try:
        polling = found.get("maximum_polling_duration")
        if polling is not None and (not isinstance(polling, int) or isinstance(polling, bool) or polling < 1):
            raise Malformed("maximum_polling_duration")
        maintenance = mapping(found, "maintenance_info")
        version = text(maintenance, "version", most=_MOST_ID)
        if maintenance and not version:
            raise Malformed("maintenance_info.version")
        free = flag(found, "free")
        return CatalogPlan(
            id=_id(found),
            name=_name(found),
            description=_description(found),
            free=True if free is None else free,
            bindable=flag(found, "bindable"),
            binding_rotatable=flag(found, "binding_rotatable") or False,
            plan_updateable=flag(found, "plan_updateable"),
            schemas=_schemas(found, place),
            maximum_polling_s=min(polling, _LONGEST_POLLING_S) if polling is not None else None,
            maintenance_version=version,
            maintenance_description=text(maintenance, "description", most=_MOST_TEXT),
            metadata=mapping(found, "metadata"),
        )
    except Malformed as error:
        raise _invalid(place, f"{error} is missing or not as it must be") from None


def _schemas(found: JsonObject, place: str) -> JsonObject:
    """Those that are known, as they are. They fetch nothing: `gongfang.brokers.schemas`."""
    given = mapping(found, "schemas")
    kept: dict[str, dict[str, JsonObject]] = {}
    for of, what in _SCHEMAS:
        parameters = mapping(mapping(mapping(given, of), what), "parameters")
        if not parameters:
            continue
        reason = fault(parameters)
        if reason is not None:
            raise _invalid(f"{place}.schemas.{of}.{what}", words(reason.code, reason.facts, "en"))
        kept.setdefault(of, {})[what] = {"parameters": parameters}
    return cast(JsonObject, kept)


def _object(each: Any, place: str) -> JsonObject:
    if not isinstance(each, dict):
        raise _invalid(place, "is not a JSON object")
    return cast(JsonObject, each)


def _id(found: JsonObject) -> str:
    value = text(found, "id", most=_MOST_ID)
    if not value or not value.isprintable():
        raise Malformed("id")
    return value


def _name(found: JsonObject) -> str:
    value = text(found, "name", most=_MOST_NAME)
    if not value or not re.fullmatch(r"[^\s/\\]+", value) or not value.isprintable():
        raise Malformed("name")
    return value


def _description(found: JsonObject) -> str:
    value = text(found, "description", most=_MOST_TEXT)
    if value is None:
        raise Malformed("description")
    return "".join(c if c.isprintable() or c == "\n" else " " for c in value)
