"""Which alarms a stretch of time has: pure, from the historian's values. The same for the page and for the worker."""

from collections.abc import Iterator
from dataclasses import dataclass

from historian import POINTS, Point, value_at


@dataclass(frozen=True)
class Alarm:
    """A limit that was passed for long enough. `ended`: None while it still is. Times are Unix seconds."""

    point: Point
    began: int
    ended: int | None
    worst: float

    @property
    def id(self) -> str:
        return f"{self.point.code}-{self.began}"

    def as_json(self) -> dict[str, object]:
        p = self.point
        return {
            "id": self.id,
            "point": p.code,
            "zh": p.zh,
            "en": p.en,
            "unit": p.unit,
            "severity": p.severity,
            "limit": p.high,
            "worst": round(self.worst, 2),
            "began": self.began,
            "ended": self.ended,
        }


def alarms_between(since: int, until: int) -> list[Alarm]:
    """Newest first. An alarm that began before `since` begins there."""
    found = [alarm for point in POINTS for alarm in _of(point, since, until)]
    return sorted(found, key=lambda alarm: (alarm.began, alarm.point.code), reverse=True)


def _of(point: Point, since: int, until: int) -> Iterator[Alarm]:
    began: int | None = None
    worst = 0.0
    for second in range(since, until + 1):
        value = value_at(point, second)
        if value > point.high:
            began, worst = (second, value) if began is None else (began, max(worst, value))
        elif began is not None:
            if second - began >= point.hold_s:
                yield Alarm(point, began, second, worst)
            began = None
    if began is not None and until - began >= point.hold_s:
        yield Alarm(point, began, None, worst)
