"""A platform with thousands of apps on a pretended machine, for as long as a benchmark lasts.

One app is made, uploaded, built and started as everybody does it. The others are copies of its rows: what the
platform does with them from then on is the same as if they had been made one by one, which would take a quarter of an
hour. Their instances are pretended (see `crowd_platform`); one small server answers at all of their addresses.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import psutil

from bench import lab
from bench.answer import answering
from bench.crowd_platform import address
from bench.lab import HOST, START_LIMIT_S, Failed, free_port, temporary_folder
from bench.packages import package
from gongfang.client import Client
from gongfang.settings import Settings

ORIGIN = "origin"
SETTLE_LIMIT_S = 120.0
BASE = "apps.localhost"
_CROWD = 128 << 16  # the first of their addresses
ROOT = Path(__file__).resolve().parents[1]

_OF_APP = {"packages": "pkg", "builds": "bld", "droplets": "drp", "releases": "rel", "domains": "dom"}


@dataclass
class Crowd:
    """The platform, and how many apps it has. `started_s`: how long the control plane took to be ready."""

    home: Path
    environment: dict[str, str]
    answer_port: int
    api_port: int
    edge_port: int
    count: int = 0
    started_s: float = 0.0
    control_pid: int = 0
    client: Client = field(default=None)  # type: ignore[assignment]

    def app_id(self, number: int) -> str:
        return f"app_{number:020}"

    def host(self, number: int) -> str:
        return f"crowd-{number}.{BASE}"

    def start(self) -> None:
        """Starts the control plane, which finds what there is; returns when it says that it is ready."""
        reader, writer = os.pipe()
        log = self.home / "logs" / "control.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with log.open("ab") as output:
            self._log_begin = output.tell()
            child = subprocess.Popen(
                [sys.executable, "-m", "bench.crowd_platform", str(writer)],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[writer],
                cwd=ROOT,
            )
        os.close(writer)
        with os.fdopen(reader, "rb") as progress:
            ready = any(b"\0" in line for line in progress)
        if not ready:
            child.kill()
            child.wait()
            raise Failed(f"the control plane did not start: {log.read_text()[-2000:]}")
        self.started_s, self.control_pid = time.monotonic() - began, child.pid
        self.client = Client(f"http://{HOST}:{self.api_port}", self.token, language="en")
        self._child = child

    def stop(self) -> None:
        """Ends the control plane alone."""
        os.kill(self.control_pid, signal.SIGTERM)
        self._child.wait(timeout=60)

    @property
    def token(self) -> str:
        return (self.home / "admin-token").read_text().strip()

    @property
    def database_url(self) -> str:
        password = (self.home / "postgres" / "password").read_text().strip()
        folder = Settings(home=self.home).run_dir / "postgres"
        return f"postgresql+asyncpg://gongfang:{password}@/postgres?host={folder}"

    def settle(self) -> None:
        """Returns after the first sweep, which nothing that is measured afterwards shall be beside."""
        latest = time.monotonic() + SETTLE_LIMIT_S
        while not self.sweeps():
            if time.monotonic() > latest:
                raise Failed(f"no sweep of the apps within {SETTLE_LIMIT_S:.0f} s")
            time.sleep(0.1)
        time.sleep(1.0)

    def memory_mb(self) -> float:
        """Of the control plane."""
        return psutil.Process(self.control_pid).memory_full_info().pss / 2**20

    def cpu_s(self) -> float:
        times = psutil.Process(self.control_pid).cpu_times()
        return times.user + times.system

    def sweeps(self) -> list[dict[str, float]]:
        """What the control plane that runs now has logged of its sweeps of the apps: `keys`, `seconds`."""
        with (self.home / "logs" / "control.log").open("rb") as log:
            log.seek(self._log_begin)
            told = [json.loads(line) for line in log.read().splitlines() if line.startswith(b"{")]
        return [line for line in told if line.get("event") == "swept" and line.get("kind") == "app"]

    def grow(self, count: int, instances: int) -> None:
        """Makes it `count` apps of so many instances each, and starts the control plane anew over them."""
        self.stop()
        crowd = asyncio.run(self._copy(count, instances))
        (self.home / "crowd.json").write_text(json.dumps(crowd))
        self.count = count
        self.start()

    async def _copy(self, count: int, instances: int) -> dict[str, object]:
        connection: asyncpg.Connection = await asyncpg.connect(self.database_url.replace("+asyncpg", ""))
        try:
            async with connection.transaction():
                await _rows(connection, self.count, count, instances, self.answer_port)
            await connection.execute("ANALYZE")
            rows = await connection.fetch("SELECT id, app_id, host FROM instances WHERE state = 'ready'")
        finally:
            await connection.close()
        now = datetime.now(UTC).isoformat()
        return {"port": self.answer_port, "started_at": now, "instances": [tuple(row) for row in rows]}


async def _rows(db: asyncpg.Connection, first: int, end: int, instances: int, port: int) -> None:
    """Copies of the first app's rows, numbered from `first` up to `end`; whatever columns there are."""
    origin = await db.fetchval("SELECT id FROM apps WHERE name = $1", ORIGIN)
    await db.execute(
        "CREATE TEMP TABLE numbers ON COMMIT DROP AS"
        f" SELECT n, 'app_' || lpad(n::text, 20, '0') AS app FROM generate_series({first}, {end - 1}) n"
    )

    async def copy(table: str, where: str, changes: str, more: str = "") -> None:
        await db.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(o, jsonb_build_object({changes}))).*"
            f" FROM {table} o, numbers {more} WHERE {where}",
        )

    def own(prefix: str) -> str:
        return f"'{prefix}_' || lpad(n::text, 20, '0')"

    scale = json.dumps({"web": instances})
    await copy(
        "apps",
        f"o.id = '{origin}'",
        f"'id', app, 'name', 'crowd-' || n, 'scale', '{scale}'::jsonb,"
        f" 'target_release_id', {own('rel')}, 'current_release_id', {own('rel')}",
    )
    for table, prefix in _OF_APP.items():
        changes = f"'id', {own(prefix)}, 'app_id', app"
        if table == "domains":
            changes += f", 'domain', 'crowd-' || n || '.{BASE}'"
        if table == "builds":
            changes += f", 'package_id', {own('pkg')}, 'droplet_id', {own('drp')}"
        if table == "droplets":
            changes += f", 'build_id', {own('bld')}"
        if table == "releases":
            changes += f", 'package_id', {own('pkg')}, 'droplet_id', {own('drp')}"
        await copy(table, f"o.app_id = '{origin}'", changes)
    number = f"({_CROWD} + n * {instances} + i)"
    host = f"'127.' || ({number} >> 16 & 255) || '.' || ({number} >> 8 & 255) || '.' || ({number} & 255)"
    await copy(
        "instances",
        f"o.app_id = '{origin}' AND o.state = 'ready'",
        f"'id', 'ins_' || lpad((n * 100 + i)::text, 20, '0'), 'app_id', app, 'release_id', {own('rel')},"
        f" 'index', i, 'host', {host}, 'port', {port}",
        f", generate_series(0, {instances - 1}) i",
    )


@contextmanager
def crowd(*, sweep_s: float = 30) -> Iterator[Crowd]:
    """Starts one with its first app, and ends it with all that it runs."""
    with temporary_folder() as folder, answering() as answer_port:
        api_port, edge_port = free_port(), free_port()
        home = folder / "home"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GONGFANG_")}
        environment |= {
            "GONGFANG_HOME": str(home),
            "GONGFANG_API_PORT": str(api_port),
            "GONGFANG_EDGE_PORT": str(edge_port),
            "GONGFANG_BASE_DOMAIN": BASE,
            "GONGFANG_LANG": "en",
            "GONGFANG_LOG_LEVEL": "debug",
            "GONGFANG_SWEEP_S": f"{sweep_s:g}",
            "CROWD": str(home / "crowd.json"),
        }
        home.mkdir()
        nobody = {"port": answer_port, "started_at": datetime.now(UTC).isoformat(), "instances": []}
        (home / "crowd.json").write_text(json.dumps(nobody))
        made = Crowd(home, environment, answer_port, api_port, edge_port)
        try:
            made.start()
            app = made.client.apps.create(ORIGIN, runtime="python")
            made.client.apps.upload(app.id, package("page", 0))
            made.client.apps.start(app.id, wait=START_LIMIT_S / 3)
            yield made
        finally:
            lab._gongfang(environment, "down")


__all__ = ["Crowd", "address", "crowd"]
