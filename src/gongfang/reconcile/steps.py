"""Steps of an operation. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gongfang.domain.values import Step


def ended_steps(steps: Sequence[Step], now: datetime) -> list[Step]:
    """The steps, the last one being over."""
    return [s if s.finished_at else replace(s, finished_at=now) for s in steps]
