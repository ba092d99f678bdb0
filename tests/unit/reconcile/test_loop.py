"""Keyed workers: nothing is lost, nothing goes round for ever."""

import asyncio
from collections import Counter

import pytest

from gongfang.domain.errors import Unavailable
from gongfang.reconcile import loop as loop_module
from gongfang.reconcile.loop import KeyedWorkers
from gongfang.state import Hub, Wake


class Lab:
    """Workers on a hub; `seen` counts looks at each key."""

    def __init__(self, handler, keys=None) -> None:
        self.hub = Hub()
        self.seen: Counter[str] = Counter()
        self.looked = asyncio.Event()
        self.handler = handler
        self.keys = keys
        self.workers = KeyedWorkers("app", self.look, self.all, self.hub, sweep_s=60)

    async def look(self, key: str) -> float | None:
        self.seen[key] += 1
        self.looked.set()
        return await self.handler(self, key)

    async def all(self) -> list[str]:
        return await self.keys(self) if self.keys else []

    def wake(self, key: str) -> None:
        self.hub.publish([Wake("app", key)])

    async def until(self, condition) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.looked.clear()
                await self.looked.wait()


def run(handler, scene, keys=None) -> None:
    async def main() -> None:
        lab = Lab(handler, keys)
        running = asyncio.create_task(lab.workers.run())
        await asyncio.sleep(0)
        try:
            await scene(lab)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_a_wake_up_while_it_looks_makes_it_look_once_more() -> None:
    gate = asyncio.Event()

    async def handler(_: Lab, __: str) -> None:
        await gate.wait()

    async def scene(lab: Lab) -> None:
        lab.wake("a")
        await lab.until(lambda: lab.seen["a"] == 1)
        lab.wake("a")
        lab.wake("a")
        gate.set()
        await lab.until(lambda: lab.seen["a"] == 2)

    run(handler, scene)


def test_one_that_wakes_itself_and_fails_is_put_off_all_the_same() -> None:
    async def handler(lab: Lab, key: str) -> None:
        lab.wake(key)
        raise Unavailable("database_away")

    async def scene(lab: Lab) -> None:
        lab.wake("a")
        for _ in range(50):
            await asyncio.sleep(0)
        assert lab.seen["a"] == 1

    run(handler, scene)


def test_a_sweep_that_fails_is_tried_again_whatever_it_failed_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_: Lab, __: str) -> None: ...

    calls = Counter[str]()

    async def keys(_: Lab) -> list[str]:
        calls["keys"] += 1
        if calls["keys"] == 1:
            raise RuntimeError("a bug")
        return ["a"]

    async def scene(lab: Lab) -> None:
        await lab.until(lambda: lab.seen["a"] == 1)

    monkeypatch.setattr(loop_module, "SWEEP_RETRY_S", 0.01)
    run(handler, scene, keys)


def test_what_is_woken_does_not_wait_behind_a_sweep_of_thousands() -> None:
    order: list[str] = []

    async def handler(lab: Lab, key: str) -> None:
        order.append(key)
        await asyncio.sleep(0)
        if key == "swept-40":
            lab.wake("changed")

    async def keys(lab: Lab) -> list[str]:
        return [f"swept-{number}" for number in range(2000)]

    async def scene(lab: Lab) -> None:
        await lab.until(lambda: lab.seen.total() == 2001)

    run(handler, scene, keys)
    assert order.index("changed") < 100
