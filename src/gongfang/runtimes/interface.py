"""What runs things: one interface for a machine's sandboxes and a cluster's pods.

A *workload* is one run of one command: an app's instance, a task, a build, or a server of the platform's own. Its id
is never used twice. `start` gives a `Handle`, an opaque versioned value from which a later control plane adopts what
still runs: a workload outlives the control plane that started it, and a driver holds no state that it can't find
again from its own records.

The hard cases, which the contract suite (`tests/contract/test_runtime.py`) tries on every driver:

- `start` of an id that is already known answers its handle again and starts nothing.
- The control plane dies between the start and the recording of the handle: `list` tells of it, by id.
- `observe` of a workload that ended while nobody looked tells its exit, from the record that the sandbox left; where
  there is none (reboot, kill from outside) the exit is `lost`. It never says "running" of a pid that was used again.
- `stop` of what has ended, or is being stopped, is no error; it returns when the workload is gone. `SIGTERM` goes to
  all of its processes, `SIGKILL` after the grace period.
- `remove` forgets records, logs and files of an ended workload; of an unknown one it does nothing; of a running one
  it raises `Rejected`.
- A command that cannot be executed is no error of `start` but an exit (code 127 or 126) with the words in its output.
- A workload with a network of its own (`Network`, where `own_network` is enforced) is reached at its endpoint by the
  platform, its edge and those whose policy names its endpoint (`Network.services`), whether its program listens on
  all addresses or on loopback only. It reaches the edge, the names and what its policy says, nothing else: no other
  workload but those endpoints, no port of the machine. Its address is in the observation and stays the same for as
  long as it lives, whoever adopts it.
- An endpoint that leaves `Network.services` is closed for connections under way too, which end at once. What is at
  the endpoint can answer and never open a connection back.
- A pinned port (`WorkloadSpec.port`) has the same address and the same user in every run. While one workload has it,
  another one's start is `Unavailable("port_in_use")`; it is free once the first has ended.
- `WorkloadSpec.files` are there before the command begins, and nowhere else: not on a disk (where `own_filesystem`
  is enforced), not in a record, not in a command line. They are gone with the workload.
- `set_network` acts at once, on connections under way too, and is remembered for later control planes. Of a workload
  that has ended or is unknown it does nothing; the same policy twice changes nothing.
- Ends are told by `ends()`, without polling; a reader that comes late misses nothing, since `observe` tells the same.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from gongfang.domain.egress import Target
from gongfang.domain.values import ExitInfo, JsonObject


class WorkloadKind(StrEnum):
    instance = "instance"
    task = "task"
    build = "build"
    platform = "platform"  # a server that the platform itself needs (PostgreSQL, Envoy)
    service = "service"  # a server that apps are bound to


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path made visible in the workload at `target`.

    `writable`: else read-only. `own`: the top of the path and all in it belongs to the workload's user (changed
    before the start where it does not). `lock`: the workload holds an exclusive lock on the path for as long as it
    lives; a second one with the same path is `Rejected("path_in_use")`.
    """

    source: Path
    target: str
    writable: bool = False
    own: bool = False
    lock: bool = False


class NetworkKind(StrEnum):
    own = "own"  # an address of its own
    none = "none"  # a loopback of its own, nothing else
    host = "host"  # the machine's: for the edge


@dataclass(frozen=True, slots=True)
class Network:
    """What a workload's network is, and (of its own) what it may reach besides the edge and the names: the internet,
    targets that would be closed otherwise, and endpoints of other workloads. Where `own_network` isn't enforced, every
    workload has the machine's.

    `services`: each is one address and one port (TCP) of a workload of this runtime. `allow` can never open one.
    """

    kind: NetworkKind = NetworkKind.own
    internet: bool = True
    allow: tuple[Target, ...] = ()
    services: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workload may use at most; None = no limit. Enforced where `Capabilities` says so.

    `cpu_weight` (1 to 10000) limits nothing: it is the workload's part when there is not enough CPU for all.
    `disk_bytes`: of what it writes to `/app`, `/tmp` and `/var/tmp` together, and again of what it writes to mounts
    that are its own. Over the first it gets ENOSPC where the driver can do that; over the second (and over the first
    where it can't) it is ended, with `disk_full` in its exit.
    """

    memory_bytes: int | None = None
    cpu_cores: float | None = None
    processes: int | None = 512
    open_files: int | None = 65536
    cpu_weight: int = 100
    wall_s: float | None = None  # it is stopped after this time, with `timed_out` in its observation
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One run of one command.

    `droplet`: SHA-256 of a droplet archive, shown at `/app` (a throw-away writable layer above it). `tools`: names
    for the toolbox; each is mounted and its folders are put on `PATH`. `wants_port`: the driver chooses a port, sets
    `PORT`, and tells it in the observation. `port`: the very port, out of the range for servers, and with it the same
    address and the same user every time (`wants_port` is implied); it is the first of a block of `PORTS_EACH`, which
    are all this workload's. `uid`: a fixed user id, for servers that keep data;
    else the port's, or one of its own. `files`: absolute paths and their contents, readable by the workload and
    read-only (mode 0444); for secrets, since they never touch a disk. `labels` are kept in the driver's records and
    given back by `list`.
    """

    id: str
    kind: WorkloadKind
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    workdir: str = "/"
    droplet: str | None = None
    mounts: tuple[Mount, ...] = ()
    tools: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    wants_port: bool = False
    port: int | None = None
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    network: Network = field(default_factory=Network)
    uid: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Handle:
    """Opaque to all but the driver that made it; survives as JSON."""

    workload_id: str
    version: int
    data: JsonObject

    def to_json(self) -> JsonObject:
        return {"workload_id": self.workload_id, "version": self.version, "data": self.data}

    @staticmethod
    def from_json(data: JsonObject) -> "Handle":
        return Handle(str(data["workload_id"]), int(data["version"]), dict(data["data"]))


class Phase(StrEnum):
    running = "running"
    ended = "ended"
    unknown = "unknown"  # the driver has no record of it (any more)


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What a workload is seen to be doing. `exit` is set exactly when it has ended; `told`: it ended because `stop`
    was called, by whichever control plane (or by none: `gongfang down`)."""

    workload_id: str
    phase: Phase
    kind: WorkloadKind | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    endpoint: Endpoint | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit: ExitInfo | None = None
    timed_out: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured, at one moment, for the whole workload. `cpu_s`: since its start."""

    memory_bytes: int
    cpu_s: float
    processes: int


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Output from `offset` on. `next_offset` continues it; `offset` is later than asked where older output is gone."""

    data: bytes
    offset: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class LogMark:
    """Output from `offset` on was written at `at` or later (as seen by the control plane, to about a second)."""

    at: datetime
    offset: int


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One promise of isolation or accounting: whether it holds here, and if not, why (message code + facts)."""

    # memory_limit, cpu_limit, process_limit, disk_limit, own_user, own_filesystem, own_processes, own_network,
    # system_calls, writable_app; docs/threat-model.md says what each means
    name: str
    enforced: bool
    why: str = ""
    facts: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])


@dataclass(frozen=True, slots=True)
class Capabilities:
    driver: str
    guarantees: tuple[Guarantee, ...]

    def enforces(self, name: str) -> bool:
        return any(g.name == name and g.enforced for g in self.guarantees)


class Runtime(Protocol):
    """See the module's docstring for the hard cases. Errors: `Rejected` (never will), `Unavailable` (not now)."""

    async def open(self) -> None:
        """Reads its own records, adopts what runs, starts watching. Once, before any other call."""
        ...

    async def close(self) -> None:
        """Stops watching. Workloads run on."""
        ...

    def capabilities(self) -> Capabilities: ...

    async def start(self, spec: WorkloadSpec) -> Handle: ...

    async def observe(self, workload_id: str) -> Observation: ...

    async def list(self) -> Sequence[Observation]:
        """All workloads that it has records of, ended ones until they are removed."""
        ...

    def ends(self) -> AsyncIterator[str]:
        """Ids of workloads as they end, from now on. Several readers may listen."""
        ...

    async def wait(self, workload_id: str) -> Observation:
        """Returns when it has ended (at once if it has). Of an unknown one: at once, phase `unknown`."""
        ...

    async def stop(self, workload_id: str, *, grace_s: float) -> None: ...

    async def remove(self, workload_id: str) -> None: ...

    async def set_network(self, workload_id: str, network: Network) -> None:
        """What a running workload may reach from now on. Its kind of network stays: another is `Rejected`."""
        ...

    async def usage(self, workload_id: str) -> Usage | None:
        """None where it has ended or is unknown."""
        ...

    async def read_log(self, workload_id: str, *, offset: int, limit: int) -> LogChunk:
        """Output (stdout and stderr as they came) from a byte offset; negative: that many bytes before the end."""
        ...

    async def log_marks(self, workload_id: str) -> Sequence[LogMark]:
        """Ascending points that tie offsets to times."""
        ...

    async def log_grew(self, workload_id: str, offset: int) -> None:
        """Returns when there is output past the offset, or the workload has ended."""
        ...
