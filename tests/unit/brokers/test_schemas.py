"""What a plan's schema says of parameters; and what a schema must not do."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.brokers.kinds import KINDS
from gongfang.brokers.schemas import MOST_ERRORS, check, fault, schema_of
from gongfang.domain.values import JsonObject

DRAFT = "http://json-schema.org/draft-07/schema#"
COLOUR: JsonObject = {
    "$schema": DRAFT,
    "type": "object",
    "additionalProperties": False,
    "properties": {"colour": {"enum": ["red", "blue"]}, "deep": {"type": "object", "maxProperties": 1}},
}


def test_what_is_refused_is_told_by_place_and_rule_and_not_by_value() -> None:
    assert check(COLOUR, {"colour": "red"}, "parameters") == []
    assert check(None, {"anything": "goes"}, "parameters") == []
    (one,) = check(COLOUR, {"colour": "s3cret"}, "parameters")
    assert (one.field, one.code, one.facts) == (
        "parameters.colour",
        "schema_refused",
        {"rule": "enum", "what": '["red","blue"]'},
    )
    told = check(COLOUR, {"s3cret": "s3cret", "deep": {"s3cret": 1, "b": 2}}, "parameters")
    assert {(e.field, e.facts["rule"]) for e in told} == {
        ("parameters", "additionalProperties"),
        ("parameters.deep", "maxProperties"),
    }
    assert "s3cret" not in repr(told)


def test_many_errors_are_not_all_told() -> None:
    each: JsonObject = {"$schema": DRAFT, "properties": {"list": {"items": {"type": "string"}}}}
    assert len(check(each, {"list": list(range(1000))}, "p")) == MOST_ERRORS


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        (COLOUR, None),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, None),
        ({"$schema": DRAFT, "definitions": {"a": {}}, "$ref": "#/definitions/a"}, None),
        ({"type": "object"}, "schema_without_draft"),
        ({"$schema": 7}, "schema_without_draft"),
        ({"$schema": "http://127.0.0.1:1/own"}, "schema_none"),
        ({"$schema": DRAFT, "$ref": "http://127.0.0.1:1/x"}, "schema_none"),
        ({"$schema": DRAFT, "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "schema_none"),
        ({"$schema": DRAFT, "type": 7}, "schema_none"),
        ({"$schema": DRAFT, "properties": {"a": {"pattern": "(?=a)b"}}}, "schema_none"),
        ({"$schema": DRAFT, "properties": {"a": {"pattern": "["}}}, "schema_none"),
        ({"$schema": DRAFT, "title": "x" * 70_000}, "schema_too_large"),
    ],
)
def test_a_schema_that_a_catalogue_may_not_have(schema: JsonObject, code: str | None) -> None:
    found = fault(schema)
    assert (found.code if found is not None else None) == code
    if code == "schema_none":
        assert [e.code for e in check(schema, {"a": "b"}, "p")] == ["schema_none"]


def test_a_pattern_that_would_take_for_ever_takes_no_time() -> None:
    slow: JsonObject = {"$schema": DRAFT, "properties": {"a": {"pattern": "^(a+)+$"}}}
    begun = time.process_time()
    assert len(check(slow, {"a": "a" * 50_000 + "b"}, "p")) == 1
    assert time.process_time() - begun < 5  # and not for ever


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
OBJECT = st.dictionaries(st.text(max_size=10), JSON, max_size=6)


@given(schema=OBJECT, parameters=OBJECT)
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_json_raises(schema: JsonObject, parameters: JsonObject) -> None:
    fault(schema)
    for error in check({"$schema": DRAFT, **schema}, parameters, "p"):
        assert error.field.startswith("p")
    for kind in KINDS:
        for plan in kind.offering().plans:
            check(schema_of(plan.schemas, "service_instance", "create"), parameters, "p")


def test_where_a_plans_schema_lies() -> None:
    schemas: JsonObject = {"service_instance": {"create": {"parameters": COLOUR}, "update": {}}, "service_binding": 7}
    assert schema_of(schemas, "service_instance", "create") == COLOUR
    assert schema_of(schemas, "service_instance", "update") is None
    assert schema_of(schemas, "service_binding", "create") is None
    assert schema_of({}, "service_binding", "create") is None
