"""What a plan's schema says of parameters, before a broker is asked.

A schema comes from a broker, which may be anybody's: it fetches nothing (a `$ref` that leads out of it is refused,
where the library would ask the network), and its patterns run in the engine whose time is linear in the text. What is
refused is told by place and rule, never by value: a parameter may be a secret.
"""

from typing import Any

import jsonschema_rs

from gongfang.domain.errors import FieldError, Reason
from gongfang.domain.values import JsonObject

MOST_ERRORS = 20
MOST_BYTES = 64 * 1024
_LONGEST_PLACE = 200
_SHOWN_RULE = 300


def schema_of(schemas: JsonObject, of: str, what: str) -> JsonObject | None:
    """A plan's schema for `service_instance` or `service_binding` (`of`), `create` or `update` (`what`); None where
    anything goes. As in a catalogue: `{"service_instance": {"create": {"parameters": SCHEMA}}}`."""
    found: Any = schemas
    for name in (of, what, "parameters"):
        found = found.get(name) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]


def fault(schema: JsonObject) -> Reason | None:
    """Why a catalogue must not have this schema; None where it may."""
    try:
        text = jsonschema_rs.canonical.json.to_string(schema)
    except ValueError:
        return Reason("schema_none", {})
    if len(text.encode()) > MOST_BYTES:
        return Reason("schema_too_large", {"limit_kb": MOST_BYTES // 1024})
    if not isinstance(schema.get("$schema"), str):
        return Reason("schema_without_draft", {})
    try:
        _validator(schema)
    except ValueError:
        return Reason("schema_none", {})
    return None


def check(schema: JsonObject | None, parameters: JsonObject, field: str) -> list[FieldError]:
    """What is wrong with the parameters, at most `MOST_ERRORS` of it; `field`: what they are called. Takes its time for
    large ones: call it in a thread. A schema that is none (`fault`) refuses everything."""
    if schema is None:
        return []
    try:
        validator = _validator(schema)
        found: list[FieldError] = []
        for error in validator.iter_errors(parameters):
            found.append(_told(schema, error, field))
            if len(found) >= MOST_ERRORS:
                break
    except ValueError:
        return [FieldError(field, "schema_none", {})]
    return found


def _validator(schema: JsonObject) -> Any:
    return jsonschema_rs.validator_for(
        schema,
        offline=True,
        validate_formats=False,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20),
    )


def _told(schema: JsonObject, error: jsonschema_rs.ValidationError, field: str) -> FieldError:
    """By place and rule, with what the schema says of it: it holds no secret."""
    place = ".".join([field, *(str(part) for part in error.instance_path)])[:_LONGEST_PLACE]
    rule = str(error.schema_path[-1]) if error.schema_path else "schema"
    said: Any = schema
    for part in error.schema_path:
        try:
            said = said[part]
        except (KeyError, IndexError, TypeError):  # it lies behind a reference
            said = rule
            break
    return FieldError(place, "schema_refused", {"rule": _short(rule), "what": _short(said)})


def _short(said: Any) -> str:
    text = said if isinstance(said, str) else jsonschema_rs.canonical.json.to_string(said)
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= _SHOWN_RULE else plain[: _SHOWN_RULE - 1] + "…"
