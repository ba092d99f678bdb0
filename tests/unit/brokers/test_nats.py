"""What a NATS server is started with, and what is read of its answers; without a server."""

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.brokers import schemas
from gongfang.brokers.kinds import nats_wire
from gongfang.brokers.kinds.interface import Seed, Server, Site, Wanted
from gongfang.brokers.kinds.nats import Nats
from gongfang.domain.errors import Rejected

KIND = Nats()
ADMIN = {"password": "of-the-administrator", "salt": bcrypt.gensalt(4).decode()}


def site(plan: str = "small", parameters: dict[str, Any] | None = None, **fields: Any) -> Site:
    base = Site(
        hosted_id="hst_1",
        port=16000,
        listen="0.0.0.0",
        wanted=Wanted(plan, KIND.size(plan), parameters or {}),
        admin=ADMIN,
        fresh=False,
    )
    return replace(base, **fields)


def seed(parameters: dict[str, Any] | None = None, user: str = "b_0123456789ab", **secret: str) -> Seed:
    secrets = {"username": user, "password": "of-the-app", "salt": bcrypt.gensalt(4).decode(), **secret}
    return Seed("bnd_1", secrets, parameters or {})


def users(of: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in KIND.launch(of).conf["users.conf"].decode().splitlines()[1:-1]]


def test_the_same_site_gives_the_same_launch_and_tells_no_secret() -> None:
    of = site(bindings=(seed(), seed(user="b_ba9876543210")))
    launch = KIND.launch(of)
    assert launch == KIND.launch(of)
    for secret in ("of-the-administrator", "of-the-app"):
        everywhere = [*launch.command, *launch.environment.values(), *map(bytes.decode, launch.conf.values())]
        assert not [text for text in everywhere if secret in text]
    found = users(of)
    assert [each["user"] for each in found] == ["b_0123456789ab", "b_ba9876543210"]
    assert bcrypt.checkpw(b"of-the-app", found[0]["password"].encode())


def test_it_listens_where_the_site_says() -> None:
    assert 'listen: "0.0.0.0:16000"' in KIND.launch(site()).conf["nats.conf"].decode()
    text = KIND.launch(site(listen="127.0.0.1")).conf["nats.conf"].decode()
    assert 'mqtt { listen: "127.0.0.1:16001" }' in text
    assert "0.0.0.0" not in text
    assert KIND.ports == {"client": 0, "mqtt": 1}


def test_plans_differ_in_what_there_is_room_for() -> None:
    small, large = KIND.launch(site()), KIND.launch(site("large", fresh=True))
    assert small.environment["GOMEMLIMIT"] == "102MiB"
    assert large.environment["GONGFANG_FRESH"] == "1"
    assert b"max_connections: 100, max_payload: 1048576" in small.conf["account.conf"]
    assert b"max_connections: 10000" in large.conf["account.conf"]
    assert f"max_file: {768 << 20} ".encode() in small.conf["account.conf"]
    few = KIND.launch(site(parameters={"max_connections": 7, "max_payload_kb": 2}))
    assert b"max_connections: 7, max_payload: 2048" in few.conf["account.conf"]


def test_what_is_bound_to_subjects_gets_no_more() -> None:
    (found,) = users(site(bindings=(seed({"publish": ["line1.>"], "subscribe": ["line1.*", "line2.>"]}),)))
    assert found["permissions"]["publish"] == {"allow": ["line1.>"]}
    assert {"line1.*", "line2.>", "line2"} <= set(found["permissions"]["subscribe"]["allow"])
    (found,) = users(site(bindings=(seed({"publish": []}),)))
    assert found["permissions"] == {"publish": {"deny": [">"]}}
    (found,) = users(site(bindings=(seed(),)))
    assert "permissions" not in found


@pytest.mark.parametrize(
    "bad",
    [
        seed(user="svcadmin"),
        seed(salt="none"),
        *(seed({"publish": [each]}) for each in ("a b", "a..b", ">.a", 7, "x" * 201)),
    ],
)
def test_a_damaged_seed_is_refused(bad: Seed) -> None:
    with pytest.raises(Rejected) as told:
        KIND.launch(site(bindings=(bad,)))
    assert told.value.code == "service_seed_invalid"


def test_credentials_are_for_both_protocols() -> None:
    server = Server("10.0.0.7", 16000, site().wanted, ADMIN)
    found = KIND.credentials(server, seed(password="a/b"))
    assert found["uri"] == "nats://b_0123456789ab:a%2Fb@10.0.0.7:16000"
    assert found["mqtt_uri"] == "mqtt://b_0123456789ab:a%2Fb@10.0.0.7:16001"
    assert found["mqtt_port"] == 16001
    assert set(KIND.variables().values()) <= set(found)


def _faults(parameters: dict[str, Any], of: str = "service_instance") -> list[str]:
    plan = KIND.offering().plans[0]
    return [each.field for each in schemas.check(schemas.schema_of(plan.schemas, of, "create"), parameters, "p")]


def test_wrong_parameters_are_refused_by_the_schema() -> None:
    assert _faults({"max_connections": 100, "max_payload_kb": 8192}) == []
    assert _faults({"max_connections": 101}) == ["p.max_connections"]
    assert _faults({"max_payload_kb": 0}) == ["p.max_payload_kb"]
    assert _faults({"publish": ["a.*.b.>", "$JS.API.>"], "subscribe": []}, "service_binding") == []
    for bad in ("", "a..b", ".a", "a.", "a b", "a>", ">.a", '"', "a\n", "x" * 201):
        assert _faults({"publish": [bad]}, "service_binding") == ["p.publish.0"], bad


# --- the protocol ----------------------------------------------------------------------------------------------------


class _Wire:
    """A server that says this, whatever is asked; `INBOX` stands for where an answer is wished to."""

    def __init__(self, answers: tuple[bytes, ...]) -> None:
        self.reader = asyncio.StreamReader()
        self.answers = answers

    def write(self, data: bytes) -> None:
        if data.endswith(b"PING\r\n"):
            self.reader.feed_data(self.answers[0])
        if data.startswith(b"PUB "):
            for answer in self.answers[1:]:
                self.reader.feed_data(answer.replace(b"INBOX", data.split(b" ")[2]))
            self.reader.feed_eof()

    async def drain(self) -> None: ...


async def _talk(*answers: bytes) -> dict[str, Any]:
    wire = _Wire(answers)
    session = nats_wire.Session("NABC", wire.reader, wire, 5)  # pyright: ignore[reportArgumentType]
    await session.log_in("u", "p")
    return await session.request("any")


def talk(*answers: bytes) -> dict[str, Any]:
    return asyncio.run(_talk(*answers))


def test_an_answer_among_others_is_found() -> None:
    assert talk(b"PONG\r\n", b"PING\r\nMSG other 1 2\r\n{}\r\nMSG INBOX 1 7\r\n", b'{"a":1}\r\n') == {"a": 1}
    assert talk(b"+OK\r\nPONG\r\n", b"HMSG INBOX 1 12 14\r\nNATS/1.0\r\n\r\n{}\r\n") == {}


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ((b"-ERR 'Authorization Violation'\r\n",), "AUTH"),
        ((b"-ERR 'maximum connections exceeded'\r\n",), "MAXCLIENTS"),
        ((b"PONG\r\n", b"-ERR 'of-the-app'\r\n"), "REFUSED"),
        ((b"PONG\r\n", b"HMSG INBOX 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"), "NOBODY"),
        ((b"PONG\r\n", b"MSG INBOX 1 99999999999\r\n"), "PROTOCOL"),
        ((b"PONG\r\n", b"MSG INBOX 1 x\r\n"), "PROTOCOL"),
        ((b"PONG\r\n", b"MSG INBOX 1 2\r\n[]\r\n"), "PROTOCOL"),
    ],
)
def test_errors_are_told_by_a_code_of_ours(answers: tuple[bytes, ...], code: str) -> None:
    with pytest.raises(nats_wire.WireError) as told:
        talk(*answers)
    assert str(told.value) == code


@given(st.binary(max_size=60))
def test_whatever_comes_ends_in_an_answer_or_an_error(answer: bytes) -> None:
    with contextlib.suppress(nats_wire.WireError, EOFError, ConnectionError):
        talk(b"PONG\r\n", answer)
