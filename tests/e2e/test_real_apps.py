"""Real applications as their authors publish them, real lock files, and builds that fail, starve or are cancelled."""

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.e2e.conftest import Platform, fresh_home, wait_until

NO_SUCH_PACKAGE = "gongfang-e2e-package-that-nobody-published"
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="the lock file is made with the machine's npm")


def build_log(platform: Platform, name: str) -> str:
    """Of the newest build."""
    newest = max(platform.json("builds", name), key=lambda build: build["created_at"])
    return platform.cli("build-log", newest["id"]).stdout


def folder_of(tmp_path: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


# --- applications that know nothing of the platform


def test_datasette_serves_a_database_and_its_second_build_downloads_nothing(
    platform: Platform, tmp_path: Path, name: str
) -> None:
    folder = folder_of(
        tmp_path,
        {
            "requirements.txt": "datasette\n",
            "Procfile": "web: datasette serve --immutable plant.db --host 0.0.0.0 --port $PORT\n",
        },
    )
    rows = [
        {"code": "CNC-01", "name": "数控车床", "power_kw": 11.5},
        {"code": "FUR-01", "name": "热处理炉", "power_kw": 90.0},
    ]
    database = sqlite3.connect(folder / "plant.db")
    with database:
        database.execute("create table machines (code text primary key, name text, power_kw real)")
        database.executemany("insert into machines values (:code, :name, :power_kw)", rows)
    database.close()

    platform.cli("deploy", "--app", name, cwd=folder)
    status, _, body = platform.get(platform.host(name), "/plant/machines.json?_shape=array")
    assert (status, json.loads(body)) == (200, rows)
    assert "Prepared" in build_log(platform, name)

    (folder / "metadata.json").write_text("{}")
    platform.cli("deploy", cwd=folder)
    log = build_log(platform, name)
    assert "datasette==" in log
    assert not re.search("Download|Prepared", log), log
    assert json.loads(platform.get(platform.host(name), "/plant/machines.json?_shape=array")[2]) == rows


@needs_npm
def test_node_red_serves_its_editor_and_its_websocket_and_is_built_again_from_the_cache(
    platform: Platform, tmp_path: Path, name: str
) -> None:
    package = {
        "name": "flows",
        "private": True,
        "scripts": {"start": "node-red --port $PORT --userDir /tmp/node-red"},
        "dependencies": {"node-red": "^4"},
    }
    # `loglevel`: npm then says of every package whether it was downloaded.
    folder = folder_of(tmp_path, {"package.json": json.dumps(package), ".npmrc": "loglevel=http\n"})
    lock(folder)

    platform.cli("deploy", "--app", name, cwd=folder, timeout=170)
    host = platform.host(name)
    status, _, body = platform.get(host)
    assert status == 200
    assert b"<title>Node-RED</title>" in body
    assert json.loads(platform.get(host, "/settings")[2])["version"].startswith("4.")
    edge = socket.create_connection(("127.0.0.1", platform.edge_port), timeout=10)
    with connect(f"ws://{host}:{platform.edge_port}/comms", sock=edge, proxy=None) as comms:
        comms.send(json.dumps({"subscribe": "notification/#"}))
        said = [message["topic"] for message in json.loads(comms.recv(timeout=20))]
    assert "notification/runtime-state" in said
    assert "(cache miss)" in build_log(platform, name)

    (folder / "NOTES.md").write_text("a second version\n")
    platform.cli("deploy", cwd=folder, timeout=170)
    log = build_log(platform, name)
    assert "(cache hit)" in log
    assert "http fetch" not in log
    assert platform.get(host)[0] == 200


def lock(folder: Path) -> None:
    subprocess.run(
        # Some machines are set up to leave the addresses out; with them, a cached package needs no question.
        ["npm", "install", "--package-lock-only", "--silent", "--omit-lockfile-registry-resolved=false"],
        cwd=folder,
        check=True,
        timeout=120,
    )
    assert (folder / "package-lock.json").is_file()


def test_a_uv_lock_is_what_is_installed(platform: Platform, tmp_path: Path, name: str) -> None:
    folder = folder_of(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "line"\nversion = "1"\nrequires-python = ">=3.11"\n'
            'dependencies = ["flask", "gunicorn", "click<8.2"]\n',
            "app.py": "import click, flask\napp = flask.Flask('line')\n"
            "@app.get('/')\ndef page():\n    return {'click': click.__version__}\n",
        },
    )
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([str(uv), "lock", "--quiet"], cwd=folder, check=True, timeout=60)
    (locked,) = re.findall(r'name = "click"\nversion = "([\d.]+)"', (folder / "uv.lock").read_text())
    platform.cli("deploy", "--app", name, cwd=folder)
    assert json.loads(platform.get(platform.host(name))[2]) == {"click": locked}
    assert platform.json("builds", name)[0]["detected"].endswith("uv.lock")


# --- builds that end badly: the old release serves on, and it is said why

PAGE = "require('http').createServer((q, a) => a.end('v1')).listen(process.env.PORT)"


def serves_on(platform: Platform, name: str) -> bool:
    return platform.get(platform.host(name))[2] == b"v1"


def test_a_package_that_does_not_exist_is_named(platform: Platform, tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, {"server.js": PAGE})
    platform.cli("deploy", "--app", name, cwd=folder)
    (folder / "server.js").unlink()
    folder_of(folder, {"requirements.txt": f"{NO_SUCH_PACKAGE}\n", "app.py": "print()\n"})
    failed = platform.cli("deploy", cwd=folder, check=False)
    assert failed.returncode == 1
    assert "exit code" in failed.stderr
    assert failed.stderr.count(NO_SUCH_PACKAGE) > 0
    assert "release 1 goes on serving" in failed.stderr
    assert NO_SUCH_PACKAGE in build_log(platform, name)
    assert serves_on(platform, name)
    states = sorted(build["state"] for build in platform.json("builds", name))
    assert states == ["failed", "succeeded"]


def test_a_build_that_is_cancelled_midway_ends_with_all_its_processes(
    platform: Platform, tmp_path: Path, name: str
) -> None:
    folder = folder_of(tmp_path, {"server.js": PAGE})
    platform.cli("deploy", "--app", name, cwd=folder)
    forever = "node -e \"require('child_process').spawn('sleep', ['613']); console.log('half' + 'way')\" && sleep 613"
    folder_of(folder, {"package.json": json.dumps({"scripts": {"build": forever, "start": "node server.js"}})})
    platform.cli("deploy", "--no-wait", cwd=folder)
    wait_until(lambda: any(b["state"] == "running" for b in platform.json("builds", name)))
    wait_until(lambda: "halfway" in build_log(platform, name))
    (operation,) = platform.json("operations", "--app", name, "--status", "running")
    platform.cli("cancel", name)
    ended = platform.cli("operations", "watch", operation["id"], check=False)
    assert ended.returncode != 0
    (build,) = (b for b in platform.json("builds", name) if b["state"] != "succeeded")
    assert (build["state"], build["reason"]["code"]) == ("cancelled", "build_cancelled")
    wait_until(lambda: not _sleepers() and not (platform.home / "builds" / build["id"]).exists())
    assert serves_on(platform, name)
    # The next one isn't held up by what was cancelled.
    (folder / "package.json").write_text(json.dumps({"scripts": {"start": "node server.js"}}))
    platform.cli("deploy", cwd=folder)
    assert serves_on(platform, name)


def _sleepers() -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if words == b"sleep\x00613\x00":
            found.append(entry.parent.name)
    return found


@pytest.fixture
def narrow() -> Iterator[Platform]:
    """A platform whose builds may use little memory."""
    started = Platform(fresh_home(), environment={"GONGFANG_BUILD_MEMORY_MB": "128"})
    try:
        started.up()
        yield started
    finally:
        started.down()
        shutil.rmtree(started.home.parent)


@pytest.mark.root
def test_a_build_that_runs_out_of_memory_says_so_and_how_much_it_had(narrow: Platform, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"server.js": PAGE})
    narrow.cli("deploy", "--app", "hungry", cwd=folder)
    eat = 'node -e "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1))"'
    folder_of(folder, {"package.json": json.dumps({"scripts": {"build": eat, "start": "node server.js"}})})
    failed = narrow.cli("deploy", cwd=folder, check=False)
    assert failed.returncode == 1
    assert "128 MB" in failed.stderr
    (build,) = (b for b in narrow.json("builds", "hungry") if b["state"] == "failed")
    assert build["reason"]["code"] == "build_oom"
    assert serves_on(narrow, "hungry")
