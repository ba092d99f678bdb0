"""One workload while the control plane knows it: its record, its processes, and how it ends."""

import asyncio
import signal
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from gongfang.runtimes.interface import Endpoint, Handle, Observation, Phase, Usage
from gongfang.runtimes.local import plain
from gongfang.runtimes.local.cgroups import Cgroups
from gongfang.runtimes.local.logs import OutputLog
from gongfang.runtimes.local.processes import (
    PAGE_BYTES,
    TICKS_PER_S,
    Process,
    Stat,
    descendants,
    gone,
    in_session,
    is_alive,
    is_first_of_namespace,
    reap,
    send,
    stat,
)
from gongfang.runtimes.local.records import VERSION, End, Folder, Record, exit_of

_logger = structlog.get_logger()
# The sandbox's first process is made at once after the launcher: one that began much later only has its number.
_FIRST_WITHIN_S = 30


@dataclass(slots=True, eq=False)
class Workload:
    """`launcher`: the sandbox's outer process, or without one the shell that waits; it ends when the command has.
    `first`: number 1 of the sandbox's PID namespace; when it dies, all in there die."""

    record: Record
    folder: Folder
    log: OutputLog
    launcher: Process | None = None
    first: Process | None = None
    end: End | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    timed_out: bool = False
    disk_full: bool = False
    told_to_stop: bool = False
    kill_timer: asyncio.TimerHandle | None = None
    wall_timer: asyncio.TimerHandle | None = None
    task: "asyncio.Task[None] | None" = None
    cpu_seen_s: float = 0.0

    @property
    def id(self) -> str:
        return self.record.id

    def handle(self) -> Handle:
        data = {"boot": self.record.boot}
        if self.launcher is not None:
            data |= {"pid": self.launcher.pid, "start": self.launcher.start}
        return Handle(self.id, VERSION, data)

    def observation(self) -> Observation:
        record, end = self.record, self.end
        return Observation(
            workload_id=record.id,
            phase=Phase.running if end is None else Phase.ended,
            kind=record.kind,
            labels=record.labels,
            endpoint=Endpoint(record.address or "127.0.0.1", record.port) if record.wants_port else None,
            started_at=record.started_at,
            ended_at=None if end is None else end.at,
            exit=None if end is None else end.exit,
            timed_out=self.timed_out if end is None else end.timed_out,
            told=end is not None and end.told,
        )

    def find_first(self) -> None:
        """Learns the sandbox's first process from what the sandbox wrote, if that very process is still there."""
        if self.first is not None or not self.record.sandboxed:
            return
        pid = self.folder.read_status().first_pid
        seen = stat(pid) if pid is not None else None
        if seen is None or self.launcher is None:
            return
        began_after = seen.process.start - self.launcher.start
        if 0 <= began_after <= _FIRST_WITHIN_S * TICKS_PER_S and is_first_of_namespace(seen.process.pid):
            self.first = seen.process

    def processes(self) -> list[Stat]:
        """The workload's own processes, without those that hold the sandbox."""
        if self.record.sandboxed:
            self.find_first()
            if self.first is None or not is_alive(self.first):
                return []
            return descendants(self.first.pid)
        return [] if self.launcher is None else plain.processes(self.launcher, self.record.nonce)

    def terminate(self) -> None:
        """`SIGTERM` to all of its processes, once."""
        if self.told_to_stop:
            return
        self.told_to_stop = True
        for seen in self.processes():
            send(seen.process, signal.SIGTERM)

    def kill(self) -> None:
        """`SIGKILL` to all of them."""
        if self.record.sandboxed:
            self.find_first()
            target = self.first or self.launcher  # before there is a first, the launcher is all there is
            if target is not None:
                send(target, signal.SIGKILL)
            return
        for seen in self.processes():
            send(seen.process, signal.SIGKILL)

    def kill_within(self, grace_s: float) -> None:
        """Kills it after a time; the earliest such wish counts."""
        loop = asyncio.get_running_loop()
        at = loop.time() + grace_s
        if self.kill_timer is not None:
            if self.kill_timer.when() <= at:
                return
            self.kill_timer.cancel()
        self.kill_timer = loop.call_at(at, self.kill)

    async def rest_gone(self) -> None:
        """After its command ended: ends what is left of it. While it is being stopped the rest has its grace."""
        if self.record.sandboxed:
            self.find_first()
            if self.first is not None:
                if not self.told_to_stop:
                    send(self.first, signal.SIGKILL)
                await gone(self.first)
            elif self.launcher is not None:
                await self._end_halves(self.launcher)
            return
        while left := self.processes():
            if not self.told_to_stop:
                self.kill()
            await gone(left[0].process)

    async def _end_halves(self, launcher: Process) -> None:
        """Ends what is left of a sandbox that died before it stood: its first process may wait for it for ever."""
        while left := in_session(launcher):
            for seen in left:
                send(seen.process, signal.SIGKILL)
            await gone(left[0].process)

    def usage(self, cgroups: Cgroups) -> Usage:
        """Measured by the control groups where there are any, else summed over its processes (then the CPU time of
        processes that ended unawaited is missing)."""
        processes = self.processes()
        memory = cgroups.memory_bytes(self.id)
        if memory is None:
            memory = sum(seen.resident_pages for seen in processes) * PAGE_BYTES
        cpu = cgroups.cpu_s(self.id)
        if cpu is None:
            cpu = sum(seen.cpu_ticks for seen in processes) / TICKS_PER_S
        self.cpu_seen_s = max(self.cpu_seen_s, cpu)  # a sum over processes may fall; time spent never does
        return Usage(memory, self.cpu_seen_s, len(processes))

    def conclude(self, cgroups: Cgroups, now: datetime) -> End:
        """Works out how it ended, once all of it is gone, and writes that down."""
        wait_status = reap(self.launcher.pid) if self.launcher is not None else None
        status = self.folder.read_status()
        info = exit_of(status, wait_status, out_of_memory=cgroups.ran_out_of_memory(self.id))
        info = replace(info, disk_full=self.disk_full)
        told = self.told_to_stop and not self.disk_full
        end = End(info, status.ended_at or now, self.timed_out, told)
        self.end = end
        try:
            self.folder.write_end(end)
        except OSError as error:  # a full disk: the next control plane works it out again from what the sandbox wrote
            _logger.warning("workload_end_not_written", workload=self.id, error=str(error))
        return end

    def cancel_timers(self) -> None:
        for timer in (self.kill_timer, self.wall_timer):
            if timer is not None:
                timer.cancel()

    def elapsed_s(self, now: datetime) -> float:
        return max(0.0, (now - self.record.started_at).total_seconds())


def adopt(record: Record, folder: Folder, log: OutputLog, boot: str) -> Workload:
    """A workload as its records tell of it; `launcher` is set where it may still run."""
    workload = Workload(record, folder, log, end=folder.read_end(), timed_out=folder.timed_out)
    workload.disk_full = folder.disk_full
    if workload.end is None and record.boot == boot:
        workload.launcher = folder.read_launcher(record.nonce)
        workload.find_first()
    if workload.end is not None:
        workload.ended.set()
    return workload
