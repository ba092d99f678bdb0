"""What the plant's historian would answer, simulated: the value of a point at a moment.

It is a function of point and time alone, so that the web process and the worker, each in its own sandbox, see the same
plant. To read a real historian, keep `value_at` and `POINTS`.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A measured point and its limits. `hold_s`: how long a limit must be passed before it counts."""

    code: str
    zh: str
    en: str
    unit: str
    middle: float
    swing: float
    period_s: float
    high: float
    severity: str
    hold_s: int = 5


POINTS = (
    Point("TT-101", "反应釜温度", "Reactor temperature", "°C", 82, 9, 97, 89, "critical"),
    Point("PT-102", "反应釜压力", "Reactor pressure", "bar", 4.1, 0.7, 71, 4.6, "critical"),
    Point("VT-210", "主轴振动", "Spindle vibration", "mm/s", 3.2, 1.6, 53, 4.5, "warning"),
    Point("LT-305", "冷却水箱液位", "Coolant level", "%", 61, 22, 131, 80, "warning"),
    Point("CT-401", "除尘器压差", "Filter pressure drop", "Pa", 900, 350, 89, 1200, "warning"),
    Point("TT-502", "电机绕组温度", "Motor winding temperature", "°C", 104, 18, 167, 118, "critical"),
)


def value_at(point: Point, second: int) -> float:
    """The value at a Unix time."""
    seed = sum(map(ord, point.code))
    wave = math.sin(2 * math.pi * second / point.period_s + seed)
    slow = math.sin(2 * math.pi * second / (point.period_s * 7.3) + 2 * seed)
    ripple = math.sin(second * 1.7 + seed) * 0.05
    return point.middle + point.swing * (0.6 * wave + 0.45 * slow + ripple)
