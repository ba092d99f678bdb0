"""What a process is given of its bindings: names, values and files, of friendly and of hostile credentials."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain import attachments
from gongfang.domain.attachments import BoundService, attachment, default_variables, host_port, reserved

CREDENTIALS = {
    "host": "10.77.0.9",
    "port": 16000,
    "username": "b_1",
    "password": "p",
    "uri": "postgresql://b_1:p@10.77.0.9:16000/app",
    "options": {"ssl": False},
}


def bound(name: str = "orders", credentials: dict[str, Any] | None = None, **more: Any) -> BoundService:
    values: dict[str, Any] = {
        "binding_id": f"bnd_{name}",
        "revision": 0,
        "name": name,
        "service": "postgresql",
        "instance_id": f"sin_{name}",
        "instance_name": name,
        "plan": "small",
        "tags": ("sql", "postgresql"),
        "provider": "gongfang",
        "credentials": CREDENTIALS if credentials is None else credentials,
        "variables": {"DATABASE_URL": "uri"},
    }
    return BoundService(**(values | more))


def test_nothing_bound_is_nothing_given() -> None:
    assert attachment([]) == attachments.Attachment()


def test_variables_vcap_and_files() -> None:
    given_ = attachment([bound()])
    assert given_.digest == attachments.digest_of([bound()]) != attachments.digest_of([bound(revision=1)])
    assert given_.variables["DATABASE_URL"] == CREDENTIALS["uri"]
    assert given_.variables["SERVICE_BINDING_ROOT"] == "/bindings"
    entry = json.loads(given_.variables["VCAP_SERVICES"])["postgresql"][0]
    assert entry["credentials"] == CREDENTIALS
    assert (entry["name"], entry["plan"], entry["instance_guid"]) == ("orders", "small", "sin_orders")
    assert given_.files["/bindings/orders/type"] == b"postgresql"
    assert given_.files["/bindings/orders/provider"] == b"gongfang"
    assert given_.files["/bindings/orders/port"] == b"16000"
    assert given_.files["/bindings/orders/options"] == b'{"ssl":false}'


def test_secrets_are_not_shown_by_accident() -> None:
    assert "b_1" not in repr(bound()) + repr(attachment([bound()]))


def test_two_of_one_service_stand_beside_each_other() -> None:
    given_ = attachment([bound("a"), bound("b", variables={"B_URL": "uri"})])
    assert len(json.loads(given_.variables["VCAP_SERVICES"])["postgresql"]) == 2
    assert {"DATABASE_URL", "B_URL"} <= given_.variables.keys()
    assert {"/bindings/a/uri", "/bindings/b/uri"} <= given_.files.keys()


def test_names_that_nobody_asked_for() -> None:
    wanted = {"DATABASE_URL": "uri"}
    assert default_variables(CREDENTIALS, [], wanted, "orders", ()) == {"DATABASE_URL": "uri"}
    assert default_variables(CREDENTIALS, [], wanted, "or-ders", {"DATABASE_URL"}) == {"OR_DERS_URL": "uri"}
    assert default_variables(CREDENTIALS, [], {}, "orders", ()) == {"DATABASE_URL": "uri"}  # by its scheme
    assert default_variables({"uri": "https://x"}, ["redis"], {}, "c", ()) == {"REDIS_URL": "uri"}  # by a tag
    assert default_variables({"uri": "https://x"}, [], {}, "7c", ()) == {"SERVICE_7C_URL": "uri"}
    assert default_variables({"token": "x"}, [], {}, "c", ()) == {}
    two = {"NATS_URL": "uri", "MQTT_URL": "url"}
    both = {"uri": "nats://x", "url": "mqtt://x"}
    assert default_variables(both, [], two, "n", two) == {"N_URL": "uri", "N_MQTT_URL": "url"}
    assert default_variables({"bucket": "b"}, [], {"S3_BUCKET": "bucket"}, "n", {"S3_BUCKET"}) == {
        "N_S3_BUCKET": "bucket"
    }


def test_no_binding_takes_a_name_that_decides_how_a_process_runs() -> None:
    for name in ("PATH", "HOME", "PORT", "LD_PRELOAD", "VCAP_SERVICES", "GONGFANG_APP_ID", "A B", "1A", ""):
        assert reserved(name)
        assert attachments.plain_variables(bound(variables={name: "uri"})) == {}
    assert default_variables({"uri": "x://"}, [], {"LD_PRELOAD": "uri"}, "n", ()) == {"N_URL": "uri"}


def test_what_no_process_could_be_started_with_is_left_out() -> None:
    hostile = {"uri": "a\0b", "../../etc/passwd": "x", "..": "x", "long": "y" * 200_000, "half": "\ud800", "ok": "z"}
    given_ = attachment([bound(credentials=hostile, variables={"A": "uri", "B": "long", "C": "half", "D": "ok"})])
    assert {"A", "B", "C", "VCAP_SERVICES"} & given_.variables.keys() == set()
    assert given_.variables["D"] == "z"
    assert all("/../" not in path and not path.endswith("/..") for path in given_.files)


def test_many_keys_leave_those_that_matter() -> None:
    many = {**{f"k{n}": "v" for n in range(1000)}, "host": "h", "password": "p"}
    files = attachment([bound(credentials=many)]).files
    assert len(files) == attachments.FILES_EACH
    assert {"/bindings/orders/host", "/bindings/orders/password"} <= files.keys()


def test_where_it_answers() -> None:
    assert host_port(CREDENTIALS, ()) == ("10.77.0.9", 16000)
    assert host_port({"hostname": "h", "port": "5432"}, ()) == ("h", 5432)
    assert host_port({"uri": "amqp://u:p@h:5672/x"}, ()) == ("h", 5672)
    assert host_port({}, ("10.0.0.1:80", "10.0.0.2:81")) == ("10.0.0.1", 80)
    assert host_port({"uri": "http://[::1"}, ()) == (None, None)
    assert host_port({"host": 7, "port": True}, ()) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@given(st.dictionaries(st.text(), JSON, max_size=40), st.text(max_size=10))
def test_whatever_a_broker_says_a_process_can_be_started(credentials: dict[str, Any], instance_name: str) -> None:
    chosen = default_variables(credentials, (), {}, instance_name, ())
    given_ = attachment([bound(credentials=credentials, variables=chosen)])
    assert all("\0" not in v and len(v.encode()) < 131072 for v in given_.variables.values())
    assert all(path.startswith("/bindings/orders/") and "\0" not in path for path in given_.files)
    host_port(credentials, ())
