"""The control plane's log is put aside when it is large, whoever writes it."""

import os
from pathlib import Path

from gongfang.telemetry import RotatingOutput


def test_a_full_log_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "control.log"
    descriptors = tuple(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
    try:
        output = RotatingOutput(path, limit=100, keep=2, descriptors=descriptors)
        for number in range(40):
            output.write(f"line {number:02}\n")
            os.write(descriptors[0], b"from elsewhere\n")
        files = sorted(each.name for each in tmp_path.iterdir())
        assert files == ["control.log", "control.log.1", "control.log.2"]
        assert all(each.stat().st_size < 150 for each in tmp_path.iterdir())
        assert "line 39" in path.read_text()
        assert "from elsewhere" in path.read_text()  # the other descriptor leads there, too
    finally:
        for number in descriptors:
            os.close(number)


def test_a_log_that_cannot_be_written_hinders_nobody(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert RotatingOutput(tmp_path / "log", 10, descriptors=(full,)).write("words\n") == 6
    finally:
        os.close(full)
