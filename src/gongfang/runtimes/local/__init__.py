"""The Runtime of one machine: a sandbox a workload (`bwrap`), control groups for limits, files for records.

`runtime` is the driver; `sandbox` plans what a workload sees (pure); `launch` starts processes; `workload` follows
one; `records` is what is kept on disk; `processes`, `cgroups`, `logs`, `ports` and `host` are what they say; `plain` is
what is left where no sandbox can be made.
"""

from gongfang.runtimes.local.runtime import LOG_LIMIT_BYTES, LocalRuntime, stop_everything

__all__ = ["LOG_LIMIT_BYTES", "LocalRuntime", "stop_everything"]
