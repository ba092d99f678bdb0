"""After a start and a restore the command waits for the apps through the API, also where that speaks HTTPS."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gongfang.main.home import Home
from gongfang.main.waiting import until_apps_run
from gongfang.settings import Settings
from tests.tls_papers import authority


class NoApps(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"success": True, "code": "OK", "message": "ok", "request_id": "r"}
        text = json.dumps({**body, "data": {"items": [], "next_cursor": None}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[int, Path, Path]]:
    paper = authority().sign("gongfang.plant.example")  # not the name that it is reached by
    certificate, key = tmp_path / "api.pem", tmp_path / "api.key"
    certificate.write_text(paper.chain)
    key.write_text(paper.key_pem)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoApps) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1], certificate, key
        server.shutdown()
        thread.join(10)


def test_the_platforms_own_certificate_is_believed(
    tmp_path: Path, site: tuple[int, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, certificate, key = site
    for name, value in {
        "HOME": tmp_path / "home",
        "API_PORT": port,
        "API_TLS_CERT": certificate,
        "API_TLS_KEY": key,
    }.items():
        monkeypatch.setenv(f"GONGFANG_{name}", str(value))
    settings = Settings()
    home = Home.of(settings)
    home.root.mkdir()
    home.admin_token.write_text("gf_x")
    home.write_platform(settings)
    told: list[str] = []
    assert until_apps_run(home, lambda code, facts: told.append(code), within_s=10) == []
    assert told == []  # neither an answer that did not come, nor a word about no apps
