"""What has to be done for one server of the built-in broker: `decide_hosted` looks at a picture and says. Pure.

The order of writes is what makes it safe to end anywhere. A workload's id stands in the row before it is started, and
starting an id twice starts nothing. What was started carries the generation that it was started for, so one that runs
with older wishes is told from one that does not. Where a server's data have been and are not, nothing is started: an
empty database under an old name would be taken for the old one.

    no workload ── wait (back-off) ── Launch ── running ── Probe ─┬─ not yet: again
         ▲                                                        └─ Prepare, revoke, Settle: ready
         └── RecordEnd ◄── ended ◄── Stop (another wish that takes a restart; no answer; deletion)
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gongfang.brokers.kinds.interface import Change
from gongfang.domain.errors import Reason
from gongfang.domain.hosting import HostedBinding, HostedInstance, HostedState
from gongfang.domain.services import BindingState
from gongfang.domain.values import ExitInfo
from gongfang.runtimes.interface import Phase

START_S = 60.0  # from its start to its first answer
FIRST_RESTART_S = 0.2
LONGEST_RESTART_S = 300.0
STEADY_S = 60.0  # one that served for this long ends for the first time in a row
TRIES = 3  # starts that fail before a creation or a change is given up
MISSES = 3  # looks without an answer before a server is started again
LOOK_AGAIN_S = 0.25
FAILED = "failed"
DATA_MISSING = Reason("service_data_missing", {})


# --- what there is to do ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launch:
    """Under the row's workload id where there is one (its start was cut off), else under a new one."""

    fresh: bool


@dataclass(frozen=True, slots=True)
class Adopt:
    """It runs, and the row does not say where yet."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks whether it answers. Where it does: prepares it, tells or revokes what is open, and settles it."""


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """While it runs; then it is settled."""


@dataclass(frozen=True, slots=True)
class Settle:
    """What is wished for is so."""


@dataclass(frozen=True, slots=True)
class Stop:
    """`fault`: noted first, so that its end counts as one; None: meant."""

    fault: Reason | None = None


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """`counted`: not meant by anybody. `take_back`: the change that it does not start with is undone. `give_up`: it is
    not started any more by itself."""

    exit: ExitInfo | None
    counted: bool
    restarts: int
    next_start_at: datetime | None
    fault: Reason | None = None
    take_back: bool = False
    give_up: bool = False


@dataclass(frozen=True, slots=True)
class Break:
    """It is not to serve; tried again at `next_start_at`, None: once what is wrong is seen to be right."""

    reason: Reason
    next_start_at: datetime | None


@dataclass(frozen=True, slots=True)
class Tell:
    binding: HostedBinding


@dataclass(frozen=True, slots=True)
class Revoke:
    binding: HostedBinding


@dataclass(frozen=True, slots=True)
class Destroy:
    """Its workload is gone: the data and the row go."""


Act = Launch | Adopt | Probe | Reconfigure | Settle | Stop | RecordEnd | Break | Tell | Revoke | Destroy


@dataclass(frozen=True, slots=True)
class HostedPicture:
    """`phase`, `exit`, `told`, `launched` (the generation that it was started for): of the row's workload. `change`:
    from what the row has seen to what it wants. `fault`: why this control plane stopped it, where it was for a fault.
    `misses`: looks in a row that found no answer. `trouble`: what the last look found instead of one."""

    row: HostedInstance
    bindings: tuple[HostedBinding, ...]
    phase: Phase
    data_there: bool
    change: Change
    now: datetime
    exit: ExitInfo | None = None
    told: bool = False
    launched: int | None = None
    fault: Reason | None = None
    misses: int = 0
    trouble: str = "-"

    @property
    def settled(self) -> bool:
        return self.row.observed_generation == self.row.generation

    @property
    def never(self) -> bool:
        """It has not come to be yet."""
        return self.row.observed_generation == 0

    @property
    def untold(self) -> tuple[HostedBinding, ...]:
        """Bindings that the server does not know of yet, or still knows of."""
        return tuple(b for b in self.bindings if b.deleting or b.state is BindingState.creating)


@dataclass(frozen=True, slots=True)
class HostedDecision:
    """`acts` in their order; it is looked at again after them."""

    acts: tuple[Act, ...] = ()
    wake_at: datetime | None = None


def decide_hosted(p: HostedPicture) -> HostedDecision:
    if p.row.deleting:
        return _do(Stop()) if p.phase is Phase.running else _do(Destroy())
    if p.phase is Phase.running:
        return _running(p)
    if p.row.workload_id is not None and (p.phase is Phase.ended or p.row.started_at is not None):
        return _do(_end(p))
    return _start(p)


def _do(*acts: Act) -> HostedDecision:
    return HostedDecision(acts)


def _start(p: HostedPicture) -> HostedDecision:
    row, broken = p.row, p.row.state is HostedState.broken
    if row.initialized and not p.data_there:
        known = broken and row.reason == DATA_MISSING
        return HostedDecision() if known else _do(Break(DATA_MISSING, None))
    put_back = broken and row.reason == DATA_MISSING
    anew = not p.settled and row.state in (HostedState.crashed, HostedState.broken) and not _gave_up(row)
    if not put_back and not anew:
        due = row.next_start_at
        if due is None and broken:
            return HostedDecision()
        # One that is further ahead than any wait is of before the clock was put back.
        if due is not None and p.now < due <= p.now + timedelta(seconds=LONGEST_RESTART_S):
            return HostedDecision(wake_at=due)
    return _do(Launch(fresh=not row.initialized))


def _gave_up(row: HostedInstance) -> bool:
    """Its last operation has failed for good: it is not started until another one comes."""
    return row.last_operation is not None and row.last_operation.state == FAILED


def _running(p: HostedPicture) -> HostedDecision:
    row = p.row
    if row.started_at is None:
        return _do(Adopt())
    if row.state is HostedState.broken:  # it must not serve
        return _do(Stop())
    if not _as_wished(p):
        return _otherwise(p)
    if row.ready_at is None or not p.settled:
        return _starting(p, row.started_at)
    if p.misses >= MISSES:
        return _do(Stop(Reason("service_no_answer", {"count": p.misses, "what": p.trouble})))
    return _do(*(Revoke(b) if b.deleting else Tell(b) for b in p.untold))


def _otherwise(p: HostedPicture) -> HostedDecision:
    """It runs with older wishes."""
    if p.row.ready_at is None or p.change is Change.restart or not _as_seen(p):
        return _do(Stop())
    return _do(Reconfigure() if p.change is Change.live else Settle())


def _starting(p: HostedPicture, started_at: datetime) -> HostedDecision:
    if _since(started_at, p.now) >= START_S:
        return _do(Stop(Reason("service_start_timeout", {"seconds": int(START_S), "what": p.trouble})))
    return HostedDecision((Probe(),), p.now + timedelta(seconds=LOOK_AGAIN_S))


def _as_wished(p: HostedPicture) -> bool:
    """What runs is what is wished for: it was started for that, or changed to it since."""
    return p.launched == p.row.generation or (p.settled and _as_seen(p))


def _as_seen(p: HostedPicture) -> bool:
    """What runs is what the row has seen. One that was started later runs with wishes that never came to be."""
    return p.launched is not None and p.launched <= p.row.observed_generation


def _end(p: HostedPicture) -> RecordEnd:
    """An end that was meant (for a change, or `gongfang down`) does not count."""
    row = p.row
    if p.told and p.fault is None:
        return RecordEnd(p.exit, counted=False, restarts=row.restarts, next_start_at=row.next_start_at)
    served = row.ready_at is not None and _since(row.ready_at, p.now) >= STEADY_S
    restarts = 1 if served else row.restarts + 1
    delay = min(FIRST_RESTART_S * 2.0 ** min(restarts - 1, 20), LONGEST_RESTART_S)
    hopeless = not p.settled and row.ready_at is None and restarts >= TRIES
    return RecordEnd(
        p.exit,
        counted=True,
        restarts=restarts,
        next_start_at=None if hopeless and p.never else p.now + timedelta(seconds=delay),
        fault=p.fault,
        take_back=hopeless and not p.never,
        give_up=hopeless and p.never,
    )


def _since(moment: datetime, now: datetime) -> float:
    """Seconds since then; of a moment that is ahead (the clock was put back), as many as it is ahead."""
    return abs((now - moment).total_seconds())
