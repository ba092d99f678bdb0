"""The platform's own processes, told apart: control plane, PostgreSQL, Envoy, and the sandboxes around everything.

All are children of the control plane, since a benchmark's platform is started once and not adopted by another.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

CONTROL, POSTGRES, ENVOY, SANDBOXES, APPS = "control plane", "PostgreSQL", "Envoy", "sandboxes (bwrap)", "the apps"
OWN = (CONTROL, POSTGRES, ENVOY, SANDBOXES)
_SERVERS = {"postgres": POSTGRES, "envoy": ENVOY}


def grouped(control_pid: int) -> dict[str, list[psutil.Process]]:
    """Every process of a platform in its group. The shell that starts a server or an app is counted with it."""
    control = psutil.Process(control_pid)
    groups: dict[str, list[psutil.Process]] = {name: [] for name in (*OWN, APPS)}
    groups[CONTROL].append(control)
    for top in control.children():
        family = _family(top)
        names = {process.pid: name for process in family if (name := _name(process))}
        server = next((_SERVERS[name] for name in names.values() if name in _SERVERS), None)
        for process in family:
            if process.pid in names:
                groups[SANDBOXES if names[process.pid] == "bwrap" else server or APPS].append(process)
    return groups


def _family(top: psutil.Process) -> list[psutil.Process]:
    """A process and all below it; empty where it has ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return [top, *top.children(recursive=True)]
    return []


def _name(process: psutil.Process) -> str:
    """Of its program; empty where it has ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return Path(process.exe()).name
    return ""


def memory_mb(processes: list[psutil.Process]) -> float:
    """Proportional set size: what several processes share is counted once, in parts."""
    return sum(_pss(process) for process in processes) / 2**20


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return process.memory_full_info().pss
    return 0


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds until now, with those of children that have ended."""
    return sum(_times(processes))


def _times(processes: list[psutil.Process]) -> Iterator[float]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            yield times.user + times.system + times.children_user + times.children_system
