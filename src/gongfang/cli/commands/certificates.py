"""`gongfang certificates …`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.errors import Failed
from gongfang.cli.framework import command, group
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.wire.certificates import CertificateOut

certificates = group(
    "certificates",
    taught(
        "Upload, renew and remove certificates. One serves every domain of its tenant that it names; nothing has to be "
        "attached. Alone, it lists them.",
        "上传、更换和删除证书。证书自动用于租户内与其匹配的全部域名，无需挂接；不带子命令时列出证书。",
        "gongfang certificates",
        "gongfang certificates add chain.pem key.pem",
        "gongfang certificates replace crt_01k8… chain.pem key.pem",
    ),
    default="list",
)

_CHAIN = click.argument("chain", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_KEY = click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@command("list", t("List certificates, and when they end.", "列出证书及到期时间。"), into=certificates)
@click.option("--tenant", "tenant_id", metavar="ID", help=t("Of this tenant.", "指定租户。"))
def list_certificates(session: Session, tenant_id: str | None) -> None:
    found = session.client.certificates.list(tenant_id=tenant_id).all()
    session.show(found, lambda: _table(found))


def _table(found: Sequence[CertificateOut]) -> None:
    columns = (t("NAMES", "域名"), t("STATE", "状态"), t("ENDS", "到期"), t("USED BY", "使用中"), "ID")
    render.table(
        columns,
        [
            (
                _few(certificate.names),
                render.word(certificate.state),
                t("{0} ({1} days)", "{0}（{1} 天）").format(f"{certificate.not_after:%Y-%m-%d}", certificate.days_left),
                _few(certificate.domains) + ("" if certificate.tenant_id else t(" (platform)", "（平台）")),
                certificate.id,
            )
            for certificate in found
        ],
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "") or "-"


@command(
    "add",
    taught(
        "Upload a certificate chain and its private key, both PEM. The key is kept sealed and never shown again.",
        "上传证书链及私钥（均为 PEM）。私钥加密保存，不再显示。",
        "gongfang certificates add chain.pem key.pem",
        "gongfang certificates add wildcard.pem key.pem --platform",
    ),
    into=certificates,
)
@_CHAIN
@_KEY
@click.option("--tenant", "tenant_id", metavar="ID", help=t("For this tenant's domains.", "用于该租户的域名。"))
@click.option(
    "--platform",
    is_flag=True,
    help=t(
        "For the apps' default addresses, under the base domain (administrators).", "用于应用默认域名（平台管理员）。"
    ),
)
def add(session: Session, chain: Path, key: Path, tenant_id: str | None, platform: bool) -> None:
    made = session.client.certificates.add(
        _text(chain), _text(key), tenant_id=tenant_id, platform=True if platform else None
    )
    session.show(made, lambda: _table([made]))


@command("show", t("Show a certificate.", "查看证书。"), into=certificates)
@click.argument("certificate")
def show(session: Session, certificate: str) -> None:
    found = session.client.certificates.get(certificate)

    def people() -> None:
        render.facts(
            [
                ("ID", found.id),
                (t("Names", "域名"), ", ".join(found.names)),
                (t("State", "状态"), render.word(found.state)),
                (
                    t("Valid", "有效期"),
                    f"{found.not_before:%Y-%m-%d} … {found.not_after:%Y-%m-%d} ({found.days_left} d)",
                ),
                (t("Used by", "使用中"), ", ".join(found.domains) or "-"),
                (t("Subject", "主体"), found.subject),
                (t("Issuer", "签发者"), found.issuer),
                (t("Key", "密钥"), found.key_type),
                ("SHA-256", found.fingerprint),
            ]
        )

    session.show(found, people)


@command(
    "replace",
    taught(
        "Put a renewed certificate and its key in the place of one. No connection is dropped.",
        "以续期后的证书及私钥更换原证书，不中断任何连接。",
        "gongfang certificates replace crt_01k8… chain.pem key.pem",
    ),
    into=certificates,
)
@click.argument("certificate")
@_CHAIN
@_KEY
@click.option(
    "--force",
    is_flag=True,
    help=t("Also where domains are left without a certificate by it.", "即使有域名因此失去证书也更换。"),
)
def replace(session: Session, certificate: str, chain: Path, key: Path, force: bool) -> None:
    changed = session.client.certificates.replace(certificate, _text(chain), _text(key), force=force or None)
    session.show(changed, lambda: _table([changed]))


@command("remove", t("Remove a certificate.", "删除证书。"), into=certificates)
@click.argument("certificate")
def remove(session: Session, certificate: str) -> None:
    session.client.certificates.remove(certificate)
    session.show({"id": certificate}, lambda: session.note(t("removed {0}", "已删除 {0}").format(certificate)))


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except UnicodeDecodeError:
        raise Failed(
            t("{0} is not PEM text", "{0} 不是 PEM 文本").format(file),
            hint="openssl x509 -inform der -in FILE -out chain.pem · openssl pkcs12 -in FILE -nodes",
        ) from None
