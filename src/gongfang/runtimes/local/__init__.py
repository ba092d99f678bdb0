"""The Runtime of one machine: a sandbox a workload (`bwrap`), control groups for limits, files for records.

`runtime` is the driver; `sandbox` plans what a workload sees (pure), `planning` all of a start; `launch` starts
processes; `workload` follows one; `records` is what is kept on disk; `disks` and `net` give each its own; `seccomp` is
the filter of system calls; `processes`, `cgroups`, `logs`, `ports`, `watch` and `host` are what they say; `plain` is
what is left where no sandbox can be made; `stopping` takes down a home without its control plane.
"""

from gongfang.runtimes.local.runtime import LOG_LIMIT_BYTES, LocalRuntime
from gongfang.runtimes.local.stopping import stop_everything

__all__ = ["LOG_LIMIT_BYTES", "LocalRuntime", "stop_everything"]
