"""Running without a sandbox: what is left where neither root nor user namespaces are to be had.

The workload runs as a plain process in a session of its own, with the platform's own rights. Its droplet is copied
(nothing keeps it from changing what is shared), and paths that only a sandbox has (`/app`, mounts) are replaced in its
command and environment by the real ones. Files of its specification, which a sandbox keeps in memory, lie in its own
folder until it ends: nothing else is to be had. Its processes are found by their session, and those that left it by a
variable in their environment.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from gongfang.runtimes.local.processes import Process, Stat, descendants, every_process, has_mark, is_alive
from gongfang.runtimes.local.sandbox import APP, Inside, PlainView

APP_FOLDER, FILES_FOLDER = "app", "files"
MARK = "GONGFANG_WORKLOAD_MARK"


def prepare(inside: Inside, folder: Path) -> PlainView:
    """Copies the droplet into the workload's own folder; says where everything lies. Slow: not for the event loop."""
    places = [(mount.target.rstrip("/"), str(mount.source)) for mount in inside.spec.mounts]
    if inside.droplet is not None:
        shutil.copytree(inside.droplet, folder / APP_FOLDER, symlinks=True)
        places.append((APP, str(folder / APP_FOLDER)))
    for path, content in inside.spec.files.items():
        file = folder / FILES_FOLDER / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # in a folder that is for its owner alone
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(content)
    tops = dict.fromkeys("/" + path.split("/")[1] for path in inside.spec.files)
    places += [(top, str(folder / FILES_FOLDER) + top) for top in tops]
    return PlainView(tuple(places))


def forget(folder: Path) -> None:
    """Takes away what `prepare` has made, once the workload has ended."""
    for name in (APP_FOLDER, FILES_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)


def words(inside: Inside, view: PlainView) -> list[str]:
    """The folder to run in, then the command."""
    return [view.translate(inside.spec.workdir), *(view.translate(word) for word in inside.spec.command)]


def variables(environment: Mapping[str, str], view: PlainView, nonce: str) -> dict[str, str]:
    """The environment with real paths, and the mark by which strays are found."""
    return {name: view.translate(value) for name, value in environment.items()} | {MARK: nonce}


def processes(launcher: Process, nonce: str) -> list[Stat]:
    """All processes of a workload, without its launcher: its session, its descendants, and strays by their mark.

    When the launcher is gone, its number says nothing any more: then only the mark counts.
    """
    mark = f"{MARK}={nonce}".encode()
    alive = is_alive(launcher)
    below = {seen.process for seen in descendants(launcher.pid)} if alive else set[Process]()

    def is_ours(seen: Stat) -> bool:
        if alive and (seen.session == launcher.pid or seen.process in below):
            return True
        return has_mark(seen.process.pid, mark)

    apart = (launcher.pid, os.getpid())
    return [seen for seen in every_process() if seen.alive and seen.process.pid not in apart and is_ours(seen)]
