"""The instances of one app: which are started, drained, stopped and forgotten, so that they follow the target."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import ceil

from gongfang.domain.errors import Reason
from gongfang.domain.values import Instance, InstanceState
from gongfang.reconcile.plans import actions as a
from gongfang.reconcile.plans.picture import Draft, Picture

STEADY_S = 60.0  # an instance that was ready this long has paid off its crashes
FIRST_RESTART_S = 0.2
LONGEST_RESTART_S = 300.0
SETTLE_S = 0.1  # between the edge's word that nothing is sent any more and the count of what is in flight
DRAIN_LOOK_S = 0.1
KEPT_ENDED = 5  # ended instances of a process type that are kept with their logs


def record_ends(p: Picture, draft: Draft) -> None:
    for instance in p.instances:
        ended = p.ended.get(instance.id)
        if ended is not None and not instance.state.ended:
            draft.add(a.RecordEnd(instance, ended.exit, ended.at, ended.told))


def leave(p: Picture, draft: Draft) -> None:
    """Draining ones are stopped when nothing is in flight; stopping ones are made sure of; slow starts end."""
    for instance in p.live:
        release = p.releases.get(instance.release_id)
        config = release.config.process(instance.process) if release else None
        grace = config.stop_timeout_s if config else 10.0
        if instance.state is InstanceState.draining:
            drain = config.drain_s if config else 0.0
            if _drained(p, instance, drain):
                draft.add(a.StopInstance(instance, grace))
            else:
                draft.wake(p.now + timedelta(seconds=DRAIN_LOOK_S))
        elif instance.state is InstanceState.stopping:
            draft.add(a.StopInstance(instance, grace, instance.reason))
        elif instance.started_at is None:
            draft.add(a.LaunchInstance(instance))
        elif instance.state is InstanceState.starting and config is not None:
            if _since(instance.started_at, p.now) >= config.start_timeout_s:
                facts = {"seconds": config.start_timeout_s, "process": instance.process}
                what = p.probed.get(instance.id, "-")
                fault = Reason("start_timeout", {**facts, "what": what})
                draft.add(a.StopInstance(instance, min(grace, 2.0), fault))
            else:
                draft.wake(instance.started_at + timedelta(seconds=config.start_timeout_s))


def _since(moment: datetime, now: datetime) -> float:
    """Seconds since then. A moment of the future is of before the clock was put back, while nobody moved it along:
    how long ago it was is not known, and taken to be as long as it is ahead. So no wait lasts until the clock has
    caught up, which may be years."""
    return abs((now - moment).total_seconds())


def _drained(p: Picture, instance: Instance, drain_s: float) -> bool:
    if instance.port is None or instance.leaving_at is None:
        return True
    waited = _since(instance.leaving_at, p.now)
    if waited >= drain_s:
        return True
    count = p.in_flight.get(instance.id)
    return p.edge_current and count == 0 and waited >= SETTLE_S


def converge(p: Picture, process: str, draft: Draft) -> None:
    staying = [i for i in p.live if i.process == process and not i.state.leaving]
    wanted = p.wanted(process)
    new = sorted((i for i in staying if p.is_new(i)), key=lambda i: i.index)
    old = [i for i in staying if not p.is_new(i)]
    if p.target is None or not p.started:
        draft.add(*(a.DrainInstance(i) for i in staying))
        return
    _add(p, process, wanted, new, old, draft)
    excess = _excess(new, wanted)
    draft.add(*(a.DrainInstance(i) for i in excess))
    draft.add(*(a.DrainInstance(i) for i in _dispensable(p, new, old, wanted)))


def _add(p: Picture, process: str, wanted: int, new: Sequence[Instance], old: Sequence[Instance], draft: Draft) -> None:
    """Starts what is missing, at most a quarter (at least one) beyond what is wanted at a time."""
    assert p.target is not None
    missing = wanted - len(new)
    if missing <= 0:
        return
    room = max(wanted, len(old)) + max(1, ceil(wanted / 4)) - len(new) - len(old) if old else missing
    taken = {i.index for i in new}
    free = [index for index in range(wanted) if index not in taken]
    for index in free[: max(0, min(missing, room))]:
        restarts, due = _restart(p, process, index)
        if due is None or due <= p.now:
            draft.add(a.StartInstance(p.target, process, index, restarts))
        else:
            draft.wake(due)


def _restart(p: Picture, process: str, index: int) -> tuple[int, datetime | None]:
    """How often this place has crashed in a row, and when it may be tried again."""
    here = [
        i
        for i in p.instances
        if i.process == process and i.index == index and i.state is InstanceState.crashed and p.is_new(i)
    ]
    if not here:
        return 0, None
    # One that ended in the future did so before the clock was put back: any other is newer.
    last = max(here, key=lambda i: ((ended := i.ended_at or p.now) <= p.now, ended, i.id))
    ended = last.ended_at or p.now
    if ended > p.now:
        return last.restarts + 1, None
    if last.ready_at is not None and (ended - last.ready_at).total_seconds() >= STEADY_S:
        return 0, None
    delay = min(FIRST_RESTART_S * 2.0 ** min(last.restarts, 20), LONGEST_RESTART_S)
    return last.restarts + 1, ended + timedelta(seconds=delay)


def _excess(new: Sequence[Instance], wanted: int) -> Iterable[Instance]:
    """Those beyond what is wanted: such as are not ready first, then the highest places."""
    by_worth = sorted(new, key=lambda i: (i.state is InstanceState.ready, -i.index))
    return by_worth[: max(0, len(new) - wanted)]


def _dispensable(p: Picture, new: Sequence[Instance], old: Sequence[Instance], wanted: int) -> Iterable[Instance]:
    """Old ones that may go: those that serve nothing, and as many ready ones as new ones have taken over from."""
    idle = [i for i in old if i.state is not InstanceState.ready]
    serving = sorted((i for i in old if i.state is InstanceState.ready), key=lambda i: (i.created_at, i.id))
    ready_new = sum(1 for i in new if i.state is InstanceState.ready) if p.edge_current else 0
    surplus = len(serving) + min(ready_new, wanted) - wanted
    return [*idle, *serving[: max(0, surplus)]]


def retire(p: Picture, draft: Draft) -> None:
    """Forgets ended instances beyond the newest few of each process type.

    The last of each wanted place stays as long as the place is wanted: its crashes in a row are counted there.
    """
    by_process: dict[str, list[Instance]] = {}
    for instance in p.instances:
        if instance.state.ended:
            by_process.setdefault(instance.process, []).append(instance)
    for process, ended in by_process.items():
        newest = sorted(ended, key=lambda i: (i.ended_at or p.now, i.id), reverse=True)
        last_of_place = {i.index: i.id for i in reversed(newest) if i.index < p.wanted(process)}
        kept = {i.id for i in newest[:KEPT_ENDED]} | set(last_of_place.values())
        draft.add(*(a.ForgetInstance(i) for i in newest if i.id not in kept))
