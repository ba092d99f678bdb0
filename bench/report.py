"""What a benchmark hands back: a table for people, and the same as JSON in `bench/out/`."""

import json
import os
import platform
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parent / "out"


@dataclass(frozen=True, slots=True)
class Aim:
    """What was aimed at, in words, and whether it was met."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Report:
    """`head` and `rows`: the table. `data`: every number behind it."""

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    aims: Sequence[Aim]
    data: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        aims = [f"  {'met   ' if aim.met else 'MISSED'}  {aim.text}" for aim in self.aims]
        notes = [f"  {note}" for note in self.notes]
        return "\n".join([f"\n{self.title}", "", *table(self.head, self.rows), "", *notes, *aims])

    def write(self) -> Path:
        OUT.mkdir(exist_ok=True)
        path = OUT / f"{self.name}.json"
        aims = [{"text": aim.text, "met": aim.met} for aim in self.aims]
        content = {"name": self.name, "machine": machine(), "aims": aims, **self.data}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return path


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns: the first to the left, the others to the right."""
    widths = [max(_width(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [_line(head, widths), "  ".join("─" * width for width in widths)]
    return [f"  {line}" for line in (*lines, *(_line(row, widths) for row in rows))]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        (text + " " * (width - _width(text))) if i == 0 else (" " * (width - _width(text)) + text)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def machine() -> dict[str, Any]:
    """Where and when: cores, memory, kernel, and how busy the machine was with other work."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
