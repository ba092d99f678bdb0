"""Changes until served: from the API call on until a request at the edge gets the new answer, at three sizes.

A *route* change attaches a domain to an app that runs; it counts from the first byte of the call until the first 200
for that host. An *endpoint* change restarts an app; it counts until a request is answered by the new instance, which
was made, started, probed, and recorded as ready meanwhile. Ten apps are changed in turns. Everything is real
but the instances, which run on the pretended machine: what they need to start is not what is measured here.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.calls import Api, Line
from bench.crowd import Crowd, crowd
from bench.hammer import Hammer, get
from bench.lab import Failed
from bench.report import Aim, Report
from bench.stats import percentile

SIZES = (10, 1_000, 10_000)
CHANGES = 100
TURNS = 10  # apps that are changed in turns, the first and the last among them: as many at every size
PAUSE_S = 0.02  # between changes
POLL_S = 0.0003
LIMIT_S = 20.0
EDGE_RATE = 500.0
API_RATE = 20.0
AIM_MS = 50.0
ROUTE, ENDPOINT = "route", "endpoint"


@dataclass(frozen=True, slots=True)
class Cell:
    """What was measured of one kind of change, at one size."""

    apps: int
    load: bool
    kind: str
    ms: tuple[float, ...]

    def of(self, share: float) -> float:
        return percentile(self.ms, share)


def run() -> Report:
    cells: list[Cell] = []
    started: dict[int, float] = {}
    with crowd() as lab:
        for size in SIZES:
            lab.grow(size, 1)
            lab.settle()
            started[size] = lab.started_s
            cells += _measure(lab, load=False)
            with _load(lab):
                cells += _measure(lab, load=True)
    return _report(cells, started)


@contextmanager
def _load(lab: Crowd) -> Iterator[None]:
    """A steady rate of requests at the edge, over many apps, and of calls of the API."""
    apps = range(min(lab.count, 50))
    api = Api(lab.api_port, lab.token)
    everything = [get(lab.host(n)) for n in apps]
    shows = [api.request("GET", f"/apps/{lab.app_id(n)}") for n in apps]
    runs = [
        Hammer(lab.edge_port, everything, seconds=120, connections=50, rate=EDGE_RATE),
        Hammer(lab.api_port, shows, seconds=120, connections=4, rate=API_RATE),
    ]
    try:
        time.sleep(1.0)
        yield
    finally:
        for each in runs:
            each.end()


def _measure(lab: Crowd, *, load: bool) -> list[Cell]:
    api, edge = Api(lab.api_port, lab.token), Line(lab.edge_port)
    numbers = [i % TURNS * (lab.count - 1) // (TURNS - 1) for i in range(CHANGES)]
    try:
        routes = [
            _route(lab, api, edge, number, f"r{i}-{lab.count}-{load}".lower()) for i, number in enumerate(numbers)
        ]
        endpoints = [_endpoint(lab, api, edge, number) for number in numbers]
    finally:
        api.close()
        edge.close()
    return [Cell(lab.count, load, kind, tuple(ms)) for kind, ms in ((ROUTE, routes), (ENDPOINT, endpoints))]


def _route(lab: Crowd, api: Api, edge: Line, number: int, label: str) -> float:
    host = f"{label}.factory.example"
    domain = api.call("POST", "/domains", {"domain": host, "icp_number": "京ICP备12345678号"})["id"]
    time.sleep(PAUSE_S)
    begin = time.perf_counter()
    api.call("PUT", f"/apps/{lab.app_id(number)}/domains/{domain}")
    return _until(edge, host, lambda body: body.startswith(b"at "), begin)


def _endpoint(lab: Crowd, api: Api, edge: Line, number: int) -> float:
    host = lab.host(number)
    _, before = edge.ask(get(host))
    time.sleep(PAUSE_S)
    begin = time.perf_counter()
    api.call("POST", f"/apps/{lab.app_id(number)}/restart")
    return _until(edge, host, lambda body: body.startswith(b"at ") and body != before, begin)


def _until(edge: Line, host: str, good: Callable[[bytes], bool], begin: float) -> float:
    request = get(host)
    while True:
        status, body = edge.ask(request)
        now = time.perf_counter()
        if status == 200 and good(body):
            return (now - begin) * 1e3
        if now - begin > LIMIT_S:
            raise Failed(f"{host}: still {status} {body[:100]!r} after {LIMIT_S:.0f} s")
        time.sleep(POLL_S)


def _report(cells: list[Cell], started: dict[int, float]) -> Report:
    aims: list[Aim] = []
    for load in (False, True):
        of = [cell for cell in cells if cell.load is load]
        worst = max(cell.of(0.99) for cell in of)
        name = "under load" if load else "idle"
        aims.append(Aim(f"p99 under {AIM_MS:.0f} ms, {name}: at most {worst:.1f} ms", worst < AIM_MS))
        for kind in (ROUTE, ENDPOINT):
            by_size = {cell.apps: cell.of(0.5) for cell in of if cell.kind == kind}
            ratio = by_size[SIZES[-1]] / by_size[SIZES[0]]
            text = f"the same at all sizes, {kind}, {name}: median {ratio:.2f} times that of {SIZES[0]} apps"
            aims.append(Aim(text, ratio < 1.25))
    return Report(
        name="changes",
        title=f"Changes until served, ms from the API call on; {CHANGES} of each kind",
        head=["apps", "", "change", "p50", "p99", "worst"],
        rows=[
            [
                f"{cell.apps:,}",
                "under load" if cell.load else "idle",
                cell.kind,
                *(f"{cell.of(share):.1f}" for share in (0.5, 0.99, 1.0)),
            ]
            for cell in cells
        ],
        aims=aims,
        notes=[
            f"load: {EDGE_RATE:.0f} requests/s at the edge over 50 connections, {API_RATE:.0f} calls/s of the API",
            "control plane ready after: " + ", ".join(f"{size:,} apps {s:.1f} s" for size, s in started.items()),
        ],
        data={
            "cells": [{"apps": c.apps, "load": c.load, "change": c.kind, "ms": c.ms} for c in cells],
            "ready_after_s": started,
        },
    )
