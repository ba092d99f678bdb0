"""What the driver keeps of a workload on disk, in a folder of its own, so that it can be found again after any crash.

    record.json    what was asked for, written before anything is started (no environment and no files: their values
                   are secrets)
    launch-NONCE   the launcher's own line of /proc/PID/stat, written by itself: which process it is, for good
    status         lines of JSON by the sandbox: its first process, and at the end the exit code
    output.log     what it says
    timed_out      there when it was stopped at its time limit
    end.json       how it ended, written when that is known

Whoever creates `launch-NONCE` first (exclusively) decides: the launcher, and the workload runs; or a later control
plane, and a launcher that comes late goes away again. So a start is never half done.
"""

import json
import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from gongfang.domain.egress import parse_target
from gongfang.domain.values import ExitInfo, JsonObject
from gongfang.runtimes.interface import Limits, Network, NetworkKind, WorkloadKind
from gongfang.runtimes.local.processes import Process, parse_stat

VERSION = 1
# A shell's `kill -N` convention, also bwrap's: 128 + the signal. Beyond 31 the numbers mean exit codes, not signals.
_LAST_SIGNAL = 31
# How long a launcher may take between creating its file and writing its line into it.
_LINE_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """What was started. `port`: its slot, whether told or not. `address`: where it is
    reached, None: at the machine's loopback. `boot`: the kernel's id of the boot it ran in."""

    id: str
    kind: WorkloadKind | None
    labels: dict[str, str]
    limits: Limits
    port: int
    wants_port: bool
    uid: int
    boot: str
    nonce: str
    sandboxed: bool
    started_at: datetime
    network: Network = field(default_factory=lambda: Network(NetworkKind.host))
    address: str | None = None
    watched: tuple[str, ...] = ()  # folders whose size is looked at

    def to_json(self) -> JsonObject:
        return {
            "version": VERSION,
            "id": self.id,
            "kind": self.kind,
            "labels": self.labels,
            "limits": {
                "memory_bytes": self.limits.memory_bytes,
                "cpu_cores": self.limits.cpu_cores,
                "processes": self.limits.processes,
                "open_files": self.limits.open_files,
                "wall_s": self.limits.wall_s,
                "disk_bytes": self.limits.disk_bytes,
            },
            "port": self.port,
            "wants_port": self.wants_port,
            "uid": self.uid,
            "boot": self.boot,
            "nonce": self.nonce,
            "sandboxed": self.sandboxed,
            "started_at": self.started_at.isoformat(),
            "network": {
                "kind": self.network.kind,
                "internet": self.network.internet,
                "allow": [str(target) for target in self.network.allow],
                "services": [str(target) for target in self.network.services],
            },
            "address": self.address,
            "watched": list(self.watched),
        }

    @staticmethod
    def from_json(data: JsonObject) -> "Record":
        return Record(
            id=str(data["id"]),
            kind=WorkloadKind(data["kind"]),
            labels=dict(data["labels"]),
            limits=Limits(**data["limits"]),
            port=int(data["port"]),
            wants_port=bool(data["wants_port"]),
            uid=int(data["uid"]),
            boot=str(data["boot"]),
            nonce=str(data["nonce"]),
            sandboxed=bool(data["sandboxed"]),
            started_at=datetime.fromisoformat(data["started_at"]),
            network=_network(data.get("network")),
            address=data.get("address"),
            watched=tuple(data.get("watched", ())),
        )


def _network(data: JsonObject | None) -> Network:
    """Records of before there were networks have none: theirs was the machine's."""
    if data is None:
        return Network(NetworkKind.host)
    allow = tuple(parse_target(str(text)) for text in data["allow"])
    services = tuple(parse_target(str(text)) for text in data.get("services", ()))
    return Network(NetworkKind(data["kind"]), bool(data["internet"]), allow, services)


@dataclass(frozen=True, slots=True)
class End:
    """How it ended, and when."""

    exit: ExitInfo
    at: datetime
    timed_out: bool = False
    told: bool = False

    def to_json(self) -> JsonObject:
        info = self.exit
        return {
            "code": info.code,
            "signal": info.signal,
            "out_of_memory": info.out_of_memory,
            "lost": info.lost,
            "at": self.at.isoformat(),
            "timed_out": self.timed_out,
            "told": self.told,
            "disk_full": info.disk_full,
        }

    @staticmethod
    def from_json(data: JsonObject) -> "End":
        info = ExitInfo(
            *(data["code"], data["signal"], bool(data["out_of_memory"]), bool(data["lost"])),
            disk_full=bool(data.get("disk_full")),
        )
        return End(info, datetime.fromisoformat(data["at"]), bool(data["timed_out"]), bool(data.get("told")))


@dataclass(frozen=True, slots=True)
class Status:
    """What the sandbox wrote of itself. `ended_at`: when its last line was written, if that was the exit."""

    first_pid: int | None = None
    exit_code: int | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one workload."""

    path: Path
    output: Path = field(init=False)
    status: Path = field(init=False)
    layer: Path = field(init=False)  # what it writes where it has no disk of its own

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", self.path / "output.log")
        object.__setattr__(self, "status", self.path / "status")
        object.__setattr__(self, "layer", self.path / "layer")

    def write_record(self, record: Record) -> None:
        _write_json(self.path / "record.json", record.to_json())

    def read_record(self) -> Record:
        """The record. One that can't be read (the disk lost power while it was written) is of no boot and no kind."""
        try:
            return Record.from_json(_read_json(self.path / "record.json"))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            at = datetime.fromtimestamp(self.path.stat().st_mtime, UTC)
            return Record(self.path.name, None, {}, Limits(), 0, False, 0, "", "", True, at)

    def write_end(self, end: End) -> None:
        _write_json(self.path / "end.json", end.to_json())

    def read_end(self) -> End | None:
        try:
            return End.from_json(_read_json(self.path / "end.json"))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # not ended, or torn by a power cut: then it is made again from what else is there

    def launch_file(self, nonce: str) -> Path:
        return self.path / f"launch-{nonce}"

    def read_launcher(self, nonce: str) -> Process | None:
        """Which process the launcher is; None where it never came and now never will."""
        file = self.launch_file(nonce)
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            return None
        except FileExistsError:
            pass
        deadline = time.monotonic() + _LINE_WAIT_S
        while not (line := file.read_text()).endswith("\n"):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.001)  # between its `open` and its `write`, which the kernel tells nobody of
        return parse_stat(line).process

    def read_status(self) -> Status:
        """What the sandbox has written so far; a torn last line is passed over."""
        status = Status()
        try:
            text = self.status.read_text(errors="replace")
            written_at = datetime.fromtimestamp(self.status.stat().st_mtime, UTC)
        except FileNotFoundError:
            return status
        for line in text.splitlines():
            data = _as_object(line)
            if isinstance(pid := data.get("child-pid"), int):
                status = replace(status, first_pid=pid)
            if isinstance(code := data.get("exit-code"), int):
                status = replace(status, exit_code=code, ended_at=written_at)
        return status

    def mark_timed_out(self) -> None:
        (self.path / "timed_out").touch()

    @property
    def timed_out(self) -> bool:
        return (self.path / "timed_out").exists()

    def mark_disk_full(self) -> None:
        (self.path / "disk_full").touch()

    @property
    def disk_full(self) -> bool:
        return (self.path / "disk_full").exists()


def exit_of(status: Status, wait_status: int | None, *, out_of_memory: bool) -> ExitInfo:
    """How it ended, from what the sandbox wrote, or else from the wait status of the sandbox itself (None: unknown).

    128 + N is read as signal N, as shells and `bwrap` write it; a program that chooses such a code by itself can't be
    told apart. A sandbox that was killed from outside leaves no record: `lost`.
    """
    code = status.exit_code
    if code is None and wait_status is not None and os.WIFEXITED(wait_status):
        code = os.WEXITSTATUS(wait_status)  # it could not be set up: its words are in the output
    if code is None:
        return ExitInfo(None, out_of_memory=out_of_memory, lost=not out_of_memory)
    if 128 < code <= 128 + _LAST_SIGNAL:
        return ExitInfo(None, signal=code - 128, out_of_memory=out_of_memory)
    return ExitInfo(code, out_of_memory=out_of_memory)


def _write_json(path: Path, data: JsonObject) -> None:
    """Whole or not at all, for whoever reads it."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(data, ensure_ascii=False))
    draft.replace(path)


def _read_json(path: Path) -> JsonObject:
    return _as_object(path.read_text())


def _as_object(text: str) -> JsonObject:
    try:
        data: Any = json.loads(text)
    except ValueError:
        return {}
    return cast("JsonObject", data) if isinstance(data, dict) else {}
