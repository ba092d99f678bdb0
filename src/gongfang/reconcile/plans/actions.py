"""What a plan may ask for, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gongfang.domain.errors import Reason
from gongfang.domain.values import AppState, Build, ExitInfo, Instance, Operation, OperationStatus, Release


@dataclass(frozen=True, slots=True)
class BeginOperation:
    operation: Operation


@dataclass(frozen=True, slots=True)
class EnterStep:
    """The operation is now at this step (a message code); the one before it ends."""

    operation: Operation
    name: str
    facts: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])


@dataclass(frozen=True, slots=True)
class RequestBuild:
    operation: Operation
    package_id: str


@dataclass(frozen=True, slots=True)
class CancelBuild:
    """Nobody waits for it any more."""

    build: Build


@dataclass(frozen=True, slots=True)
class MakeRelease:
    """From this droplet and the app's configuration as it is now; it becomes the target."""

    operation: Operation
    droplet_id: str
    package_id: str
    package_seq: int
    cause: str
    from_release: int | None


@dataclass(frozen=True, slots=True)
class MarkHealthy:
    release: Release


@dataclass(frozen=True, slots=True)
class Abandon:
    """Ends the operation without success and puts back what it had changed.

    `restore`: the release whose configuration comes back (None: there was none, or nothing is to be put back).
    """

    operation: Operation
    status: OperationStatus
    reason: Reason
    output: str | None
    restore: Release | None
    failed_release: Release | None
    stop_app: bool
    epoch: int | None
    scale: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class FinishOperation:
    operation: Operation


@dataclass(frozen=True, slots=True)
class StartInstance:
    """A new row, then its workload."""

    release: Release
    process: str
    index: int
    restarts: int


@dataclass(frozen=True, slots=True)
class LaunchInstance:
    """The row is there, its workload was never seen: start it (again: the driver does it once)."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class DrainInstance:
    """No new requests from now on."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class StopInstance:
    """SIGTERM, then SIGKILL. `fault`: it counts as crashed, for this reason."""

    instance: Instance
    grace_s: float
    fault: Reason | None = None


@dataclass(frozen=True, slots=True)
class RecordEnd:
    instance: Instance
    exit: ExitInfo
    ended_at: datetime | None
    told: bool = False


@dataclass(frozen=True, slots=True)
class ForgetInstance:
    """Removes the row, the log and the records of one that ended long ago."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class RunTask:
    """The one run of a task app, for this operation."""

    operation: Operation
    release: Release


@dataclass(frozen=True, slots=True)
class StopApp:
    """Desired state becomes `stopped` without an operation: a task app's run has ended."""


@dataclass(frozen=True, slots=True)
class RemoveApp:
    """Nothing of it runs any more: files, rows and the app itself go."""

    operation: Operation | None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is recorded of the app itself."""

    state: AppState
    reason: Reason | None
    generation: int


RowAction = (
    BeginOperation
    | EnterStep
    | RequestBuild
    | CancelBuild
    | MakeRelease
    | MarkHealthy
    | Abandon
    | FinishOperation
    | DrainInstance
    | RunTask
    | StopApp
)
"""Actions that change rows, and nothing else."""

Action = RowAction | StartInstance | LaunchInstance | StopInstance | RecordEnd | ForgetInstance | RemoveApp


@dataclass(frozen=True, slots=True)
class Plan:
    """`wake_at`: when to look again even if nothing happens; None = only when woken."""

    actions: tuple[Action, ...]
    observed: Observed
    wake_at: datetime | None = None
