"""A database for an app, as its people have it: brought in, created, bound, used, unbound, deleted."""

import json
import shutil
import time
from pathlib import Path

import pytest

from gongfang.client import Client
from gongfang.client.errors import ApiError
from tests.e2e.conftest import Platform, wait_until
from tests.e2e.load import Load

APP = '''
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pg_client import Connection

kept, lock = [], threading.Lock()


def ask(sql):
    """On the one connection that is kept open, so that it is seen when it is cut."""
    with lock:
        if not kept:
            kept.append(Connection(os.environ["DATABASE_URL"]))
        try:
            return kept[0].query(sql)
        except Exception:
            kept.pop().close()
            raise


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            status, found = 200, self.answer()
        except Exception as error:
            status, found = 500, f"{type(error).__name__}: {error}"
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        if self.path == "/":
            return "the page lives"
        if self.path == "/bound":
            file = "/bindings/%s/uri" % os.environ.get("BINDING", "orders")
            return {
                "uri": os.environ.get("DATABASE_URL"),
                "file": open(file).read() if os.path.exists(file) else None,
                "vcap": json.loads(os.environ.get("VCAP_SERVICES", "{}")),
            }
        if self.path == "/make":
            ask("CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, what text)")
            return ask("INSERT INTO orders (what) VALUES ('eleven valves') RETURNING what")
        return ask("SELECT count(*), max(what) FROM orders")

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page)
server.serve_forever()
'''


def write_orders(folder: Path) -> Path:
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    shutil.copy(Path(__file__).with_name("pg_client.py"), folder)
    return folder


@pytest.fixture
def orders_app(tmp_path: Path) -> Path:
    return write_orders(tmp_path / "orders")


def page(platform: Platform, name: str, path: str) -> tuple[int, object]:
    status, _, body = platform.get(platform.host(name), path)
    return status, json.loads(body)


def refusal(client: Client, service: str) -> int:
    try:
        client.services.get(service)
    except ApiError as error:
        return error.status
    return 200


def test_a_database_from_the_catalogue_to_its_end(platform: Platform, orders_app: Path, name: str) -> None:
    client = platform.client
    offered = {s.name: s for s in client.services.catalogue()}
    assert offered["postgresql"].available, offered["postgresql"].reason
    assert "postgresql" in platform.cli("services", "catalog").stdout
    platform.cli("services", "enable", "postgresql")
    platform.cli("services", "enable", "postgresql")  # twice is once

    service = f"{name}-db"
    platform.cli("services", "create", "postgresql", service, "--plan", "small")
    made = client.services.get(service)
    assert (made.state, made.plan) == ("ready", "small")
    seen = client.services.status(service)
    assert seen.state == "running" and seen.host and seen.port, seen

    assert "ready to accept connections" in platform.cli("services", "logs", service).stdout
    platform.cli("deploy", "--app", name, cwd=orders_app)
    assert page(platform, name, "/orders")[0] == 500  # bound to nothing yet
    with Load(platform.edge_port, platform.host(name)) as load:
        platform.cli("bind", name, service, "--name", "orders")
    assert load.failures == []
    bound = client.bindings.environment(name, service)
    assert not bound.masked and (bound.host, bound.port) == (seen.host, seen.port)
    assert page(platform, name, "/bound") == (
        200,
        {
            "uri": bound.environment["DATABASE_URL"],
            "file": bound.environment["DATABASE_URL"],
            "vcap": json.loads(bound.environment["VCAP_SERVICES"]),
        },
    )
    assert page(platform, name, "/make") == (200, [["eleven valves"]])
    assert page(platform, name, "/orders") == (200, [["1", "eleven valves"]])
    assert service in platform.cli("bindings", name).stdout
    refused = platform.cli("services", "delete", service, "--yes", check=False)
    assert refused.returncode != 0 and name in refused.stderr

    # The database is restarted with the larger plan; address, credentials and data stay.
    platform.cli("services", "configure", service, "--plan", "medium")
    larger = client.services.status(service)
    assert (larger.host, larger.port, larger.state) == (seen.host, seen.port, "running")
    wait_until(lambda: page(platform, name, "/orders") == (200, [["1", "eleven valves"]]))

    begun = time.monotonic()
    with Load(platform.edge_port, platform.host(name)) as load:
        operation = client.bindings.delete(name, service)
        wait_until(lambda: page(platform, name, "/orders")[0] == 500, timeout=10)
        took = time.monotonic() - begun
        assert page(platform, name, "/") == (200, "the page lives")
        assert client.operations.wait(operation.id, 60).status == "succeeded"
    assert load.failures == []
    assert page(platform, name, "/bound")[1] == {"uri": None, "file": None, "vcap": {}}
    assert client.bindings.list(name).all() == []

    # Bound anew, by another user of the database: the data are the app's, not the binding's.
    platform.cli("bind", name, service, "--name", "orders")
    assert client.bindings.environment(name, service).environment["DATABASE_URL"] != bound.environment["DATABASE_URL"]
    assert page(platform, name, "/make") == (200, [["eleven valves"]])
    assert page(platform, name, "/orders") == (200, [["2", "eleven valves"]])

    platform.cli("services", "delete", service, "--force", "--yes")
    assert refusal(client, service) == 404
    assert service not in platform.cli("services").stdout
    wait_until(lambda: page(platform, name, "/bound")[1] == {"uri": None, "file": None, "vcap": {}})
    assert not [p for p in (platform.home / "services").glob("*") if made.id in p.name]
    print(f"a query failed {took:.2f} s after unbinding was asked for")


def test_what_is_asked_for_wrongly_is_told_in_words(platform: Platform, name: str) -> None:
    platform.cli("services", "enable", "postgresql")
    for words, said in (
        (("services", "enable", "oracle"), "catalogue"),
        (("services", "create", "oracle", f"{name}-db"), "services enable"),
        (("services", "create", "postgresql", f"{name}-db", "--plan", "vast"), "small"),
        (("services", "create", "postgresql", f"{name}-db", "-p", "max_connections=often"), "max_connections"),
        (("services", "show", f"{name}-db"), "no service instance"),
        (("bind", name, f"{name}-db"), name),
    ):
        done = platform.cli(*words, check=False)
        assert done.returncode != 0 and said in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr
    assert platform.json("services") == []


def test_a_destroyed_app_lets_go_of_what_it_was_bound_to(platform: Platform, name: str) -> None:
    """Killed control planes and servers are in tests/trust."""
    client = platform.client
    platform.cli("services", "enable", "postgresql")
    client.apps.create(name=name)
    platform.cli("services", "create", "postgresql", f"{name}-db")
    platform.cli("bind", name, f"{name}-db")  # stopped, and without code: it has it at its first start
    assert set(client.bindings.get(name, f"{name}-db").variables) == {"DATABASE_URL"}
    platform.cli("apps", "destroy", name, "--yes")
    assert client.services.get(f"{name}-db").bindings == []
    platform.cli("services", "delete", f"{name}-db", "--yes")
    assert refusal(client, f"{name}-db") == 404
