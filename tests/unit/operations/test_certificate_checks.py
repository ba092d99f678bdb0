"""What is refused of an uploaded certificate, each with words of its own, and what becomes of a good one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gongfang.domain.errors import Invalid
from gongfang.operations.certificate_checks import KEY_LIMIT, Papers, read_papers
from tests.tls_papers import DAY, Authority, Paper, authority, key_pem, now, p256, pem, rsa_key


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority()


@pytest.fixture(scope="module")
def middle(ca: Authority) -> Authority:
    return ca.intermediate("Plant CA 2")


def read(paper: Paper) -> Papers:
    return read_papers(paper.chain, paper.key_pem, now())


def code(work: Callable[[], Any]) -> str:
    with pytest.raises(Invalid) as caught:
        work()
    assert caught.value.code == "validation_failed"
    (fault,) = caught.value.details
    assert fault.field in ("certificate", "private_key")
    return fault.code


def test_a_good_one(middle: Authority) -> None:
    paper = middle.sign("mes.example.cn", "*.Line.example.cn")
    found = read(paper)
    assert found.names == ("mes.example.cn", "*.line.example.cn")
    assert found.key_type == "EC P-256" and found.subject == "CN=mes.example.cn" and found.issuer == "CN=Plant CA 2"
    assert found.fingerprint == paper.certificate.fingerprint(hashes.SHA256()).hex()
    assert found.not_after == paper.certificate.not_valid_after_utc
    assert found.chain == pem(paper.certificate) + pem(middle.certificate)
    assert "PRIVATE" not in repr(found) and "BEGIN PRIVATE KEY" in found.key


@pytest.mark.parametrize("kind", ["rsa", "p384", "ed25519"])
def test_kinds_of_keys(ca: Authority, kind: str) -> None:
    made: dict[str, Callable[[], Any]] = {
        "rsa": rsa_key,
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    assert read(ca.sign("a.cn", key=made[kind]())).key_type in ("RSA 2048", "EC P-384", "Ed25519")


def test_any_order_and_the_root_is_left_out(ca: Authority, middle: Authority) -> None:
    paper = middle.sign("a.cn")
    blocks = [pem(ca.certificate), "some words\n", pem(middle.certificate), pem(paper.certificate)]
    for texts in (blocks, blocks[::-1], [*blocks, pem(paper.certificate)]):
        assert read_papers("".join(texts), paper.key_pem, now()).chain == pem(paper.certificate) + pem(
            middle.certificate
        )


def test_one_that_signs_itself_is_its_own_chain() -> None:
    own = authority("own.cn")
    paper = Paper(own.sign("own.cn", key=own.key, ca=False).certificate, own.key)
    assert read(paper).names == ("own.cn",)


def test_what_is_wrong_with_the_texts(ca: Authority) -> None:
    paper = ca.sign("a.cn")
    chain, key = paper.chain, paper.key_pem
    assert code(lambda: read_papers("", key, now())) == "certificate_none"
    assert code(lambda: read_papers("-----BEGIN CERTIFICATE-----", key, now())) == "certificate_none"
    assert code(lambda: read_papers(chain + key, key, now())) == "certificate_holds_key"
    assert code(lambda: read_papers("x" * 100_000, key, now())) == "certificate_too_large"
    assert code(lambda: read_papers(chain.replace("MII", "MIJ", 1), key, now())) == "certificate_unreadable"
    assert code(lambda: read_papers(chain * 11, key, now())) == "certificate_too_many"
    assert code(lambda: read_papers(chain, "", now())) == "key_none"
    assert code(lambda: read_papers(chain, chain, now())) == "key_none"
    assert code(lambda: read_papers(chain, "x" * (KEY_LIMIT + 1), now())) == "key_too_large"
    assert code(lambda: read_papers(chain, key.replace("MIG", "MIH", 1), now())) == "key_unreadable"
    assert code(lambda: read_papers(chain, key_pem(paper.key, b"secret"), now())) == "key_encrypted"
    legacy = paper.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()
    assert code(lambda: read_papers(chain, legacy, now())) == "key_encrypted"
    odd = key_pem(dsa.generate_private_key(1024))
    assert code(lambda: read_papers(chain, odd, now())) == "key_kind_unknown"


def test_an_old_form_of_key_with_its_parameters(ca: Authority) -> None:
    paper = ca.sign("a.cn")
    old = paper.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert read_papers(paper.chain, parameters + old, now()).key == paper.key_pem


def test_what_is_wrong_with_the_key(ca: Authority) -> None:
    paper = ca.sign("a.cn")
    assert code(lambda: read_papers(paper.chain, key_pem(p256()), now())) == "certificate_key_mismatch"
    assert code(lambda: read(ca.sign("a.cn", key=rsa_key(1024)))) == "certificate_key_size"
    assert code(lambda: read(ca.sign("a.cn", key=ec.generate_private_key(ec.SECP521R1())))) == "certificate_key_kind"
    assert code(lambda: read(ca.sign("a.cn", key=ec.generate_private_key(ec.SECP256K1())))) == "certificate_key_kind"


def test_what_is_wrong_with_the_chain(ca: Authority, middle: Authority) -> None:
    paper = middle.sign("a.cn")
    other = authority("Plant CA 2")  # the same name, another key
    stranger = authority("Somebody")
    leaf, key = pem(paper.certificate), paper.key_pem
    assert code(lambda: read_papers(leaf + pem(stranger.certificate), key, now())) == "certificate_chain_stray"
    assert code(lambda: read_papers(leaf + pem(ca.certificate), key, now())) == "certificate_chain_stray"
    assert code(lambda: read_papers(leaf + pem(other.certificate), key, now())) == "certificate_chain_forged"
    server = ca.sign("b.cn")
    below = Authority(server.certificate, server.key).sign("a.cn")
    chain = pem(below.certificate) + pem(server.certificate)
    assert code(lambda: read_papers(chain, below.key_pem, now())) == "certificate_issuer_is_none"
    old = ca.sign(ca=True, common_name="Old CA", begins=now() - 10 * DAY, days=9)
    under = Authority(old.certificate, old.key).sign("a.cn")
    assert code(lambda: read(under)) == "certificate_chain_expired"


def test_what_is_wrong_with_the_leaf(ca: Authority) -> None:
    assert code(lambda: read(ca.sign("a.cn", begins=now() - 3 * DAY, days=2))) == "certificate_expired"
    assert code(lambda: read(ca.sign("a.cn", begins=now() + DAY))) == "certificate_not_yet"
    assert code(lambda: read(ca.sign())) == "certificate_nameless"
    assert code(lambda: read(ca.sign("a*.cn", "*"))) == "certificate_nameless"
    client = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    assert code(lambda: read(ca.sign("a.cn", usages=client))) == "certificate_not_for_servers"


def test_the_moment_counts(ca: Authority) -> None:
    paper = ca.sign("a.cn", days=5)
    ends = paper.certificate.not_valid_after_utc
    assert read_papers(paper.chain, paper.key_pem, ends - timedelta(seconds=1)).not_after == ends
    assert code(lambda: read_papers(paper.chain, paper.key_pem, ends)) == "certificate_expired"


# Signed with SHA-1, which this library verifies but no longer makes.
SHA1 = """\
-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUWXcwhTy7vm2ClUKoLT4TtZYENKAwCQYHKoZIzj0EATAR
MQ8wDQYDVQQDDAZvbGQuY24wIBcNMjYxMTI0MDYyODA4WhgPMjEyNjEwMzEwNjI4
MDhaMBExDzANBgNVBAMMBm9sZC5jbjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BB23C8ouQ7PN4UjR6DecNx3yPiR6Wh+T+PBZVHyT/9DCGHUAk3UjZjdmQeDfJd0r
EYe9sCPlYg1IenUFnqm7+BKjZjBkMB0GA1UdDgQWBBSc3g0rzeXWT/kHUUukKxJh
5N3umTAfBgNVHSMEGDAWgBSc3g0rzeXWT/kHUUukKxJh5N3umTAPBgNVHRMBAf8E
BTADAQH/MBEGA1UdEQQKMAiCBm9sZC5jbjAJBgcqhkjOPQQBA0kAMEYCIQDqg6sU
vuzYAfe3xi6YU+wn8YLLIFTrKdfAffQcmzT8KwIhAOKjKSAm5P2q0o9xQ5qM27Bj
VaeUhSf4W2N407b3XCN1
-----END CERTIFICATE-----
=====
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPLzdcJZQOxHkn2PS
Yx6edbhafWM7IT6VIi/2H+O30eqhRANCAAQdtwvKLkOzzeFI0eg3nDcd8j4kelof
k/jwWVR8k//Qwhh1AJN1I2Y3ZkHg3yXdKxGHvbAj5WINSHp1BZ6pu/gS
-----END PRIVATE KEY-----
"""


def test_weak_signatures() -> None:
    certificate, _, key = SHA1.partition("=====\n")
    moment = x509.load_pem_x509_certificate(certificate.encode()).not_valid_before_utc + DAY
    assert code(lambda: read_papers(certificate, key, moment)) == "certificate_weak"


@settings(max_examples=200, deadline=None)
@example(position=48, byte="0", cut=0)  # a serial number that isn't positive
@given(position=st.integers(0, 900), byte=st.characters(codec="ascii"), cut=st.integers(0, 900))
def test_damage_is_always_a_plain_refusal(position: int, byte: str, cut: int) -> None:
    """No damaged file ends in anything but a refusal (or in the same certificate, where it did not matter)."""
    for chain, key in (
        (DAMAGED.chain[:position] + byte + DAMAGED.chain[position + 1 :], DAMAGED_KEY),
        (DAMAGED.chain[:cut], DAMAGED_KEY),
        (DAMAGED.chain, DAMAGED_KEY[: position % 240] + byte + DAMAGED_KEY[position % 240 + 1 :]),
    ):
        try:
            read_papers(chain, key, now())
        except Invalid as refused:
            assert refused.details[0].code.startswith(("certificate_", "key_"))


DAMAGED = authority().sign("a.cn")
DAMAGED_KEY = DAMAGED.key_pem
