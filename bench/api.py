"""API: calls a second, latency and CPU a call of show, list and start, beside bare FastAPI endpoints (`api_server`).

Ten thousand apps with an instance and a domain each. *show* asks for one app in turns, *list* for 500, *start* starts
a stopped app with a release, another one each time: it writes an operation, the wish and an event. Nothing reconciles
in either process, and rounds go in turns.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
import psutil

from bench.calls import Api
from bench.crowd import Crowd, crowd
from bench.hammer import Found, hammer
from bench.lab import HOST, Failed, free_port
from bench.report import Aim, Report
from bench.stats import median

APPS = 10_000
CONNECTIONS = 8
ROUNDS = 5
SECONDS = 4.0
WARM_S = 2.0
AIM_SHARE = 0.7
CALLS = ("show", "list of 500", "start")
OURS, BARE = "ours", "bare"
ROOT = Path(__file__).resolve().parents[1]
_RESET = (
    "DELETE FROM operations WHERE status = 'pending'",
    "UPDATE apps SET desired = 'stopped' WHERE desired = 'started'",
)


@dataclass(frozen=True, slots=True)
class Round:
    found: Found
    cpu_us: float  # of the server process, a call


def run() -> Report:
    with ExitStack() as stack:
        lab = stack.enter_context(crowd())
        lab.grow(APPS, 1)
        lab.stop()  # PostgreSQL runs on
        servers = {which: stack.enter_context(_server(lab, which)) for which in (OURS, BARE)}
        rounds: dict[tuple[str, str], list[Round]] = {(which, call): [] for call in CALLS for which in servers}
        for number in range(ROUNDS + 1):  # the first is for warming up
            for which, call in rounds:
                port, pid = servers[which]
                done = _round(lab, port, pid, call, SECONDS if number else WARM_S)
                if number:
                    rounds[which, call].append(done)
    return _report(rounds)


@contextmanager
def _server(lab: Crowd, which: str) -> Iterator[tuple[int, int]]:
    """Port and process."""
    port = free_port()
    command = [sys.executable, "-m", "bench.api_server", which, lab.database_url, str(lab.home / "secrets" / "keys")]
    server = subprocess.Popen([*command, str(port)], cwd=ROOT, start_new_session=True)
    try:
        api = Api(port, lab.token)
        latest = time.monotonic() + 60
        while True:
            try:
                api.call("GET", f"/apps/{lab.app_id(0)}") if which == OURS else api._line.ask(
                    api.request("GET", f"/apps/{lab.app_id(0)}")
                )
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > latest:
                    raise Failed(f"the {which} server does not answer") from None
                time.sleep(0.05)
        api.close()
        yield port, server.pid
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def _round(lab: Crowd, port: int, pid: int, call: str, seconds: float) -> Round:
    api = Api(port, lab.token)
    match call:
        case "show":
            requests = [api.request("GET", f"/apps/{lab.app_id(n)}") for n in range(0, lab.count, 10)]
        case "start":
            asyncio.run(_reset(lab))
            requests = [api.request("POST", f"/apps/{lab.app_id(n)}/start") for n in range(lab.count)]
        case _:
            requests = [api.request("GET", "/apps?limit=500")]
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    found = hammer(port, requests, seconds=seconds, connections=CONNECTIONS)
    cpu = sum(process.cpu_times()[:2]) - before
    if found.failed or not found.requests:
        raise Failed(f"{call}: {found.failed} calls failed: {'; '.join(found.failures)}")
    if call == "start" and found.requests >= lab.count:
        raise Failed(f"more than {lab.count} apps were started in a round: make it shorter")
    return Round(found, cpu / found.requests * 1e6)


async def _reset(lab: Crowd) -> None:
    connection: asyncpg.Connection = await asyncpg.connect(lab.database_url.replace("+asyncpg", ""))
    for statement in _RESET:
        await connection.execute(statement)
    await connection.close()


def _report(rounds: Mapping[tuple[str, str], list[Round]]) -> Report:
    rows: list[list[str]] = []
    aims: list[Aim] = []
    shares: dict[str, list[float]] = {}
    for call in CALLS:
        for which in (OURS, BARE):
            of = rounds[which, call]
            rows.append(
                [
                    f"{call}, {'gongfang' if which == OURS else 'bare FastAPI'}",
                    f"{median([r.found.rate for r in of]):,.0f}",
                    *(f"{median([getattr(r.found, key) for r in of]):.1f}" for key in ("p50_ms", "p99_ms")),
                    f"{median([r.cpu_us for r in of]):,.0f}",
                ]
            )
        pairs = list(zip(rounds[OURS, call], rounds[BARE, call], strict=True))
        shares[call] = [a.found.rate / b.found.rate for a, b in pairs]
        cpu = median([b.cpu_us / a.cpu_us for a, b in pairs])
        share = median(shares[call])
        aims.append(
            Aim(
                f"{call}: at least {AIM_SHARE:.0%} of bare FastAPI's calls/s: {share:.0%}"
                f" ({min(shares[call]):.0%} to {max(shares[call]):.0%}; by CPU {cpu:.0%})",
                share >= AIM_SHARE,
            )
        )
    return Report(
        name="api",
        title=f"API: {APPS:,} apps, {CONNECTIONS} connections, medians of {ROUNDS} rounds of {SECONDS:.0f} s in turns",
        head=["", "calls/s", "p50 ms", "p99 ms", "CPU µs"],
        rows=rows,
        aims=aims,
        notes=[f"generator: bench/hammer.py; one server process each; all on {HOST}"],
        data={
            "shares": shares,
            "rounds": {f"{call}, {which}": [asdict(r) for r in of] for (which, call), of in rounds.items()},
        },
    )
