"""Idle cost: memory and CPU of the platform's own processes with no app, and with a hundred that run and do nothing.

The apps' own processes are not the platform's; they are shown for comparison. What the sandbox adds to each app is
the platform's.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from bench.lab import Failed, Lab, platform
from bench.packages import package
from bench.processes import APPS, OWN, cpu_s, grouped, memory_mb
from bench.report import Aim, Report

APP = "page"
COUNT = 100
AT_ONCE = 3
SETTLE_S = 20.0
WATCH_S = 60.0
AIM_MB = 350.0
AIM_CPU = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one group of processes. `cpu_percent`: of one core."""

    processes: int
    memory_mb: float
    cpu_percent: float


def run() -> Report:
    with platform() as lab:
        none = _watch(lab)
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as workers:
            list(workers.map(lambda number: _bring_up(lab, number), range(COUNT)))
        took = time.monotonic() - began
        many = _watch(lab)
        ready = sum(app.instances_ready for app in lab.client.apps.list())
        if ready != COUNT:
            raise Failed(f"{ready} of {COUNT} apps are ready at the end")
        guarantees = {g.name: g.enforced for g in lab.client.platform().guarantees}
    return _report(none, many, took, guarantees)


def _bring_up(lab: Lab, number: int) -> None:
    app = lab.client.apps.create(f"idle-{number}", runtime="python")
    lab.client.apps.upload(app.id, package(APP, number))
    lab.client.apps.start(app.id, wait=300)


def _watch(lab: Lab) -> dict[str, Cost]:
    """What each group needs while nobody asks for anything."""
    time.sleep(SETTLE_S)
    groups = grouped(lab.control_pid)
    before, began = {name: cpu_s(processes) for name, processes in groups.items()}, time.monotonic()
    time.sleep(WATCH_S)
    after, ended = {name: cpu_s(processes) for name, processes in groups.items()}, time.monotonic()
    costs: dict[str, Cost] = {}
    for name, processes in grouped(lab.control_pid).items():
        percent = (after[name] - before[name]) / (ended - began) * 100
        costs[name] = Cost(len(processes), memory_mb(processes), max(0.0, percent))
    return costs


def _total(costs: dict[str, Cost]) -> Cost:
    own = [costs[name] for name in OWN]
    return Cost(sum(c.processes for c in own), sum(c.memory_mb for c in own), sum(c.cpu_percent for c in own))


def _report(none: dict[str, Cost], many: dict[str, Cost], took: float, guarantees: dict[str, bool]) -> Report:
    rows = [_row(name, none[name], many[name]) for name in OWN]
    rows.append(_row("the platform", _total(none), _total(many)))
    rows.append(_row(APPS, none[APPS], many[APPS]))
    aims: list[Aim] = []
    for count, costs in ((0, none), (COUNT, many)):
        total = _total(costs)
        memory, cpu = total.memory_mb, total.cpu_percent
        aims.append(Aim(f"under {AIM_MB:.0f} MB with {count} apps: {memory:.0f} MB", memory < AIM_MB))
        aims.append(Aim(f"under {AIM_CPU:.0f} % of a core with {count} apps: {cpu:.1f} %", cpu < AIM_CPU))
    return Report(
        name="idle",
        title=f"Idle cost: memory (PSS) and CPU over {WATCH_S:.0f} s, with 0 and with {COUNT} running apps",
        head=["", "processes", "MB", "CPU %", f"processes, {COUNT}", "MB", "CPU %"],
        rows=rows,
        aims=aims,
        notes=[f"{COUNT} apps were brought up in {took:.0f} s, {AT_ONCE} at a time"],
        data={
            "without_apps": {name: asdict(cost) for name, cost in none.items()},
            "with_apps": {name: asdict(cost) for name, cost in many.items()},
            "platform": {"without_apps": asdict(_total(none)), "with_apps": asdict(_total(many))},
            "brought_up_s": took,
            "guarantees": guarantees,
        },
    )


def _row(name: str, none: Cost, many: Cost) -> list[str]:
    return [name, *_cells(none), *_cells(many)]


def _cells(cost: Cost) -> list[str]:
    return [str(cost.processes), f"{cost.memory_mb:.1f}", f"{cost.cpu_percent:.2f}"]
