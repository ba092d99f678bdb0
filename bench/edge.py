"""Edge: requests a second, latency and CPU a request, beside an Envoy with the shortest configuration, and nginx.

All three lead to the same small server, which answers at once; the generator, the proxy and that server share the
machine. Rounds go in turns. The platform's Envoy has a thousand apps, found by their host names; its requests pass the
filters that find the app and lower a host's case, and may be retried elsewhere.
"""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from bench.crowd import crowd
from bench.hammer import Found, get, hammer
from bench.lab import HOST, Failed, temporary_folder
from bench.proxies import cpu_s, envoy_of, nginx, plain_envoy
from bench.report import Aim, Report
from bench.stats import median
from gongfang.settings import Settings
from gongfang.toolbox import WheelToolbox

APPS = 1_000
ROUNDS = 7
SECONDS = 4.0
CONNECTIONS = 32
WARM_S = 1.0
AIM_SHARE = 0.95
EDGE, PLAIN, NGINX = "gongfang", "plain Envoy", "nginx"


@dataclass(frozen=True, slots=True)
class Round:
    found: Found
    cpu_us: float  # of the proxy, a request


def run() -> Report:
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        lab = stack.enter_context(crowd())
        lab.grow(APPS, 1)
        lab.settle()
        own = envoy_of(lab.home, Settings(home=lab.home).run_dir)
        backend = (HOST, lab.answer_port)
        executable = asyncio.run(WheelToolbox().ensure("envoy")).executables["envoy"]
        targets = {
            EDGE: (lab.edge_port, own),
            PLAIN: stack.enter_context(plain_envoy(executable, backend, folder, own)),
        }
        other = stack.enter_context(nginx(backend, folder, own))
        if other is not None:
            targets[NGINX] = other
        request = get(lab.host(APPS // 2))
        for port, _ in targets.values():
            hammer(port, [request], seconds=WARM_S, connections=CONNECTIONS)
        rounds: dict[str, list[Round]] = {name: [] for name in targets}
        for _ in range(ROUNDS):
            for name, (port, pid) in targets.items():
                rounds[name].append(_round(port, pid, request))
    return _report(rounds)


def _round(port: int, pid: int, request: bytes) -> Round:
    before = cpu_s(pid)
    found = hammer(port, [request], seconds=SECONDS, connections=CONNECTIONS)
    if found.failed or not found.requests:
        raise Failed(f"{found.failed} requests failed: {'; '.join(found.failures)}")
    return Round(found, (cpu_s(pid) - before) / found.requests * 1e6)


def _report(rounds: Mapping[str, list[Round]]) -> Report:
    rates = {name: median([r.found.rate for r in of]) for name, of in rounds.items()}
    cpus = {name: median([r.cpu_us for r in of]) for name, of in rounds.items()}
    # Of rounds that were neighbours: what else the machine did meanwhile was much the same.
    shares = [a.found.rate / b.found.rate for a, b in zip(rounds[EDGE], rounds[PLAIN], strict=True)]
    share = median(shares)
    rows = [
        [
            name,
            f"{rates[name]:,.0f}",
            f"{min(r.found.rate for r in of):,.0f}–{max(r.found.rate for r in of):,.0f}",
            f"{rates[name] / rates[PLAIN]:.2f}",
            *(f"{median([getattr(r.found, key) for r in of]):.2f}" for key in ("p50_ms", "p99_ms")),
            f"{cpus[name]:.1f}",
            f"{cpus[name] / cpus[PLAIN]:.2f}",
        ]
        for name, of in rounds.items()
    ]
    notes = [f"generator: bench/hammer.py, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS:.0f} s each in turns"]
    if NGINX not in rounds:
        notes.append("nginx is not installed here, so it is not in the table (apt-get install nginx-light)")
    return Report(
        name="edge",
        title=f"Edge: a small answer through {APPS:,} apps' edge, medians of {ROUNDS} rounds",
        head=["", "requests/s", "range", "ratio", "p50 ms", "p99 ms", "CPU µs", "ratio"],
        rows=rows,
        aims=[
            Aim(
                f"at least {AIM_SHARE:.0%} of plain Envoy's requests/s: {share:.1%}"
                f" (median of neighbouring rounds, {min(shares):.1%} to {max(shares):.1%})",
                share >= AIM_SHARE,
            )
        ],
        notes=notes,
        data={
            "connections": CONNECTIONS,
            "share": share,
            "shares": shares,
            "rounds": {name: [asdict(r) for r in of] for name, of in rounds.items()},
        },
    )
