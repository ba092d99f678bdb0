"""What is going on, on stderr: an upload's share, an operation's steps and the output of its build, live.

On a terminal the line of the running step is written over; elsewhere only what is finished is printed, once.
"""

import sys
import time
from typing import TYPE_CHECKING

import click

from gongfang.cli import render
from gongfang.cli.errors import Failed
from gongfang.cli.text import t

if TYPE_CHECKING:
    from gongfang.cli.session import Session
    from gongfang.wire.models import LogLine, OperationOut, StepOut


class Display:
    """Lines that stay, and under them one that comes and goes."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._showing = False

    def stay(self, text: str) -> None:
        self.clear()
        click.echo(text, err=True)

    def passing(self, text: str) -> None:
        """Shown until something else is; not at all where stderr is no terminal."""
        if self._live:
            click.echo(f"\r\x1b[2K{text}", err=True, nl=False)
            self._showing = True

    def clear(self) -> None:
        if self._showing:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._showing = False


class Upload:
    """Progress of an upload: call it with what is sent and what is to be sent."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._shown = 0.0

    def __call__(self, sent: int, total: int | None) -> None:
        now = time.monotonic()
        if sent != total and now - self._shown < 0.1:
            return
        self._shown = now
        share = f" {100 * sent // total} %" if total else ""
        self._display.passing(t("  uploading {0}{1}", "  正在上传 {0}{1}").format(render.size(sent), share))


class Steps:
    """The steps of one operation, each printed when it is finished, with its time."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._finished: set[tuple[str, str]] = set()
        self._running = ""

    def update(self, operation: "OperationOut") -> None:
        self._running = ""
        for step in operation.steps:
            if step.finished_at is None:
                self._running = step.message
            elif (key := (step.name, step.started_at.isoformat())) not in self._finished:
                self._finished.add(key)
                self._finish(step, operation)
        self._draw()

    def line(self, line: "LogLine") -> None:
        self._display.stay(click.style(f"    {line.text}", dim=True))
        self._draw()

    def _finish(self, step: "StepOut", operation: "OperationOut") -> None:
        failed = operation.status in ("failed", "cancelled") and step is operation.steps[-1]
        mark = click.style("✗", fg="red") if failed else click.style("✓", fg="green")
        self._display.stay(f"  {mark} {step.message}  {render.took(step.started_at, step.finished_at)}")

    def _draw(self) -> None:
        if self._running:
            self._display.passing(f"  … {self._running}")


def follow(session: "Session", operation: "OperationOut", display: Display | None = None) -> "OperationOut":
    """Shows an operation until it has ended. Raises `Failed` where it did not succeed.

    Ctrl-C leaves it running, and says how to follow or cancel it.
    """
    from gongfang.wire.models import OperationOut

    display = display or Display()
    steps = Steps(display)
    try:
        for found in session.client.operations.watch(operation.id):
            if isinstance(found, OperationOut):
                operation = found
                steps.update(found)
            else:
                steps.line(found)
    except KeyboardInterrupt:
        display.clear()
        session.note(
            t(
                "still running; follow it with:  gongfang operations watch {0}",
                "操作仍在进行；跟踪：gongfang operations watch {0}",
            ).format(operation.id)
        )
        session.note(
            t("                or cancel it:  gongfang cancel {0}", "取消：gongfang cancel {0}").format(operation.id)
        )
        raise
    finally:
        display.clear()
    check(operation)
    return operation


def check(operation: "OperationOut") -> None:
    """Raises `Failed` with the operation's reason where it ended badly."""
    if operation.status == "cancelled":
        raise Failed(t("the operation was cancelled", "操作已取消"))
    if operation.status == "failed":
        message = operation.reason.message if operation.reason else t("the operation failed", "操作失败")
        raise Failed(message, output=operation.output)


def finish(session: "Session", operation: "OperationOut", wait: bool) -> "OperationOut":
    """Follows an operation to its end, or says how to where nobody wants to wait."""
    if wait:
        return follow(session, operation)
    session.note(
        t(
            "accepted; follow it with:  gongfang operations watch {0}", "已受理；跟踪：gongfang operations watch {0}"
        ).format(operation.id)
    )
    return operation
