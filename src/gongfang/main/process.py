"""`gongfang up` and `gongfang down`: the control plane as a process, and the end of all that a home runs.

SIGTERM ends the control plane alone: apps, Envoy and PostgreSQL run on, and the next `up` adopts them (this is how it
is upgraded). Ctrl-C in the foreground, and `down`, end everything.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from gongfang.domain.errors import GongfangError
from gongfang.domain.messages import words
from gongfang.domain.sizes import size_of
from gongfang.main.home import Home
from gongfang.main.settled import changed, environment_of, read_settings
from gongfang.main.terminal import language
from gongfang.main.waiting import Say, until_apps_run
from gongfang.runtimes.interface import Runtime
from gongfang.settings import Settings

STOP_GRACE_S = 10.0
START_TIMEOUT_S = 600.0  # the first start fetches the servers
APPS_WAIT_S = 30.0
CRASH_SEEN_S = 5.0  # a crash that is seen later than this after the start is one of the new instances


def _say(code: str, facts: Mapping[str, str | int | float]) -> None:
    print(words(code, facts, language()), flush=True)


def complain(error: GongfangError, *, as_json: bool = False) -> int:
    """Says what is wrong on stderr (`as_json`: on stdout for programs, too); the exit code."""
    if as_json:
        _print_error(error.code, error.facts)
    print(words(error.code, error.facts, language()), file=sys.stderr, flush=True)
    return 1


def _print_error(code: str, facts: Mapping[str, str | int | float]) -> None:
    body: dict[str, Any] = {
        "code": code,
        "message": words(code, facts, language()).strip(),
        "details": [],
        "request_id": None,
    }
    print(orjson.dumps({"error": body}, option=orjson.OPT_INDENT_2).decode(), flush=True)


def up(*, detach: bool, restart: bool = False, as_json: bool = False, wait_for_apps: bool = True) -> int:
    """`restart`: a control plane that runs is ended first, and its apps are adopted by the new one."""
    say = _to_stderr if as_json else _say
    try:
        settings = read_settings()
        home = Home.of(settings)
        home.be_whole()
        home.make()
        if (pid := home.running_pid()) is not None and not restart:
            say("already_running", {"home": str(home.root), "pid": pid})
            if names := changed(settings, _told(home).get("settings")):
                say("settings_changed", {"names": ", ".join(names)})
            return _report(home, as_json)
        if pid is not None:
            say("restarting", {"pid": pid})
            _end_control_plane(home, pid)
        if not detach:
            return serve(notify_fd=None)
        code = _detached(settings, home, say)
    except GongfangError as error:
        return complain(error, as_json=as_json)
    if code:
        if as_json:
            _print_error("platform_start_failed", {"log": str(home.log_file), "output": ""})
        return code
    if wait_for_apps:
        _apps(home, say)
    return _report(home, as_json)


def _to_stderr(code: str, facts: Mapping[str, str | int | float]) -> None:
    print(words(code, facts, language()), file=sys.stderr, flush=True)


def _told(home: Home) -> dict[str, Any]:
    try:
        return orjson.loads(home.platform_file.read_bytes())
    except (OSError, ValueError):
        return {}


def _apps(home: Home, say: Say) -> None:
    """Says which apps do not answer yet, after waiting for them a while: "ready" alone would promise too much."""
    late = until_apps_run(home, say, within_s=APPS_WAIT_S, crashed_after_s=CRASH_SEEN_S)
    if late:
        names = ", ".join(app.name for app in late[:5]) + (" …" if len(late) > 5 else "")
        say("apps_still_starting", {"count": len(late), "names": names})


def _report(home: Home, as_json: bool) -> int:
    if as_json:
        told = {name: value for name, value in _told(home).items() if name != "settings"}
        print(
            orjson.dumps(
                {"home": str(home.root), "pid": home.running_pid(), **told}, option=orjson.OPT_INDENT_2
            ).decode()
        )
    return 0


def serve(*, notify_fd: int | None, runs_on: Callable[[Runtime], Runtime] = lambda local: local) -> int:
    """Runs the control plane in this process until it is told to stop. `notify_fd`: where progress is written.
    `runs_on`: see `Platform`; the benchmarks let all but the platform's own servers run on a pretended machine."""
    import uvloop

    from gongfang import telemetry
    from gongfang.main.cycles import keep_searches_short
    from gongfang.main.platform import Platform

    try:
        settings = read_settings()
        home = Home.of(settings)
        output = None
        if notify_fd is not None:  # `_detached` has led stdout and stderr to the log
            output = telemetry.RotatingOutput(home.log_file, size_of(settings.log_limit, 0))
        telemetry.configure(settings.log_level, json=notify_fd is not None, output=output)
        home.be_whole()
        home.make()
        lock = home.lock()
    except GongfangError as error:
        return complain(error)
    keep_searches_short()
    say = _teller(notify_fd)
    interrupted = False

    async def main() -> None:
        nonlocal interrupted
        stop = asyncio.Event()

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            stop.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, interrupt)
        platform = Platform(settings, home, say, runs_on)
        await platform.run(stop, lambda: _ready(settings, home, say, notify_fd))

    try:
        uvloop.run(main())
    except GongfangError as error:
        return complain(error)
    finally:
        os.close(lock)
    if interrupted and notify_fd is None:
        _say("platform_stopped", {"count": asyncio.run(_end_workloads(home))})
    return 0


def _teller(notify_fd: int | None) -> Any:
    if notify_fd is None:
        return _say

    def tell(code: str, facts: Mapping[str, str | int | float]) -> None:
        with contextlib.suppress(OSError):
            os.write(notify_fd, (words(code, facts, language()) + "\n").encode())

    return tell


def _ready(settings: Settings, home: Home, say: Any, notify_fd: int | None) -> None:
    say("platform_ready", _addresses(settings, home))
    if notify_fd is not None:
        with contextlib.suppress(OSError):
            os.write(notify_fd, b"\0")
        os.close(notify_fd)


def _addresses(settings: Settings, home: Home) -> dict[str, str]:
    return {
        "api": settings.api_url,
        "apps": f"http://NAME.{settings.base_domain}:{settings.edge_port}",
        "home": str(home.root),
    }


def _detached(settings: Settings, home: Home, say: Say) -> int:
    """Starts the control plane in a session of its own, shows its progress, and returns when it is ready."""
    reader, writer = os.pipe()
    log = home.log_file
    with log.open("ab") as output:
        start = output.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "gongfang.main", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[writer],
            cwd="/",
            env=environment_of(settings),
        )
    os.close(writer)
    ready = False
    with os.fdopen(reader, "rb") as progress:
        for line in progress:
            text = line.decode(errors="replace")
            ready = ready or "\0" in text
            if text.strip("\0\n"):
                print(text.strip("\0\n"), file=sys.stdout if say is _say else sys.stderr, flush=True)
    if ready:
        return 0
    child.wait(timeout=START_TIMEOUT_S)
    with log.open("rb") as output:
        output.seek(start)
        tail = output.read()[-4000:].decode(errors="replace").strip()
    facts = {"log": str(log), "output": tail}
    print(words("platform_start_failed", facts, language()), file=sys.stderr)
    return 1


def down() -> int:
    try:
        home = Home.of(read_settings())
    except GongfangError as error:
        return complain(error)
    pid = home.running_pid()
    if pid is not None:
        _end_control_plane(home, pid)
    ended = asyncio.run(_end_workloads(home))
    if pid is None and not ended:
        _say("platform_not_running", {"home": str(home.root)})
    else:
        _say("platform_stopped", {"count": ended})
    home.platform_file.unlink(missing_ok=True)
    return 0


def _end_control_plane(home: Home, pid: int) -> None:
    """SIGTERM, then SIGKILL; returns when nobody holds the home and the process is gone, so that what watches it (a
    service manager, a script that deletes the home) may go on."""
    latest = time.monotonic() + STOP_GRACE_S
    began = _start_of(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while home.running_pid() == pid or (began is not None and _start_of(pid) == began):
        if time.monotonic() > latest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            latest = time.monotonic() + STOP_GRACE_S
        time.sleep(0.02)


def _start_of(pid: int) -> str | None:
    """When the process was started, which tells it from a later one of the same id; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else fields[19]


async def _end_workloads(home: Home) -> int:
    from gongfang.runtimes.local import stop_everything

    return await stop_everything(home.runtime, grace_s=STOP_GRACE_S)
