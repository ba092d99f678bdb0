"""What the plan of one app looks at, and what it decides: the picture and the draft that its rules share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gongfang.domain.values import (
    App,
    AppType,
    Build,
    DesiredState,
    ExitInfo,
    Instance,
    InstanceState,
    Operation,
    OperationKind,
    Release,
    Task,
)
from gongfang.reconcile.plans import actions as a


@dataclass(frozen=True, slots=True)
class Ended:
    """A workload that the runtime says has ended."""

    exit: ExitInfo
    at: datetime | None
    told: bool = False  # somebody had it stopped: `gongfang down`, say


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the plan looks at.

    `operations`: the active ones, oldest first. `builds`: theirs, and others under way. `commands`: process types of
    the target's droplet. `ended`: by instance id. `in_flight`: of draining ones, None where the edge can't say.
    `probed`: what the last failed probe of a starting one saw.
    `edge_current`: the edge has acknowledged the instances as they are in `instances`.
    `bound`: digest of the bindings that count now; `bindings`: how many there are, those that are being undone too.
    """

    app: App
    now: datetime
    operations: tuple[Operation, ...] = ()
    builds: Mapping[str, Build] = field(default_factory=dict[str, Build])
    build_outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    target: Release | None = None
    current: Release | None = None
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    instances: tuple[Instance, ...] = ()
    releases: Mapping[str, Release] = field(default_factory=dict[str, Release])
    ended: Mapping[str, Ended] = field(default_factory=dict[str, Ended])
    in_flight: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    probed: Mapping[str, str] = field(default_factory=dict[str, str])
    edge_current: bool = True
    bound: str = ""
    bindings: int = 0

    @property
    def started(self) -> bool:
        return self.app.desired is DesiredState.started and not self.app.destroying

    @property
    def live(self) -> tuple[Instance, ...]:
        """Those that have not ended, as far as is known now."""
        return tuple(i for i in self.instances if not i.state.ended and i.id not in self.ended)

    def wanted(self, process: str) -> int:
        if not self.started or self.target is None or self.app.type is AppType.task:
            return 0
        if self.held:
            return 0
        known = process in self.commands or self.target.config.process(process).command is not None
        return self.app.scale.get(process, 0) if known else 0

    def processes(self) -> list[str]:
        return sorted({*self.app.scale, *(i.process for i in self.live)})

    def is_new(self, instance: Instance) -> bool:
        """Whether it is as it would be if it were started now."""
        if self.target is None or instance.release_id != self.target.id:
            return False
        return instance.epoch == self.app.epoch and instance.bound == self.bound

    @property
    def held(self) -> bool:
        """A stopped app is being started with something newer: what it ran before is not started meanwhile."""
        return any(
            o.kind is OperationKind.start and "package_id" in o.params and o.release_id is None for o in self.operations
        )


class Draft:
    """Actions as they are decided on, and the earliest moment to look again."""

    def __init__(self) -> None:
        self.actions: list[a.Action] = []
        self.wake_at: datetime | None = None

    def add(self, *actions: a.Action) -> None:
        self.actions.extend(actions)

    def wake(self, at: datetime) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)


def converged(p: Picture) -> bool:
    """Every wanted instance of the target is ready and known to the edge, and no other takes requests."""
    if not p.edge_current:
        return False
    for process in p.processes():
        staying = [i for i in p.live if i.process == process and not i.state.leaving]
        ready = [i for i in staying if i.state is InstanceState.ready and p.is_new(i)]
        if len(ready) != p.wanted(process) or len(staying) != len(ready):
            return False
    return True


def enter_step(operation: Operation, name: str, draft: Draft, **facts: str | int | float) -> None:
    last = operation.steps[-1] if operation.steps else None
    if last is None or last.name != name or last.finished_at is not None:
        draft.add(a.EnterStep(operation, name, facts))
