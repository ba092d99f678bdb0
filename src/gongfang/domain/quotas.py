"""Quotas: how many apps, instances and MiB of memory an organisation or a space may want. Pure.

What counts is what is *wanted*, not what runs: the number of apps that are not being destroyed, and of the started
ones the wanted instances and their memory. So stopping an app frees its instances and memory at once. The instances
that a rolling update holds beyond the wanted count for a moment, builds and one-off tasks are not counted.

A quota stops growth alone. Lowering it below what is used is allowed; shrinking is allowed whatever the quota; a
change that an operation puts back when it fails is allowed, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from gongfang.domain.values import App, AppConfig, DesiredState

DEFAULT_MEMORY_MB = AppConfig().process("web").memory_mb
"""Of an instance whose process type was never configured."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit."""

    apps: int | None = None
    instances: int | None = None
    memory_mb: int | None = None

    @property
    def any(self) -> bool:
        return self != Limits()

    def over(self, defaults: "Limits") -> "Limits":
        """These where they are set, else the defaults."""
        return Limits(
            self.apps if self.apps is not None else defaults.apps,
            self.instances if self.instances is not None else defaults.instances,
            self.memory_mb if self.memory_mb is not None else defaults.memory_mb,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    apps: int = 0
    instances: int = 0
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """What was set for the organisation or space with this id; None in a field: the platform's default."""

    id: str
    apps: int | None
    instances: int | None
    memory_mb: int | None
    updated_at: datetime

    @property
    def limits(self) -> Limits:
        return Limits(self.apps, self.instances, self.memory_mb)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where nothing was set."""

    organization: Limits = Limits()
    space: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Excess:
    """`what`: `apps`, `instances` or `memory_mb`; `asked`: how much more was asked for than is used now."""

    what: str
    used: int
    asked: int
    limit: int


def wanted(desired: DesiredState, scale: Mapping[str, int], config: AppConfig, *, destroying: bool = False) -> Usage:
    """What one app takes of a quota."""
    if destroying:
        return Usage()
    if desired is not DesiredState.started:
        return Usage(apps=1)
    memory = sum(count * config.process(process).memory_mb for process, count in scale.items())
    return Usage(1, sum(scale.values()), memory)


def wanted_by(app: App) -> Usage:
    return wanted(app.desired, app.scale, app.config, destroying=app.destroying)


def excess(limits: Limits, used: Usage, before: Usage, after: Usage) -> Excess | None:
    """What one app's change from `before` to `after` takes beyond the limits; `used` counts it as before."""
    for field in fields(Usage):
        limit: int | None = getattr(limits, field.name)
        asked: int = getattr(after, field.name) - getattr(before, field.name)
        now: int = getattr(used, field.name)
        if limit is not None and asked > 0 and now + asked > limit:
            return Excess(field.name, now, asked, limit)
    return None
