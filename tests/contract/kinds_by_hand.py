"""A kind's server started as its `Launch` says, in a sandbox made by hand: no runtime, no platform."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gongfang.brokers.kinds.interface import Launch, Server, ServiceKind, Site, Wanted
from gongfang.domain.errors import Unavailable
from gongfang.domain.hosting import PORTS_EACH
from gongfang.domain.values import JsonObject
from gongfang.toolbox import WheelToolbox
from gongfang.toolbox.interface import Tool

NOBODY = 65534
_SHARED = [word for place in ("/tmp", "/dev/shm") for word in ("--perms", "1777", "--tmpfs", place)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def free_block() -> int:
    """The first of the ports that a server has, out of the range for them."""
    while True:
        port = random.randrange(16000, 20000 - PORTS_EACH, PORTS_EACH)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class ByHand:
    """One server and its data. `start` and `stop` may be called in turns; `close` leaves nothing."""

    def __init__(self, kind: ServiceKind, plan: str, parameters: JsonObject) -> None:
        self.kind = kind
        self.site = Site(
            hosted_id="hst_by_hand",
            port=free_port(),
            listen="127.0.0.1",
            wanted=Wanted(plan, kind.size(plan), parameters),
            admin=kind.fresh_admin(),
            fresh=True,
        )
        self.folder = Path(tempfile.mkdtemp(prefix="gf-kind-", dir="/tmp"))
        self._process: asyncio.subprocess.Process | None = None
        self._tools: list[Tool] = []

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", self.site.port, self.site.wanted, self.site.admin)

    @property
    def launch(self) -> Launch:
        return self.kind.launch(self.site)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def change(self, **fields: Any) -> None:
        self.site = replace(self.site, **fields)

    async def start(self) -> Server:
        """Starts it, and waits until it is ready and prepared."""
        await self.spawn()
        async with asyncio.timeout(60):
            while True:
                assert self._process is not None
                assert self._process.returncode is None, self.log
                try:
                    await self.kind.ready(self.server)
                    break
                except Unavailable:
                    await asyncio.sleep(0.01)
        await self.kind.prepare(self.server)
        self.change(fresh=False)
        return self.server

    async def spawn(self) -> None:
        toolbox = WheelToolbox()
        self._tools = self._tools or [self._shown(await toolbox.ensure(name)) for name in self.kind.tools]
        sandbox = (await toolbox.ensure("bwrap")).executables["bwrap"]
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sandbox, *self._arguments(self.launch), stdout=log, stderr=log
            )

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the server itself (not its sandbox); answers the sandbox's code."""
        assert self._process is not None
        if self._process.returncode is None:
            for pid in _below(self._process.pid):
                with contextlib.suppress(ProcessLookupError):  # some end with others
                    os.kill(pid, number)
        return await self._process.wait()

    async def wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    async def close(self) -> None:
        if self._process is not None:
            await self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _shown(self, tool: Tool) -> Tool:
        """Root's own cache can't be reached by another user: a copy that can."""
        if os.geteuid() != 0 or tool.source == "machine":
            return tool
        copy = self.folder / "tools" / tool.name
        shutil.copytree(tool.roots[0], copy, symlinks=True)
        place = str(tool.roots[0])
        return replace(tool, roots=(copy,), path=tuple(p.replace(place, str(copy)) for p in tool.path))

    def _arguments(self, launch: Launch) -> list[str]:
        data, given = self.folder / "data", self.folder / "given"
        data.mkdir(exist_ok=True)
        given.mkdir(exist_ok=True)
        words = ["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv", "--ro-bind", "/usr", "/usr"]
        for link in ("bin", "lib", "lib64", "sbin"):
            words += ["--symlink", f"usr/{link}", f"/{link}"]
        words += ["--proc", "/proc", "--dev", "/dev", *_SHARED, "--bind", str(data), "/data"]
        words += [*_way(Path("/etc/passwd")), "--ro-bind", str(_passwd(given)), "/etc/passwd"]
        for number, (path, content) in enumerate({**launch.files}.items()):
            source = given / str(number)
            source.write_bytes(content)
            source.chmod(0o644)
            words += [*_way(Path(path)), "--ro-bind", str(source), path]
        for tool in self._tools:
            for root in tool.roots:
                words += [*_way(root), "--ro-bind", str(root), str(root)]
        path = ":".join([p for tool in self._tools for p in tool.path] + ["/usr/bin", "/bin"])
        for name, value in {**launch.environment, "PATH": path, **_more(self._tools)}.items():
            words += ["--setenv", name, value]
        if os.geteuid() == 0:
            os.chown(data, NOBODY, NOBODY)
            words += ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        return [*words, *launch.command]


def _way(place: Path) -> list[str]:
    """The folders above it; those that the sandbox makes by itself are root's alone."""
    above = [folder for folder in reversed(place.parents) if folder != Path("/")]
    return [word for folder in above for word in ("--perms", "0755", "--dir", str(folder))]


def _more(tools: list[Tool]) -> Mapping[str, str]:
    return {name: value for tool in tools for name, value in tool.environment.items()}


def _passwd(folder: Path) -> Path:
    file = folder / "passwd"
    file.write_text(f"svc:x:{NOBODY if os.geteuid() == 0 else os.getuid()}:0::/data:/bin/sh\n")
    file.chmod(0o644)
    return file


def _below(pid: int) -> list[int]:
    """All descendants but the sandbox's own first process, which ends with them."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(words[1]), []).append(int(status.parent.name))
    found = [child for first in children.get(pid, []) for child in children.get(first, [])]
    for each in found:
        found += children.get(each, [])
    return found
