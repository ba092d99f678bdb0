"""A simulated feed of machines, as a gateway at a line would send it: states, temperatures, parts, every second."""

import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field

# state: (the next ones with their weights, mean seconds in it)
TRANSITIONS: dict[str, tuple[dict[str, float], float]] = {
    "running": ({"idle": 0.6, "setup": 0.25, "fault": 0.15}, 40.0),
    "idle": ({"running": 0.9, "offline": 0.1}, 8.0),
    "setup": ({"running": 1.0}, 12.0),
    "fault": ({"running": 0.7, "setup": 0.3}, 15.0),
    "offline": ({"idle": 1.0}, 20.0),
}
CYCLE_S = 4.0
"""Seconds a part takes on every machine."""


@dataclass
class Machine:
    """One machine and what it last reported."""

    code: str
    zh: str
    en: str
    state: str = "running"
    temperature: float = 45.0
    parts: int = 0
    rejected: int = 0
    running_s: float = 0.0
    seen_s: float = 0.0
    history: deque[float] = field(default_factory=lambda: deque[float](maxlen=60))

    def step(self, dice: random.Random, seconds: float) -> None:
        """Lets time pass."""
        following, stay = TRANSITIONS[self.state]
        if dice.random() < seconds / stay:
            self.state = dice.choices(list(following), list(following.values()))[0]
        aim = {"running": 62.0, "fault": 78.0}.get(self.state, 38.0)
        self.temperature += (aim - self.temperature) * 0.04 * seconds + dice.gauss(0, 0.4)
        self.seen_s += seconds
        if self.state == "running":
            self.running_s += seconds
            if dice.random() < seconds / CYCLE_S:
                self.parts += 1
                self.rejected += dice.random() < 0.015
        self.history.append(round(self.temperature, 1))

    def report(self) -> dict[str, object]:
        """What the dashboard shows."""
        availability = self.running_s / self.seen_s if self.seen_s else 0.0
        quality = 1 - self.rejected / self.parts if self.parts else 1.0
        return {
            "code": self.code,
            "zh": self.zh,
            "en": self.en,
            "state": self.state,
            "temperature": round(self.temperature, 1),
            "parts": self.parts,
            "rejected": self.rejected,
            "availability": round(availability, 3),
            "quality": round(quality, 3),
            "history": list(self.history),
        }


class Feed:
    """All machines of the line, moved on by one thread."""

    def __init__(self, line: str) -> None:
        self._dice = random.Random(line)  # noqa: S311  (a simulation; the same line behaves the same)
        self._lock = threading.Lock()
        names = [
            ("CNC-01", "数控车床 1", "CNC lathe 1"),
            ("CNC-02", "数控车床 2", "CNC lathe 2"),
            ("MIL-01", "立式加工中心", "Machining centre"),
            ("GRD-01", "外圆磨床", "Cylindrical grinder"),
            ("ROB-01", "焊接机器人 1", "Welding robot 1"),
            ("ROB-02", "焊接机器人 2", "Welding robot 2"),
            ("PRS-01", "伺服压力机", "Servo press"),
            ("ASM-01", "装配工位", "Assembly station"),
            ("INS-01", "视觉检测", "Vision inspection"),
            ("AGV-01", "搬运小车", "AGV"),
            ("FUR-01", "热处理炉", "Heat treatment"),
            ("PKG-01", "包装机", "Packing machine"),
        ]
        self._machines = [Machine(*name) for name in names]
        for _ in range(600):  # the ten minutes before anybody looked
            self._step(1.0)

    def run(self) -> None:
        """Moves the line on in step with the clock, for ever."""
        last = time.monotonic()
        while True:
            time.sleep(1.0)
            now = time.monotonic()
            self._step(now - last)
            last = now

    def _step(self, seconds: float) -> None:
        with self._lock:
            for machine in self._machines:
                machine.step(self._dice, seconds)

    def report(self) -> list[dict[str, object]]:
        with self._lock:
            return [machine.report() for machine in self._machines]
