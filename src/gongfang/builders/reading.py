"""Looks into a tree that nobody vouches for: an upload, or what a build left.

A name may be a link to the host's files, a pipe that never ends or a file without end. So nothing is read but regular
files whose real path is in the tree, up to a limit. The tree doesn't change meanwhile: no process of its owner runs.
"""

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, cast

from gongfang.builders.sink import shown
from gongfang.domain.errors import Invalid

_LIMIT = 4 << 20
_MANY = 2000


def inside(root: Path, relative: str) -> Path | None:
    """The real path of a regular file in the tree; None where there is none, or it is somewhere else."""
    try:
        real = (root / relative).resolve(strict=True)
        regular = stat.S_ISREG(real.lstat().st_mode)
    except (OSError, RuntimeError, ValueError):
        return None
    return real if regular and real.is_relative_to(root.resolve()) else None


def has(root: Path, relative: str) -> bool:
    return inside(root, relative) is not None


def read_bytes(root: Path, relative: str, limit: int = _LIMIT) -> bytes | None:
    """A file's content. Raises `Invalid("build_file_too_big")`."""
    path = inside(root, relative)
    if path is None:
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Invalid("build_file_too_big", file=shown(relative), limit=limit)
    return data


def read_text(root: Path, relative: str) -> str | None:
    """A text file's content, without a byte order mark. Raises `Invalid("build_file_malformed")`."""
    data = read_bytes(root, relative)
    if data is None:
        return None
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Invalid("build_file_malformed", file=shown(relative), detail=shown(str(error))) from error


def read_toml(root: Path, relative: str) -> dict[str, Any] | None:
    text = read_text(root, relative)
    if text is None:
        return None
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid("build_file_malformed", file=shown(relative), detail=shown(str(error))) from error


def read_json(root: Path, relative: str) -> dict[str, Any] | None:
    text = read_text(root, relative)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("build_file_malformed", file=shown(relative), detail=shown(str(error))) from error
    if not isinstance(data, dict):
        raise Invalid("build_file_malformed", file=shown(relative), detail="not an object")
    return cast("dict[str, Any]", data)


def table(data: object, *keys: str) -> dict[str, Any]:
    """A nested table; empty where it, or one on the way, is missing or of another type."""
    for key in keys:
        data = cast("dict[str, Any]", data).get(key) if isinstance(data, dict) else None
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def strings(data: object) -> list[str]:
    """The strings of a list; empty for anything else."""
    return [each for each in cast("list[object]", data) if isinstance(each, str)] if isinstance(data, list) else []


def top_files(root: Path, relative: str = ".") -> list[str]:
    """Names of the regular files right in a folder of the tree, sorted; links are left out."""
    return _names(root, relative, files=True)


def top_folders(root: Path, relative: str = ".") -> list[str]:
    return _names(root, relative, files=False)


def _names(root: Path, relative: str, *, files: bool) -> list[str]:
    folder = root / relative
    try:
        if not folder.resolve(strict=True).is_relative_to(root.resolve()):
            return []
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if (entry.is_file(follow_symlinks=False) if files else entry.is_dir(follow_symlinks=False))
            ]
    except OSError:
        return []
    return sorted(names)[:_MANY]


def top_of(root: Path) -> str:
    """What is at the top of the tree, for people."""
    names = sorted(os.listdir(root))  # noqa: PTH208
    said = ", ".join(shown(name) for name in names[:12])
    return f"{said}, … ({len(names)})" if len(names) > 12 else said or "-"


def write_own(root: Path, relative: str, text: str) -> None:
    """Writes a file of the platform's own below `.gongfang`, whatever the tree had there."""
    path = root / relative
    for parent in [*path.parents][::-1]:
        if parent == root or not parent.is_relative_to(root):
            continue
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            parent.unlink()
        parent.mkdir(exist_ok=True)
        parent.chmod(0o777)
    if path.is_dir() and not path.is_symlink():
        raise Invalid("build_file_malformed", file=shown(relative), detail="a folder")
    if not path.is_symlink() and read_text(root, relative) == text:
        return
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o666)
