"""The pure parts of workloads' networks: addresses, messages, files, and what the resolver answers by itself."""

import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.egress import parse_target
from gongfang.runtimes.local.net import files, firewall
from gongfang.runtimes.local.net.addresses import Addresses, choose_subnet, fits, prefix_for, tag
from gongfang.runtimes.local.net.firewall import Policy
from gongfang.runtimes.local.net.names import Names
from gongfang.runtimes.local.net.netlink import attribute, attributes

HOME = Path("/srv/gongfang")


def test_a_subnet_is_the_same_for_the_same_home_and_free() -> None:
    first = choose_subnet(HOME, 10_000, [])
    assert first == choose_subnet(HOME, 10_000, []) and first is not None
    second = choose_subnet(HOME, 10_000, [first.supernet(2)])
    assert second is not None and not second.overlaps(first)
    assert choose_subnet(HOME, 10_000, [IPv4Network("10.0.0.0/8")]) is None
    assert tag(HOME) != tag(Path("/srv/other"))


@given(st.integers(1, 60_000))
def test_every_slot_has_an_address_of_its_own_in_the_subnet(slots: int) -> None:
    subnet = IPv4Network(("10.0.0.0", prefix_for(slots)))
    addresses = Addresses(subnet)
    last = addresses.of_slot(slots - 1)
    assert last in subnet and last != subnet.broadcast_address
    assert fits(subnet, slots)
    assert len({addresses.gateway, addresses.trial, addresses.of_slot(0)}) == 3


@given(st.lists(st.tuples(st.integers(1, 200), st.binary(max_size=30)), unique_by=lambda pair: pair[0]))
def test_attributes_are_read_as_they_were_written(parts: list[tuple[int, bytes]]) -> None:
    assert attributes(b"".join(attribute(kind, value) for kind, value in parts)) == dict(parts)


@given(st.binary(max_size=60))
def test_garbage_from_the_kernel_ends(data: bytes) -> None:
    attributes(data)


def test_a_policy_that_stays_changes_nothing() -> None:
    address = IPv4Address("10.0.0.16")
    policy = Policy(True, (parse_target("10.1.0.0/16:443"), parse_target("10.1.2.0/24")))
    assert firewall.change("t", address, policy, policy) == []
    assert firewall.change("t", address, None, Policy(internet=False)) == []
    assert len(firewall.change("t", address, policy, None)) == 2


def test_files() -> None:
    host = "# made by hand\nnameserver 10.255.0.53\nsearch plant.example\noptions ndots:2\nnameserver fe80::1%eth0\n"
    assert files.upstreams(host) == ["10.255.0.53", "fe80::1%eth0"]
    told = files.resolv_conf(host, IPv4Address("10.0.0.1")).decode()
    assert told == "nameserver 10.0.0.1\nsearch plant.example\noptions ndots:2\n"
    assert files.hosts("10.1.1.1 mirror\n", "ins-1").decode().splitlines()[0] == "127.0.0.1 localhost ins-1"


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names("10.0.0.1", "apps.Example.cn", tmp_path / "list")


def test_names_of_apps_are_answered_here(names: Names) -> None:
    for name in ("mes.apps.example.cn", "MES.Apps.example.CN", "apps.example.cn"):
        answer = names.own(query(name))
        assert answer is not None and answer[-4:] == bytes([10, 0, 0, 1]) and answer[:2] == b"\0\x07"
        assert answer[3] & 15 == 0 and answer[6:8] == b"\0\1"
    no_ipv6 = names.own(query("mes.apps.example.cn", 28))
    assert no_ipv6 is not None and no_ipv6[6:8] == b"\0\0" and no_ipv6[3] & 15 == 0


def test_other_names_are_asked_for(names: Names) -> None:
    for name in ("example.cn", "xapps.example.cn", "apps.example.cn.evil.cn", "mesapps.example.cn"):
        assert names.own(query(name)) is None
    nowhere = names.own(query("printer.localhost"))
    assert nowhere is not None and nowhere[3] & 15 == 3


@given(st.binary(max_size=80))
def test_garbage_is_answered_or_dropped(data: bytes) -> None:
    answer = Names("10.0.0.1", "apps.localhost", Path("/nowhere")).own(data)
    assert answer is None or len(answer) <= len(data) + 16


def test_resolvers_are_read_again_when_they_change(names: Names, tmp_path: Path) -> None:
    assert names.upstreams() == []
    (tmp_path / "list").write_text("10.0.0.53\n")
    assert names.upstreams() == ["10.0.0.53"]
    (tmp_path / "new").write_text("10.0.0.54\n10.0.0.55\n")
    (tmp_path / "new").replace(tmp_path / "list")
    assert names.upstreams() == ["10.0.0.54", "10.0.0.55"]


@given(st.integers(1, 60_000), st.integers(1, 5_000))
def test_pinned_slots_have_addresses_of_their_own_at_the_end(ordinary: int, pinned: int) -> None:
    addresses = Addresses(IPv4Network(("10.0.0.0", prefix_for(ordinary + pinned))))
    assert addresses.has_room(ordinary, pinned)
    assert addresses.of_slot(ordinary - 1) < addresses.of_pinned(pinned - 1) <= addresses.of_pinned(0)
    assert addresses.of_pinned(0) < addresses.subnet.broadcast_address
    # Another number of ordinary ones in a subnet of the same size moves none of them.
    assert addresses.of_pinned(3) == Addresses(addresses.subnet).of_pinned(3)


@given(st.integers(16, 29), st.integers(0, 300), st.integers(0, 300))
def test_room_is_there_until_the_two_kinds_meet(length: int, ordinary: int, pinned: int) -> None:
    addresses = Addresses(IPv4Network(("10.0.0.0", length)))
    if addresses.has_room(ordinary, pinned) and ordinary and pinned:
        assert addresses.trial < addresses.of_slot(ordinary - 1) < addresses.of_pinned(pinned - 1)


def test_services_are_a_set_of_their_own() -> None:
    address, server = IPv4Address("10.0.0.16"), parse_target("10.0.63.254:16000")
    before, after = Policy(False, (server,)), Policy(False, (server,), (server,))
    (added,) = firewall.change("t", address, before, after)
    (gone,) = firewall.change("t", address, after, before)
    assert b"bound\0" in added.body and b"bound\0" in gone.body
    assert b"allowed\0" not in added.body + gone.body
    assert firewall.change("t", address, after, after) == []
    assert len(firewall.change("t", address, after, None)) == 2
