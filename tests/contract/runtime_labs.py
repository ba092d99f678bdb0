"""A lab a driver: it opens the driver as a new control plane would, knows how to say things in its commands, and
leaves nothing behind."""

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from gongfang.runtimes.interface import LogChunk, Phase, Runtime, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local import LocalRuntime, stop_everything
from gongfang.runtimes.memory import MemoryMachine, MemoryRuntime
from gongfang.toolbox import WheelToolbox

SERVE = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


class Commands(Protocol):
    """How a driver's commands say what the suite wants to happen."""

    def echo(self, text: str, *, code: int = 0) -> tuple[str, ...]: ...

    def sleep(self, seconds: float = 600, *, code: int = 0) -> tuple[str, ...]:
        """Says `up` first."""
        ...

    def stubborn(self) -> tuple[str, ...]:
        """Says `up` once it ignores SIGTERM."""
        ...

    def signal(self, number: int) -> tuple[str, ...]: ...

    def serve(self) -> tuple[str, ...]: ...

    def missing(self) -> tuple[str, ...]: ...


class ShellCommands:
    def echo(self, text: str, *, code: int = 0) -> tuple[str, ...]:
        return ("sh", "-c", f"echo {shlex.quote(text)}; exit {code}")

    def sleep(self, seconds: float = 600, *, code: int = 0) -> tuple[str, ...]:
        return ("sh", "-c", f"echo up; sleep {seconds}; exit {code}")

    def stubborn(self) -> tuple[str, ...]:
        return ("sh", "-c", "trap '' TERM; echo up; sleep 600")

    def signal(self, number: int) -> tuple[str, ...]:
        return ("sh", "-c", f"kill -{number} $$")

    def serve(self) -> tuple[str, ...]:
        return ("python3", "-c", SERVE)

    def missing(self) -> tuple[str, ...]:
        return ("no-such-program", "x")


class WordCommands:
    def echo(self, text: str, *, code: int = 0) -> tuple[str, ...]:
        return ("echo", text, ";", "exit", str(code))

    def sleep(self, seconds: float = 600, *, code: int = 0) -> tuple[str, ...]:
        return ("echo", "up", ";", "sleep", str(seconds), ";", "exit", str(code))

    def stubborn(self) -> tuple[str, ...]:
        return ("echo", "up", ";", "stubborn")

    def signal(self, number: int) -> tuple[str, ...]:
        return ("signal", str(number))

    def serve(self) -> tuple[str, ...]:
        return ("serve",)

    def missing(self) -> tuple[str, ...]:
        return ("missing",)


class Lab:
    """One machine, and the driver that is open on it now."""

    commands: Commands
    runtime: Runtime

    def __init__(self, make: Callable[[], Runtime], commands: Commands, clean: Callable[[], Awaitable[None]]) -> None:
        self._make = make
        self.commands = commands
        self._clean = clean

    async def open(self) -> Runtime:
        self.runtime = self._make()
        await self.runtime.open()
        return self.runtime

    async def reopen(self) -> Runtime:
        """A later control plane on the same machine."""
        await self.runtime.close()
        return await self.open()

    async def clean(self) -> None:
        await self.runtime.close()
        await self._clean()

    def spec(self, workload_id: str, command: tuple[str, ...], **fields: Any) -> WorkloadSpec:
        return WorkloadSpec(workload_id, WorkloadKind.instance, command, **fields)

    async def start_up(self, workload_id: str, command: tuple[str, ...], **fields: Any) -> None:
        """Starts a workload and waits for its first output."""
        await self.runtime.start(self.spec(workload_id, command, **fields))
        await self.runtime.log_grew(workload_id, 0)
        assert (await self.runtime.observe(workload_id)).phase is Phase.running, await self.output(workload_id)

    async def run(self, workload_id: str, command: tuple[str, ...], **fields: Any) -> str:
        """Runs a workload to its end; gives its output."""
        await self.runtime.start(self.spec(workload_id, command, **fields))
        await self.runtime.wait(workload_id)
        return await self.output(workload_id)

    async def output(self, workload_id: str) -> str:
        return (await self.log(workload_id)).data.decode()

    async def log(self, workload_id: str) -> LogChunk:
        return await self.runtime.read_log(workload_id, offset=0, limit=1 << 20)


def local_runtime(home: Path, *, droplets: Path | None = None, **fields: Any) -> LocalRuntime:
    """The real driver over the real toolbox; a droplet's folder is its name below `droplets`."""

    async def droplet(sha256: str) -> Path:
        assert droplets is not None
        return droplets / sha256

    return LocalRuntime(home, tool=WheelToolbox().ensure, droplet=droplet, **fields)


def local_lab(home: Path, **fields: Any) -> Lab:
    async def clean() -> None:
        await stop_everything(home, grace_s=0)

    return Lab(lambda: local_runtime(home, **fields), ShellCommands(), clean)


def memory_lab() -> Lab:
    machine = MemoryMachine()
    return Lab(lambda: MemoryRuntime(machine), WordCommands(), machine.switch_off)


def is_root() -> bool:
    return os.geteuid() == 0


async def until(condition: Callable[[], bool], *, within_s: float = 10) -> None:
    """Waits for what the system tells nobody of."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
