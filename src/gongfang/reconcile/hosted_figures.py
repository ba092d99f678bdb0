"""What a server is seen to take, for people. Pure."""

from dataclasses import dataclass

from gongfang.brokers.kinds.interface import Figures, Size
from gongfang.runtimes.interface import Usage

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """What a server is seen to take; None: not known (yet)."""

    cores: float | None
    cpu_seconds: float | None
    limit_cores: float | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    storage_bytes: int | None
    storage_limit_bytes: int | None
    connections: int | None
    most_connections: int | None


def figures_of(
    told: Figures, size: Size, at: float, usage: Usage | None, before: tuple[float, Usage] | None
) -> ServiceFigures:
    """`told`: by the server itself. `before`: when it was measured last, and what was; cores are told from the second
    time on."""
    cores = None
    if usage is not None and before is not None and at > before[0]:
        cores = max(0.0, (usage.cpu_s - before[1].cpu_s) / (at - before[0]))
    return ServiceFigures(
        cores=cores,
        cpu_seconds=usage.cpu_s if usage else None,
        limit_cores=size.cpu,
        memory_bytes=usage.memory_bytes if usage else None,
        memory_limit_bytes=size.memory_mb * MB,
        storage_bytes=told.storage_bytes,
        storage_limit_bytes=size.storage_mb * MB,
        connections=told.connections,
        most_connections=size.connections,
    )
