"""The `Procfile`: a line a process type, `name: command`. Faults are told with their line."""

import re

from gongfang.builders.interface import Tree
from gongfang.builders.reading import read_text
from gongfang.builders.sink import shown
from gongfang.domain.errors import Invalid

_LINE = re.compile(r"([^\s:]+)\s*:[ \t]*(.*)")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_MOST = 50
_LONGEST = 8192


def parse_procfile(text: str) -> dict[str, str]:
    """Process types in the file's order. Empty lines and those that begin with `#` are skipped.

    Raises `Invalid`: `procfile_line` (not `name: command`), `procfile_name`, `procfile_no_command`,
    `procfile_duplicate`, `procfile_too_long`, `procfile_empty`.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None or "\0" in line:
            raise Invalid("procfile_line", line=number, text=shown(line))
        name, command = parts[1], parts[2].strip()
        if not _NAME.fullmatch(name):
            raise Invalid("procfile_name", line=number, name=shown(name))
        if not command:
            raise Invalid("procfile_no_command", line=number, name=name)
        if name in found:
            raise Invalid("procfile_duplicate", line=number, name=name)
        if len(command) > _LONGEST or len(found) == _MOST:
            raise Invalid("procfile_too_long", line=number, most=_MOST, longest=_LONGEST)
        found[name] = command
    if not found:
        raise Invalid("procfile_empty")
    return found


def read_procfile(tree: Tree) -> dict[str, str] | None:
    """The tree's process types; None where it has no `Procfile`."""
    text = read_text(tree.root, "Procfile")
    return None if text is None else parse_procfile(text)
