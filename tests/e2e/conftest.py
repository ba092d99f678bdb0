"""The real thing, started as a user would: `gongfang up --detach` in a home of its own, `down` at the end."""

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gongfang.client import Client

GONGFANG = Path(sys.executable).with_name("gongfang")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Platform:
    """One running platform. `prefix`: how its commands are started (as another user, say)."""

    home: Path
    api_port: int = field(default_factory=free_port)
    edge_port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = (str(GONGFANG),)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def token(self) -> str:
        return (self.home / "admin-token").read_text().strip()

    @cached_property
    def client(self) -> Client:
        """The typed client, as the administrator; closed by `down`."""
        return Client(self.url, self.token, language="en")

    @property
    def control_pid(self) -> int:
        return int((self.home / "control.lock").read_text())

    def variables(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("GONGFANG_")},
            "GONGFANG_HOME": str(self.home),
            "GONGFANG_API_PORT": str(self.api_port),
            "GONGFANG_EDGE_PORT": str(self.edge_port),
            "GONGFANG_LANG": "en",
            "HOME": str(self.home.parent),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            **self.environment,
        }

    def cli(
        self, *args: str, cwd: Path | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Runs a `gongfang` command against this platform."""
        done = subprocess.run(
            [*self.prefix, *args],
            cwd=cwd,
            env=self.variables(),
            text=True,
            capture_output=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *args: str) -> Any:
        return json.loads(self.cli(*args, "--json").stdout)

    def get(self, host: str, path: str = "/", timeout: float = 20) -> tuple[int, dict[str, str], bytes]:
        """GET through the edge: status, headers (lower-case names), body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.edge_port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Host": host, "Accept": "*/*"})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def host(self, name: str) -> str:
        return f"{name}.apps.localhost"

    def up(self) -> str:
        return self.cli("up", "--detach", timeout=300).stdout

    def down(self) -> str:
        if "client" in self.__dict__:
            self.client.close()
            del self.client
        return self.cli("down", timeout=120).stdout

    def kill_control_plane(self) -> None:
        """kill -9, and returns when it is gone."""
        pid = self.control_pid
        os.kill(pid, 9)
        wait_until(lambda: not is_running(pid))

    def workloads(self) -> list[Path]:
        folder = self.home / "runtime" / "workloads"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def processes(self) -> list[str]:
        """Command lines and working directories that name this home: nothing else on the machine does."""
        found: list[str] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(self.home) in words:
                    found.append(words)
        return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], timeout: float = 30, what: str = "") -> None:
    """Returns when the condition holds; a condition, not a time, ends the wait."""
    latest = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > latest:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.02)


def fresh_home() -> Path:
    """A short path: Unix sockets lie below it. Readable by all, as an ordinary user's home often is."""
    folder = Path(tempfile.mkdtemp(prefix="gf-"))
    folder.chmod(0o755)
    return folder / "home"


P = TypeVar("P", bound=Platform)


@contextmanager
def running(started: P) -> Iterator[P]:
    """Up for the block; nothing of it is left after it."""
    try:
        started.up()
        yield started
    finally:
        started.down()
        left = started.processes()
        shutil.rmtree(started.home.parent)
        assert left == []


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """One platform for all tests that don't break it."""
    with running(Platform(fresh_home())) as started:
        yield started


@pytest.fixture
def name(platform: Platform) -> Iterator[str]:
    """A fresh app name; the app is destroyed after the test."""
    chosen = f"t-{secrets.token_hex(4)}"
    yield chosen
    platform.cli("apps", "destroy", chosen, "--yes", check=False)


HELLO = """
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.split("=")[1]))
        body = f"{VERSION} {os.environ['GONGFANG_INSTANCE_INDEX']} {os.environ.get('MARK', '')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

VERSION = "v1"
print("starting", VERSION, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page)
server.daemon_threads = False
server.serve_forever()
"""


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A folder with a tiny Python app; replace `"v1"` in app.py for a newer one."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "app.py").write_text(HELLO)
    return folder


def write_version(folder: Path, version: str) -> None:
    (folder / "app.py").write_text(HELLO.replace('"v1"', f'"{version}"'))
