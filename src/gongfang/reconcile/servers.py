"""The platform's own servers (PostgreSQL, Envoy) as workloads of the runtime: adopted, else started, and kept alive.

They outlive the control plane, as apps do. A server is the same as long as its fingerprint (what it is started with)
is; one with another fingerprint is stopped and started anew.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import orjson
import structlog

from gongfang.domain.errors import GongfangError, Unavailable
from gongfang.domain.ids import new_id
from gongfang.reconcile.exits import last_lines
from gongfang.runtimes.interface import NetworkKind, Phase, Runtime, WorkloadKind, WorkloadSpec

log = structlog.get_logger()

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 30.0
STEADY_S = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """`spec`: how it is started (its id is chosen here). `ready`: returns if it answers, else raises `Unavailable`."""

    name: str
    spec: WorkloadSpec
    ready: Callable[[], Awaitable[None]]
    grace_s: float = 10.0
    ready_timeout_s: float = 60.0

    @property
    def fingerprint(self) -> str:
        spec = self.spec
        parts: list[object] = [
            spec.command,
            sorted(spec.environment.items()),
            [str(m) for m in spec.mounts],
            spec.tools,
            spec.uid,
        ]
        if spec.network.kind is not NetworkKind.host:
            parts.append(spec.network.kind)
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]


class ServerKeeper:
    """Keeps one server running. `state` is for people: `starting`, `ok`, `down`."""

    def __init__(self, runtime: Runtime, server: Server, launching: Callable[[], None] = lambda: None) -> None:
        """`launching`: called when it has to be started, since none runs that could be adopted."""
        self.server = server
        self._launching = launching
        self.state = "starting"
        self.detail = ""
        self._runtime = runtime
        self._workload: str | None = None

    async def start(self) -> None:
        """Adopts the one that runs, or starts one; returns when it is ready.

        Raises `Unavailable("server_not_ready")` with the end of its output.
        """
        self._workload = await self._adopt() or await self._launch()
        await self._until_ready()

    async def keep(self) -> None:
        """Starts it again whenever it ends, with back-off. Until cancelled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            if self._workload is not None and self.state == "ok":
                await self._runtime.wait(self._workload)
                output = await self._output(self._workload)
                log.error("server ended", server=self.server.name, output=output)
                self.state, self.detail = "down", output
            failures = 0 if loop.time() - since >= STEADY_S else failures + 1
            await asyncio.sleep(min(FIRST_BACKOFF_S * 2 ** min(failures, 20), LONGEST_BACKOFF_S))
            try:
                # One that runs but did not answer in time is adopted here, and answers yet (a long recovery).
                await self.start()
            except GongfangError as error:
                self.state, self.detail = "down", str(error)
                log.warning("server does not start", server=self.server.name, reason=str(error))

    async def _adopt(self) -> str | None:
        """The running one with the same fingerprint; others of the same name are stopped, ended ones forgotten."""
        found: str | None = None
        for seen in await self._runtime.list():
            if seen.kind is not WorkloadKind.platform or seen.labels.get("server") != self.server.name:
                continue
            same = seen.labels.get("fingerprint") == self.server.fingerprint
            if seen.phase is Phase.running and same and found is None:
                found = seen.workload_id
                continue
            await self._runtime.stop(seen.workload_id, grace_s=self.server.grace_s)
            await self._runtime.remove(seen.workload_id)
        return found

    async def _launch(self) -> str:
        self._launching()
        workload_id = f"{self.server.name}-{new_id('srv')}"
        labels = {"server": self.server.name, "fingerprint": self.server.fingerprint}
        await self._runtime.start(replace(self.server.spec, id=workload_id, kind=WorkloadKind.platform, labels=labels))
        return workload_id

    async def _until_ready(self) -> None:
        assert self._workload is not None
        loop = asyncio.get_running_loop()
        latest = loop.time() + self.server.ready_timeout_s
        pause = 0.01
        while True:
            try:
                await self.server.ready()
            except Unavailable:
                seen = await self._runtime.observe(self._workload)
                if seen.phase is not Phase.running or loop.time() > latest:
                    self.state = "down"
                    output = await self._output(self._workload)
                    raise Unavailable("server_not_ready", server=self.server.name, output=output) from None
            else:
                self.state, self.detail = "ok", ""
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    async def _output(self, workload_id: str) -> str:
        chunk = await self._runtime.read_log(workload_id, offset=-4096, limit=4096)
        return last_lines(chunk.data)
