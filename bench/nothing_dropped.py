"""Nothing dropped: a steady load on one app, first undisturbed, then while the app is deployed, scaled and restarted.

The app ends at once on SIGTERM, as most do: that no request is lost is the platform's doing alone.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.lab import Failed, Lab, platform, temporary_folder
from bench.packages import package
from bench.report import Aim, Report
from bench.stats import percentile

APP = "steady"
RATE = 500
CONNECTIONS = 50
SETTLE_S = 5.0
QUIET_S = 20.0
DEPLOYS = 20
AIM_RATIO = 2.0
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Phase:
    """What was done, from when until when on the monotonic clock."""

    name: str
    begin: float
    end: float


def run() -> Report:
    with temporary_folder() as folder, platform() as lab:
        app = lab.client.apps.create("steady", runtime="python")
        _deploy(lab, app.id, 0)
        out = folder / "load.json"
        with load(lab.edge_port, app.domain or "", out):
            phases = [_quietly("undisturbed"), *_disturbances(lab, app.id), _quietly("undisturbed, after")]
        return _report(json.loads(out.read_text()), phases)


@contextmanager
def load(port: int, host: str, out: Path) -> Iterator[None]:
    """The steady load, for as long as the block lasts; its record is in `out` afterwards."""
    command = [sys.executable, "-m", "bench.load", str(port), host, str(RATE), str(CONNECTIONS), str(out)]
    load = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        time.sleep(SETTLE_S)
        yield
        if load.poll() is not None:
            raise Failed(f"the load generator ended early, with {load.returncode}")
    finally:
        load.terminate()
        load.wait(timeout=30)


def _quietly(name: str) -> Phase:
    begin = time.monotonic()
    time.sleep(QUIET_S)
    return Phase(name, begin, time.monotonic())


def _disturbances(lab: Lab, app: str) -> list[Phase]:
    apps = lab.client.apps

    def deploys() -> None:
        for version in range(1, DEPLOYS + 1):
            _deploy(lab, app, version)

    return [
        _timed(f"{DEPLOYS} deploys", deploys),
        _timed("scaling 1→4", lambda: apps.set_instances(app, 4, wait=120)),
        _timed("scaling 4→1", lambda: apps.set_instances(app, 1, wait=120)),
        _timed("restart", lambda: apps.restart(app, wait=120)),
    ]


def _deploy(lab: Lab, app: str, version: int) -> None:
    uploaded = lab.client.apps.upload(app, package(APP, version))
    lab.client.apps.start(app, package_id=uploaded.id, wait=120)


def _timed(name: str, work: Callable[[], Any]) -> Phase:
    begin = time.monotonic()
    work()
    return Phase(name, begin, time.monotonic())


@dataclass(frozen=True, slots=True)
class _Found:
    seconds: float
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def _found(load: dict[str, Any], begin: float, end: float) -> _Found:
    """Of the requests that were due in that time."""
    took = [took * 1e3 for due, took in zip(load["due"], load["took"], strict=True) if begin <= due < end]
    failed = sum(1 for failure in load["failures"] if begin <= failure["due"] < end)
    return _Found(end - begin, len(took), failed, percentile(took, 0.5), percentile(took, 0.99), max(took))


def _report(load: dict[str, Any], phases: list[Phase]) -> Report:
    parts = {phase.name: _found(load, phase.begin, phase.end) for phase in phases}
    quiet, disturbed = phases[0], phases[1:-1]
    all_of_it = _found(load, disturbed[0].begin, disturbed[-1].end)
    shown = {"undisturbed": parts[quiet.name], "disturbed, all of it": all_of_it}
    shown |= {f"  {name}": found for name, found in parts.items() if name in {p.name for p in disturbed}}
    shown[phases[-1].name] = parts[phases[-1].name]
    base = parts[quiet.name].p99_ms
    ratio = all_of_it.p99_ms / base
    failed = len(load["failures"])
    return Report(
        name="nothing_dropped",
        title=f"Nothing dropped: {RATE} requests/s over {CONNECTIONS} kept connections, latency from the time meant",
        head=["", "seconds", "requests", "failed", "p50 ms", "p99 ms", "ratio", "worst ms"],
        rows=[_row(name, found, base) for name, found in shown.items()],
        aims=[
            Aim(f"0 failed: {failed} of {len(load['due'])}", failed == 0),
            Aim(f"p99 under twice the undisturbed: {ratio:.2f} times", ratio < AIM_RATIO),
        ],
        notes=[f"failed: {failure['what']}" for failure in load["failures"][:10]],
        data={
            "rate": RATE,
            "connections": CONNECTIONS,
            "p99_ratio": ratio,
            "failures": load["failures"],
            "reopened_as_told": load["reopened"],
            "phases": {name: {f: getattr(found, f) for f in _Found.__slots__} for name, found in shown.items()},
            "slowest": _slowest(load, phases),
        },
    )


def _row(name: str, found: _Found, base: float) -> list[str]:
    return [
        name,
        f"{found.seconds:.1f}",
        str(found.requests),
        str(found.failed),
        f"{found.p50_ms:.2f}",
        f"{found.p99_ms:.2f}",
        f"{found.p99_ms / base:.2f}",
        f"{found.worst_ms:.1f}",
    ]


def _slowest(load: dict[str, Any], phases: list[Phase], count: int = 30) -> list[dict[str, Any]]:
    """The slowest requests, with what was being done and for how long already."""
    slowest = sorted(zip(load["took"], load["due"], strict=True), reverse=True)[:count]
    told: list[dict[str, Any]] = []
    for took, due in slowest:
        phase = next((p for p in phases if p.begin <= due < p.end), None)
        where = {"phase": phase.name, "into_s": due - phase.begin} if phase else {}
        told.append({"ms": took * 1e3, **where})
    return told
