"""Times as people type them: `10m`, `2h30m`, `2026-03-01`, `2026-03-01T08:00+08:00`."""

import re
from datetime import datetime, timedelta
from typing import Any

import click

from gongfang.cli.text import t

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"^(?:\d+(?:\.\d+)?[smhdw])+$")


def span(text: str) -> float:
    """Seconds of a span such as `90s`, `10m`, `2h30m`, `7d`. Raises ValueError."""
    if not _SPAN.match(text):
        raise ValueError(text)
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhdw])", text))


class Moment(click.ParamType[datetime]):
    """A moment: so long ago, or a date and time (of the local zone where none is said)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            return datetime.now().astimezone() - timedelta(seconds=span(text))
        except ValueError:
            pass
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                t("'{0}' is neither a span (10m, 2h) nor a time", "“{0}”既不是时长（10m、2h）也不是时间").format(text)
            )
        return found if found.tzinfo else found.astimezone()


class Memory(click.ParamType[int]):
    """Memory in MiB: `256`, `256M`, `1.5G`."""

    name = "memory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mg])?(?:i?b)?", str(value).strip().lower())
        if match is None:
            self.fail(t("'{0}' is not a size such as 256 or 1.5G", "“{0}”不是内存大小（如 256 或 1.5G）").format(value))
        return round(float(match[1]) * (1024 if match[2] == "g" else 1))
