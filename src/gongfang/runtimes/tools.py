"""What a runtime needs to know of a tool. `gongfang.toolbox` has the real thing; the two packages don't meet."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol


class Tool(Protocol):
    """Something that can be run in a sandbox: host folders to show at the same path, and folders for `PATH`."""

    @property
    def roots(self) -> tuple[Path, ...]: ...

    @property
    def path(self) -> tuple[str, ...]: ...

    @property
    def executables(self) -> Mapping[str, str]: ...

    @property
    def environment(self) -> Mapping[str, str]: ...


EnsureTool = Callable[[str], Awaitable[Tool]]
"""Gives a tool by name; raises `Rejected` or `Unavailable`."""
EnsureDroplet = Callable[[str], Awaitable[Path]]
"""Gives the folder of an unpacked droplet by its SHA-256; shared by workloads, so never to be changed."""
