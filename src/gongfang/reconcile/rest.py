"""Which apps the sweep looks at: all but those of which nothing has changed since they were found at rest.

An app is at rest when its plan had nothing to do and waits for no time. A plan depends on rows, on the runtime and on
the time alone; so as long as the rows are the same and every instance runs and is watched, a plan would have nothing
to do again. Whether rows are the same is told by their versions (`Reading.app_versions`), which are read without the
rows. What a plan depends on must be in these versions.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gongfang.runtimes.interface import Phase, Runtime
from gongfang.state import Database

PART = 40  # apps that are looked through before others get their turn


@dataclass(frozen=True, slots=True)
class _Rest:
    version: str
    instances: tuple[str, ...]


class AtRest:
    """Remembers apps at rest. `watched`: whether an instance's health is being watched as it should be."""

    def __init__(self, database: Database, runtime: Runtime, watched: Callable[[str], bool]) -> None:
        self._database = database
        self._runtime = runtime
        self._watched = watched
        self._known: dict[str, _Rest] = {}

    def note(self, app_id: str, version: str, instances: Sequence[str]) -> None:
        """The app was found at rest. `version`: read before its rows were, so that what changed in between is seen
        as a change. `instances`: ids of the living ones."""
        self._known[app_id] = _Rest(version, tuple(instances))

    def forget(self, app_id: str) -> None:
        """The app is being looked at, or is gone."""
        self._known.pop(app_id, None)

    async def others(self) -> Mapping[str, str]:
        """The apps to look at, by id, with their versions; before anything was noted, all."""
        async with self._database.reading() as tx:
            versions = await tx.app_versions()
            active = await tx.busy_app_ids()
        for app_id in self._known.keys() - versions.keys():
            self.forget(app_id)
        found: dict[str, str] = {}
        for number, (app_id, version) in enumerate(versions.items()):
            if number % PART == 0:
                await asyncio.sleep(0)
            rest = self._known.get(app_id)
            if rest is None or rest.version != version or app_id in active or not await self._well(rest.instances):
                found[app_id] = version
        return found

    async def _well(self, instances: Sequence[str]) -> bool:
        for instance_id in instances:
            if (await self._runtime.observe(instance_id)).phase is not Phase.running or not self._watched(instance_id):
                return False
        return True
