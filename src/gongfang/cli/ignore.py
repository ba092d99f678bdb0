"""The patterns of `.gitignore` and `.gongfangignore`, and the walk of a folder by them.

Rules come from three places, later ones winning: what is never wanted in a package, the `.gitignore` files from the
folder down, and the folder's `.gongfangignore`, which can bring back what Git leaves out (`!dist/`). As with Git, what
lies in an excluded folder cannot be brought back alone; and as with Git, `?` and `[…]` stand for one byte of a name.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEFAULTS = (
    "node_modules/",
    ".venv/",
    "__pycache__/",
    "*.py[co]",
    ".hg/",
    ".svn/",
    ".tox/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".DS_Store",
)
NEVER = frozenset({".git", ".gongfang"})
"""Names left out whatever any file says."""
_BACKUP = re.compile(r"gongfang-\d{8}-\d{6}\.tar\.zst.*|.+\.gongfang-backup.*", re.DOTALL)


def never(name: str) -> bool:
    """Whether what is called so stays out whatever any file says. A backup of the platform, under the name that
    `gongfang backup` gives it, is one: it holds the keys of every secret."""
    return name in NEVER or _BACKUP.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. `base`: the folder that it stands in, as a prefix (`""` or `"web/"`)."""

    pattern: re.Pattern[str]
    keep: bool
    only_folders: bool
    base: str

    def fits(self, path: str, folder: bool) -> bool:
        if (self.only_folders and not folder) or not path.startswith(self.base):
            return False
        return self.pattern.fullmatch(_bytewise(path[len(self.base) :])) is not None


def parse(lines: Iterable[str], base: str = "") -> list[Rule]:
    """The rules of an ignore file. A line that is no valid pattern fits nothing, as with Git."""
    return [rule for line in lines if (rule := _rule(line.rstrip("\r\n"), base)) is not None]


def _rule(line: str, base: str) -> Rule | None:
    if line.startswith("#"):
        return None
    line = _without_trailing_spaces(line)
    keep = line.startswith("!")
    line = line[1:] if keep else line
    only_folders = line.endswith("/") and not line.endswith("\\/")
    line = line[:-1] if only_folders else line
    if not line:
        return None
    anchored = "/" in line
    source = _translate(_bytewise(line.removeprefix("/")))
    if source is None:
        return None
    return Rule(re.compile(source if anchored else f"(?:.*/)?{source}", re.DOTALL), keep, only_folders, base)


def _bytewise(text: str) -> str:
    """A name with one character for each byte of it."""
    return os.fsencode(text).decode("latin-1")


def _without_trailing_spaces(line: str) -> str:
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    return line


def _translate(glob: str) -> str | None:
    """A glob as a regular expression; None for one that can fit nothing."""
    made: list[str] = []
    i = 0
    while i < len(glob):
        char = glob[i]
        if char == "*":
            source, i = _stars(glob, i)
            made.append(source)
        elif char == "?":
            made.append("[^/]")
            i += 1
        elif char == "[":
            found = _bracket(glob, i)
            if found is None:
                return None
            source, i = found
            made.append(source)
        elif char == "\\":
            if i + 1 == len(glob):
                return None
            made.append(re.escape(glob[i + 1]))
            i += 2
        else:
            made.append(re.escape(char))
            i += 1
    return "".join(made)


def _stars(glob: str, start: int) -> tuple[str, int]:
    """The stars that begin at `start`, and where they end: two or more that make up a whole part cross slashes."""
    i = start
    while i < len(glob) and glob[i] == "*":
        i += 1
    whole_part = i - start > 1 and (start == 0 or glob[start - 1] == "/")
    if whole_part and i == len(glob):
        return ".*", i
    if whole_part and glob[i] == "/":
        return "(?:.*/)?", i + 1
    return "[^/]*", i


_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9a-fA-F",
}


def _bracket(glob: str, start: int) -> tuple[str, int] | None:
    """The set that begins at `start`, and where it ends; None where it never does."""
    i = start + 1
    negated = i < len(glob) and glob[i] in "!^"
    i += negated
    items: list[str] = []
    first = True
    while i < len(glob) and (glob[i] != "]" or first):
        first = False
        named = re.compile(r"\[:(\w+):\]").match(glob, i)
        if named is not None:
            if named[1] not in _CLASSES:
                return None
            items.append(_CLASSES[named[1]])
            i = named.end()
            continue
        low, i = _literal(glob, i)
        if i + 1 < len(glob) and glob[i] == "-" and glob[i + 1] != "]":
            high, i = _literal(glob, i + 1)
            if low <= high:
                items.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            items.append(re.escape(low))
    if i >= len(glob):
        return None
    inside = "".join(items)
    if negated:
        return (f"[^/{inside}]", i + 1)
    return (f"(?!/)[{inside}]" if inside else "(?!)", i + 1)


def _literal(glob: str, i: int) -> tuple[str, int]:
    if glob[i] == "\\" and i + 1 < len(glob):
        return glob[i + 1], i + 2
    return glob[i], i + 1


def excluded(rules: Iterable[Rule], path: str, folder: bool) -> bool:
    """What the last rule that fits says about one entry (not about the folders that it lies in)."""
    verdict = False
    for rule in rules:
        if rule.fits(path, folder):
            verdict = not rule.keep
    return verdict


def excluded_with_parents(rules: list[Rule], path: str) -> bool:
    """The same for a file, with the folders that it lies in."""
    parts = path.split("/")
    return any(excluded(rules, "/".join(parts[:depth]), True) for depth in range(1, len(parts))) or excluded(
        rules, path, False
    )


def read_rules(file: Path, base: str = "") -> list[Rule]:
    """The rules of a file; none where it is not there."""
    try:
        return parse(file.read_text("utf-8", errors="surrogateescape").removeprefix("\ufeff").split("\n"), base)
    except (FileNotFoundError, IsADirectoryError):
        return []


def walk(root: Path, before: list[Rule], after: list[Rule]) -> Iterator[str]:
    """The files (and links) under `root` that are wanted, as paths with `/`, sorted within each folder.

    `before` and `after` stand around the `.gitignore` files that are found on the way.
    """

    def visit(folder: str, inherited: list[Rule]) -> Iterator[str]:
        prefix = f"{folder}/" if folder else ""
        inside = inherited + read_rules(root / folder / ".gitignore", prefix)
        rules = before + inside + after
        with os.scandir(root / folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if never(entry.name) or excluded(rules, path, is_folder):
                continue
            if is_folder:
                yield from visit(path, inside)
            else:
                yield path

    yield from visit("", [])
