"""The pretending driver. What runs is on a `MemoryMachine`, which outlives the driver as a real machine does: a second
driver on the same machine adopts what the first one started."""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from ipaddress import IPv4Address

from gongfang.domain.clock import Clock, utc_now
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import ExitInfo
from gongfang.runtimes.broadcast import Broadcast
from gongfang.runtimes.checks import check_id, check_spec
from gongfang.runtimes.interface import (
    Capabilities,
    Endpoint,
    Guarantee,
    Handle,
    LogChunk,
    LogMark,
    Network,
    Observation,
    Phase,
    Usage,
    WorkloadSpec,
)
from gongfang.runtimes.memory.language import Step, parse

_GUARANTEES = (
    *("memory_limit", "cpu_limit", "process_limit", "disk_limit", "system_calls"),
    *("own_user", "own_filesystem", "own_processes", "own_network"),
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
_MEMORY_BYTES = 32 << 20
_LOOPBACK, _ADDRESSES = int(IPv4Address("127.1.0.1")), 1 << 23
_SERVE = Step("serve")


@dataclass(eq=False)
class _Run:
    """One pretended workload. What only few of them are ever asked for is made when it is."""

    spec: WorkloadSpec
    started_at: datetime
    endpoint: Endpoint | None
    listener: socket.socket | None = None
    exit: ExitInfo | None = None
    ended_at: datetime | None = None
    timed_out: bool = False
    task: "asyncio.Task[None] | None" = None

    @cached_property
    def output(self) -> bytearray:
        return bytearray()

    @cached_property
    def marks(self) -> list[LogMark]:
        return [LogMark(self.started_at, 0)]

    @cached_property
    def changed(self) -> asyncio.Event:
        return asyncio.Event()

    @cached_property
    def terminated(self) -> asyncio.Event:
        return asyncio.Event()

    @cached_property
    def killed(self) -> asyncio.Event:
        return asyncio.Event()

    @cached_property
    def ended(self) -> asyncio.Event:
        return asyncio.Event()

    def observation(self) -> Observation:
        return Observation(
            workload_id=self.spec.id,
            phase=Phase.running if self.exit is None else Phase.ended,
            kind=self.spec.kind,
            labels=self.spec.labels,
            endpoint=self.endpoint,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit=self.exit,
            timed_out=self.timed_out,
            told=self.exit is not None and self.terminated.is_set(),
        )

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class MemoryMachine:
    """Where pretended workloads run. `reboot` and `lose` are the accidents that a test can cause."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}
        # Where pinned ports are: another machine's are at another one, so that tests side by side don't meet.
        self.address = str(IPv4Address(_LOOPBACK + secrets.randbelow(_ADDRESSES)))
        self.broadcast = Broadcast()

    def lose(self, workload_id: str) -> None:
        """Ends a workload without a record of how."""
        run = self.runs[workload_id]
        if run.task is not None and run.exit is None:
            run.task.cancel()

    def adopt(self, spec: WorkloadSpec, endpoint: Endpoint, started_at: datetime) -> None:
        """A workload that was started long ago and serves at an address where somebody else answers."""
        self.runs[spec.id] = _Run(spec, started_at, endpoint)

    def reboot(self) -> None:
        """Ends all of them so."""
        for workload_id in self.runs:
            self.lose(workload_id)

    async def switch_off(self) -> None:
        """Ends everything and waits for that; the last thing a test does."""
        self.reboot()
        tasks = [run.task for run in self.runs.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks)


class MemoryRuntime:
    """See `gongfang.runtimes.memory.language` for what a command does here.

    `otherwise`: what a command outside of the language does. `start_delay_s`: how long `start` takes. `rejects`: a
    code that every start is refused with; `unavailable`: the same, but only for now. `endpoints`: addresses at which
    somebody else answers; each workload that only serves gets the next one, and costs next to nothing then.
    """

    def __init__(
        self,
        machine: MemoryMachine | None = None,
        *,
        otherwise: Sequence[str] = ("serve",),
        start_delay_s: float = 0.0,
        rejects: str | None = None,
        unavailable: str | None = None,
        endpoints: Iterator[Endpoint] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.endpoints = endpoints
        self.machine = MemoryMachine() if machine is None else machine
        self.otherwise = tuple(otherwise)
        self.start_delay_s = start_delay_s
        self.rejects = rejects
        self.unavailable = unavailable
        self._clock = clock

    async def open(self) -> None:
        """Nothing to do: the machine knows all."""

    async def close(self) -> None:
        """Nothing to do: workloads run on."""

    def capabilities(self) -> Capabilities:
        return Capabilities("memory", tuple(Guarantee(name, False, "not_a_real_runtime") for name in _GUARANTEES))

    async def start(self, spec: WorkloadSpec) -> Handle:
        check_spec(spec)
        if spec.id not in self.machine.runs:
            if self.rejects is not None:
                raise Rejected(self.rejects)
            if self.unavailable is not None:
                raise Unavailable(self.unavailable)
            self._check_mounts(spec)
            if spec.port is not None:
                self._check_port(spec.port)
                spec = replace(spec, wants_port=True)
            serves_only = spec.port is None and parse(spec.command, self.otherwise) == [_SERVE]
            if self.endpoints is not None and spec.wants_port and serves_only:
                self.machine.adopt(spec, next(self.endpoints), self._clock())
                return Handle(spec.id, 1, {})
            place = ("127.0.0.1", 0) if spec.port is None else (self.machine.address, spec.port)
            listener = socket.create_server(place, backlog=64) if spec.wants_port else None
            endpoint = None if listener is None else Endpoint(*listener.getsockname())
            run = _Run(spec, self._clock(), endpoint, listener)
            self.machine.runs[spec.id] = run
            run.task = asyncio.create_task(self._run(run), name=f"pretended {spec.id}")
            run.task.add_done_callback(lambda _: self._ended_unbegun(run))
            await asyncio.sleep(self.start_delay_s)
        return Handle(spec.id, 1, {})

    def _check_port(self, port: int) -> None:
        if any(run.exit is None and run.spec.port == port for run in self.machine.runs.values()):
            raise Unavailable("port_in_use", port=port, retry_after=5)

    def _check_mounts(self, spec: WorkloadSpec) -> None:
        locked = {
            mount.source
            for run in self.machine.runs.values()
            if run.exit is None
            for mount in run.spec.mounts
            if mount.lock
        }
        for mount in spec.mounts:
            if not mount.source.exists():
                raise Rejected("mount_missing", path=str(mount.source))
            if mount.lock and mount.source in locked:
                raise Rejected("path_in_use", path=str(mount.source))

    # --- what a workload does --------------------------------------------------------------------------------------

    async def _run(self, run: _Run) -> None:
        """The life of a pretended workload. Cancelled: it disappears without a record (see `MemoryMachine.lose`)."""
        info = ExitInfo(None, lost=True)
        try:
            async with asyncio.timeout(run.spec.limits.wall_s):
                info = await self._steps(run)
        except TimeoutError:
            run.timed_out = True
            info = ExitInfo(None, signal=signal.SIGTERM)
        except asyncio.CancelledError:
            pass
        finally:
            if run.listener is not None:
                run.listener.close()
            self._end(run, info)

    def _ended_unbegun(self, run: _Run) -> None:
        """One that was lost before its first turn never came to say so."""
        if run.exit is None:
            self._end(run, ExitInfo(None, lost=True))

    def _end(self, run: _Run, info: ExitInfo) -> None:
        run.exit = info
        run.ended_at = self._clock()
        run.ended.set()
        run.wake()
        self.machine.broadcast.tell(run.spec.id)

    async def _steps(self, run: _Run) -> ExitInfo:
        for step in parse(run.spec.command, self.otherwise):
            info = await self._step(run, step)
            if info is not None:
                return info
        return ExitInfo(0)

    async def _step(self, run: _Run, step: Step) -> ExitInfo | None:  # noqa: PLR0911  (a table of verbs)
        match step.verb:
            case "echo":
                self._say(run, " ".join(step.arguments) + "\n")
                return None
            case "exit":
                return ExitInfo(int(step.number(0)))
            case "signal":
                return ExitInfo(None, signal=int(step.number(signal.SIGKILL)))
            case "oom":
                return ExitInfo(None, signal=signal.SIGKILL, out_of_memory=True)
            case "missing":
                self._say(run, f"{run.spec.command[0]}: not found\n")
                return ExitInfo(127)
            case "serve":
                return await self._serve(run)
            case "stubborn":
                await run.killed.wait()
                return ExitInfo(None, signal=signal.SIGKILL)
            case _:
                return await self._stopped(run, step.number(0) or None)

    async def _stopped(self, run: _Run, for_s: float | None = None) -> ExitInfo | None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(run.terminated.wait(), for_s)
            return ExitInfo(None, signal=signal.SIGTERM)
        return None

    async def _serve(self, run: _Run) -> ExitInfo | None:
        if run.listener is None:
            return await self._stopped(run)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_ANSWER)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, sock=run.listener)
        try:
            return await self._stopped(run)
        finally:
            server.close()

    def _say(self, run: _Run, text: str) -> None:
        run.marks.append(LogMark(self._clock(), len(run.output)))
        run.output += text.encode()
        run.wake()

    # --- the rest of the interface ---------------------------------------------------------------------------------

    async def observe(self, workload_id: str) -> Observation:
        run = self.machine.runs.get(workload_id)
        return Observation(workload_id, Phase.unknown) if run is None else run.observation()

    async def list(self) -> Sequence[Observation]:
        return [run.observation() for run in self.machine.runs.values()]

    def ends(self) -> AsyncIterator[str]:
        return self.machine.broadcast.listen()

    async def wait(self, workload_id: str) -> Observation:
        run = self.machine.runs.get(workload_id)
        if run is not None:
            await run.ended.wait()
        return await self.observe(workload_id) if run is None else run.observation()

    async def stop(self, workload_id: str, *, grace_s: float) -> None:
        run = self.machine.runs.get(workload_id)
        if run is None:
            return
        run.terminated.set()
        if run.task is None and run.exit is None:
            self._end(run, ExitInfo(None, signal=signal.SIGTERM))
        try:
            await asyncio.wait_for(run.ended.wait(), grace_s)
        except TimeoutError:
            run.killed.set()
            await run.ended.wait()

    async def remove(self, workload_id: str) -> None:
        check_id(workload_id)
        run = self.machine.runs.get(workload_id)
        if run is not None and run.exit is None:
            raise Rejected("workload_running", id=workload_id)
        self.machine.runs.pop(workload_id, None)

    async def set_network(self, workload_id: str, network: Network) -> None:
        run = self.machine.runs.get(workload_id)
        if run is None or run.exit is not None:
            return
        if network.kind is not run.spec.network.kind:
            raise Rejected("network_kind_fixed", id=workload_id)
        run.spec = replace(run.spec, network=network)

    async def usage(self, workload_id: str) -> Usage | None:
        run = self.machine.runs.get(workload_id)
        return None if run is None or run.exit is not None else Usage(_MEMORY_BYTES, 0.0, 1)

    async def read_log(self, workload_id: str, *, offset: int, limit: int) -> LogChunk:
        run = self.machine.runs.get(workload_id)
        if run is None:
            return LogChunk(b"", max(0, offset), max(0, offset))
        start = offset if offset >= 0 else max(0, len(run.output) + offset)
        data = bytes(run.output[start : start + limit])
        return LogChunk(data, start, start + len(data))

    async def log_marks(self, workload_id: str) -> Sequence[LogMark]:
        run = self.machine.runs.get(workload_id)
        return [] if run is None else [replace(mark) for mark in run.marks]

    async def log_grew(self, workload_id: str, offset: int) -> None:
        while (run := self.machine.runs.get(workload_id)) and run.exit is None and len(run.output) <= offset:
            await run.changed.wait()
