"""Sizes as administrators write them: `1073741824`, `512MB`, `2.5GB`, `2%` of a whole. Pure."""

import re

MB = 1 << 20
GB = 1 << 30
_UNITS = {"": 1, "kb": 1 << 10, "mb": MB, "gb": GB, "tb": 1 << 40}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[kmgt]?b?)", re.IGNORECASE)


def size_of(text: str, whole: int) -> int:
    """Bytes. Raises `ValueError` saying what is accepted."""
    found = _FORM.fullmatch(text.strip())
    unit = found.group(2).lower() if found else ""
    if found is None:
        raise ValueError("a number of bytes, or one with KB, MB, GB, TB or % behind it")
    number = float(found.group(1))
    if unit == "%":
        if number > 100:
            raise ValueError("more than 100 %")
        return int(whole * number / 100)
    return int(number * _UNITS[unit if unit.endswith("b") or not unit else f"{unit}b"]) if unit != "b" else int(number)


def shown(count: float) -> str:
    """Bytes for people: `150.2 kB`, `12.3 MB` (of 1024)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
