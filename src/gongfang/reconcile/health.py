"""Watches instances: when one becomes ready, stops being ready, or has to be replaced.

One small task an instance, from its start until it leaves. While it starts it is probed quickly (every 10 ms at
first, slowing to half a second); once ready, at its check's interval. What is seen is written to the instance's row
(this is the only writer of `ready` and `unready`) and the app is woken. Probing again after a restart of the control
plane is harmless.
"""

import asyncio
import random
from dataclasses import replace

import structlog

from gongfang.domain.clock import Clock
from gongfang.domain.errors import Reason, Unavailable
from gongfang.domain.values import CheckKind, HealthCheck, Instance, InstanceState, ProcessConfig
from gongfang.reconcile.probes import Probe, probe
from gongfang.state import Database

log = structlog.get_logger()

FIRST_PROBE_S = 0.01
SLOWEST_PROBE_S = 0.5
PROBE_GROWTH = 1.1  # so that what waiting adds is a tenth of the start at most
LATE_S = 0.3
PROCESS_SETTLE_S = 1.0  # a process without a port counts as ready when it has run this long


class HealthWatch:
    """Keeps one watcher for each instance that is told to it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, str] = {}
        self._broken: set[str] = set()

    def watch(self, instance: Instance, config: ProcessConfig) -> None:
        """Begins to watch, where it isn't watched yet."""
        self._broken.discard(instance.id)
        if instance.id not in self._watchers:
            task = asyncio.create_task(self._run(instance, config), name=f"health:{instance.id}")
            self._watchers[instance.id] = task
            task.add_done_callback(lambda done: self._ended(instance.id, done))

    def in_order(self, instance_id: str) -> bool:
        """False where watching it has ended by a fault of ours, until it is watched again."""
        return instance_id not in self._broken

    def forget(self, instance_id: str) -> None:
        self._broken.discard(instance_id)
        task = self._watchers.pop(instance_id, None)
        if task is not None:
            task.cancel()

    def last_seen(self, instance_id: str) -> str | None:
        """What the last failed probe of a starting instance saw."""
        return self._last.get(instance_id)

    async def close(self) -> None:
        tasks = list(self._watchers.values())
        self._watchers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, instance_id: str, done: asyncio.Task[None]) -> None:
        self._watchers.pop(instance_id, None)
        self._last.pop(instance_id, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            self._broken.add(instance_id)
            log.error("health watch failed", instance=instance_id, exc_info=error)

    async def _run(self, instance: Instance, config: ProcessConfig) -> None:
        host, port = instance.host or "127.0.0.1", instance.port or 0
        if instance.state is InstanceState.starting:
            await self._until_ready(instance, config.readiness, host, port)
        if config.liveness is None:  # with thousands of instances, a task less for each
            await self._readiness(instance, config.readiness, host, port)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._readiness(instance, config.readiness, host, port))
            group.create_task(self._liveness(instance, config.liveness, host, port))

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
        await self._write(instance, InstanceState.ready, None)

    async def _readiness(self, instance: Instance, check: HealthCheck, host: str, port: int) -> None:
        """Takes it out of the edge while its check fails, and puts it back when it passes once."""
        if check.kind is CheckKind.process:
            return
        ready, failed = instance.state is not InstanceState.unready, 0
        if instance.state is not InstanceState.starting:  # adopted, with all the others: not all in the same moment
            await asyncio.sleep(check.interval_s * random.random())  # noqa: S311
        while True:
            await _in(check.interval_s)
            seen = await probe(check, host, port)
            failed = 0 if seen.well else failed + 1
            if ready and failed >= check.failures:
                ready = False
                await self._write(instance, InstanceState.unready, self._unready(instance, seen))
            elif not ready and seen.well:
                ready = True
                await self._write(instance, InstanceState.ready, None)

    @staticmethod
    def _unready(instance: Instance, seen: Probe) -> Reason:
        return Reason("readiness_failed", {"process": instance.process, "what": seen.what})

    async def _liveness(self, instance: Instance, check: HealthCheck, host: str, port: int) -> None:
        failed = 0
        while True:
            await _in(check.interval_s)
            seen = await probe(check, host, port)
            failed = 0 if seen.well else failed + 1
            if failed >= check.failures:
                facts: dict[str, str | int | float] = {
                    "process": instance.process,
                    "failures": failed,
                    "what": seen.what,
                }
                await self._write(instance, InstanceState.stopping, Reason("liveness_failed", facts))
                return

    async def _write(self, instance: Instance, state: InstanceState, reason: Reason | None) -> None:
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


async def _in(seconds: float) -> None:
    """Sleeps; and again where it was woken late by more than `LATE_S`: when this process does not get its turn, its
    probes run out of their time, which is no fault of the instances'."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    await asyncio.sleep(seconds)
    while loop.time() - due > LATE_S:
        due = loop.time() + LATE_S
        await asyncio.sleep(LATE_S)
