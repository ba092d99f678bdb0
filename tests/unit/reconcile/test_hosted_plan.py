"""The plan of one server, played through with everything that may go wrong in between."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.brokers.kinds.interface import Change
from gongfang.domain.errors import Reason
from gongfang.domain.hosting import HostedBinding, HostedInstance, HostedState, LastOperation
from gongfang.domain.services import BindingState
from gongfang.domain.values import ExitInfo
from gongfang.reconcile.plans import hosting as h
from gongfang.runtimes.interface import Phase

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CREATING, READY, UPDATING = HostedState.creating, HostedState.ready, HostedState.updating
CRASHED, BROKEN = HostedState.crashed, HostedState.broken


def operation(kind: str, state: str = "in progress") -> LastOperation:
    return LastOperation("op", kind, state, None, NOW)


ROW = HostedInstance(
    id="hst_1",
    owner="",
    instance_id="sin_1",
    service="pretend",
    plan="small",
    parameters={},
    generation=1,
    deleting=False,
    port=16000,
    admin_secret="{}",
    created_at=NOW,
    last_operation=operation("provision"),
)
SERVES = replace(
    ROW,
    state=READY,
    observed_generation=1,
    plan_seen="small",
    initialized=True,
    workload_id="srv_1",
    started_at=NOW - timedelta(hours=1),
    ready_at=NOW - timedelta(hours=1),
    last_operation=operation("provision", "succeeded"),
)


def binding(number: int, **more: object) -> HostedBinding:
    made = HostedBinding(f"hbn_{number}", "hst_1", f"bnd_{number}", None, {}, False, NOW, "{}")
    return replace(made, **more)  # pyright: ignore[reportArgumentType]


def picture(row: HostedInstance, phase: Phase = Phase.running, **more: object) -> h.HostedPicture:
    made = h.HostedPicture(
        row, (), phase, row.initialized, Change.none, NOW, launched=1 if phase is Phase.running else None
    )
    return replace(made, **more)  # pyright: ignore[reportArgumentType]


def acts(p: h.HostedPicture) -> tuple[h.Act, ...]:
    return h.decide_hosted(p).acts


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (picture(ROW, Phase.unknown), (h.Launch(fresh=True),)),
        (picture(replace(ROW, workload_id="srv_1"), Phase.unknown), (h.Launch(fresh=True),)),
        (picture(replace(ROW, workload_id="srv_1")), (h.Adopt(),)),
        (picture(replace(ROW, workload_id="srv_1", started_at=NOW)), (h.Probe(),)),
        (picture(SERVES), ()),
        (picture(SERVES, misses=h.MISSES - 1), ()),
        (picture(replace(SERVES, generation=2), change=Change.none), (h.Settle(),)),
        (picture(replace(SERVES, generation=2), change=Change.live), (h.Reconfigure(),)),
        (picture(replace(SERVES, generation=2), change=Change.restart), (h.Stop(),)),
        (picture(replace(SERVES, generation=2), change=Change.none, launched=None), (h.Stop(),)),
        (picture(replace(SERVES, generation=3, observed_generation=2, started_at=NOW), launched=3), (h.Probe(),)),
        (picture(replace(SERVES, generation=4, observed_generation=2), launched=3), (h.Stop(),)),
        (picture(replace(SERVES, generation=3, observed_generation=3), launched=1), ()),
        (picture(replace(SERVES, state=BROKEN)), (h.Stop(),)),
        (picture(replace(SERVES, deleting=True)), (h.Stop(),)),
        (picture(replace(SERVES, deleting=True), Phase.ended), (h.Destroy(),)),
        (picture(replace(SERVES, deleting=True), Phase.unknown, data_there=False), (h.Destroy(),)),
        (picture(replace(SERVES, workload_id=None), Phase.unknown), (h.Launch(fresh=False),)),
        (
            picture(replace(SERVES, workload_id=None), Phase.unknown, data_there=False),
            (h.Break(h.DATA_MISSING, None),),
        ),
        (
            picture(
                replace(SERVES, workload_id=None, state=BROKEN, reason=h.DATA_MISSING), Phase.unknown, data_there=False
            ),
            (),
        ),
        (
            picture(replace(SERVES, workload_id=None, state=BROKEN, reason=h.DATA_MISSING), Phase.unknown),
            (h.Launch(fresh=False),),
        ),
        (picture(replace(ROW, state=BROKEN, last_operation=operation("provision", "failed")), Phase.unknown), ()),
        (
            picture(
                replace(ROW, state=BROKEN, generation=2, last_operation=operation("update")),
                Phase.unknown,
            ),
            (h.Launch(fresh=True),),
        ),
    ],
)
def test_what_is_done(p: h.HostedPicture, expected: tuple[h.Act, ...]) -> None:
    assert acts(p) == expected


def test_bindings_are_told_and_revoked_once_it_serves() -> None:
    made, told, ending, failed = (
        binding(1),
        binding(2, state=BindingState.ready),
        binding(3, state=BindingState.deleting, deleting=True),
        binding(4, state=BindingState.failed),
    )
    every = (made, told, ending, failed)
    assert acts(picture(SERVES, bindings=every)) == (h.Tell(made), h.Revoke(ending))
    assert acts(picture(replace(SERVES, ready_at=None), bindings=every, now=SERVES.started_at)) == (h.Probe(),)


@pytest.mark.parametrize(
    ("told", "fault", "counted"),
    [(False, None, True), (True, None, False), (True, Reason("service_no_answer", {}), True)],
)
def test_what_counts_as_a_crash(told: bool, fault: Reason | None, counted: bool) -> None:
    (end,) = acts(picture(SERVES, Phase.ended, told=told, fault=fault, exit=ExitInfo(1)))
    assert isinstance(end, h.RecordEnd)
    assert end.counted is counted
    assert end.fault == fault


def test_a_start_without_an_answer_is_a_fault() -> None:
    row = replace(ROW, workload_id="srv_1", started_at=NOW - timedelta(seconds=h.START_S))
    (stop,) = acts(picture(row, trouble="refused"))
    assert isinstance(stop, h.Stop)
    assert stop.fault == Reason("service_start_timeout", {"seconds": 60, "what": "refused"})


class World:
    """One server as the reconciler keeps it: what acts do to the row, and a machine that obeys."""

    def __init__(self) -> None:
        self.row = ROW
        self.now = NOW
        self.phase = Phase.unknown
        self.launched: int | None = None
        self.told = False
        self.fault: Reason | None = None
        self.exit: ExitInfo | None = None
        self.data = False
        self.bad: set[int] = set()  # generations that no server starts with
        self.change = Change.restart
        self.gone = False
        self.starts = 0

    def picture(self) -> h.HostedPicture:
        return h.HostedPicture(
            self.row,
            (),
            self.phase,
            self.data,
            self.change,
            self.now,
            self.exit,
            self.told,
            self.launched,
            self.fault,
        )

    def look(self, *, most: int = 100) -> int:
        """Until there is nothing to do just now; how many acts that took, of at most so many (then it is killed)."""
        done = 0
        while done < most and not self.gone:
            decision = h.decide_hosted(self.picture())
            if not decision.acts:
                if decision.wake_at is not None:
                    assert decision.wake_at > self.now
                    assert decision.wake_at - self.now <= timedelta(seconds=h.LONGEST_RESTART_S)
                return done
            for act in decision.acts:
                done += 1
                self.do(act)
                if done >= most:
                    break
        assert done <= most
        return done

    def settle(self) -> None:
        for _ in range(40):
            if self.look() == 100:
                raise AssertionError(f"it goes round for ever: {self.row}")
            self.now += timedelta(seconds=h.LONGEST_RESTART_S)

    def write(self, **changes: object) -> None:
        self.row = replace(self.row, **changes)  # pyright: ignore[reportArgumentType]

    def do(self, act: h.Act) -> None:
        row = self.row
        match act:
            case h.Launch(fresh):
                assert self.phase is not Phase.running, "two servers of the same data"
                assert fresh is not row.initialized
                assert self.data or not row.initialized, "an empty database under an old name"
                self.starts += 1
                state = CREATING if row.observed_generation == 0 else row.state
                if row.observed_generation and row.observed_generation != row.generation:
                    state = UPDATING
                elif state is BROKEN:
                    state = CRASHED
                more = {"restarts": 0} if state is UPDATING and row.state is not UPDATING else {}
                self.write(workload_id=row.workload_id or f"srv_{self.starts}", state=state, **more)
                self.phase, self.launched, self.told, self.fault, self.exit = Phase.running, row.generation, *_END
                self.data = True
            case h.Adopt():
                self.write(started_at=self.now, ready_at=None)
            case h.Probe():
                if self.launched in self.bad:
                    self.phase, self.exit = Phase.ended, ExitInfo(1)
                else:
                    self.settled()
            case h.Reconfigure() | h.Settle():
                self.settled()
            case h.Stop(fault):
                self.fault = fault
                self.phase, self.told, self.exit = Phase.ended, True, ExitInfo(None, signal=15)
            case h.RecordEnd():
                self.record(act)
            case h.Break(reason, due):
                self.write(state=BROKEN, reason=reason, next_start_at=due)
            case h.Destroy():
                assert self.phase is not Phase.running
                self.gone = True
            case h.Tell() | h.Revoke():
                raise AssertionError("there are no bindings")

    def settled(self) -> None:
        last = self.row.last_operation or operation("x")
        if last.state == "in progress":
            last = replace(last, state="succeeded")
        self.write(
            state=READY,
            reason=None,
            observed_generation=self.row.generation,
            initialized=True,
            ready_at=self.row.ready_at or self.now,
            next_start_at=None,
            last_operation=last,
        )

    def record(self, act: h.RecordEnd) -> None:
        row = self.row
        settled = row.observed_generation == row.generation
        failed = replace(row.last_operation or operation("x"), state="failed")
        self.write(
            workload_id=None, started_at=None, ready_at=None, restarts=act.restarts, next_start_at=act.next_start_at
        )
        if act.counted:
            assert act.give_up is not act.take_back or not act.give_up
            if act.give_up:
                self.write(state=BROKEN, last_operation=failed)
            elif act.take_back:
                new = row.generation + 1
                self.write(state=CRASHED, generation=new, observed_generation=new, last_operation=failed)
            elif settled:
                self.write(state=CRASHED)
        self.phase, self.launched, self.fault = Phase.unknown, None, None


_END = (False, None, None)


def test_a_creation_and_a_change_that_never_work_are_given_up() -> None:
    w = World()
    w.bad = {1}
    w.settle()
    assert (w.row.state, w.starts, w.phase) == (BROKEN, h.TRIES, Phase.unknown)
    w = World()
    w.settle()
    w.write(generation=2, last_operation=operation("update"))
    w.bad = {2}
    w.settle()
    assert (w.row.state, w.row.generation, w.row.observed_generation) == (READY, 3, 3)
    assert w.row.last_operation is not None and w.row.last_operation.state == "failed"
    assert w.phase is Phase.running


EVENTS = st.lists(
    st.sampled_from(
        ["crash", "lost", "told", "wish", "live", "bad", "killed", "killed", "later", "data away", "data back", "back"]
    ),
    max_size=25,
)


@given(events=EVENTS, kills=st.lists(st.integers(1, 4), min_size=30, max_size=30))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_it_comes_to_rest_and_nothing_is_made_anew(events: list[str], kills: list[int]) -> None:
    """`do` holds every start to: one at a time, never on lost data."""
    w = World()
    aside = False
    for event, most in zip(events, kills, strict=False):
        match event:
            case "crash" | "lost" if w.phase is Phase.running:
                w.phase, w.exit = Phase.ended, ExitInfo(1, lost=event == "lost")
                if event == "lost":
                    w.phase, w.launched = Phase.unknown, None
            case "told" if w.phase is Phase.running:
                w.phase, w.told, w.exit = Phase.ended, True, ExitInfo(None, signal=15)
            case "wish" | "live" | "bad" if w.row.last_operation and w.row.last_operation.state != "in progress":
                w.write(generation=w.row.generation + 1, last_operation=operation("update"))
                w.change = Change.live if event == "live" else Change.restart
                if event == "bad":
                    w.bad.add(w.row.generation)
            case "data away" if w.phase is not Phase.running and w.data:
                w.data, aside = False, True
            case "data back" if aside:
                w.data, aside = True, False
            case "later":
                w.now += timedelta(seconds=40)
            case "back":
                w.now -= timedelta(days=400)
            case _:
                pass
        w.look(most=most if event == "killed" else 100)
        if event == "killed":
            w.fault = None  # another control plane does not know why one was stopped
    if aside and w.row.initialized:
        w.settle()
        if w.phase is not Phase.running:
            assert (w.row.state, w.row.reason) == (BROKEN, h.DATA_MISSING)
        w.data = True
    w.settle()
    gave_up = w.row.state is BROKEN and w.row.last_operation is not None and w.row.last_operation.state == "failed"
    if gave_up:
        assert w.row.observed_generation == 0
        assert w.phase is not Phase.running
    else:
        assert (w.row.state, w.phase) == (READY, Phase.running)
        assert w.row.observed_generation == w.row.generation
    w.write(deleting=True)
    w.settle()
    assert w.gone
