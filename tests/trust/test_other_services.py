"""A cache and a message server, as an app of the standard library and its users see them."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Platform, wait_until
from tests.e2e.load import Load

APP = """
import json, os, signal, socket, struct, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def opened(name):
    url = urlsplit(os.environ[name])
    return socket.create_connection((url.hostname, url.port), 5), url.username, unquote(url.password)


def cache():
    link, user, password = opened("REDIS_URL")
    with link, link.makefile("rb") as said:
        link.sendall(f"AUTH {user} {password}\\r\\nINCR visits\\r\\n".encode())
        return [said.readline().decode().strip() for _ in range(2)]


def bus():
    link, user, password = opened("NATS_URL")
    with link, link.makefile("rb") as said:
        said.readline()
        words = json.dumps({"user": user, "pass": password, "verbose": False})
        link.sendall(f"CONNECT {words}\\r\\nSUB line1.> 1\\r\\nPUB line1.order 2\\r\\ngo\\r\\n".encode())
        return [said.readline().decode().strip() for _ in range(2)]


def device():
    def text(word):
        return struct.pack(">H", len(word)) + word.encode()

    link, user, password = opened("MQTT_URL")
    with link:
        body = text("MQTT") + bytes([4, 0xC2, 0, 30]) + text("press") + text(user) + text(password)
        link.sendall(bytes([0x10, len(body)]) + body)
        return list(link.recv(4))


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, said = 200, {"/cache": cache, "/bus": bus, "/device": device}.get(self.path, lambda: "up")()
        except Exception as error:
            status, said = 500, type(error).__name__
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    return folder


def test_a_cache_and_a_bus_from_the_catalogue_to_their_end(platform: Platform, app: Path, name: str) -> None:
    def page(path: str) -> tuple[int, object]:
        status, _, body = platform.get(platform.host(name), path)
        return status, json.loads(body)

    platform.cli("deploy", "--app", name, cwd=app)
    for service in ("valkey", "nats"):
        platform.cli("services", "enable", service)
        platform.cli("services", "create", service, f"{name}-{service}", "--plan", "small")
        with Load(platform.edge_port, platform.host(name)) as load:
            platform.cli("bind", name, f"{name}-{service}")
        assert load.failures == []
    assert page("/cache") == (200, ["+OK", ":1"])
    assert page("/bus") == (200, ["MSG line1.order 1 2", "go"])
    assert page("/device") == (200, [0x20, 2, 0, 0])

    # While it runs, and started anew: the cache is kept by a planned stop.
    refused = platform.cli("services", "configure", f"{name}-valkey", "-p", 'maxmemory_policy="forget"', check=False)
    assert refused.returncode != 0 and "maxmemory_policy" in refused.stderr
    platform.cli("services", "configure", f"{name}-valkey", "-p", 'maxmemory_policy="allkeys-lru"')
    platform.cli("services", "configure", f"{name}-valkey", "--plan", "standard")
    wait_until(lambda: page("/cache") == (200, ["+OK", ":2"]))

    for service in ("valkey", "nats"):
        platform.cli("unbind", name, f"{name}-{service}")
        platform.cli("services", "delete", f"{name}-{service}", "--yes")
    assert page("/cache") == (500, "KeyError")
    assert page("/") == (200, "up")
