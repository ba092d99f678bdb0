"""A folder of source as one package: which files belong in it, and the archive that is sent.

In a Git checkout Git itself says which files count (tracked, and new but not ignored), with their present content. The
archive is the same for the same files: names sorted, owners left out, so that the platform stores it once.
"""

import gzip
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gongfang.cli import ignore
from gongfang.cli.errors import Failed
from gongfang.cli.text import t


@dataclass(slots=True)
class Listing:
    """What goes into a package: paths under the folder, their bytes in all, and what had to be left out, with why."""

    files: list[str] = field(default_factory=list[str])
    size: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def list_files(folder: Path) -> Listing:
    """The files of a folder that belong in its package. Raises `Failed` where there are none."""
    listing = Listing()
    for path in _candidates(folder):
        try:
            status = (folder / path).lstat()
        except (FileNotFoundError, NotADirectoryError):  # tracked by Git, but deleted here
            continue
        problem = _problem(folder, path, status)
        if problem is None:
            listing.files.append(path)
            listing.size += status.st_size
        else:
            listing.left_out.append((path, problem))
    if not listing.files:
        raise Failed(
            t("{0} holds no file to deploy", "{0} 中没有可部署的文件").format(folder),
            hint=t(
                "what .gitignore and .gongfangignore exclude is left out",
                "已排除 .gitignore 和 .gongfangignore 所列文件",
            ),
        )
    return listing


def _candidates(folder: Path) -> Iterator[str]:
    defaults = ignore.parse(ignore.DEFAULTS)
    own = ignore.read_rules(folder / ".gongfangignore")
    # What Git leaves out can only be brought back by a walk that sees it.
    tracked = None if any(rule.keep for rule in own) else _git_files(folder)
    if tracked is None:
        yield from ignore.walk(folder, defaults, own)
        return
    rules = defaults + own
    for path in tracked:
        if (folder / path).is_dir() and not (folder / path).is_symlink():  # a submodule: Git names only its folder
            inner = (f"{path}/{name}" for name in ignore.walk(folder / path, defaults, []))
        else:
            inner = iter([path])
        for name in inner:
            if not any(map(ignore.never, name.split("/"))) and not ignore.excluded_with_parents(rules, name):
                yield name


def _git_files(folder: Path) -> list[str] | None:
    """Files by `git ls-files`; None where the folder is no checkout, is ignored as a whole, or there is no Git."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(
        [git, "-C", str(folder), "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=False
    )
    if done.returncode != 0:
        return None
    paths = {os.fsdecode(path).rstrip("/") for path in done.stdout.split(b"\0") if path}
    return sorted(paths) or None


def _problem(folder: Path, path: str, status: os.stat_result) -> str | None:
    if stat.S_ISREG(status.st_mode):
        return None
    if not stat.S_ISLNK(status.st_mode):
        return t("neither a file nor a link", "既不是文件也不是链接")
    target = (folder / path).readlink()
    inside = os.path.normpath(Path(path).parent / target)
    if target.is_absolute() or inside == ".." or inside.startswith("../"):
        return t("a link that leads out of the folder", "指向文件夹之外的链接")
    return None


@contextmanager
def packed(folder: Path, files: list[str]) -> Generator[Path]:
    """The files as a temporary `.tar.gz`, removed in the end. Raises `Failed` where one changes meanwhile."""
    with tempfile.TemporaryDirectory(prefix="gongfang-") as place:
        archive = Path(place) / "source.tar.gz"
        with (
            archive.open("wb") as raw,
            gzip.GzipFile("", "wb", 5, raw, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in files:
                _add(tar, folder, path)
        yield archive


def _add(tar: tarfile.TarFile, folder: Path, path: str) -> None:
    status = (folder / path).lstat()
    entry = tarfile.TarInfo(path)
    entry.mtime = int(status.st_mtime)
    if stat.S_ISLNK(status.st_mode):
        entry.type = tarfile.SYMTYPE
        entry.linkname = os.fspath((folder / path).readlink())
        tar.addfile(entry)
        return
    entry.mode = 0o755 if status.st_mode & 0o111 else 0o644
    with (folder / path).open("rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        try:
            tar.addfile(entry, file)
        except OSError as error:
            raise Failed(
                t("{0} changed while it was packed ({1})", "打包时 {0} 发生了变化（{1}）").format(path, error),
                hint=t("run the command again", "请重新执行"),
            ) from error
