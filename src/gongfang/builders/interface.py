"""Source to droplet: one small class a language. Detecting and planning look at files; only the sandbox runs things.

The control plane unpacks a package safely (`gongfang.builders.archives`) into an empty folder, asks the builders in
order which one knows it, and runs the chosen plan's script as one `build` workload: the folder is `/app` (writable),
`/cache` is kept between the builds of one app. What `/app` holds at the end is the droplet, packed as tar.zst.

    package → unpack → detect → plan → [sandbox: script] → launch → droplet

A builder never trusts the tree: names may be hostile, files huge, JSON malformed. It raises `Invalid` with a code
whose sentence says what is missing and what to do. The same tree gives the same plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gongfang.domain.errors import Invalid, Reason
from gongfang.domain.values import RuntimeName


@dataclass(frozen=True, slots=True)
class Tree:
    """An unpacked package. `root`: its folder (a single top folder has been stripped). `filename`: as uploaded."""

    root: Path
    filename: str


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What to run. `script`: POSIX shell under `set -eu`, cwd `/app`, empty where nothing is to be run (then no
    sandbox is started at all). It prints progress as `-----> What it does` and indents the rest. `tools`: toolbox
    names it needs, beside those needed at run time (`launch_tools`). `environment`: for the script only."""

    runtime: RuntimeName
    script: str
    tools: tuple[str, ...]
    launch_tools: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    detected: str = ""  # one line for people: "Python, requirements.txt"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start what was built. `processes`: process type → shell line (run by `sh -c` in `/app`).

    `missing`: why there is none, where nothing in the tree says how it starts; the app's own configuration may."""

    processes: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    missing: Reason | None = None

    @staticmethod
    def of(procfile: Mapping[str, str] | None, start: Callable[[], str], environment: Mapping[str, str]) -> "Launch":
        """The `Procfile`'s processes, else a `web` one by `start`, whose `Invalid` becomes `missing`."""
        if procfile:
            return Launch(procfile, environment)
        try:
            return Launch({"web": start()}, environment)
        except Invalid as error:
            return Launch({}, environment, error.reason)


class Builder(Protocol):
    name: RuntimeName

    def detect(self, tree: Tree) -> bool:
        """Whether the tree is of this language, by its marker files."""
        ...

    def plan(self, tree: Tree) -> BuildPlan:
        """Raises `Invalid` where the tree can't be built, saying what is missing."""
        ...

    def launch(self, tree: Tree) -> Launch:
        """After the script has run. A `Procfile` overrides what it says, process type by process type."""
        ...
