"""Scale: a sweep, a change until converged, memory and idle CPU, with 10 apps and with 10,000 of three instances each.

A *first sweep* is that of a control plane that has just started and knows nothing: every app is read, planned for and
compared with what runs and with what the edge has. A *sweep* is one of those that follow, in which nothing has
changed. A *change* adds an instance to an app and waits for the operation's end, by the API's own `wait`: the instance
was made, started, probed and recorded, and the edge has acknowledged it. Every instance is probed each 10 s over TCP,
as real ones are.
"""

import time
from dataclasses import asdict, dataclass

from bench.calls import Api
from bench.crowd import Crowd, crowd
from bench.report import Aim, Report
from bench.stats import percentile

SIZES = (10, 10_000)
INSTANCES = 3
CHANGES = 100
PAUSE_S = 0.02
WATCH_S = 20.0
AIM_SWEEP_S = 5.0
AIM_CHANGE_MS = 100.0
AIM_MB = 1024.0


@dataclass(frozen=True, slots=True)
class Found:
    """Of one size. `memory_mb`: of the control plane, at the end. `cpu_percent`: of one core, while idle."""

    apps: int
    instances: int
    ready_s: float
    first_sweep_s: float
    sweep_s: float
    change_p50_ms: float
    change_p99_ms: float
    change_worst_ms: float
    memory_mb: float
    cpu_percent: float


def run() -> Report:
    found: list[Found] = []
    with crowd(sweep_s=10) as lab:
        for size in SIZES:
            lab.grow(size, INSTANCES)
            found.append(_measure(lab))
    return _report(found)


def _measure(lab: Crowd) -> Found:
    lab.settle()
    cpu, began = lab.cpu_s(), time.monotonic()
    time.sleep(WATCH_S)
    idle = (lab.cpu_s() - cpu) / (time.monotonic() - began) * 100
    sweeps = [sweep["seconds"] for sweep in lab.sweeps()]
    api = Api(lab.api_port, lab.token)
    ms: list[float] = []
    try:
        for i in range(CHANGES):
            app = lab.app_id(round(i * (lab.count - 1) / (CHANGES - 1)))
            wanted = api.call("GET", f"/apps/{app}")["instances_wanted"] + 1
            begin = time.perf_counter()
            api.call("POST", f"/apps/{app}/instances?wait=60", {"instances": wanted})
            ms.append((time.perf_counter() - begin) * 1e3)
            time.sleep(PAUSE_S)
    finally:
        api.close()
    return Found(
        apps=lab.count,
        instances=lab.count * INSTANCES,
        ready_s=lab.started_s,
        first_sweep_s=sweeps[0],
        sweep_s=max(sweeps[1:]),
        change_p50_ms=percentile(ms, 0.5),
        change_p99_ms=percentile(ms, 0.99),
        change_worst_ms=max(ms),
        memory_mb=lab.memory_mb(),
        cpu_percent=idle,
    )


def _report(found: list[Found]) -> Report:
    most = found[-1]
    return Report(
        name="scale",
        title=f"Scale: {INSTANCES} instances an app on the pretended machine",
        head=["", *(f"{f.apps:,} apps" for f in found)],
        rows=[
            ["control plane ready after, s", *(f"{f.ready_s:.1f}" for f in found)],
            ["first sweep, s", *(f"{f.first_sweep_s:.2f}" for f in found)],
            ["sweep, s", *(f"{f.sweep_s:.2f}" for f in found)],
            ["change until converged, p50 ms", *(f"{f.change_p50_ms:.1f}" for f in found)],
            ["  p99 ms", *(f"{f.change_p99_ms:.1f}" for f in found)],
            ["  worst ms", *(f"{f.change_worst_ms:.1f}" for f in found)],
            ["memory of the control plane, MB", *(f"{f.memory_mb:.0f}" for f in found)],
            ["its CPU while idle, %", *(f"{f.cpu_percent:.1f}" for f in found)],
        ],
        aims=[
            Aim(
                f"a full sweep under {AIM_SWEEP_S:.0f} s: {most.first_sweep_s:.2f} s (first), {most.sweep_s:.2f} s",
                max(most.first_sweep_s, most.sweep_s) < AIM_SWEEP_S,
            ),
            Aim(
                f"a change under {AIM_CHANGE_MS:.0f} ms p99: {most.change_p99_ms:.1f} ms",
                most.change_p99_ms < AIM_CHANGE_MS,
            ),
            Aim(f"under {AIM_MB:.0f} MB: {most.memory_mb:.0f} MB", most.memory_mb < AIM_MB),
        ],
        notes=[f"each instance is probed over TCP every 10 s: {most.instances // 10:,} a second"],
        data={"sizes": [asdict(f) for f in found]},
    )
