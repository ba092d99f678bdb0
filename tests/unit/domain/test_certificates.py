"""Which certificate serves a host, and when it is warned of one: pure, so tried with whatever comes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.certificates import (
    NOTICES,
    Certificate,
    CertificateState,
    choose,
    covered,
    covers,
    due_notice,
    names_for,
    next_change,
    shelve,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BASE = "apps.plant.cn"


def certificate(key: str, *names: str, tenant: str | None = "t", days: float = 90, begins: float = -10) -> Certificate:
    return Certificate(
        id=key,
        tenant_id=tenant,
        names=names,
        subject="",
        issuer="",
        serial_number="1",
        fingerprint=key,
        key_type="",
        not_before=NOW + begins * DAY,
        not_after=NOW + days * DAY,
        created_at=NOW,
        updated_at=NOW,
    )


def chosen(host: str, *certificates: Certificate, tenant: str = "t") -> str | None:
    found = choose(host, tenant, certificates, BASE, NOW)
    return found.id if found else None


def test_names() -> None:
    assert covers("a.cn", "a.cn") and covers("A.cn", "a.CN")
    assert covers("*.a.cn", "b.a.cn")
    for name, host in (
        ("*.a.cn", "a.cn"),
        ("*.a.cn", "c.b.a.cn"),
        ("*.a.cn", ".a.cn"),
        ("*.a.cn", "b.xa.cn"),
        ("a.cn", "b.a.cn"),
        ("a.cn", "a.cn.evil.cn"),
        ("*.cn", "a.b.cn"),
        ("*", "cn"),
    ):
        assert not covers(name, host), (name, host)
    assert covered(["a.cn", "*.b.cn"], ["a.cn", "x.a.cn", "x.b.cn", "b.cn"]) == ["a.cn", "x.b.cn"]


def test_the_most_specific_then_the_longest() -> None:
    wild, exact = certificate("wild", "*.a.cn", days=300), certificate("exact", "b.a.cn", days=60)
    longer = certificate("longer", "b.a.cn", "c.cn", days=61)
    assert chosen("b.a.cn", wild) == "wild"
    assert chosen("b.a.cn", wild, exact) == "exact"
    assert chosen("b.a.cn", exact, longer, wild) == "longer"
    assert chosen("d.a.cn", exact, longer, wild) == "wild"
    assert chosen("a.cn", exact, longer, wild) is None


def test_valid_before_specific_and_an_ended_one_rather_than_none() -> None:
    ended, wild = certificate("ended", "b.a.cn", days=-1), certificate("wild", "*.a.cn", days=5)
    later = certificate("later", "b.a.cn", begins=2, days=900)
    assert chosen("b.a.cn", ended, wild, later) == "wild"
    assert chosen("b.a.cn", ended) == "ended"


def test_never_another_tenants() -> None:
    other = certificate("other", "b.a.cn", "*.a.cn", f"x.{BASE}", tenant="o")
    platform = certificate("platform", f"*.{BASE}", "b.a.cn", tenant=None, days=900)
    assert chosen("b.a.cn", other, platform) is None
    assert chosen(f"x.{BASE}", other, platform) == "platform"
    own = certificate("own", f"x.{BASE}", days=1)
    assert chosen(f"x.{BASE}", other, platform, own) == "own"


def test_a_tenants_wildcard_counts_for_nothing_under_the_base_domain() -> None:
    wide = certificate("wide", f"*.{BASE}", days=900)
    platform = certificate("platform", f"*.{BASE}", tenant=None, days=1)
    assert chosen(f"x.{BASE}", wide, platform) == "platform"
    assert chosen(f"x.{BASE}", wide) is None


names = st.sampled_from(["a.cn", "b.a.cn", "*.a.cn", "*.b.a.cn", f"*.{BASE}", f"x.{BASE}", "c.cn"])
certificates = st.lists(
    st.builds(
        lambda key, names, tenant, days: certificate(f"c{key}", *names, tenant=tenant, days=days),
        st.integers(0, 99),
        st.lists(names, min_size=1, max_size=3),
        st.sampled_from(["t", "o", None]),
        st.integers(-5, 100),
    ),
    max_size=8,
    unique_by=lambda c: c.id,
)
hosts = st.sampled_from(["a.cn", "b.a.cn", "x.b.a.cn", f"x.{BASE}", "c.cn", "none.cn"])


@given(hosts, certificates, st.randoms())
def test_the_choice_is_right_whatever_the_order(host: str, given_: list[Certificate], random: object) -> None:
    found = choose(host, "t", given_, BASE, NOW)
    shuffled = sorted(given_, key=lambda c: hash((c.id, id(random))))
    assert choose(host, "t", shuffled, BASE, NOW) == found
    fitting = [c for name in names_for(host) for c in shelve(given_).get(name, ())]
    assert choose(host, "t", fitting, BASE, NOW) == found
    if found is not None:
        assert found.tenant_id in ("t", None) and any(covers(n, host) for n in found.names)
        assert found.tenant_id is not None or host.endswith(BASE)
        assert found.tenant_id is None or not host.endswith(BASE) or host in found.names
        valid = [
            c
            for c in given_
            if c.tenant_id == "t"
            and c.not_after > NOW
            and any(n == host if host.endswith(BASE) else covers(n, host) for n in c.names)
        ]
        assert not valid or found.not_after > NOW


def test_states() -> None:
    one = certificate("a", "a.cn", days=31)
    assert one.state(NOW) is CertificateState.active
    assert one.state(NOW + DAY) is CertificateState.expiring
    assert one.state(NOW + 31 * DAY) is CertificateState.expired


@given(st.lists(st.integers(-50 * 1440, 50 * 1440), max_size=30))
def test_each_notice_once_and_never_back(moments: list[int]) -> None:
    """Whatever moments the clock shows, in whatever order, and however often the platform starts in between."""
    ends, told, given_ = NOW, None, list[int]()
    for moment in moments:
        days = due_notice(ends, told, NOW + timedelta(minutes=moment))
        if days is not None:
            assert moment >= -days * 1440
            given_.append(days)
            told = days
    assert given_ == sorted(set(given_), reverse=True) and set(given_) <= set(NOTICES)
    latest = max(moments, default=-99)
    assert (0 in given_) == (latest >= 0)


def test_the_notices_of_a_life() -> None:
    ends, told, moment = NOW + 90 * DAY, None, NOW
    given_: list[tuple[int, float]] = []
    while (wait := next_change(ends, moment)) is not None:
        assert due_notice(ends, told, moment) is None
        moment += wait
        told = due_notice(ends, told, moment)
        assert told is not None
        given_.append((told, (ends - moment) / DAY))
    assert given_ == [(n, float(n)) for n in NOTICES]
