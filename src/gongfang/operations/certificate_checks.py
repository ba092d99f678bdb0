"""Reads an uploaded certificate and key, and refuses what would not serve. Pure: text and a moment in, values out.

Each mistake has words of its own. The chain may come in any order and with its root: it is put in order, the root is
left out (clients have their own). What can't be known here: whether clients trust the root, and an intermediate that is
missing altogether.

Keys that are encrypted are refused: how much work opening one is, is the file's to say, and a hostile file would hold
up the control plane. Sizes are looked at before anything expensive is done, for the same reason.
"""

import re
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from gongfang.domain.errors import Invalid, invalid_field

CHAIN_LIMIT = 65536
"""Characters of a chain."""
KEY_LIMIT = 16384
"""Characters of a key: one of RSA with 8192 bits has 6,400."""
MOST = 10
"""Certificates in a chain."""
_RSA_BITS = (2048, 8192)
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}
_WEAK = frozenset({"md5", "sha1"})

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]{1,60000}?-----END CERTIFICATE-----")
_KEY = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ )?PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)
_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Papers:
    """What was read. `chain`: PEM, leaf first, without the root. `key`: PEM (PKCS 8), a secret."""

    names: tuple[str, ...]
    subject: str
    issuer: str
    serial_number: str
    fingerprint: str
    key_type: str
    not_before: datetime
    not_after: datetime
    chain: str
    key: str = field(repr=False)


def read_papers(chain: str, key: str, now: datetime) -> Papers:
    """Raises `Invalid` on whatever is wrong with the two."""
    certificates = _certificates(chain)
    private = _private_key(key)
    with _readable(1):
        leaf = next((c for c in certificates if _public(c.public_key()) == _public(private.public_key())), None)
    if leaf is None:
        subject = certificates[0].subject.rfc4514_string()[:200]
        raise invalid_field("private_key", "certificate_key_mismatch", subject=subject)
    ordered = _in_order(leaf, certificates)
    for number, certificate in enumerate(ordered):
        with _readable(number + 1):
            _check_one(certificate, now, leaf=number == 0)
    with _readable(1):
        names = _names(leaf)
        _check_usage(leaf)
        _check_signing(leaf, private)
        return Papers(
            names=names,
            subject=leaf.subject.rfc4514_string()[:500],
            issuer=leaf.issuer.rfc4514_string()[:500],
            serial_number=f"{leaf.serial_number:x}",
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
            key_type=_key_type(leaf.public_key()),
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
            chain="".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in ordered),
            key=private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
        )


@contextmanager
def _readable(number: int) -> Generator[None]:
    """Much of a certificate is read only when it is asked for, and may be broken then. What the library only warns of
    (a serial number that isn't positive, say) is broken too: clients refuse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            yield
    except (
        UserWarning,
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
    ) as error:
        raise invalid_field("certificate", "certificate_unreadable", number=number) from error


def _certificates(text: str) -> list[x509.Certificate]:
    if len(text) > CHAIN_LIMIT:
        raise invalid_field("certificate", "certificate_too_large", limit=CHAIN_LIMIT)
    if "PRIVATE KEY-----" in text:
        raise invalid_field("certificate", "certificate_holds_key")
    blocks = [match.group() for match in _CERTIFICATE.finditer(text)]
    if not blocks:
        raise invalid_field("certificate", "certificate_none")
    if len(blocks) > MOST:
        raise invalid_field("certificate", "certificate_too_many", limit=MOST)
    found: list[x509.Certificate] = []
    for number, block in enumerate(blocks, 1):
        with _readable(number):
            certificate = x509.load_pem_x509_certificate(block.encode())
            _check_key(certificate)
        if certificate not in found:
            found.append(certificate)
    return found


def _private_key(text: str) -> Any:
    if len(text) > KEY_LIMIT:
        raise invalid_field("private_key", "key_too_large", limit=KEY_LIMIT)
    match = _KEY.search(text)
    if match is None:
        raise invalid_field("private_key", "key_none")
    if "ENCRYPTED" in match.group():
        raise invalid_field("private_key", "key_encrypted")
    try:
        key = serialization.load_pem_private_key(
            match.group().encode(), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise invalid_field("private_key", "key_unreadable") from None  # the error may quote the key
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise invalid_field("private_key", "key_kind_unknown")
    return key


def _public(key: Any) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _key_type(key: Any) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA"
    return type(key).__name__.removesuffix("PublicKey")


def _check_key(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    subject = certificate.subject.rfc4514_string()[:200]
    kind = _key_type(key)
    if isinstance(key, rsa.RSAPublicKey):
        if not _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
            raise invalid_field("certificate", "certificate_key_size", subject=subject, key=kind)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES and key.curve.name != "secp521r1":  # an authority may have the last
            raise invalid_field("certificate", "certificate_key_kind", subject=subject, key=kind)
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise invalid_field("certificate", "certificate_key_kind", subject=subject, key=kind)


def _in_order(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """From the leaf upwards, each signed by the next. Raises `Invalid` where one of those given has no place in it."""
    ordered = [leaf]
    left = [c for c in certificates if c != leaf]
    while left:
        below = ordered[-1]
        above = [c for c in left if c.subject == below.issuer]
        if not above:
            raise _stray(below, left[0])
        signer = next((c for c in above if _signed_by(below, c)), None)
        if signer is None:
            facts = {"subject": below.subject.rfc4514_string()[:200], "issuer": below.issuer.rfc4514_string()[:200]}
            raise invalid_field("certificate", "certificate_chain_forged", **facts)
        if not _is_authority(signer):
            subject = signer.subject.rfc4514_string()[:200]
            raise invalid_field("certificate", "certificate_issuer_is_none", subject=subject)
        left.remove(signer)
        ordered.append(signer)
    return ordered if len(ordered) == 1 or not _is_root(ordered[-1]) else ordered[:-1]


def _stray(below: x509.Certificate, stray: x509.Certificate) -> Invalid:
    return invalid_field(
        "certificate",
        "certificate_chain_stray",
        stray=stray.subject.rfc4514_string()[:200],
        issuer=below.issuer.rfc4514_string()[:200],
    )


def _signed_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_authority(certificate: x509.Certificate) -> bool:
    with _readable(1):
        basic = _extension(certificate, x509.BasicConstraints)
    return basic is not None and basic.ca


def _check_one(certificate: x509.Certificate, now: datetime, *, leaf: bool) -> None:
    subject = certificate.subject.rfc4514_string()[:200]
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if now >= ends:
        code = "certificate_expired" if leaf else "certificate_chain_expired"
        raise invalid_field("certificate", code, subject=subject, date=f"{ends:%Y-%m-%d %H:%M} UTC")
    if now < begins:
        raise invalid_field(
            "certificate", "certificate_not_yet", subject=subject, date=f"{begins:%Y-%m-%d %H:%M:%S} UTC"
        )
    digest = certificate.signature_hash_algorithm
    if digest is not None and digest.name in _WEAK:
        raise invalid_field("certificate", "certificate_weak", subject=subject, digest=digest.name.upper())


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    alternative = _extension(leaf, x509.SubjectAlternativeName)
    found: list[str] = alternative.get_values_for_type(x509.DNSName) if alternative is not None else []
    names = dict.fromkeys(n for name in found if _NAME.fullmatch(n := name.lower().rstrip(".")) and len(n) <= 253)
    if not names:
        raise invalid_field("certificate", "certificate_nameless")
    return tuple(names)


def _check_usage(leaf: x509.Certificate) -> None:
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    good = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if extended is not None and good.isdisjoint(extended):
        raise invalid_field("certificate", "certificate_not_for_servers")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise invalid_field("certificate", "certificate_not_for_servers")
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES:
        subject = leaf.subject.rfc4514_string()[:200]
        raise invalid_field("certificate", "certificate_key_kind", subject=subject, key=_key_type(key))
    features = _extension(leaf, x509.TLSFeature)
    if features is not None and x509.TLSFeatureType.status_request in features:
        raise invalid_field("certificate", "certificate_must_staple")


def _check_signing(leaf: x509.Certificate, private: Any) -> None:
    """The private half may be damaged though the public half fits: it has to sign once."""
    public: Any = leaf.public_key()
    try:
        if isinstance(private, rsa.RSAPrivateKey):
            signature = private.sign(b"gongfang", padding.PKCS1v15(), hashes.SHA256())
            public.verify(signature, b"gongfang", padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            public.verify(private.sign(b"gongfang", ec.ECDSA(hashes.SHA256())), b"gongfang", ec.ECDSA(hashes.SHA256()))
        else:
            public.verify(private.sign(b"gongfang"), b"gongfang")
    except (InvalidSignature, ValueError):
        raise invalid_field("private_key", "key_unreadable") from None
