"""Whom the client believes: one certificate alone, where that is what was named."""

import ssl
from pathlib import Path

import pytest

from gongfang.client.http import trust
from tests.tls_papers import Paper, authority

CA = authority().intermediate("Plant CA 2")
OWN = CA.sign("gongfang.plant.example")


def believed(file: Path, paper: Paper) -> bool:
    """Whether a client that pins what is in the file goes on with a server that shows this certificate."""
    shown, key = file.with_name("shown.pem"), file.with_name("shown.key")
    shown.write_text(paper.chain)
    key.write_text(paper.key_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(shown, key)
    pinning = trust(None, str(file))
    assert isinstance(pinning, ssl.SSLContext)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pinning.wrap_bio(back, there, server_hostname="127.0.0.1")
    server = serving.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


def test_only_the_very_certificate_is_believed(tmp_path: Path) -> None:
    file = tmp_path / "api.pem"
    file.write_text(OWN.chain)
    assert believed(file, OWN)
    assert not believed(file, CA.sign("gongfang.plant.example"))  # of the same authority, which is in the file, too
    file.write_text("nothing")
    with pytest.raises(OSError, match="no certificate"):
        trust(None, str(file))
