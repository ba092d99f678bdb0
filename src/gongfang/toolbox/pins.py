"""The pins: which version of which wheel a tool is, with the hashes of its files for every platform.

They lie beside this module as requirements files, a file a tool, made by `requirements/tools/refresh`.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "pins"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pin:
    """`requirements`: the file that names the wheel and its hashes, as `uv pip install -r` reads it."""

    tool: str
    distribution: str
    version: str
    requirements: Path

    @property
    def folder(self) -> str:
        return f"{self.tool}-{self.version}"


@cache
def pin_of(tool: str) -> Pin:
    """The pin of a tool that comes as a wheel. A missing or empty file is a fault of the installation."""
    path = _FOLDER / f"{tool}.txt"
    found = _PIN.search(path.read_text("utf-8"))
    if found is None:
        raise ValueError(f"no pin in {path}")
    return Pin(tool, found[1], found[2], path)
