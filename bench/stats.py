"""Percentiles and the like, of plain lists of numbers. Pure."""

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank).

    Raises `ValueError` for no values, or a share out of range.
    """
    if not values:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError("a share lies between 0 and 1")
    ordered = sorted(values)
    # Rounded first: 0.99 * 100 is a hair over 99 in floating point, and must not become the 100th.
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest, for people: `12–19`."""
    return f"{min(values):.0f}–{max(values):.0f}"
