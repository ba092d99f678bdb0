"""Fetches one pinned wheel into a folder of its own, once, however many tasks and processes ask for it.

The folder appears by a rename when it is complete and on disk, so what is there can be used without looking twice.
Who fetches holds a lock on a file beside it; a fetch that was killed leaves a `.partial` folder, which the next one
removes first.
"""

import asyncio
import fcntl
import os
import shutil
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uv

from gongfang.domain.errors import Rejected, Unavailable
from gongfang.toolbox.pins import Pin

_READ_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_EXEC_ALL = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_NO_WHEEL = ("no wheels with a matching", "no wheels are usable", "no usable wheels")

Finish = Callable[[Path], None]


async def fetch(pin: Pin, cache: Path, finish: Finish) -> Path:
    """The folder of the unpacked wheel. `finish` puts it in order (links, modes) before anybody sees it.

    Raises `Rejected("tool_missing")` where no wheel fits this machine, `Unavailable("tool_fetch_failed")` otherwise.
    """
    return await place(cache, pin.folder, lambda partial: _install(pin, partial), finish)


async def place(cache: Path, name: str, fill: Callable[[Path], object], finish: Finish) -> Path:
    """Makes the folder `cache/name` by `fill` (may be a coroutine function) and `finish`, unless it is there."""
    target = cache / name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    async with _locked(cache / f".{name}.lock"):
        if target.is_dir():
            return target
        partial = cache / f"{name}.partial"
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        try:
            filled = fill(partial)
            if asyncio.iscoroutine(filled):
                await filled
            await asyncio.to_thread(_settle, partial, finish)
            partial.rename(target)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
            raise
    return target


async def _install(pin: Pin, partial: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-progress", "--target", str(partial)),
        *("--python", sys.executable, "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--link-mode", "copy", "--requirement", str(pin.requirements)),
        cwd=partial.parent,
        env={k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "UV_PROJECT", "UV_WORKING_DIRECTORY")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode != 0:
        raise _failure(pin, said.decode("utf-8", "replace"))


def _failure(pin: Pin, said: str) -> Rejected | Unavailable:
    lines = [line.strip(" ╰─▶│├×") for line in said.splitlines()]
    detail = " ".join(line for line in lines[-3:] if line)[-500:]
    if any(sign in said.lower() for sign in _NO_WHEEL):
        return Rejected("tool_missing", tool=pin.tool, wheel=pin.distribution, detail=detail)
    return Unavailable("tool_fetch_failed", retry_after=5, tool=pin.tool, wheel=pin.distribution, detail=detail)


def _settle(folder: Path, finish: Finish) -> None:
    """Puts it in order, makes it readable by every user id (it is shown in sandboxes), and forces it to disk."""
    finish(folder)
    for top, _, files in os.walk(folder):
        Path(top).chmod(0o755)
        for name in files:
            path = Path(top, name)
            if not path.is_symlink():
                mode = path.stat().st_mode
                executable = _EXEC_ALL if mode & stat.S_IXUSR else 0
                path.chmod(stat.S_IWUSR | _READ_ALL | executable)
    os.sync()  # one call for thousands of small files; a rename alone could survive a power cut that they don't


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """An exclusive lock between processes. `flock` tells nobody when it becomes free, so it is asked, without a thread
    that a cancelled caller would leave behind."""
    with path.open("w") as file:
        wait = 0.005
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(wait)
                wait = min(wait * 2, 0.2)
        yield
