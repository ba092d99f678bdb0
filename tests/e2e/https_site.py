"""A platform with HTTPS everywhere, behind a private authority, and what asks it."""

import http.client
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.conftest import Platform, free_port, fresh_home, running
from tests.tls_papers import Authority, Paper, pem


class HttpsPlatform(Platform):
    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def tls_port(self) -> int:
        return int(self.environment["GONGFANG_EDGE_TLS_PORT"])

    @property
    def folder(self) -> Path:
        """Of the API's files `api.pem` and `api.key`, and the authority's `ca.pem`."""
        return Path(self.environment["GONGFANG_API_TLS_CERT"]).parent


def write(folder: Path, paper: Paper) -> None:
    (folder / "api.pem").write_text(paper.chain)
    (folder / "api.key").write_text(paper.key_pem)


@contextmanager
def https_platform(ca: Authority) -> Iterator[HttpsPlatform]:
    with tempfile.TemporaryDirectory(prefix="gf-tls-") as name:
        folder = Path(name)
        (folder / "ca.pem").write_text(pem(ca.certificate))
        # A name that this machine's own address does not have: its command line works all the same.
        write(folder, ca.sign("gongfang.plant.example", "localhost"))
        with running(
            HttpsPlatform(
                fresh_home(),
                environment={
                    "GONGFANG_EDGE_TLS_PORT": str(free_port()),
                    "GONGFANG_API_TLS_CERT": str(folder / "api.pem"),
                    "GONGFANG_API_TLS_KEY": str(folder / "api.key"),
                },
            )
        ) as started:
            yield started


def trusting(ca: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem(ca.certificate))


def leaf(port: int, name: str, ca: Authority) -> bytes | None:
    """The certificate that is shown for a name, checked against the authority; None where there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            with trusting(ca).wrap_socket(plain, server_hostname=name) as secure:
                return secure.getpeercert(binary_form=True)
    except (ssl.SSLError, ConnectionError):
        return None


def der(paper: Paper) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem(paper.certificate))


def get(site: HttpsPlatform, host: str, ca: Authority) -> tuple[int, dict[str, str], bytes]:
    """GET over HTTPS; the name goes by SNI, so it is connected by hand."""
    connection = http.client.HTTPConnection("127.0.0.1", site.tls_port, timeout=20)
    plain = socket.create_connection(("127.0.0.1", site.tls_port), timeout=20)
    connection.sock = trusting(ca).wrap_socket(plain, server_hostname=host)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def papers(folder: Path, paper: Paper) -> list[str]:
    """A certificate and its key as two files, for the command line."""
    (folder / "chain.pem").write_text(paper.chain)
    (folder / "key.pem").write_text(paper.key_pem)
    return [str(folder / "chain.pem"), str(folder / "key.pem")]
