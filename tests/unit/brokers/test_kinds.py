"""What of a built-in kind can be said without a server."""

import base64
from typing import Any

import pytest

from gongfang.brokers.interface import CatalogOffering
from gongfang.brokers.kinds import KINDS
from gongfang.brokers.kinds.interface import Seed, Server, ServiceKind, Site, Wanted
from gongfang.brokers.kinds.memory import MemoryKind
from gongfang.brokers.kinds.postgresql import PostgreSQL, scram_verifier
from gongfang.brokers.schemas import check, fault, schema_of
from gongfang.domain.errors import Rejected
from gongfang.domain.hosting import PORTS_EACH
from gongfang.toolbox.wheels import NAMES

ALL: tuple[ServiceKind, ...] = (*KINDS, MemoryKind())


def site(kind: ServiceKind, plan: str, *, fresh: bool = True) -> Site:
    admin = kind.fresh_admin()
    return Site("hst_1", 16000, "127.0.0.1", Wanted(plan, kind.size(plan), {}), admin, fresh)


def words_of(secret: Any) -> list[str]:
    """The texts in a secret that nobody may see."""
    return [value for name, value in secret.items() if name not in ("username", "salt")]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_kind_is_whole(kind: ServiceKind) -> None:
    offering: CatalogOffering = kind.offering()
    assert offering == kind.offering()
    assert offering.name == kind.name
    assert set(kind.tools) <= set(NAMES)
    assert kind.ports and all(0 <= offset < PORTS_EACH for offset in kind.ports.values())
    assert len({plan.id for plan in offering.plans} | {offering.id}) == len(offering.plans) + 1
    for plan in offering.plans:
        size = kind.size(plan.name)
        assert plan.memory_mb == size.memory_mb
        for of, what in (("service_instance", "create"), ("service_instance", "update"), ("service_binding", "create")):
            schema = schema_of(plan.schemas, of, what)
            assert schema is not None
            assert fault(schema) is None
            assert check(schema, {}, "p") == []


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_launch_is_pure_and_shows_no_secret(kind: ServiceKind) -> None:
    for plan in kind.offering().plans:
        place = site(kind, plan.name)
        launch = kind.launch(place)
        assert kind.launch(place) == launch
        shown = repr(launch) + repr(place) + " ".join(launch.command) + repr(dict(launch.environment))
        assert not [word for word in words_of(place.admin) if word in shown]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_credentials_are_pure_and_named_in_variables(kind: ServiceKind) -> None:
    seed = Seed("bnd_1", kind.fresh_seed({}), {})
    place = site(kind, kind.offering().plans[0].name)
    server = Server("10.1.2.3", 16000, place.wanted, place.admin)
    credentials = kind.credentials(server, seed)
    assert credentials == kind.credentials(server, seed)
    assert (credentials["host"], credentials["port"]) == ("10.1.2.3", 16000)
    assert set(kind.variables().values()) <= set(credentials)
    assert not [word for word in words_of(place.admin) if word in str(credentials)]
    assert not [word for word in words_of(seed.secret) if word in repr(seed) + repr(server)]
    assert kind.fresh_seed({}) != kind.fresh_seed({})
    assert kind.fresh_admin() != kind.fresh_admin()


def test_the_verifier_is_what_the_standard_says() -> None:
    """RFC 7677's example: user `user`, password `pencil`. Its server signature is made of the server key below."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert scram_verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_postgresql_takes_no_data_that_are_not_there_and_fits_its_plan() -> None:
    kind = PostgreSQL()
    assert kind.launch(site(kind, "small")).environment["GONGFANG_FRESH"] == "1"
    assert "GONGFANG_FRESH" not in kind.launch(site(kind, "small", fresh=False)).environment
    for plan in kind.offering().plans:
        size = kind.size(plan.name)
        settings = kind.launch(site(kind, plan.name)).files["/gongfang/postgresql.conf"].decode()
        lines = dict(line.split(" = ") for line in settings.splitlines())
        assert int(lines["max_connections"]) > size.connections
        assert int(lines["max_wal_size"][:-2]) <= size.storage_mb // 8
        assert int(lines["shared_buffers"][:-2]) <= size.memory_mb // 4


@pytest.mark.parametrize("name", ["svcadmin", 'b_0"; DROP', "b_0123456789AB", "", "b_0123456789abc"])
def test_no_name_but_ours_gets_into_a_statement(name: str) -> None:
    kind = PostgreSQL()
    place = site(kind, "small")
    seed = Seed("bnd_1", {**kind.fresh_seed({}), "username": name}, {})
    with pytest.raises(Rejected):
        kind.credentials(Server("127.0.0.1", 16000, place.wanted, place.admin), seed)


def test_extensions_are_those_of_the_list() -> None:
    (small, *_) = PostgreSQL().offering().plans
    schema = schema_of(small.schemas, "service_instance", "create")
    assert check(schema, {"extensions": ["vector", "pg_trgm"]}, "p") == []
    for refused in (["dblink"], ["plpython3u"], ["file_fdw"], ['x"; DROP TABLE a'], "vector", ["vector", "vector"]):
        assert check(schema, {"extensions": refused}, "p")
