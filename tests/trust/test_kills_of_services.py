"""kill -9 of the control plane in the middle of what is done to databases: what was accepted ends, once, data and
credentials are what they should be, and nothing is left over. As `test_kills.py`, whose lab this is."""

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gongfang.client.errors import ApiError
from tests.e2e.conftest import wait_until
from tests.e2e.load import Load
from tests.e2e.pg_client import Connection, PgError
from tests.trust.test_kills import Call, Lab, lab, undisturbed

__all__ = ["lab"]
MOMENTS = (0.2, 0.7)
ALREADY = (
    *("idempotency_answer_lost", "service_instance_not_found", "service_being_deleted", "service_busy"),
    *("binding_not_found", "already_bound"),
)


def _space(lab: Lab) -> tuple[str, str]:
    space = lab.platform.client.spaces.list().all()[0]
    return space.organization_id, space.id


def _enabled(lab: Lab) -> None:
    lab.platform.client.services.enable(_space(lab)[0], "postgresql")


def _created(lab: Lab) -> None:
    """A database, and an app to be bound to it."""
    _enabled(lab)
    client = lab.platform.client
    client.services.create(_space(lab)[1], "postgresql", name=lab.app, wait=60)
    client.apps.create(lab.app)
    lab.uploaded()
    client.apps.start(lab.app, wait=60)


def _bound(lab: Lab) -> None:
    """With a row in it."""
    _created(lab)
    lab.platform.client.bindings.create(lab.app, lab.app, wait=60)
    _asked(lab, "CREATE TABLE readings AS SELECT 7 AS value")


def _uri(lab: Lab) -> str:
    return lab.platform.client.bindings.environment(lab.app, lab.app).environment["DATABASE_URL"]


def _asked(lab: Lab, *statements: str) -> list[Any]:
    """The rows of them all, by the app's credentials of now."""
    connection = Connection(_uri(lab))
    try:
        return [row for statement in statements for row in connection.query(statement)]
    finally:
        connection.close()


def _value(lab: Lab) -> list[Any]:
    return _asked(lab, "SELECT value FROM readings")


def _create(lab: Lab, key: str) -> httpx2.Response | None:
    path = f"/spaces/{_space(lab)[1]}/service-instances"
    return lab.send("POST", path, key, json={"service": "postgresql", "name": lab.app})


def _bind(lab: Lab, key: str) -> httpx2.Response | None:
    return lab.send("POST", f"/apps/{lab.app}/bindings", key, json={"service_instance_id": lab.app})


def _send(method: str, path: str, **body: object) -> Callable[[Lab, str], httpx2.Response | None]:
    return lambda lab, key: lab.send(method, path.format(name=lab.app), key, **({"json": body} if body else {}))


def _running(lab: Lab) -> bool:
    try:
        return lab.platform.client.services.status(lab.app).state == "running"
    except ApiError:
        return False


def _can_ask(lab: Lab) -> bool:
    try:
        return _asked(lab, "SELECT 1") == [("1",)]
    except (ApiError, KeyError, OSError, PgError):
        return False


def _services(lab: Lab) -> int:
    return len(list(lab.platform.client.services.list(name=lab.app)))


def _unbound(lab: Lab) -> bool:
    return not lab.platform.client.bindings.list(lab.app).all()


def _larger(lab: Lab) -> bool:
    try:
        return _asked(lab, "SHOW shared_buffers", "SELECT value FROM readings") == [("128MB",), ("7",)]
    except (PgError, OSError):  # it is just being started again
        return False


CALLS = {
    "create": Call(_enabled, _create, _running),
    "bind": Call(_created, _bind, _can_ask),
    "configure": Call(_bound, _send("POST", "/service-instances/{name}/configuration", plan="medium"), _larger),
    "unbind": Call(_bound, _send("DELETE", "/apps/{name}/bindings/{name}"), _unbound),
    "delete": Call(_created, _send("DELETE", "/service-instances/{name}"), lambda lab: _services(lab) == 0),
}


@pytest.mark.parametrize("name", CALLS)
def test_killed_in_the_middle_it_is_done_once_and_nothing_is_left(lab: Lab, name: str) -> None:
    call = CALLS[name]
    seconds = undisturbed(lab, call)
    _away(lab)
    for moment in MOMENTS:
        lab.app = f"k-{secrets.token_hex(4)}"
        call.ready(lab)
        key = secrets.token_hex(8)
        with Load(lab.platform.edge_port, lab.platform.host("bystander"), workers=2) as bystander:
            _killed(lab, call, key, seconds * moment)
            wait_until(lambda: call.seen(lab), 60, f"{name}, killed at {moment} of {seconds:.2f} s")
            lab.settle()
            if name == "create":
                assert _services(lab) == 1
        assert bystander.failures == []
        assert bystander.answers.total() > 0
        _away(lab)
    assert not list(_data(lab).glob("hst_*"))


def _killed(lab: Lab, call: Call, key: str, after_s: float) -> None:
    caller = threading.Thread(target=call.act, args=(lab, key))
    caller.start()
    caller.join(after_s)  # the moment is meant: nothing is waited for
    lab.platform.kill_control_plane()
    caller.join()
    lab.platform.up()
    again = call.act(lab, key)
    assert again is not None
    assert again.is_success or again.json()["code"] in ALREADY, again.text


def _data(lab: Lab) -> Path:
    return lab.platform.home / "services"


def _away(lab: Lab) -> None:
    """What the round has made."""
    client = lab.platform.client
    if list(client.apps.list(name=lab.app)):
        client.apps.destroy(lab.app, wait=60)
    if _services(lab):
        client.services.delete(lab.app, wait=60)


def test_a_killed_server_comes_back_and_a_crash_is_told(lab: Lab) -> None:
    """All of its processes at once, with the control plane there and away. `gongfang down` is none."""
    lab.app = f"k-{secrets.token_hex(4)}"
    _bound(lab)
    client = lab.platform.client
    uri = _uri(lab)
    for away in (False, True):
        if away:
            lab.platform.kill_control_plane()
        _kill_server(lab)
        if away:
            lab.platform.up()
        wait_until(lambda: _running(lab) and _can_ask(lab), 60)
        assert _value(lab) == [("7",)]
        assert _uri(lab) == uri
    crashes = len(list(client.events.list(tag="service:crashed")))
    assert crashes
    lab.platform.down()
    lab.platform.up()
    client = lab.platform.client
    wait_until(lambda: _running(lab) and _can_ask(lab), 60)
    assert (_value(lab), _uri(lab)) == ([("7",)], uri)
    assert len(list(client.events.list(tag="service:crashed"))) == crashes
    lab.settle()
    _away(lab)


def _kill_server(lab: Lab) -> None:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"config_file=/gongfang/postgresql.conf" in words and _is_ours(path.parent, lab):
            found.append(int(path.parent.name))
    assert found
    for pid in found:
        with contextlib.suppress(ProcessLookupError):  # they end with the first of them
            os.kill(pid, signal.SIGKILL)


def _is_ours(process: Path, lab: Lab) -> bool:
    """Its data folder lies in this home."""
    try:
        mounts = (process / "mountinfo").read_text()
    except OSError:
        return False
    return str(lab.platform.home / "services") in mounts
