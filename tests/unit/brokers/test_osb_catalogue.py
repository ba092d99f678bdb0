"""A catalogue is kept whole or not at all, and the fault is told by its place."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.brokers.osb.catalogue import parse
from gongfang.domain.errors import Rejected
from gongfang.domain.messages import CATALOGUE

GOOD: dict[str, Any] = {
    "services": [
        {
            "id": "svc-1",
            "name": "orders-db",
            "description": "A database",
            "bindable": True,
            "tags": ["postgres"],
            "requires": ["syslog_drain"],
            "instances_retrievable": True,
            "plan_updateable": True,
            "metadata": {"displayName": "Orders"},
            "dashboard_client": {"id": "x"},
            "plans": [
                {
                    "id": "plan-1",
                    "name": "small",
                    "description": "",
                    "free": False,
                    "maximum_polling_duration": 60,
                    "maintenance_info": {"version": "1.2.3", "description": "Fixes"},
                    "schemas": {
                        "service_instance": {
                            "create": {
                                "parameters": {
                                    "$schema": "http://json-schema.org/draft-04/schema#",
                                    "type": "object",
                                    "properties": {"size": {"type": "integer"}},
                                }
                            }
                        },
                        "unknown": 1,
                    },
                },
                {"id": "plan-2", "name": "large", "description": "More"},
            ],
        }
    ]
}


def changed(path: str, value: Any) -> bytes:
    found = deepcopy(GOOD)
    *places, last = path.split(".")
    at: Any = found
    for place in places:
        at = at[int(place)] if isinstance(at, list) else at[place]
    if value is ...:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return json.dumps(found).encode()


def test_a_good_one() -> None:
    catalog = parse(json.dumps(GOOD).encode(), '"tag"')
    (offering,) = catalog.offerings
    small, large = offering.plans
    assert catalog.etag == '"tag"'
    assert (offering.name, offering.tags, offering.requires) == ("orders-db", ("postgres",), ("syslog_drain",))
    assert (small.free, large.free) == (False, True)
    assert (small.maximum_polling_s, small.maintenance_version) == (60, "1.2.3")
    assert list(small.schemas) == ["service_instance"]
    assert parse(changed("services.0.plans.0.maximum_polling_duration", 10**9), "x" * 999).etag is None


PLAN = "services.0.plans.0"
SCHEMA = f"{PLAN}.schemas.service_instance.create.parameters"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("services", []),
        ("services", {}),
        ("services", ...),
        ("services.0", 7),
        ("services.0.id", ...),
        ("services.0.id", ""),
        ("services.0.id", "plan-1"),
        ("services.0.name", "has spaces"),
        ("services.0.name", 7),
        ("services.0.name", "a/b"),
        ("services.0.description", ...),
        ("services.0.bindable", ...),
        ("services.0.bindable", "yes"),
        ("services.0.tags", [7]),
        ("services.0.requires", ["root"]),
        ("services.0.requires", [["root"]]),
        ("services.0.metadata", []),
        ("services.0.plans", []),
        ("services.0.plans", ...),
        (f"{PLAN}.id", "plan-2"),
        (f"{PLAN}.name", "large"),
        (f"{PLAN}.free", 1),
        (f"{PLAN}.maximum_polling_duration", 0),
        (f"{PLAN}.maximum_polling_duration", True),
        (f"{PLAN}.maintenance_info", {"description": "x"}),
        (f"{PLAN}.schemas", []),
        (SCHEMA, {"type": "object"}),
        (SCHEMA, {"$schema": "http://json-schema.org/draft-04/schema#", "type": 7}),
        (SCHEMA, {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "http://127.0.0.1:1/x.json"}),
        (SCHEMA, {"$schema": "http://json-schema.org/draft-07/schema#", "description": "x" * 70_000}),
    ],
)
def test_a_bad_one_is_told_by_its_place(path: str, value: Any) -> None:
    with pytest.raises(Rejected) as told:
        parse(changed(path, value), None)
    assert told.value.code == "catalog_invalid"
    assert str(told.value.facts["place"]).startswith(("services", "-"))
    assert set(told.value.facts) == {"place", "what"}
    assert "catalog_invalid" in CATALOGUE


@pytest.mark.parametrize("body", [None, b"", b"[]", b"<html>", b'{"services": [' + b"[" * 9999])
def test_what_is_no_catalogue(body: bytes | None) -> None:
    with pytest.raises(Rejected):
        parse(body, None)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_PATHS = [
    *("services", "services.0", f"{PLAN}", f"{PLAN}.schemas", SCHEMA, "services.0.requires", "services.0.tags"),
    *("services.0.plans", f"{PLAN}.id", f"{PLAN}.maintenance_info", "services.0.metadata"),
]


@given(st.sampled_from(_PATHS), _ANY)
def test_whatever_comes_is_kept_or_rejected(path: str, value: Any) -> None:
    try:
        assert parse(changed(path, value), None).offerings
    except Rejected as told:
        assert told.code == "catalog_invalid"
