"""A simulated feed of machines, as a gateway at a line would send it: states, temperatures, parts, every second.

To show a real line, keep `report`, `wait` and `wake`, and have `run` read your gateway instead.
"""

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
MACHINES = (
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
)
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
    temperatures: deque[float] = field(default_factory=lambda: deque[float](maxlen=60))
    states: deque[str] = field(default_factory=lambda: deque[str](maxlen=60))

    def step(self, dice: random.Random, seconds: float) -> None:
        """Lets time pass."""
        following, stay = TRANSITIONS[self.state]
        if dice.random() < seconds / stay:
            self.state = dice.choices(list(following), list(following.values()))[0]
        aim = {"running": 62.0, "fault": 78.0}.get(self.state, 38.0)
        self.temperature += (aim - self.temperature) * min(0.04 * seconds, 1.0) + dice.gauss(0, 0.4)
        self.seen_s += seconds
        if self.state == "running":
            self.running_s += seconds
            if dice.random() < seconds / CYCLE_S:
                self.parts += 1
                self.rejected += dice.random() < 0.015
        self.temperatures.append(round(self.temperature, 1))
        self.states.append(self.state)

    def report(self) -> dict[str, object]:
        """What the dashboard shows: `history` are the last 60 temperatures, `states` the last 60 states' initials."""
        availability = self.running_s / self.seen_s if self.seen_s else 0.0
        performance = min(1.0, self.parts * CYCLE_S / self.running_s) if self.running_s else 0.0
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
            "performance": round(performance, 3),
            "quality": round(quality, 3),
            "history": list(self.temperatures),
            "states": "".join(state[0] for state in self.states),
        }


class Feed:
    """All machines of the line, moved on by one thread, read by any number."""

    def __init__(self, line: str) -> None:
        self._dice = random.Random(line)  # the same line behaves the same
        self._changed = threading.Condition()
        self._reports = 0
        self._machines = [Machine(*names) for names in MACHINES]
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

    def report(self) -> list[dict[str, object]]:
        with self._changed:
            return [machine.report() for machine in self._machines]

    def wait(self, seen: int) -> int:
        """Returns the number of reports once it is another than `seen`."""
        with self._changed:
            self._changed.wait_for(lambda: self._reports != seen)
            return self._reports

    def wake(self) -> None:
        """Lets everybody who waits go on."""
        with self._changed:
            self._reports += 1
            self._changed.notify_all()

    def _step(self, seconds: float) -> None:
        with self._changed:
            for machine in self._machines:
                machine.step(self._dice, seconds)
        self.wake()
