"""What a Valkey server is started with, and what is read of its answers; without a server."""

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.brokers import schemas
from gongfang.brokers.kinds import KINDS, resp
from gongfang.brokers.kinds.interface import Seed, Site, Wanted
from gongfang.brokers.kinds.valkey import EVICTION, Valkey
from gongfang.domain.errors import Rejected

KIND = Valkey()


def site(plan: str = "standard", parameters: dict[str, Any] | None = None, **fields: Any) -> Site:
    base = Site(
        hosted_id="hst_1",
        port=16000,
        listen="0.0.0.0",
        wanted=Wanted(plan, KIND.size(plan), parameters or {}),
        admin={"password": "of-the-administrator"},
        fresh=False,
    )
    return replace(base, **fields)


def seed(parameters: dict[str, Any] | None = None, user: str = "b_0123456789ab") -> Seed:
    return Seed("bnd_1", {"username": user, "password": "of-the-app"}, parameters or {})


def configuration(of: Site) -> list[str]:
    return KIND.launch(of).files["/gongfang/valkey.conf"].decode().splitlines()


def test_the_same_site_gives_the_same_launch_and_tells_no_secret() -> None:
    of = site(bindings=(seed(),))
    launch = KIND.launch(of)
    assert launch == KIND.launch(of)
    for secret in ("of-the-administrator", "of-the-app"):
        everywhere = [*launch.command, *launch.environment.values(), *map(bytes.decode, launch.files.values())]
        assert not [text for text in everywhere if secret in text]
        assert secret not in repr(launch)
    lines = configuration(of)
    assert "user default off resetpass -@all" in lines
    hashed = hashlib.sha256(b"of-the-app").hexdigest()
    assert any(line.startswith(f"user b_0123456789ab on #{hashed} ~* ") for line in lines)


def test_plans_differ_in_memory_and_in_what_they_keep() -> None:
    assert "GONGFANG_FRESH" not in KIND.launch(site()).environment
    assert KIND.launch(site(fresh=True)).environment["GONGFANG_FRESH"] == "1"
    small, large = configuration(site("small")), configuration(site("large"))
    assert {"appendonly no", "maxmemory 64mb", "maxclients 58"} <= set(small)
    assert {"appendonly yes", "maxmemory 2048mb", "maxclients 2008"} <= set(large)
    assert KIND.launch(site("small")).command[-1] == "memory"


def test_parameters_are_in_the_configuration() -> None:
    lines = configuration(
        site(parameters={"maxmemory_policy": "allkeys-lfu", "max_connections": 9, "appendfsync": "always"})
    )
    assert {"maxmemory-policy allkeys-lfu", "maxclients 17", "appendfsync always"} <= set(lines)
    assert 'notify-keyspace-events ""' in lines


@given(st.text(), st.text(), st.integers())
def test_nothing_else_gets_into_the_configuration(policy: str, events: str, connections: int) -> None:
    """The schema refuses them before; should it ever not, they are not a line of their own."""
    wild = configuration(
        site(
            parameters={
                "maxmemory_policy": policy,
                "notify_keyspace_events": events,
                "max_connections": min(connections, 500),
            }
        )
    )
    tame = configuration(site())
    assert [line.split(" ")[0] for line in wild] == [line.split(" ")[0] for line in tame]


def test_a_prefix_bounds_keys_and_channels() -> None:
    (line,) = [line for line in configuration(site(bindings=(seed({"prefix": "line1:"}),))) if "b_0123" in line]
    assert " ~line1:* &line1:* " in line
    assert "~*" not in line.split()
    assert {"-scan", "-randomkey", "-function"} <= set(line.split())
    assert "+flushdb" not in line


@pytest.mark.parametrize("bad", [seed({"prefix": "a b"}), seed({"prefix": "*"}), seed(user="svcadmin"), seed(user="")])
def test_a_damaged_seed_is_refused(bad: Seed) -> None:
    with pytest.raises(Rejected) as told:
        KIND.launch(site(bindings=(bad,)))
    assert told.value.code == "service_seed_invalid"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_catalogues_hold_schemas_that_are_some(kind: Any) -> None:
    offering = kind.offering()
    assert offering == kind.offering()
    assert len({plan.id for plan in offering.plans}) == len(offering.plans)
    for plan in offering.plans:
        assert kind.size(plan.name).memory_mb == plan.memory_mb
        for of, what in (("service_instance", "create"), ("service_instance", "update"), ("service_binding", "create")):
            schema = schemas.schema_of(plan.schemas, of, what)
            assert schema is not None
            assert schemas.fault(schema) is None
            assert schemas.check(schema, {}, "parameters") == []
            assert schemas.check(schema, {"unheard_of": 1}, "parameters") != []


def _faults(plan: str, parameters: dict[str, Any], of: str = "service_instance") -> list[str]:
    (found,) = [each for each in KIND.offering().plans if each.name == plan]
    return [each.field for each in schemas.check(schemas.schema_of(found.schemas, of, "create"), parameters, "p")]


def test_wrong_parameters_are_refused_by_the_schema() -> None:
    assert all(_faults("small", {"maxmemory_policy": policy}) == [] for policy in EVICTION)
    assert _faults("small", {"maxmemory_policy": "forget-all"}) == ["p.maxmemory_policy"]
    assert _faults("small", {"max_connections": 51}) == ["p.max_connections"]
    assert _faults("standard", {"max_connections": 4}) == ["p.max_connections"]
    assert _faults("small", {"appendfsync": "always"}) == ["p"]
    assert _faults("standard", {"appendfsync": "always", "notify_keyspace_events": "Ex"}) == []
    assert _faults("standard", {"notify_keyspace_events": "Ex\nuser x on"}) == ["p.notify_keyspace_events"]
    assert _faults("small", {"prefix": "line1:"}, "service_binding") == []
    assert _faults("small", {"prefix": "a *"}, "service_binding") == ["p.prefix"]


# --- the protocol ----------------------------------------------------------------------------------------------------


class _Sink:
    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


def read(answer: bytes) -> resp.Reply:
    async def run() -> resp.Reply:
        reader = asyncio.StreamReader()
        reader.feed_data(answer)
        reader.feed_eof()
        return await resp.Session(reader, _Sink(), 5).ask("PING")  # pyright: ignore[reportArgumentType]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"+OK\r\n", "OK"),
        (b":-7\r\n", -7),
        (b"$-1\r\n", None),
        (b"$4\r\na\r\nb\r\n", b"a\r\nb"),
        (b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n", [1, [b""]]),
    ],
)
def test_replies(answer: bytes, reply: resp.Reply) -> None:
    assert read(answer) == reply


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"-WRONGPASS invalid username-password pair\r\n", "WRONGPASS"),
        (b"-ERR Error in ACL SETUSER modifier '#secret'\r\n", "ERR"),
        (b"-ERR max number of clients reached\r\n", "MAXCLIENTS"),
        (b"-secret\r\n", "ERR"),
    ],
)
def test_errors_are_told_by_their_code_alone(answer: bytes, code: str) -> None:
    with pytest.raises(resp.ReplyError) as told:
        read(answer)
    assert str(told.value) == code


@given(st.binary(max_size=60))
def test_whatever_comes_ends_in_a_reply_or_an_error(answer: bytes) -> None:
    with contextlib.suppress(resp.ReplyError, resp.ProtocolError, EOFError):
        read(answer)


@pytest.mark.parametrize("answer", [b"$99999999999\r\n", b"*99999999\r\n", b"*1\r\n" * 9 + b":1\r\n", b"$-2\r\n"])
def test_too_much_is_refused(answer: bytes) -> None:
    with pytest.raises(resp.ProtocolError):
        read(answer)


def test_words_are_sent_as_they_are() -> None:
    assert (
        resp.encoded("SET", "ключ\r\n", "")
        == b"*3\r\n$3\r\nSET\r\n$10\r\n\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87\r\n\r\n$0\r\n\r\n"
    )
