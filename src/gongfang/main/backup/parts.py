"""What a backup keeps of a home beside the database and the files that its rows name.

To add something: name its file or folder in `KEPT`. It is taken whole, with every regular file below it, and put back
under the same name. What is made anew at a start (unpacked droplets, caches, sockets, logs, the embedded database's own
folder and password) is not kept.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

KEPT: tuple[str, ...] = (
    "secrets",  # the keys that seal values in the database
    "admin-token",
    "repositories",  # hosted code, once there is some
)
_UNFINISHED = (".new", ".partial")


def kept_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Name under the home and path of each file, in order. Links are not followed, half-written files left out."""
    for name in KEPT:
        top = root / name
        for path in [top] if not top.is_dir() else sorted(top.rglob("*")):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISREG(mode) and not path.name.endswith(_UNFINISHED):
                yield str(path.relative_to(root)), path


def may_be_restored(name: str) -> bool:
    """Whether a path under the home is of a part that backups keep."""
    return name.split("/", 1)[0] in KEPT
