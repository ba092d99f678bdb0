"""A platform of one's own for as long as a benchmark lasts: temporary home, free ports, nothing left behind."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gongfang.client import Client

HOST = "127.0.0.1"
START_LIMIT_S = 900.0  # the very first start fetches the servers
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Failed(Exception):
    """A benchmark could not be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running platform. `control_pid`: its control plane, whose children everything else is."""

    home: Path
    client: Client
    api_port: int
    edge_port: int
    control_pid: int


@contextmanager
def temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gongfang-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def platform() -> Iterator[Lab]:
    """Starts one, and ends it with all that it runs, whatever happens in between."""
    with temporary_folder() as folder:
        api_port, edge_port = free_port(), free_port()
        environment = _environment(folder / "home", api_port, edge_port)
        try:
            _gongfang(environment, "up", "--detach")
            lab = _open(folder / "home", api_port, edge_port)
            with closing(lab.client):
                yield lab
        finally:
            _gongfang(environment, "down")


def revive(lab: Lab) -> Lab:
    """`gongfang up` again, after its control plane was killed."""
    _gongfang(_environment(lab.home, lab.api_port, lab.edge_port), "up", "--detach")
    return replace(lab, control_pid=int((lab.home / "control.lock").read_text()))


def _environment(home: Path, api_port: int, edge_port: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GONGFANG_")}
    return environment | {
        "GONGFANG_HOME": str(home),
        "GONGFANG_API_PORT": str(api_port),
        "GONGFANG_EDGE_PORT": str(edge_port),
        "GONGFANG_LANG": "en",
    }


def _open(home: Path, api_port: int, edge_port: int) -> Lab:
    token = (home / "admin-token").read_text().strip()
    client = Client(f"http://{HOST}:{api_port}", token, language="en")
    return Lab(home, client, api_port, edge_port, int((home / "control.lock").read_text()))


def _gongfang(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "gongfang.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=START_LIMIT_S)
    if done.returncode != 0:
        raise Failed(f"gongfang {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")


def free_port() -> int:
    """A port that nobody has now. Somebody else may take it; a benchmark then fails and is run again."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def get(port: int, host: str, *, timeout: float = 2.0) -> tuple[int, bytes]:
    """One GET / on a connection of its own. Status 0: nobody answered, or not with a whole answer.

    The body ends where its length says, not where the connection does: Envoy keeps that open for up to a second after
    an answer of its own, so that a client which is still writing can read it.
    """
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    received = b""
    try:
        with socket.create_connection((HOST, port), timeout=timeout) as connection:
            connection.sendall(request)
            while not _whole(received) and (chunk := connection.recv(65536)):
                received += chunk
    except OSError:
        return 0, b""
    head, _, body = received.partition(_HEAD_END)
    return (int(head.split(maxsplit=2)[1]), body) if _whole(received) else (0, b"")


def _whole(received: bytes) -> bool:
    """Whether an answer is complete; one that doesn't give its length never is."""
    head, found, body = received.partition(_HEAD_END)
    length = _LENGTH.search(head)
    return bool(found) and length is not None and len(body) >= int(length[1])


def until_served(port: int, host: str, expected: bytes, *, limit_s: float = 60.0, pause_s: float = 0.002) -> float:
    """Asks until the answer is 200 with `expected` in it; when that was, on the monotonic clock."""
    latest = time.monotonic() + limit_s
    while True:
        status, body = get(port, host)
        now = time.monotonic()
        if status == 200 and expected in body:
            return now
        if now > latest:
            seen = f"{status} {body[:200]!r}"
            raise Failed(f"{host} on port {port}: no {expected!r} within {limit_s:g} s, last seen {seen}")
        time.sleep(pause_s)
