"""Chaos: a thousand calls by twenty clients while every part is killed at random; then the same kind of calls while
only the control plane is killed, and a steady load at the edge whose every request must be answered.

The baseline is the ledger of the clients themselves: what was accepted, held against what is there afterwards.
"""

import json
from dataclasses import asdict

from bench.lab import Lab, platform, temporary_folder
from bench.nothing_dropped import load
from bench.packages import package
from bench.report import Aim, Report
from bench.storm import APP, Outcome, storm

CALLS = 1000
CLIENTS = 20
EVERYTHING = ("control plane", "control plane", "Envoy", "PostgreSQL", "an instance", "an instance")
CALLS_BESIDE_LOAD = 200
CLIENTS_BESIDE_LOAD = 5


def run() -> Report:
    with temporary_folder() as folder:
        with platform() as lab:
            everything = storm(lab, calls=CALLS, clients=CLIENTS, parts=EVERYTHING, kills=30)
        with platform() as lab:
            host = _serve(lab)
            out = folder / "load.json"
            with load(lab.edge_port, host, out):
                control = storm(
                    lab,
                    calls=CALLS_BESIDE_LOAD,
                    clients=CLIENTS_BESIDE_LOAD,
                    parts=("control plane",),
                    kills=8,
                    seed=2,
                    pause_s=4.0,
                )
            requests = json.loads(out.read_text())
    return _report(everything, control, len(requests["due"]), requests["failures"])


def _serve(lab: Lab) -> str:
    app = lab.client.apps.create("steady", runtime="python")
    lab.client.apps.upload(app.id, package(APP, 0))
    lab.client.apps.start(app.id, wait=300)
    return app.domain or ""


def _report(everything: Outcome, control: Outcome, requests: int, failures: list[object]) -> Report:
    rows = [
        _row("every part", everything, "–"),
        _row("the control plane alone", control, f"{len(failures)} of {requests:,}"),
    ]
    both = (everything, control)
    aims = [
        Aim(f"accepted and lost: {_count(both, 'lost')} (0)", not _count(both, "lost")),
        Aim(f"ran twice: {_count(both, 'twice')} (0)", not _count(both, "twice")),
        Aim(f"left over: {_count(both, 'left')} (0)", not _count(both, "left")),
        Aim(f"failed at the edge while only the control plane was killed: {len(failures)} (0)", not failures),
    ]
    notes = [text for outcome in both for text in (*outcome.lost, *outcome.twice, *outcome.left)]
    return Report(
        name="chaos",
        title=f"Chaos: {CALLS} calls by {CLIENTS} clients under random kills",
        head=(
            "killed",
            "kills",
            "calls",
            "accepted",
            "sent again",
            "lost",
            "twice",
            "left over",
            "failed at the edge",
            "s",
        ),
        rows=rows,
        aims=aims,
        data={
            "every part": asdict(everything),
            "control plane": asdict(control),
            "requests": requests,
            "failures": failures,
        },
        notes=notes[:20],
    )


def _row(name: str, outcome: Outcome, edge: str) -> list[str]:
    kills = sum(outcome.kills.values())
    counts = (kills, outcome.calls, outcome.accepted, outcome.unanswered)
    ends = (len(outcome.lost), len(outcome.twice), len(outcome.left))
    return [name, *(str(n) for n in counts), *(str(n) for n in ends), edge, f"{outcome.seconds:.0f}"]


def _count(outcomes: tuple[Outcome, ...], name: str) -> int:
    return sum(len(getattr(outcome, name)) for outcome in outcomes)
