"""Changing an app's configuration: pure functions from what is and what was asked to what shall be."""

from collections.abc import Mapping
from dataclasses import replace

from gongfang.domain.errors import invalid_field
from gongfang.domain.values import AppConfig, AppType, HealthCheck, ProcessConfig
from gongfang.wire.models import HealthCheckModel, ProcessChange

MAX_ENVIRONMENT = 256 * 1024  # bytes of all names and values together: they are handed to each process at start
RESERVED = ("PORT", "GONGFANG_")


def _check(model: HealthCheckModel) -> HealthCheck:
    return HealthCheck(model.kind, model.path, model.timeout_s, model.interval_s, model.failures)


def changed_process(name: str, config: AppConfig, change: ProcessChange) -> ProcessConfig:
    """One process type's configuration after a change: absent = as it is, null = the default."""
    now = config.process(name)
    default = AppConfig().process(name)
    fields: dict[str, object] = {}
    for field in change.model_fields_set - {"instances"}:
        value = getattr(change, field)
        if value is None:
            fields[field] = getattr(default, field)
        elif isinstance(value, HealthCheckModel):
            fields[field] = _check(value)
        else:
            fields[field] = value
    return replace(now, **fields)  # pyright: ignore[reportArgumentType]


def changed_processes(
    config: AppConfig, scale: Mapping[str, int], changes: Mapping[str, ProcessChange]
) -> tuple[AppConfig, dict[str, int]]:
    """Configuration and wanted counts after changes of several process types."""
    processes = dict(config.processes)
    counts = dict(scale)
    for name, change in changes.items():
        processes[name] = changed_process(name, config, change)
        if "instances" in change.model_fields_set:
            counts[name] = change.instances if change.instances is not None else 1
    return replace(config, processes=processes), counts


def changed_environment(config: AppConfig, variables: Mapping[str, str | None]) -> AppConfig:
    """Environment after a merge; `None` removes. Raises `Invalid` on reserved names and on too much of it."""
    environment = dict(config.environment)
    for name, value in variables.items():
        if name == RESERVED[0] or name.startswith(RESERVED[1]):
            raise invalid_field(f"variables.{name}", "variable_reserved", name=name)
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    size = sum(len(k.encode()) + len(v.encode()) + 2 for k, v in environment.items())
    if size > MAX_ENVIRONMENT:
        raise invalid_field("variables", "environment_too_large", size=size, limit=MAX_ENVIRONMENT)
    return replace(config, environment=environment)


def first_scale(app_type: AppType) -> dict[str, int]:
    """What a fresh app wants: one of its main process; a task app runs only when it is started."""
    return {} if app_type is AppType.task else {app_type.value: 1}
