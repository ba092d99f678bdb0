"""Finds out, by really trying, what isolation this machine allows. Once, when the driver is opened."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from gongfang.domain.errors import Rejected
from gongfang.runtimes.interface import WorkloadKind, WorkloadSpec
from gongfang.runtimes.local.disks import Disk, remove_layer
from gongfang.runtimes.local.launch import memory_file
from gongfang.runtimes.local.sandbox import (
    Descriptors,
    Host,
    Inside,
    Isolation,
    bwrap_arguments,
    command,
    group,
    passwd,
)
from gongfang.runtimes.local.seccomp import own_filter

_TRIAL_S = 20.0
_SETPRIV = ("--reuid", "{uid}", "--regid", "{uid}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--")
# Where util-linux is missing. Capabilities go with the user id; `bwrap` has set "no new privileges" before.
_PYTHON_LAUNCHER = """
import os, sys
user, words = int(sys.argv[1]), sys.argv[2:]
os.setgroups([]); os.setgid(user); os.setuid(user)
try:
    os.execvp(words[0], words)
except OSError as error:
    print(f"{words[0]}: {error.strerror}", file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""


def find_launcher() -> tuple[str, ...]:
    """What gives up root in front of a command; empty for an ordinary user. Raises `Rejected` where nothing can."""
    if os.geteuid() != 0:
        return ()
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        if os.access(f"{folder}/setpriv", os.X_OK):
            return (f"{folder}/setpriv", *_SETPRIV)
    python = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable) if _is_shown(p)), None)
    if python is None:
        raise Rejected("workload_launcher_missing")
    return (python, "-I", "-S", "-c", _PYTHON_LAUNCHER, "{uid}")


def _is_shown(path: str) -> bool:
    return path.startswith("/usr/") and os.access(path, os.X_OK) and Path(path).resolve().is_relative_to("/usr")


async def find_isolation(host: Host, bwrap: str | None, why_no_bwrap: str, scratch: Path, uid: int) -> Isolation:
    """Tries a sandbox with all that it can have, then without one thing after the other, and says what the machine
    answered.

    `scratch`: a folder to try the overlay on. `uid`: the user id that the trial runs as, if root.
    """
    launcher = find_launcher()
    as_root = os.geteuid() == 0
    if bwrap is None:
        return Isolation(None, as_root, False, launcher, why_no_sandbox=why_no_bwrap)
    program = own_filter()
    why_no_filter = "" if program is not None else f"there is no list for {os.uname().machine}"
    full = Isolation(
        *(bwrap, as_root, True, launcher),
        filtered=program is not None,
        layer=True,
        counts_processes=not as_root and _counts_by_namespace(os.uname().release),
        why_no_filter=why_no_filter,
    )
    tried = [full]
    said = await asyncio.to_thread(_try, host, full, scratch, uid)
    if said is not None:
        bare = replace(full, layer=False)  # a home on a file system that can't lie under an overlay
        tried = [
            bare,
            replace(bare, overlay=False, why_no_overlay=said),
            replace(bare, filtered=False, why_no_filter=why_no_filter or said),
            replace(bare, overlay=False, filtered=False, why_no_overlay=said, why_no_filter=why_no_filter or said),
        ]
    for isolation in tried:
        if said is not None:
            said = await asyncio.to_thread(_try, host, isolation, scratch, uid)
        if said is None:
            return isolation
    return Isolation(None, as_root, False, launcher, why_no_sandbox=said or "")


def _counts_by_namespace(release: str) -> bool:
    """Since 5.14 a user namespace counts its processes by itself; before, all of the user's count together."""
    numbers = re.findall(r"\d+", release)[:2]
    return [int(number) for number in numbers] >= [5, 14]


def _try(host: Host, isolation: Isolation, scratch: Path, uid: int) -> str | None:
    """Runs `true` in a sandbox. None where that went well, else the last line of what was said."""
    assert isolation.bwrap is not None
    folder = scratch / "trial"
    remove_layer(folder)
    disk = Disk(folder / "layer") if isolation.layer else None
    (folder / "droplet").mkdir(parents=True)
    if disk is not None:
        disk.make()
    owner, owner_group = (uid, uid) if isolation.as_root else (os.geteuid(), os.getegid())
    spec = WorkloadSpec("trial", WorkloadKind.task, ("true",))
    inside = Inside(spec, owner, owner_group, None, droplet=folder / "droplet", disk=disk)
    fds = Descriptors(
        passwd=memory_file("passwd", passwd(inside)),
        group=memory_file("group", group(inside)),
        filter=memory_file("filter", own_filter() or b""),
    )
    words = bwrap_arguments(host, isolation, inside, {"PATH": "/usr/bin:/bin"}, fds)
    try:
        done = subprocess.run(
            [isolation.bwrap, *words, "--", *command(isolation, inside)],
            pass_fds=(fds.passwd, fds.group, fds.filter),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        for number in (fds.passwd, fds.group, fds.filter):
            os.close(number)
        remove_layer(folder)
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {done.returncode}"
