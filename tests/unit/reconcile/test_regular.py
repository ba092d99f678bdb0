"""A check at its interval: nothing but a timer while all is well, a look by a task when not, an end when told."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gongfang.domain.values import CheckKind, HealthCheck
from gongfang.reconcile import regular as module
from gongfang.reconcile.probes import Probe, passes_at_once
from gongfang.reconcile.regular import PART, TICK_S, RegularCheck, Timetable

SOON = HealthCheck(kind=CheckKind.port, interval_s=0.005, timeout_s=1, failures=2)


@contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(128)
        yield server.getsockname()[1]


def nobody() -> int:
    with listening() as port:
        return port


class Judge:
    """Says that all is well if the probe was; `changed`: set when it was told something."""

    def __init__(self) -> None:
        self.told: list[Probe] = []
        self.changed = asyncio.Event()
        self.faults: list[BaseException] = []
        self.error: Exception | None = None

    async def __call__(self, seen: Probe) -> bool:
        self.told.append(seen)
        self.changed.set()
        if self.error is not None:
            raise self.error
        return seen.well

    def fault(self, error: BaseException) -> None:
        self.faults.append(error)
        self.changed.set()

    async def until_told(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.told) + len(self.faults) < times:
                self.changed.clear()
                await self.changed.wait()


def test_while_all_is_well_nobody_is_told_and_no_task_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = asyncio.Event()
    seen: list[bool] = []

    def look(check: HealthCheck, host: str, port: int) -> bool:
        seen.append(passes_at_once(check, host, port))
        if len(seen) == 5:
            looks.set()
        return seen[-1]

    monkeypatch.setattr(module, "passes_at_once", look)

    async def main(port: int) -> None:
        judge = Judge()
        check = RegularCheck(Timetable(), SOON, "127.0.0.1", port, judge, judge.fault)
        check.begin(0)
        async with asyncio.timeout(5):
            await looks.wait()
        assert len(asyncio.all_tasks()) == 1
        assert not judge.told
        assert check.end() is None

    with listening() as port:
        asyncio.run(main(port))
    assert all(seen)


def test_what_fails_is_told_at_each_look_until_it_is_well_again() -> None:
    async def main() -> None:
        judge, port = Judge(), nobody()
        check = RegularCheck(Timetable(), SOON, "127.0.0.1", port, judge, judge.fault)
        check.begin(0)
        await judge.until_told(2)
        assert not any(seen.well for seen in judge.told)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen(128)
            async with asyncio.timeout(5):
                while not judge.told[-1].well:
                    judge.changed.clear()
                    await judge.changed.wait()
            check.end()
        assert not judge.faults

    asyncio.run(main())


def test_one_that_was_not_well_when_it_began_is_told_that_it_is() -> None:
    async def main(port: int) -> None:
        judge = Judge()
        check = RegularCheck(Timetable(), SOON, "127.0.0.1", port, judge, judge.fault, well=False)
        check.begin(0)
        await judge.until_told(1)
        assert judge.told[0].well
        check.end()

    with listening() as port:
        asyncio.run(main(port))


def test_an_error_ends_it_and_is_handed_on() -> None:
    async def main() -> None:
        judge = Judge()
        judge.error = RuntimeError("broken")
        check = RegularCheck(Timetable(), SOON, "127.0.0.1", nobody(), judge, judge.fault)
        check.begin(0)
        await judge.until_told(2)
        assert judge.faults == [judge.error]
        assert len(judge.told) == 1
        assert check.end() is None

    asyncio.run(main())


def test_the_end_cancels_a_look_under_way() -> None:
    async def main() -> None:
        under_way = asyncio.Event()

        async def wait_for_ever(seen: Probe) -> bool:
            under_way.set()
            return await asyncio.get_running_loop().create_future()

        faults: list[BaseException] = []
        check = RegularCheck(Timetable(), SOON, "127.0.0.1", nobody(), wait_for_ever, faults.append)
        check.begin(0)
        async with asyncio.timeout(5):
            await under_way.wait()
        task = check.end()
        assert task is not None
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert not faults

    asyncio.run(main())


def test_a_look_that_comes_late_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process did not get its turn: what it would see now is its own slowness."""
    monkeypatch.setattr(module, "LATE_S", 0.0)  # every look is late
    looks: list[str] = []
    monkeypatch.setattr(module, "passes_at_once", lambda *_: looks.append("look") or True)

    async def main() -> None:
        judge = Judge()
        check = RegularCheck(Timetable(), SOON, "127.0.0.1", 1, judge, judge.fault)
        check.begin(-0.001)
        first = check._due
        async with asyncio.timeout(5):
            while check._due == first:
                await asyncio.sleep(0)
        monkeypatch.setattr(module, "LATE_S", 5.0)
        assert not looks
        async with asyncio.timeout(5):
            while not looks:
                await asyncio.sleep(0.001)
        check.end()

    asyncio.run(main())


@pytest.mark.parametrize("host", ["no such host", "256.1.1.1", ""])
def test_an_address_that_can_not_be_is_left_to_the_slow_way(host: str) -> None:
    assert passes_at_once(SOON, host, 70_000) is False


def test_what_can_not_be_said_at_once_is_not() -> None:
    with listening() as port:
        assert passes_at_once(SOON, "127.0.0.1", port)
        assert not passes_at_once(HealthCheck(kind=CheckKind.http), "127.0.0.1", port)
    assert not passes_at_once(SOON, "127.0.0.1", nobody())
    assert passes_at_once(HealthCheck(kind=CheckKind.process), "127.0.0.1", 0)


class Due:
    """Notes when it was looked at."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self.order = order

    def look(self) -> None:
        self.order.append(self.name)


def test_the_timetable_looks_in_the_order_of_time_and_what_is_put_later_may_be_first() -> None:
    async def main() -> None:
        order: list[str] = []
        table = Timetable()
        now = asyncio.get_running_loop().time()
        for name, ticks in (("c", 5), ("a", 1), ("d", 7), ("b", 3), ("late", -4)):
            table.put(Due(name, order), now + ticks * TICK_S)  # type: ignore[arg-type]
        async with asyncio.timeout(5):
            while len(order) < 5:
                await asyncio.sleep(TICK_S)
        assert order == ["late", "a", "b", "c", "d"]
        table.close()

    asyncio.run(main())


def test_between_many_looks_others_get_their_turn() -> None:
    async def main() -> None:
        order: list[str] = []
        table = Timetable()
        for number in range(PART * 3):
            table.put(Due(f"look {number}", order), 0.0)  # type: ignore[arg-type]
        async with asyncio.timeout(5):
            while len(order) < PART * 3:
                order.append("other")
                await asyncio.sleep(0)
        turns = [at for at, what in enumerate(order) if what == "other"]
        assert max(b - a for a, b in itertools.pairwise(turns)) <= PART + 1

    asyncio.run(main())


def test_nothing_is_looked_at_after_the_end() -> None:
    async def main() -> None:
        order: list[str] = []
        table = Timetable()
        table.put(Due("never", order), 0.0)  # type: ignore[arg-type]
        table.close()
        await asyncio.sleep(2 * TICK_S)
        assert not order

    asyncio.run(main())
