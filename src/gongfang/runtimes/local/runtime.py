"""The driver of one machine: each workload is a sandbox in a session of its own, which outlives the control plane.

    start    check → tools, droplet, slot, locks, control groups → record → launch (`launch`) → the sandbox stands
    end      the launcher's pidfd becomes readable → what is left is ended → the exit is read and written down → told
    open     records are read; what runs (by pid, start time and boot) is adopted, what ended meanwhile is concluded

All that is known stands in the workloads' folders (`records`); memory holds only what makes it quick.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from gongfang.domain.clock import Clock, utc_now
from gongfang.domain.errors import GongfangError, Rejected
from gongfang.runtimes.broadcast import Broadcast, Listener
from gongfang.runtimes.checks import check_id, check_spec
from gongfang.runtimes.interface import (
    Capabilities,
    Handle,
    LogChunk,
    LogMark,
    Mount,
    Network,
    NetworkKind,
    Observation,
    Phase,
    Usage,
    WorkloadKind,
    WorkloadSpec,
)
from gongfang.runtimes.local import plain, sandbox
from gongfang.runtimes.local.cgroups import Cgroups
from gongfang.runtimes.local.disks import MIB, Disk, Disks, remove_layer
from gongfang.runtimes.local.guarantees import guarantees
from gongfang.runtimes.local.host import find_isolation
from gongfang.runtimes.local.launch import Launch, keep_own_descriptors, spawn, take_locks
from gongfang.runtimes.local.logs import LogKeeper, OutputLog
from gongfang.runtimes.local.net.keeper import NetworkKeeper
from gongfang.runtimes.local.net.network import NetworkSettings
from gongfang.runtimes.local.planning import Machine, plan_launch
from gongfang.runtimes.local.ports import Ports
from gongfang.runtimes.local.processes import boot_id, gone, read_all, stat
from gongfang.runtimes.local.records import Folder, Record
from gongfang.runtimes.local.sandbox import FDS, Inside, Isolation
from gongfang.runtimes.local.seccomp import own_filter
from gongfang.runtimes.local.watch import COUNT_EVERY_S, COUNT_SERVER_EVERY_S, DiskWatch
from gongfang.runtimes.local.workload import Workload, adopt
from gongfang.runtimes.tools import EnsureDroplet, EnsureTool

_logger = structlog.get_logger()
LOG_LIMIT_BYTES = 16 << 20
UID_BASE = 200_000
SERVICE_UIDS = 70_000  # after the base: above what any range of ports gives the others
SERVICE_PORTS = (16000, 19999)
_WALL_GRACE_S = 5.0


class LocalRuntime:
    """The driver. `gongfang.runtimes.interface.Runtime` says what its methods promise.

    `home`: its folder; one driver a home at a time. `tool`, `droplet`: where it gets these from; `tool("bwrap")` must
    name the executable `bwrap`. `port_range`: first and last port. As root each workload gets the user id `uid_base` +
    its port's place in the range. `service_port_range`: the ports that a specification may name, in blocks; their user
    ids begin `SERVICE_UIDS` later. `log_limit`: bytes of output kept of each workload. `sandboxed` False: don't even
    try to make a sandbox.
    """

    def __init__(
        self,
        home: Path,
        *,
        tool: EnsureTool,
        droplet: EnsureDroplet,
        port_range: tuple[int, int] = (20000, 29999),
        service_port_range: tuple[int, int] = SERVICE_PORTS,
        uid_base: int = UID_BASE,
        log_limit: int = LOG_LIMIT_BYTES,
        sandboxed: bool = True,
        network: NetworkSettings | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.folder = home / "workloads"
        self._scratch = home / "scratch"
        self._trash = home / "trash"  # records on their way out: a removal that is cut off is never taken for records
        self._tool = tool
        self._droplet = droplet
        self._uid_base = uid_base
        self._log_limit = log_limit
        self._sandboxed = sandboxed
        self._clock = clock
        self._ports = Ports(home, *port_range, service_port_range)
        self._cgroups = Cgroups(home)
        self._net = NetworkKeeper(home, network or NetworkSettings(), self._ports)
        self._host = sandbox.look_at_host()
        self._isolation = Isolation(None, os.geteuid() == 0, False, ())
        self._workloads: dict[str, Workload] = {}
        self._starting: dict[str, asyncio.Task[Handle]] = {}
        self._broadcast = Broadcast()
        self._logs = LogKeeper(clock)
        self._disks = Disks(home)
        self._watch_disks = DiskWatch(self._disk_full)
        self._filter = own_filter() or b""
        self._keepers: list[asyncio.Task[None]] = []

    # --- opening and closing ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        for folder in (self.folder, self._trash):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._trash.iterdir():
            await asyncio.to_thread(remove_layer, left)
        keep_own_descriptors()
        self._cgroups.open()
        await self._find_isolation()
        if self._sandboxed:
            await self._disks.open()
        boot = boot_id()
        for path in sorted(self.folder.iterdir()):
            await self._adopt(Folder(path), boot)
        await self._find_network()
        running = [each.id for each in self._workloads.values() if each.end is None]
        await asyncio.to_thread(self._cgroups.remove_others, running)
        self._keepers = [
            asyncio.create_task(self._logs.run(), name="runtime-logs"),
            asyncio.create_task(self._watch_disks.run(), name="runtime-disks"),
        ]

    async def close(self) -> None:
        starting = list(self._starting.values())
        if starting:
            await asyncio.wait(starting)  # half a start is worse than a late close
        tasks = [each.task for each in self._workloads.values() if each.task is not None]
        tasks += self._keepers
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for each in self._workloads.values():
            each.cancel_timers()
        self._workloads.clear()
        self._broadcast.close()
        await self._net.close()
        self._cgroups.close()
        self._disks.close()

    @property
    def gateway(self) -> str | None:
        """The machine's address as workloads see it; None where they have no network of their own."""
        gateway = self._net.gateway
        return None if gateway is None else str(gateway)

    def capabilities(self) -> Capabilities:
        found = guarantees(self._isolation, self._cgroups.controllers(), self._disks.why)
        found.append(self._net.guarantee())
        return Capabilities("local", tuple(found))

    # --- starting --------------------------------------------------------------------------------------------------

    async def start(self, spec: WorkloadSpec) -> Handle:
        check_spec(spec)
        if spec.port is not None:
            spec = replace(spec, wants_port=True)
        known = self._workloads.get(spec.id)
        if known is not None:
            return known.handle()
        task = self._starting.get(spec.id)
        if task is None:
            task = asyncio.create_task(self._start(spec), name=f"start {spec.id}")
            self._starting[spec.id] = task
            task.add_done_callback(lambda _: self._starting.pop(spec.id, None))
        return await asyncio.shield(task)  # a caller that goes away leaves no half start behind

    async def _start(self, spec: WorkloadSpec) -> Handle:
        tools = await asyncio.gather(*(self._tool(name) for name in spec.tools))
        droplet = None if spec.droplet is None else await self._droplet(spec.droplet)
        own_network = self._isolation.network and spec.network.kind is NetworkKind.own
        port = await self._port(spec, own_network=own_network)
        folder = Folder(self.folder / spec.id)
        locks: list[int] = []
        try:
            uid, gid = self._user(spec, port)
            told_port = port if spec.wants_port else None
            inside = Inside(spec, uid, gid, told_port, tools, droplet, own_network=own_network)
            for mount in spec.mounts:
                if not mount.source.exists():
                    raise Rejected("mount_missing", path=str(mount.source))
            locks = take_locks([mount.source for mount in spec.mounts if mount.lock])
            if self._isolation.as_root:
                await self._own(spec.mounts, uid, gid)
            return await self._launch(inside, folder, port, locks)
        except BaseException:
            self._ports.give_back(port)
            self._cgroups.remove(spec.id)
            await self._disks.forget(spec.id)
            remove_layer(folder.path)
            raise
        finally:
            for number in locks:
                os.close(number)

    async def _port(self, spec: WorkloadSpec, *, own_network: bool) -> int:
        """Its slot. One that is named may be of a workload whose end is known already and not yet all over: that is
        waited for, since it is nobody's any more."""
        if spec.port is None:
            return self._ports.take()
        for other in list(self._workloads.values()):
            if other.record.port == spec.port and other.end is not None:
                await other.ended.wait()
        self._ports.take_pinned(spec.port, on_loopback=not own_network)
        return spec.port

    async def _launch(self, inside: Inside, folder: Folder, port: int, locks: Sequence[int]) -> Handle:
        spec = inside.spec
        folder.path.mkdir(mode=0o700)
        disk = await self._disk(spec, folder)
        try:
            return await self._launch_on(replace(inside, disk=disk), folder, port, locks)
        finally:
            if disk is not None:
                await self._disks.let_go(disk)  # the sandbox has it now

    async def _launch_on(self, inside: Inside, folder: Folder, port: int, locks: Sequence[int]) -> Handle:
        spec = inside.spec
        record = Record(
            id=spec.id,
            kind=spec.kind,
            labels=dict(spec.labels),
            limits=spec.limits,
            port=port,
            wants_port=spec.wants_port,
            uid=inside.uid,
            boot=boot_id(),
            nonce=secrets.token_hex(8),
            sandboxed=self._isolation.bwrap is not None,
            started_at=self._clock(),
            network=spec.network,
            address=self._net.address(port) if inside.own_network else None,
            watched=self._watched(spec, inside.disk),
        )
        launch = await self._plan(inside, folder, record, locks)
        folder.write_record(record)
        # In the thread that sees the disk; the one that makes the network is started by it, and sees the same.
        own = inside.own_network
        pid, ready = await self._disks.run(lambda: self._net.spawn(record, launch) if own else spawn(launch))
        workload = Workload(record, folder, OutputLog(folder.path, self._log_limit))
        seen = stat(pid)
        assert seen is not None, "an unreaped child has a /proc entry"
        workload.launcher = seen.process
        workload.log.mark_start(record.started_at)
        try:
            await read_all(ready)  # to its end: a sandbox whose words are not heard dies of it (SIGPIPE)
        finally:
            os.close(ready)
        workload.find_first()
        self._watch(workload)
        return workload.handle()

    async def _plan(self, inside: Inside, folder: Folder, record: Record, locks: Sequence[int]) -> Launch:
        """What to launch. The control groups are made here."""
        files = {FDS.filter: self._filter} if self._isolation.filtered else {}
        if inside.own_network:
            files |= self._net.files(inside.hostname)
        groups = self._cgroups.create(inside.spec.id, inside.spec.limits)
        machine = Machine(self._host, self._isolation, self._log_limit)
        return await plan_launch(machine, inside, folder, record, groups=groups, files=files, locks=locks)

    async def _disk(self, spec: WorkloadSpec, folder: Folder) -> Disk | None:
        """Where it may write: a disk of its size; without those, folders, so that it is not memory that fills."""
        size = spec.limits.disk_bytes
        if size is None or self._isolation.bwrap is None:
            return None
        disk = await self._disks.make(spec.id, size // MIB)
        if disk is None and self._isolation.layer:
            disk = Disk(folder.layer)
            disk.make()
        return disk

    def _watched(self, spec: WorkloadSpec, disk: Disk | None) -> tuple[str, ...]:
        found = [str(mount.source) for mount in spec.mounts if mount.writable and mount.own]
        if disk is not None and self._disks.why:
            found.append(str(disk.folder))
        return tuple(found)

    def _user(self, spec: WorkloadSpec, port: int) -> tuple[int, int]:
        if not self._isolation.as_root or self._isolation.bwrap is None:
            return os.geteuid(), os.getegid()
        slot = self._ports.slot(port)
        own = self._uid_base + (SERVICE_UIDS if slot.pinned else 0) + slot.index
        uid = own if spec.uid is None else spec.uid
        return uid, uid

    async def _own(self, mounts: Sequence[Mount], uid: int, gid: int) -> None:
        for mount in mounts:
            if mount.own and mount.source.stat().st_uid != uid:
                await asyncio.to_thread(_give, mount.source, uid, gid)

    # --- watching and ending ---------------------------------------------------------------------------------------

    def _watch(self, workload: Workload) -> None:
        """Follows a workload that runs, to its end."""
        self._workloads[workload.id] = workload
        self._logs.add(workload.id, workload.log)
        record = workload.record
        self._watch_disks.add(
            *(record.id, record.watched, record.limits.disk_bytes),
            keeps_reserve=record.kind is WorkloadKind.build,
            every_s=COUNT_SERVER_EVERY_S if record.kind is WorkloadKind.service else COUNT_EVERY_S,
        )
        wall_s = workload.record.limits.wall_s
        if wall_s is not None:
            left = max(0.0, wall_s - workload.elapsed_s(self._clock()))
            workload.wall_timer = asyncio.get_running_loop().call_later(left, self._out_of_time, workload)
        workload.task = asyncio.create_task(self._follow(workload), name=f"workload {workload.id}")

    async def _follow(self, workload: Workload) -> None:
        assert workload.launcher is not None
        await gone(workload.launcher)
        await self._conclude(workload)

    async def _conclude(self, workload: Workload) -> None:
        """The command has ended: ends the rest, writes down how it ended, gives back what it had, tells."""
        await workload.rest_gone()
        workload.cancel_timers()
        workload.conclude(self._cgroups, self._clock())
        await asyncio.to_thread(self._cgroups.remove, workload.id)
        await self._net.release(workload.record)
        self._ports.give_back(workload.record.port)
        self._logs.drop(workload.id)
        self._watch_disks.drop(workload.id)
        await self._disks.forget(workload.id)
        await asyncio.to_thread(remove_layer, workload.folder.layer)
        if not workload.record.sandboxed:
            await asyncio.to_thread(plain.forget, workload.folder.path)
        workload.ended.set()
        self._broadcast.tell(workload.id)

    def _disk_full(self, workload_id: str) -> None:
        workload = self._workloads.get(workload_id)
        if workload is None or workload.end is not None:
            return
        workload.disk_full = True
        try:
            workload.folder.mark_disk_full()
        except OSError as error:  # that very disk
            _logger.warning("workload_end_not_written", workload=workload_id, error=str(error))
        finally:
            self._stop(workload, 0.0)  # it goes on writing for as long as it is asked

    def _out_of_time(self, workload: Workload) -> None:
        workload.timed_out = True
        try:
            workload.folder.mark_timed_out()
        finally:
            self._stop(workload, _WALL_GRACE_S)

    async def _adopt(self, folder: Folder, boot: str) -> None:
        record = folder.read_record()
        workload = adopt(record, folder, OutputLog(folder.path, self._log_limit), boot)
        if workload.end is None and record.boot == boot and workload.launcher is None:
            shutil.rmtree(folder.path, ignore_errors=True)  # written down, never started: as if never asked for
            return
        self._workloads[record.id] = workload
        if workload.end is not None:
            return
        if workload.launcher is None:
            workload.conclude(self._cgroups, self._clock())  # of an earlier boot
            await asyncio.to_thread(plain.forget, folder.path)
            workload.ended.set()
            return
        self._ports.adopt(record.port)
        self._watch(workload)  # one that ended meanwhile is concluded at once

    def _stop(self, workload: Workload, grace_s: float) -> None:
        workload.terminate()
        workload.kill_within(grace_s)

    async def stop(self, workload_id: str, *, grace_s: float) -> None:
        await self._settled(workload_id)
        workload = self._workloads.get(workload_id)
        if workload is None or workload.end is not None:
            return
        self._stop(workload, grace_s)
        await workload.ended.wait()

    async def remove(self, workload_id: str) -> None:
        check_id(workload_id)
        await self._settled(workload_id)
        workload = self._workloads.get(workload_id)
        if workload is None:
            return
        if workload.end is None:
            raise Rejected("workload_running", id=workload_id)
        if workload.task is not None:
            await asyncio.wait([workload.task])  # its end is known; what follows from it may still be written down
        del self._workloads[workload_id]
        gone = self._trash / f"{workload_id}.{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            workload.folder.path.rename(gone)
        await asyncio.to_thread(remove_layer, gone)

    async def set_network(self, workload_id: str, network: Network) -> None:
        await self._settled(workload_id)
        workload = self._workloads.get(workload_id)
        if workload is None or workload.end is not None or workload.record.network == network:
            return
        if network.kind is not workload.record.network.kind:
            raise Rejected("network_kind_fixed", id=workload_id)
        record = replace(workload.record, network=network)
        await self._net.change(record)  # what is written down later has happened
        workload.record = record
        workload.folder.write_record(record)

    async def _settled(self, workload_id: str) -> None:
        task = self._starting.get(workload_id)
        if task is not None:
            await asyncio.wait([task])

    # --- looking ---------------------------------------------------------------------------------------------------

    async def observe(self, workload_id: str) -> Observation:
        workload = self._workloads.get(workload_id)
        return Observation(workload_id, Phase.unknown) if workload is None else workload.observation()

    async def list(self) -> Sequence[Observation]:
        return [workload.observation() for workload in self._workloads.values()]

    def ends(self) -> Listener:
        return self._broadcast.listen()

    async def wait(self, workload_id: str) -> Observation:
        await self._settled(workload_id)
        workload = self._workloads.get(workload_id)
        if workload is not None:
            await workload.ended.wait()
            return workload.observation()
        return Observation(workload_id, Phase.unknown)

    async def usage(self, workload_id: str) -> Usage | None:
        workload = self._workloads.get(workload_id)
        if workload is None or workload.end is not None:
            return None
        return workload.usage(self._cgroups)

    async def read_log(self, workload_id: str, *, offset: int, limit: int) -> LogChunk:
        workload = self._workloads.get(workload_id)
        if workload is None:
            return LogChunk(b"", max(0, offset), max(0, offset))
        return workload.log.read(offset, limit)

    async def log_marks(self, workload_id: str) -> Sequence[LogMark]:
        workload = self._workloads.get(workload_id)
        return [] if workload is None else workload.log.marks()

    async def log_grew(self, workload_id: str, offset: int) -> None:
        await self._logs.grew(workload_id, offset)

    async def _find_network(self) -> None:
        """After the records have been read: what runs keeps its address."""
        isolation = self._isolation
        running = [each.record for each in self._workloads.values() if each.end is None]
        usable = isolation.as_root and isolation.bwrap is not None
        why_not = "network_needs_sandbox" if isolation.as_root else "network_needs_root"
        await self._net.open(running, why_not="" if usable else why_not)
        self._isolation = replace(isolation, network=self._net.enforced)

    async def _find_isolation(self) -> None:
        bwrap, why = None, "the setting forbids one"
        if self._sandboxed:
            try:
                bwrap = (await self._tool("bwrap")).executables["bwrap"]
            except GongfangError as error:
                why = str(error)
        self._isolation = await find_isolation(self._host, bwrap, why, self._scratch, self._uid_base)
        shutil.rmtree(self._scratch, ignore_errors=True)  # also what a trial that was killed has left


def _give(top: Path, uid: int, gid: int) -> None:
    """Gives a folder and all in it to a user, the top last: a run that was cut off begins again. Links stay links."""
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            os.lchown(os.path.join(folder, name), uid, gid)  # noqa: PTH118  (a million times quicker in bulk)
    os.lchown(top, uid, gid)
