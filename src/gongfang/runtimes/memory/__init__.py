"""The Runtime that only pretends: no process, no disk, no waiting. For tests of all that stands on a Runtime."""

from gongfang.runtimes.memory.runtime import MemoryMachine, MemoryRuntime

__all__ = ["MemoryMachine", "MemoryRuntime"]
