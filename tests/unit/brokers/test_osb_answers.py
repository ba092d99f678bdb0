"""Every answer of a broker means exactly one thing: the table, and that nothing falls outside of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.brokers.interface import Accepted, Bound, Done, Gone, Polled, Provisioned, Refused, Unsure, Updated
from gongfang.brokers.osb.answers import fetched_binding, fetched_instance, interpret, lost, plain, polled
from gongfang.domain.errors import Reason
from gongfang.domain.messages import words
from gongfang.domain.services import CallKind

EVERY = tuple(CallKind)
MAKES = (CallKind.provision, CallKind.bind)
DELETES = (CallKind.deprovision, CallKind.unbind)
OTHERS = (CallKind.update, *DELETES)
NOT_UPDATE = (*MAKES, *DELETES)


def said(body: Any) -> bytes:
    return json.dumps(body).encode()


def answer(kind: CallKind, status: int, body: bytes | None = b"{}", **headers: str) -> Any:
    return interpret(kind, status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


MALFORMED = [
    b"",
    b"no",
    b"[]",
    b'"x"',
    None,
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 40 + b"1" + b"}" * 40,
    said({"x": "\x00"}),
    b'{"x": "\\ud800"}',
    b'{"x": NaN}',
    b'{"x": 1e999}',
    b'{"x": 99999999999999999999999}',
]


@pytest.mark.parametrize("kind", EVERY)
def test_200_and_valid_is_done(kind: CallKind) -> None:
    bodies = {CallKind.update: Updated(), CallKind.bind: Bound({}), CallKind.provision: Provisioned()}
    body = bodies.get(kind, Gone())
    assert answer(kind, 200) == Done(body, created=kind in DELETES)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("body", MALFORMED)
def test_200_malformed_leaves_nothing_to_delete(kind: CallKind, body: bytes | None) -> None:
    told = answer(kind, 200, body)
    assert isinstance(told, Unsure)
    assert not told.mitigate
    assert words(told.reason.code, told.reason.facts, "en")


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("body", MALFORMED)
def test_201_of_what_makes(kind: CallKind, body: bytes | None) -> None:
    assert answer(kind, 201).created
    told = answer(kind, 201, body)
    assert isinstance(told, Unsure)
    assert told.mitigate


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("body", [*MALFORMED, said({"operation": 7}), said({"operation": "x" * 10_001})])
def test_202(kind: CallKind, body: bytes | None) -> None:
    assert answer(kind, 202, said({"operation": "x" * 10_000})) == Accepted("x" * 10_000)
    assert answer(kind, 202, b"{}", retry_after="7") == Accepted(None, retry_after=7.0)
    told = answer(kind, 202, body)
    assert isinstance(told, Unsure)
    assert told.mitigate is (kind is not CallKind.update)


@pytest.mark.parametrize("status", [203, 204, 205, 206, 226, 299, 500, 502, 503, 504, 599, 700])
def test_anything_else_is_unsure(status: int) -> None:
    for kind in EVERY:
        told = answer(kind, status)
        assert isinstance(told, Unsure)
        assert told.mitigate is (kind is not CallKind.update)
    for kind in OTHERS:  # 201 says nothing of these
        assert isinstance(answer(kind, 201), Unsure)


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_refused(kind: CallKind) -> None:
    for status in (300, 301, 307, 308, 400, 401, 403, 404, 409, 412, 413, 422, 429, 499):
        assert isinstance(answer(kind, status, None), Refused), status
    timeout = answer(kind, 408)
    assert isinstance(timeout, Unsure)
    assert not timeout.mitigate
    gone = answer(kind, 410)
    assert gone == Done(Gone()) if kind in DELETES else isinstance(gone, Refused)
    body = {"error": "ConcurrencyError", "description": "busy", "instance_usable": False, "update_repeatable": True}
    told = answer(kind, 422, said(body), retry_after="3")
    assert told == Refused(422, "ConcurrencyError", "busy", False, True, 3.0)
    assert told.concurrency
    assert answer(kind, 422, said({"error": 7, "description": [], "instance_usable": "no"})) == Refused(
        422, None, told_by(422)
    )


def told_by(status: int) -> str:
    assert status == 422
    return "422 Unprocessable Entity"


def test_what_was_lost() -> None:
    reason = Reason("broker_timed_out", {"seconds": 60})
    assert {kind: lost(kind, reason).mitigate for kind in (*EVERY, None)} == {
        CallKind.provision: True,
        CallKind.bind: True,
        CallKind.update: False,
        CallKind.deprovision: False,
        CallKind.unbind: False,
        None: False,
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KNOWN = st.sampled_from(
    [
        *("credentials", "operation", "dashboard_url", "metadata", "endpoints", "volume_mounts", "syslog_drain_url"),
        *("route_service_url", "error", "description", "instance_usable", "update_repeatable", "state"),
    ]
)
_BODIES = st.none() | st.binary(max_size=60) | st.dictionaries(_KNOWN, _JSON, max_size=5).map(said)


@given(
    st.sampled_from(EVERY),
    st.integers(100, 999),
    _BODIES,
    st.dictionaries(st.just("retry-after"), st.text(max_size=9)),
)
def test_whatever_comes_is_one_answer_and_deletes_as_the_table_says(
    kind: CallKind, status: int, body: bytes | None, headers: dict[str, str]
) -> None:
    told = interpret(kind, status, headers, body)
    assert isinstance(told, Done | Accepted | Refused | Unsure)
    assert isinstance(told, Refused) <= (300 <= status < 500)
    if isinstance(told, Unsure) and told.mitigate:
        assert kind is not CallKind.update
        assert status not in (200, 408)
        assert not 300 <= status < 500
    if status >= 500 and kind is not CallKind.update:
        assert isinstance(told, Unsure)
        assert told.mitigate
    if isinstance(told, Refused):
        assert told.description
        assert told.description.isprintable()
        assert len(told.description) <= 1000
    fetched_binding(status, headers, body)
    fetched_instance(status, headers, body)
    assert not getattr(polled(status, headers, body), "mitigate", False)


@pytest.mark.parametrize(
    "body",
    [
        {"credentials": "text"},
        {"credentials": {"a": "x" * 70_000}},
        {"syslog_drain_url": 7},
        {"syslog_drain_url": "syslog://x"},
        {"route_service_url": "https://x"},
        {"volume_mounts": [{"driver": "x"}]},
        {"volume_mounts": ["x"]},
        {"endpoints": ["x"]},
        {"endpoints": [{"host": "a b", "ports": ["1"]}]},
        {"endpoints": [{"host": "a", "ports": [True]}]},
        {"endpoints": [{"host": "a", "ports": "80"}]},
        {"metadata": {"expires_at": "soon"}},
        {"metadata": {"expires_at": "0001-01-01T00:00:00+14:00"}},
        {"metadata": {"expires_at": "2030-01-01T00:00:00Z", "renew_before": "2030-01-02T00:00:00Z"}},
    ],
)
def test_a_binding_that_is_none(body: Any) -> None:
    told = interpret(CallKind.bind, 201, {}, said(body), requires=())
    assert isinstance(told, Unsure)
    assert told.mitigate
    assert "x" * 100 not in repr(told)


def test_a_binding_that_is_one() -> None:
    body = {
        "credentials": {"uri": "pretend://u:p@h:1", "port": 1},
        "endpoints": [
            {"host": "db.example", "ports": ["5432", "9000-9010", 5433]},
            {"host": "10.1.2.3", "ports": ["1"]},
        ],
        "syslog_drain_url": "syslog://x",
        "metadata": {"expires_at": "2030-01-02T00:00:00Z", "renew_before": "2030-01-01T08:00:00+08:00"},
        "unknown": [1],
    }
    told = interpret(CallKind.bind, 201, {}, said(body), requires=("syslog_drain",))
    assert isinstance(told, Done)
    assert isinstance(told.body, Bound)
    assert told.body.endpoints == ("db.example:5432", "db.example:5433", "10.1.2.3:1")
    assert told.body.expires_at is not None
    assert "pretend" not in repr(told)
    assert fetched_binding(200, {}, said(body)) == told.body


def test_a_dashboard_leads_to_the_web_or_nowhere() -> None:
    for address, kept in (
        ("https://broker.example/d/1", True),
        ("javascript:alert(1)", False),
        ("https://x y", False),
        ("http://[", False),
        ("https://x/" + "a" * 3000, False),
    ):
        told = interpret(CallKind.provision, 201, {}, said({"dashboard_url": address}))
        assert told == Done(Provisioned(address if kept else None))


def test_polls() -> None:
    assert polled(200, {"retry-after": "9"}, said({"state": "in progress", "description": "a\nb"})) == Polled(
        "in progress", "a b", retry_after=9.0
    )
    assert polled(200, {}, said({"state": "failed", "instance_usable": False})) == Polled("failed", usable=False)
    assert polled(410, {}, None) == Polled("gone")
    assert isinstance(polled(200, {}, said({"state": "done"})), Unsure)
    assert isinstance(polled(200, {}, b""), Unsure)
    assert isinstance(polled(404, {}, b""), Refused)
    assert isinstance(polled(301, {}, b""), Refused)
    for status in (201, 202, 204, 408, 500, 503):
        assert isinstance(polled(status, {}, said({"state": "succeeded"})), Unsure), status
    for value in ("-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 9, "", "²"):
        assert polled(410, {"retry-after": value}, None) == Polled("gone")


def test_secrets_are_in_no_words() -> None:
    body = said(
        {"description": "login user:s3cret-word failed for s3cret-word-2\x07 " + "x" * 2000, "error": "s3cret-word"}
    )
    told = interpret(CallKind.provision, 400, {}, body, secrets=("s3cret-word", "s3cret-word-2", ""))
    assert isinstance(told, Refused)
    assert told.description.startswith("login user:*** failed for *** ")
    assert len(told.description) == 1000
    assert told.error == "***"
    assert plain("a" * 995 + "s3cret-word", ("s3cret-word",)) == "a" * 995 + "***"
