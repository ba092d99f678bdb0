"""How an end is put into words: what was over its limit comes first, since the rest follows from it."""

import pytest

from gongfang.domain.messages import CATALOGUE
from gongfang.domain.values import ExitInfo
from gongfang.reconcile.exits import build_reason, exit_reason, task_reason

KILLED = ExitInfo(None, signal=9)
FULL = ExitInfo(None, signal=9, disk_full=True)
OOM = ExitInfo(None, signal=9, out_of_memory=True)


@pytest.mark.parametrize(
    ("how", "code", "facts"),
    [
        (FULL, "exit_disk", {"disk_mb": 64}),
        (OOM, "exit_oom", {"memory_mb": 32}),
        (KILLED, "exit_signal", {"signal": 9}),
        (ExitInfo(3), "exit_code", {"code": 3}),
        (ExitInfo(None, lost=True), "exit_lost", {}),
    ],
)
def test_an_instance(how: ExitInfo, code: str, facts: dict[str, int]) -> None:
    reason = exit_reason(how, memory_mb=32, disk_mb=64)
    assert (reason.code, reason.facts) == (code, facts)
    assert code in CATALOGUE


@pytest.mark.parametrize(
    ("how", "timed_out", "code"),
    [
        (FULL, False, "build_disk_full"),
        (FULL, True, "build_disk_full"),
        (OOM, False, "build_oom"),
        (KILLED, True, "build_timeout"),
        (ExitInfo(0), False, None),
    ],
)
def test_a_build(how: ExitInfo, timed_out: bool, code: str | None) -> None:
    reason = build_reason(how, timed_out=timed_out, memory_mb=1, disk_mb=2, timeout_s=3)
    assert (reason.code if reason else None) == code
    assert code is None or code in CATALOGUE


@pytest.mark.parametrize(
    ("how", "code"), [(FULL, "exit_disk"), (OOM, "exit_oom"), (ExitInfo(2), "task_failed"), (ExitInfo(0), None)]
)
def test_a_task(how: ExitInfo, code: str | None) -> None:
    reason = task_reason(how, timed_out=False, memory_mb=1, disk_mb=2, timeout_s=3)
    assert (reason.code if reason else None) == code
