"""The control plane of `crowd`: the platform as it is, but instances, builds and tasks run on a pretended machine.

    python -m bench.crowd_platform NOTIFY_FD

API, PostgreSQL, reconcilers and Envoy are the real ones; PostgreSQL and Envoy run in their sandboxes. What `CROWD`
names is taken for running already, as a machine's workloads are that outlived the control plane before.
"""

import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from gongfang.main.process import serve
from gongfang.runtimes.interface import (
    Capabilities,
    Endpoint,
    Handle,
    LogChunk,
    LogMark,
    Network,
    Observation,
    Runtime,
    Usage,
    WorkloadKind,
    WorkloadSpec,
)
from gongfang.runtimes.memory import MemoryRuntime

FIRST = 1 << 16  # 127.1.0.0; the crowd that is there at the start has the addresses from 127.128.0.0 on


def address(number: int) -> str:
    return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _addresses(port: int) -> Iterator[Endpoint]:
    return (Endpoint(address(number), port) for number in itertools.count(FIRST))


class Split:
    """See `Runtime`: the platform's own servers run on one, all else on the other."""

    def __init__(self, real: Runtime, pretended: Runtime) -> None:
        self._real = real
        self._pretended = pretended
        self._own: set[str] = set()

    async def open(self) -> None:
        await self._real.open()
        await self._pretended.open()
        self._own.update(seen.workload_id for seen in await self._real.list())

    async def close(self) -> None:
        await self._pretended.close()
        await self._real.close()

    def _of(self, workload_id: str) -> Runtime:
        return self._real if workload_id in self._own else self._pretended

    def capabilities(self) -> Capabilities:
        return self._pretended.capabilities()

    async def start(self, spec: WorkloadSpec) -> Handle:
        if spec.kind is WorkloadKind.platform:
            self._own.add(spec.id)
        return await self._of(spec.id).start(spec)

    async def observe(self, workload_id: str) -> Observation:
        return await self._of(workload_id).observe(workload_id)

    async def list(self) -> Sequence[Observation]:
        return [*await self._real.list(), *await self._pretended.list()]

    def ends(self) -> AsyncIterator[str]:
        return self._pretended.ends()

    async def wait(self, workload_id: str) -> Observation:
        return await self._of(workload_id).wait(workload_id)

    async def stop(self, workload_id: str, *, grace_s: float) -> None:
        await self._of(workload_id).stop(workload_id, grace_s=grace_s)

    async def remove(self, workload_id: str) -> None:
        await self._of(workload_id).remove(workload_id)

    async def set_network(self, workload_id: str, network: Network) -> None:
        await self._of(workload_id).set_network(workload_id, network)

    async def usage(self, workload_id: str) -> Usage | None:
        return await self._of(workload_id).usage(workload_id)

    async def read_log(self, workload_id: str, *, offset: int, limit: int) -> LogChunk:
        return await self._of(workload_id).read_log(workload_id, offset=offset, limit=limit)

    async def log_marks(self, workload_id: str) -> Sequence[LogMark]:
        return await self._of(workload_id).log_marks(workload_id)

    async def log_grew(self, workload_id: str, offset: int) -> None:
        await self._of(workload_id).log_grew(workload_id, offset)


def main() -> int:
    crowd = json.loads(Path(os.environ["CROWD"]).read_text())
    runtime = MemoryRuntime(endpoints=_addresses(crowd["port"]))
    started = datetime.fromisoformat(crowd["started_at"])
    for instance_id, app_id, host in crowd["instances"]:
        spec = WorkloadSpec(instance_id, WorkloadKind.instance, ("serve",), wants_port=True, labels={"app": app_id})
        runtime.machine.adopt(spec, Endpoint(host, crowd["port"]), started)
    return serve(notify_fd=int(sys.argv[1]), runs_on=lambda local: Split(local, runtime))


if __name__ == "__main__":
    sys.exit(main())
