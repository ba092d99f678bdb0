"""What isolation costs: how long a start takes, and requests a second, as a plain process, in a sandbox that shares the
machine's network, in a sandbox with a network of its own, and with all that an instance has: a disk and limits too. The
driver alone, without the rest of the platform.

They take turns, start by start, so that whatever else the machine does falls on all of them alike.
"""

import asyncio
import http.client
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab import Failed, temporary_folder
from bench.report import Aim, Report
from bench.stats import percentile
from gongfang.runtimes.interface import Limits, Network, NetworkKind, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local import LocalRuntime, stop_everything
from gongfang.toolbox import WheelToolbox

STARTS = int(os.environ.get("BENCH_STARTS", "60"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
ROUND_S = float(os.environ.get("BENCH_ROUND_S", "4"))
CONNECTIONS = 8
AIM_START_MS = 30.0
AIM_REQUESTS = 0.95
PLAIN, SHARED, OWN, FULL = "plain process", "sandbox", "sandbox, own network", "own network, disk, limits"
# As an instance has them where nothing else is said.
LIMITS = Limits(memory_bytes=512 << 20, disk_bytes=1 << 30, processes=512, open_files=65_536)
# Answers on one thread, in as few steps as may be: what the network adds must not drown in the server.
_SERVER = """
import asyncio, os
BODY = b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n"
class Answer(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(BODY * data.count(b"\\r\\n\\r\\n"))
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "0.0.0.0", int(os.environ["PORT"]))
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running something."""

    runtime: LocalRuntime
    network: Network
    limits: Limits = field(default_factory=Limits)


def run() -> Report:
    return asyncio.run(_run())


async def _run() -> Report:
    async with AsyncExitStack() as stack:
        ways = await _ways(stack)
        starts: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(STARTS):
            for name, way in ways.items():
                starts[name].append(await _start(way, f"s{number}"))
        rates = await _rates(ways)
    return _report(starts, rates)


async def _ways(stack: AsyncExitStack) -> dict[str, Way]:
    made: dict[str, LocalRuntime] = {}
    for name in ("plain", "sandboxed"):
        folder = stack.enter_context(temporary_folder())
        home = folder / "home"
        runtime = LocalRuntime(home, tool=WheelToolbox().ensure, droplet=_no_droplet, sandboxed=name == "sandboxed")
        await runtime.open()
        stack.push_async_callback(stop_everything, home, grace_s=0)
        stack.push_async_callback(runtime.close)
        made[name] = runtime
    if not made["sandboxed"].capabilities().enforces("own_network"):
        raise Failed("this machine gives no networks of their own; `gongfang status` says why")
    return {
        PLAIN: Way(made["plain"], Network(NetworkKind.host)),
        SHARED: Way(made["sandboxed"], Network(NetworkKind.host)),
        OWN: Way(made["sandboxed"], Network()),
        FULL: Way(made["sandboxed"], Network(), LIMITS),
    }


async def _no_droplet(sha256: str) -> Path:
    raise Failed(f"no droplet is wanted here: {sha256}")


def _spec(way: Way, workload_id: str, command: tuple[str, ...]) -> WorkloadSpec:
    return WorkloadSpec(
        f"{workload_id}-{way.network.kind}-{'full' if way.limits.disk_bytes else 'bare'}",
        WorkloadKind.instance,
        command,
        wants_port=True,
        network=way.network,
        tools=("python",),
        limits=way.limits,
    )


async def _start(way: Way, workload_id: str) -> float:
    """Seconds from the call until the command itself runs: it says when that was, by the clock that all share."""
    spec = _spec(way, workload_id, ("python3", "-I", "-S", "-c", "import time; print(time.monotonic())"))
    began = time.monotonic()
    await way.runtime.start(spec)
    await way.runtime.wait(spec.id)
    said = (await way.runtime.read_log(spec.id, offset=0, limit=4096)).data
    await way.runtime.remove(spec.id)
    return float(said) - began


async def _rates(ways: dict[str, Way]) -> dict[str, list[float]]:
    """Requests a second, in rounds that take turns; the first round of each warms up and is left out."""
    places: dict[str, tuple[str, int]] = {}
    for name, way in ways.items():
        spec = _spec(way, "server", ("python3", "-c", _SERVER))
        await way.runtime.start(spec)
        endpoint = (await way.runtime.observe(spec.id)).endpoint
        assert endpoint is not None
        places[name] = (endpoint.host, endpoint.port)
        await _until(lambda place=places[name]: _answers(*place), f"{name} does not answer")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, place in places.items():
            rate = await _round(*place)
            if number:
                rates[name].append(rate)
    return rates


async def _until(condition: Callable[[], bool], otherwise: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Failed(otherwise) from None


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


async def _round(host: str, port: int) -> float:
    """Closed loop: each connection asks again when it has its answer."""
    count = 0
    latest = time.perf_counter() + ROUND_S

    async def one() -> None:
        nonlocal count
        reader, writer = await asyncio.open_connection(host, port)
        try:
            while time.perf_counter() < latest:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"ok\n")
                count += 1
        finally:
            writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return count / ROUND_S


def _share(rates: dict[str, list[float]], name: str) -> float:
    """Of a plain process's requests: the median of neighbouring rounds, so that a slow stretch falls on both."""
    return statistics.median(own / plain for own, plain in zip(rates[name], rates[PLAIN], strict=True))


def _report(starts: dict[str, list[float]], rates: dict[str, list[float]]) -> Report:
    medians = {name: statistics.median(values) * 1000 for name, values in starts.items()}
    speed = {name: statistics.median(values) for name, values in rates.items()}
    rows = [
        (
            name,
            f"{medians[name]:.1f} ms",
            f"{percentile(starts[name], 0.99) * 1000:.1f} ms",
            f"{speed[name]:,.0f}",
            f"{_share(rates, name):.1%}",
        )
        for name in starts
    ]
    adds = medians[FULL] - medians[PLAIN]
    keeps = _share(rates, FULL)
    return Report(
        name="isolation",
        title="What isolation costs",
        head=("", "start, median", "p99", "requests/s", "of plain"),
        rows=rows,
        aims=(
            Aim(
                f"isolation adds under {AIM_START_MS:.0f} ms to a start: {adds:.1f} ms",
                adds < AIM_START_MS,
            ),
            Aim(f"at least {AIM_REQUESTS:.0%} of the requests of a plain process: {keeps:.1%}", keeps >= AIM_REQUESTS),
        ),
        data={"starts_s": starts, "requests_per_s": rates},
        notes=(
            "a start ends where the command, a Python, runs its first line; Python's own start is in all of them alike",
            f"{STARTS} starts of each, {ROUNDS} rounds of {ROUND_S:.0f} s over {CONNECTIONS} connections",
        ),
    )
