"""Certificates for tests: a private CA, and whatever it signs, right and wrong."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def key_pem(key: Any, passphrase: bytes | None = None) -> str:
    sealed = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed).decode()


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Paper:
    """A certificate with its key, and those above it."""

    certificate: x509.Certificate
    key: Any
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> str:
        return "".join(pem(c) for c in (self.certificate, *self.above))

    @property
    def key_pem(self) -> str:
        return key_pem(self.key)


@dataclass
class Authority:
    """A CA; `root` None: it is its own."""

    certificate: x509.Certificate
    key: Any
    above: tuple[x509.Certificate, ...] = ()

    def sign(
        self,
        *names: str,
        key: Any = None,
        begins: dt.datetime | None = None,
        days: float = 90,
        ca: bool = False,
        digest: Any = None,
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
        common_name: str | None = None,
    ) -> Paper:
        key = key or p256()
        begins = begins or now() - DAY
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or (names[0] if names else "none"))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        if usages and not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), False)
        signer = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else (digest or hashes.SHA256())
        made = builder.sign(self.key, signer)
        own = () if self.certificate.issuer == self.certificate.subject else (self.certificate,)
        return Paper(made, key, (*own, *self.above))

    def intermediate(self, name: str) -> "Authority":
        paper = self.sign(ca=True, common_name=name, days=1000)
        return Authority(paper.certificate, paper.key, paper.above)


def authority(name: str = "Plant CA") -> Authority:
    key = p256()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + 3650 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    return Authority(made, key)
