"""Which apps the sweep looks at: all but those of which nothing has changed since they were found at rest.

To look at one app takes a dozen queries, to compare the rows of all of them takes four. An app is at rest when its
plan had nothing to do and waits for no time. A plan depends on rows, on the runtime and on the time alone; so as long
as the rows are the same and every instance runs and is watched, a plan would have nothing to do again.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gongfang.domain.values import App, Domain, Instance, InstanceState, Operation, OperationStatus
from gongfang.runtimes.interface import Phase, Runtime
from gongfang.state import Database

_ALIVE = tuple(state.value for state in InstanceState if not state.ended)
_ACTIVE = tuple(status.value for status in OperationStatus if not status.ended)


@dataclass(frozen=True, slots=True)
class _Rows:
    app: App
    instances: tuple[Instance, ...]
    domains: tuple[Domain, ...]


class AtRest:
    """Remembers apps at rest. `watched`: whether an instance's health is being watched as it should be."""

    def __init__(self, database: Database, runtime: Runtime, watched: Callable[[str], bool]) -> None:
        self._database = database
        self._runtime = runtime
        self._watched = watched
        self._rows: dict[str, _Rows] = {}

    def note(self, app: App, instances: Sequence[Instance], domains: Sequence[Domain]) -> None:
        """The app was found at rest, its rows being these (instances that have ended don't matter)."""
        alive = tuple(instance for instance in instances if not instance.state.ended)
        self._rows[app.id] = _Rows(app, alive, tuple(domains))

    def forget(self, app_id: str) -> None:
        """The app is being looked at, or is gone."""
        self._rows.pop(app_id, None)

    async def others(self) -> list[str]:
        """Ids of the apps to look at; before anything was noted, all."""
        async with self._database.reading() as tx:
            apps = await tx.find(App)
            active = {operation.app_id for operation in await tx.find(Operation, status=_ACTIVE)}
            instances: dict[str, list[Instance]] = defaultdict(list)
            for instance in await tx.find(Instance, state=_ALIVE):
                instances[instance.app_id].append(instance)
            domains: dict[str, list[Domain]] = defaultdict(list)
            for domain in await tx.find(Domain):
                domains[domain.app_id or ""].append(domain)
        found: list[str] = []
        for app in apps:
            rows = _Rows(app, tuple(instances[app.id]), tuple(domains[app.id]))
            if app.id in active or self._rows.get(app.id) != rows or not await self._well(rows.instances):
                found.append(app.id)
        return found

    async def _well(self, instances: Sequence[Instance]) -> bool:
        for instance in instances:
            if (await self._runtime.observe(instance.id)).phase is not Phase.running or not self._watched(instance.id):
                return False
        return True
