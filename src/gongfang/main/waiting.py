"""Waiting until the apps run that should: after a start, and after a restore."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gongfang.main.home import Home
from gongfang.main.terminal import language

if TYPE_CHECKING:
    from gongfang.wire.models import AppOut

Say = Callable[[str, Mapping[str, str | int | float]], None]


def until_apps_run(home: Home, say: Say, *, within_s: float, crashed_after_s: float = 0.0) -> "list[AppOut] | None":
    """Waits for every app that should run, and says how many do. The answer: those that don't, after the time or
    because they crash or were stopped meanwhile; None where the platform does not answer (that is said).

    `crashed_after_s`: how long a crash is believed to be the old instances' end, not the new ones'."""
    from gongfang.client import Client, ClientError

    told: dict[str, Any] = orjson.loads(home.platform_file.read_bytes())
    began = time.monotonic()
    before: tuple[int, int] | None = None
    token = home.admin_token.read_text().strip()
    certificate = told.get("api_certificate")
    pinned = certificate if certificate and Path(certificate).is_file() else None
    with Client(str(told["api_url"]), token, language=language(), pinned=pinned) as client:
        while True:
            spent = time.monotonic() - began
            try:
                apps = [app for app in client.apps.list(page_size=500) if app.desired_state == "started"]
            except ClientError as error:
                say("restore_apps_unknown", {"what": str(error)})
                return None
            final = ("running", "crashed", "stopped") if spent >= crashed_after_s else ("running", "stopped")
            late = [app for app in apps if app.state != "running"]
            if apps and before != (len(late), len(apps)):
                before = (len(late), len(apps))
                say("restore_apps", {"running": len(apps) - len(late), "all": len(apps)})
            if spent > within_s or all(app.state in final for app in apps):
                return late
            time.sleep(0.2)
