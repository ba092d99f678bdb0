"""How a process' end is put into words. Pure."""

from gongfang.domain.errors import Reason
from gongfang.domain.values import ExitInfo

LAST_LINES = 50
LAST_BYTES = 16 * 1024


def exit_reason(exit_info: ExitInfo, *, memory_mb: int, disk_mb: int) -> Reason:
    """Why something that should have run on has ended."""
    if exit_info.disk_full:
        return Reason("exit_disk", {"disk_mb": disk_mb})
    if exit_info.lost:
        return Reason("exit_lost", {})
    if exit_info.out_of_memory:
        return Reason("exit_oom", {"memory_mb": memory_mb})
    if exit_info.signal is not None:
        return Reason("exit_signal", {"signal": exit_info.signal})
    if exit_info.code == 0:
        return Reason("exited_at_start", {})
    return Reason("exit_code", {"code": exit_info.code if exit_info.code is not None else -1})


def build_reason(
    exit_info: ExitInfo, *, timed_out: bool, memory_mb: int, disk_mb: int, timeout_s: float
) -> Reason | None:
    """Why a build's commands have failed; None where they have not."""
    if exit_info.disk_full:
        return Reason("build_disk_full", {"disk_mb": disk_mb})
    if timed_out:
        return Reason("build_timeout", {"seconds": timeout_s})
    if exit_info.lost:
        return Reason("build_lost", {})
    if exit_info.out_of_memory:
        return Reason("build_oom", {"memory_mb": memory_mb})
    if exit_info.signal is not None:
        return Reason("build_signal", {"signal": exit_info.signal})
    return Reason("build_failed", {"code": exit_info.code or 0}) if exit_info.code else None


def task_reason(
    exit_info: ExitInfo, *, timed_out: bool, memory_mb: int, disk_mb: int, timeout_s: float
) -> Reason | None:
    """Why a task has failed; None where it has not."""
    if exit_info.disk_full:
        return exit_reason(exit_info, memory_mb=memory_mb, disk_mb=disk_mb)
    if timed_out:
        return Reason("task_timeout", {"seconds": timeout_s})
    if exit_info.code == 0:
        return None
    if exit_info.code is not None and not exit_info.out_of_memory and not exit_info.lost:
        return Reason("task_failed", {"code": exit_info.code})
    return exit_reason(exit_info, memory_mb=memory_mb, disk_mb=disk_mb)


def last_lines(output: bytes) -> str:
    """The end of an output for people: the last lines, whole where they are not too long."""
    lines = output[-LAST_BYTES:].decode("utf-8", "replace").replace("\x00", "").splitlines()
    return "\n".join(lines[-LAST_LINES:])
