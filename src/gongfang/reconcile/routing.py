"""Tells the edge of apps, and waits only for an edge that answers.

A change is given to the edge at once and stays wanted. A caller waits for the edge's word a moment; where the edge is
away, or was slow just now, not at all. When the word comes later, the app is woken (`told`), so that no worker is
held by an edge that is away, and nobody has to ask again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gongfang.domain.errors import GongfangError, Rejected, Unavailable
from gongfang.edge.interface import Edge, EdgeApp

log = structlog.get_logger()

PATIENCE_S = 1.0  # for an edge that is connected; it answers within milliseconds


@dataclass(slots=True, eq=False)
class _Change:
    wanted: EdgeApp
    task: asyncio.Task[None]
    awaited: bool = True


class Routes:
    """`told(app_id)`: called when the edge's word on a change comes that nobody waits for any more."""

    def __init__(self, edge: Edge, told: Callable[[str], None]) -> None:
        self._edge = edge
        self._told = told
        self._served: dict[str, EdgeApp] = {}
        self._changes: dict[str, _Change] = {}
        self._refused: set[str] = set()
        self._slow = False

    async def close(self) -> None:
        tasks = [change.task for change in self._changes.values()]
        self._changes.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serves(self, wanted: EdgeApp) -> bool:
        """Whether the edge has acknowledged exactly this, as far as is known without asking it."""
        if self._served.get(wanted.app_id) == wanted:
            return True
        if wanted.app_id in self._changes or not self._edge.serves(wanted):
            return False
        self._served[wanted.app_id] = wanted
        return True

    async def put(self, wanted: EdgeApp) -> bool:
        """Gives it to the edge; whether the edge has acknowledged it. If not, `told` is called when it does, unless it
        was `refused`."""
        app_id = wanted.app_id
        if self._served.get(app_id) == wanted:
            return True
        change = self._changes.get(app_id)
        if change is None or change.wanted != wanted:
            change = self._begin(wanted)
        change.awaited = True
        done, _ = await asyncio.wait({change.task}, timeout=self._patience())
        if done:
            return self._served.get(app_id) == wanted
        change.awaited = False
        if not self._slow:
            log.warning("edge away", app=app_id)
        self._slow = True
        return False

    def refused(self, app_id: str) -> bool:
        """Whether the edge's last word on the app was no."""
        return app_id in self._refused

    async def remove(self, app_id: str) -> None:
        """Takes the app out. An edge that is away learns of it when it is back."""
        self.forget(app_id)
        try:
            await self._edge.remove(app_id, timeout_s=self._patience())
        except Unavailable as error:
            log.warning("edge away", app=app_id, reason=str(error))

    def forget(self, app_id: str) -> None:
        self._served.pop(app_id, None)
        self._refused.discard(app_id)
        change = self._changes.pop(app_id, None)
        if change is not None:
            change.task.cancel()

    def _patience(self) -> float:
        return PATIENCE_S if self._edge.status().connected and not self._slow else 0.0

    def _begin(self, wanted: EdgeApp) -> _Change:
        self.forget(wanted.app_id)
        task = asyncio.create_task(self._edge.apply(wanted, timeout_s=None), name=f"route:{wanted.app_id}")
        change = self._changes[wanted.app_id] = _Change(wanted, task)
        task.add_done_callback(lambda _: self._ended(change))
        return change

    def _ended(self, change: _Change) -> None:
        app_id = change.wanted.app_id
        if self._changes.get(app_id) is not change:
            return  # something newer is wanted
        del self._changes[app_id]
        if change.task.cancelled():
            return
        error = change.task.exception()
        if error is None:
            self._served[app_id] = change.wanted
            self._slow = False
        elif isinstance(error, Rejected):
            self._refused.add(app_id)
            log.warning("edge rejected", app=app_id, reason=str(error))
        elif isinstance(error, GongfangError):
            log.warning("edge away", app=app_id, reason=str(error))
        else:
            log.error("routing failed", app=app_id, exc_info=error)
        if not change.awaited:
            self._told(app_id)
