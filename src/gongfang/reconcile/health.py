"""Watches instances: when one becomes ready, stops being ready, or has to be replaced.

While an instance starts it has a task and is probed quickly (every 10 ms at first, slowing to half a second); once
ready, at its check's interval until it leaves (`regular`). What is seen is written to the instance's row (this is the
only writer of `ready` and `unready`) and the app is woken. Probing again after a restart of the control plane is
harmless.
"""

import asyncio
import random
from dataclasses import replace
from functools import partial

import structlog

from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason, Unavailable
from gongfang.domain.values import CheckKind, HealthCheck, Instance, InstanceState, ProcessConfig
from gongfang.reconcile.probes import Probe, probe
from gongfang.reconcile.regular import RegularCheck, Timetable
from gongfang.state import Database

log = structlog.get_logger()

FIRST_PROBE_S = 0.01
SLOWEST_PROBE_S = 0.5
PROBE_GROWTH = 1.1  # so that what waiting adds is a tenth of the start at most
PROCESS_SETTLE_S = 1.0  # a process without a port counts as ready when it has run this long


class _Watched:
    """An instance's watching: a task while it starts, then its checks."""

    __slots__ = ("checks", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.checks: list[RegularCheck] = []

    def end(self) -> list[asyncio.Task[None]]:
        """Answers what was under way, and is cancelled. Leaves nothing that holds itself."""
        tasks = [check.end() for check in self.checks]
        self.checks.clear()
        if self.task is not None:
            self.task.cancel()
            tasks.append(self.task)
        return [task for task in tasks if task is not None]


class HealthWatch:
    """Watches each instance that is told to it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._last: dict[str, str] = {}
        self._broken: set[str] = set()
        self._timetable = Timetable()

    def watch(self, instance: Instance, config: ProcessConfig) -> None:
        """Begins to watch, where it isn't watched yet."""
        self._broken.discard(instance.id)
        if instance.id in self._watched:
            return
        watched = self._watched[instance.id] = _Watched()
        if instance.state is InstanceState.starting:
            watched.task = asyncio.create_task(self._start(watched, instance, config), name=f"health:{instance.id}")
            watched.task.add_done_callback(lambda done: self._started(watched, instance.id, done))
        else:
            self._begin_checks(watched, instance, config)

    def in_order(self, instance_id: str) -> bool:
        """False where watching it has ended by a fault of ours, until it is watched again."""
        return instance_id not in self._broken

    def forget(self, instance_id: str) -> None:
        self._broken.discard(instance_id)
        self._last.pop(instance_id, None)
        watched = self._watched.pop(instance_id, None)
        if watched is not None:
            watched.end()

    def last_seen(self, instance_id: str) -> str | None:
        """What the last failed probe of a starting instance saw."""
        return self._last.get(instance_id)

    async def close(self) -> None:
        self._timetable.close()
        all_watched = list(self._watched.values())
        self._watched.clear()
        tasks = [task for watched in all_watched for task in watched.end()]
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- while it starts ---------------------------------------------------------------------------------------------

    async def _start(self, watched: _Watched, instance: Instance, config: ProcessConfig) -> None:
        await self._until_ready(instance, config.readiness, *_where(instance))
        watched.task = None
        self._begin_checks(watched, instance, config)

    def _started(self, watched: _Watched, instance_id: str, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._fault(watched, instance_id, error)

    def _fault(self, watched: _Watched, instance_id: str, error: BaseException) -> None:
        log.error("health watch failed", instance=instance_id, exc_info=error)
        if self._watched.get(instance_id) is watched:
            self.forget(instance_id)
            self._broken.add(instance_id)

    async def _until_ready(self, instance: Instance, check: HealthCheck, host: str, port: int) -> None:
        if check.kind is CheckKind.process:
            await asyncio.sleep(PROCESS_SETTLE_S)
        pause = FIRST_PROBE_S
        patient = replace(check, timeout_s=max(check.timeout_s, 1.0))
        while not (seen := await probe(patient, host, port)).well:
            self._last[instance.id] = seen.what
            await asyncio.sleep(pause)
            pause = min(pause * PROBE_GROWTH, SLOWEST_PROBE_S)
        self._last.pop(instance.id, None)
        await self.write(instance, InstanceState.ready, None)

    # --- from then on ------------------------------------------------------------------------------------------------

    def _begin_checks(self, watched: _Watched, instance: Instance, config: ProcessConfig) -> None:
        if config.readiness.kind is not CheckKind.process:
            ready = instance.state is not InstanceState.unready
            self._begin(watched, instance, config.readiness, _Readiness(self, instance, config.readiness, ready))
        if config.liveness is not None:
            self._begin(watched, instance, config.liveness, _Liveness(self, instance, config.liveness))

    def _begin(
        self, watched: _Watched, instance: Instance, check: HealthCheck, judge: "_Readiness | _Liveness"
    ) -> None:
        regular = RegularCheck(
            self._timetable,
            check,
            *_where(instance),
            judge,
            partial(self._fault, watched, instance.id),
            well=instance.state is not InstanceState.unready,
        )
        watched.checks.append(regular)
        adopted = instance.state is not InstanceState.starting  # with all the others: not all in the same moment
        regular.begin(check.interval_s * (1 + random.random() * adopted))  # noqa: S311

    # --- what is recorded --------------------------------------------------------------------------------------------

    async def write(self, instance: Instance, state: InstanceState, reason: Reason | None) -> None:
        """Records it, unless the instance is leaving or gone. Tries again while the database is away."""
        while True:
            try:
                async with self._database.writing() as tx:
                    now = await tx.lock(Instance, instance.id)
                    if now is None or now.state.ended or now.state.leaving:
                        return
                    first = {"ready_at": self._clock()} if state is InstanceState.ready and not now.ready_at else {}
                    await tx.update(Instance, instance.id, state=state, reason=reason, **first)
                    tx.wake("app", instance.app_id)
                return
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)


class _Readiness:
    """Takes the instance out of the edge while its check fails, and puts it back when it passes once."""

    __slots__ = ("_check", "_failed", "_instance", "_ready", "_watch")

    def __init__(self, watch: HealthWatch, instance: Instance, check: HealthCheck, ready: bool) -> None:
        self._watch = watch
        self._instance = instance
        self._check = check
        self._ready = ready
        self._failed = 0

    async def __call__(self, seen: Probe) -> bool:
        self._failed = 0 if seen.well else self._failed + 1
        if self._ready and self._failed >= self._check.failures:
            self._ready = False
            reason = Reason("readiness_failed", {"process": self._instance.process, "what": seen.what})
            await self._watch.write(self._instance, InstanceState.unready, reason)
        elif not self._ready and seen.well:
            self._ready = True
            await self._watch.write(self._instance, InstanceState.ready, None)
        return self._ready and not self._failed


class _Liveness:
    """Has the instance replaced when its check has failed often enough. Told again afterwards, it does no harm: what
    leaves is not written to."""

    __slots__ = ("_check", "_failed", "_instance", "_watch")

    def __init__(self, watch: HealthWatch, instance: Instance, check: HealthCheck) -> None:
        self._watch = watch
        self._instance = instance
        self._check = check
        self._failed = 0

    async def __call__(self, seen: Probe) -> bool:
        self._failed = 0 if seen.well else self._failed + 1
        if self._failed >= self._check.failures:
            facts: dict[str, str | int | float] = {
                "process": self._instance.process,
                "failures": self._failed,
                "what": seen.what,
            }
            await self._watch.write(self._instance, InstanceState.stopping, Reason("liveness_failed", facts))
            self._failed = 0
        return not self._failed


def _where(instance: Instance) -> tuple[str, int]:
    return instance.host or "127.0.0.1", instance.port or 0
