"""Programs that are built already: one executable, or whatever a `Procfile` says."""

import platform
import struct
from pathlib import Path

from gongfang.builders.interface import BuildPlan, Launch, Tree
from gongfang.builders.procfile import read_procfile
from gongfang.builders.reading import inside, top_files, top_of
from gongfang.builders.script import quoted
from gongfang.builders.sink import shown
from gongfang.domain.errors import Invalid
from gongfang.domain.values import RuntimeName

_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64", 258: "loongarch64", 3: "i386", 40: "arm", 21: "ppc64le"}


class BinaryBuilder:
    name = RuntimeName.binary
    looked_for = "a single executable, or a Procfile"

    def __init__(self, machine: str = "") -> None:
        self._machine = machine or platform.machine()

    def detect(self, tree: Tree) -> bool:
        return read_procfile(tree) is not None or len(_executables(tree)) == 1

    def plan(self, tree: Tree) -> BuildPlan:
        programs = _executables(tree)
        if read_procfile(tree) is None:
            self._one(tree, programs)
        said = ", ".join(shown(each) for each in programs[:3])
        return BuildPlan(self.name, "", tools=(), launch_tools=(), detected=f"Program, {said or 'Procfile'}")

    def launch(self, tree: Tree) -> Launch:
        procfile = read_procfile(tree)
        return Launch(procfile or {"web": quoted(f"./{self._one(tree, _executables(tree))}")})

    def _one(self, tree: Tree, programs: list[str]) -> str:
        if len(programs) != 1:
            raise Invalid("binary_not_one", count=len(programs), found=top_of(tree.root))
        built_for = _machine_of(inside(tree.root, programs[0]))
        if built_for not in ("", self._machine):
            raise Invalid("binary_machine", file=shown(programs[0]), built_for=built_for, machine=self._machine)
        return programs[0]


def _executables(tree: Tree) -> list[str]:
    """Executable files at the top, or in `bin` where there are none at the top."""
    for folder in ("", "bin/"):
        names = [f"{folder}{name}" for name in top_files(tree.root, folder or ".")]
        found = [name for name in names if _is_program(inside(tree.root, name))]
        if found:
            return found
    return []


def _is_program(path: Path | None) -> bool:
    return path is not None and bool(path.stat().st_mode & 0o100) and not path.name.endswith(".so")


def _machine_of(path: Path | None) -> str:
    """What an ELF file was built for; empty for anything else, and for machines not known here."""
    if path is None:
        return ""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return ""
    (code,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    return _MACHINES.get(code, "")
