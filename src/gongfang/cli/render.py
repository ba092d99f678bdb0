"""Tables, JSON, times and sizes. Terminals get colours and frames; files and pipes get plain, whole, aligned text."""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from gongfang.cli.text import t

# each colour's states, with their Chinese words
_STATES = {
    "green": {
        "running": "运行中",
        "ready": "就绪",
        "succeeded": "成功",
        "active": "有效",
        "ok": "正常",
        "started": "启动",
    },
    "yellow": {
        "starting": "启动中",
        "updating": "更新中",
        "pending": "等待中",
        "degraded": "降级",
        "unready": "未就绪",
        "draining": "排空中",
        "stopping": "停止中",
        "destroying": "销毁中",
        "detached": "未挂接",
        "expiring": "即将到期",
        "creating": "创建中",
        "deleting": "删除中",
    },
    "red": {
        "crashed": "崩溃",
        "failed": "失败",
        "down": "故障",
        "expired": "已到期",
        "refused": "被拒绝",
        "broken": "不可用",
    },
    "bright_black": {
        "stopped": "已停止",
        "exited": "已退出",
        "cancelled": "已取消",
        "disabled": "已停用",
        "none": "无",
    },
}
_COLOURS = {state: colour for colour, states in _STATES.items() for state in states}
_CHINESE = {state: chinese for states in _STATES.values() for state, chinese in states.items()}


class Word(str):
    """A state in the reader's language, with its colour."""

    colour: str | None


def word(state: str) -> Word:
    """How a state is shown; one that a newer platform made up is shown as it is."""
    made = Word(t(str(state), _CHINESE.get(state, str(state))))
    made.colour = _COLOURS.get(state)
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str | None = None) -> None:
    """A table on stdout. `empty`: what to say (on stderr) where there is no row."""
    cells = [["" if cell is None else cell if isinstance(cell, Word) else str(cell) for cell in row] for row in rows]
    if not cells:
        click.echo(empty or t("nothing there yet", "暂无内容"), err=True)
        return
    if sys.stdout.isatty():
        _rich_table(columns, cells)
    else:
        _plain_table(columns, cells)


def _rich_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=(cell.colour or "") if isinstance(cell, Word) else "") for cell in row))
    Console().print(made)


def _plain_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    lines = [list(columns), *([cell.replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(width(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        padded = (cell + " " * (size - width(cell)) for cell, size in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def width(text: str) -> int:
    """Columns that a text takes on a terminal: Chinese characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; what is None is left out."""
    shown = [(name, value) for name, value in rows if value is not None]
    widest = max((width(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name}{' ' * (widest - width(name))}  {coloured(value)}")


def coloured(value: object) -> str:
    """A state's word in its colour (which click leaves out where nobody would see it); anything else as it is."""
    return click.style(str(value), fg=value.colour) if isinstance(value, Word) and value.colour else str(value)


def print_json(data: Any) -> None:
    """Models, lists and plain values as indented UTF-8 JSON."""
    from pydantic_core import to_json

    click.echo(to_json(data, indent=2).decode("utf-8"))


def size(count: float) -> str:
    """Bytes for people: `12.3 MB` (of 1024)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def when(moment: datetime | None) -> str:
    """A moment in the local time zone, to the second."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(moment: datetime | None) -> str:
    """How long it is since: `5 s`, `3 min`, `2 h`, `9 d`."""
    if moment is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def took(start: datetime | None, end: datetime | None) -> str:
    """The time between two moments: `1.2 s`."""
    return "" if start is None or end is None else f"{(end - start).total_seconds():.1f} s"
