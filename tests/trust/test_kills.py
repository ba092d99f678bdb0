"""kill -9 of the control plane in the middle of everything that it does: what was accepted ends, once, and nothing is
left over; a bystander's requests never fail.

Each call is first made undisturbed, to know how long it takes, and then killed at parts of that time. The caller sends
the same call again afterwards, as a client does that got no answer.
"""

import contextlib
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.leftovers import faults, unended

from tests.e2e.conftest import HELLO, Platform, fresh_home, wait_until
from tests.e2e.load import Load

MOMENTS = (0.05, 0.35, 0.65, 0.95)


@dataclass
class Lab:
    """The platform that is killed, with a bystander that serves. `app`: of the test at hand."""

    platform: Platform
    folder: Path
    app: str = ""
    version: int = 0
    before: frozenset[str] = frozenset()

    def instances(self) -> frozenset[str]:
        return frozenset(i.id for i in self.platform.client.apps.instances(self.app))

    def send(self, method: str, path: str, key: str, **more: Any) -> httpx2.Response | None:
        """One call without any repetition; None where it was not answered."""
        headers = {"authorization": f"Bearer {self.platform.token}", "idempotency-key": key}
        with httpx2.Client(
            base_url=f"{self.platform.url}/api/v1", headers=headers, timeout=60, trust_env=False
        ) as http:
            try:
                return http.request(method, path, **more)
            except httpx2.TransportError:
                return None

    def package(self, *, dependencies: bool = False) -> Path:
        """A newer version of the app."""
        self.version += 1
        source = self.folder / f"v{self.version}"
        source.mkdir()
        (source / "app.py").write_text(HELLO.replace('"v1"', f'"v{self.version}"'))
        if dependencies:
            (source / "requirements.txt").write_text("itsdangerous\n")
        return Path(shutil.make_archive(str(source), "gztar", source))

    def uploaded(self, **more: Any) -> None:
        self.platform.client.apps.upload(self.app, self.package(**more))

    def page(self) -> tuple[int, str]:
        status, _, body = self.platform.get(self.platform.host(self.app))
        return status, body.decode().split()[0]

    def settle(self) -> None:
        """Returns when all that was accepted has ended and nothing is left over; else says what is not so."""
        client = self.platform.client
        for look, seconds in ((lambda: unended(client), 90), (lambda: faults(self.platform.home, client), 20)):
            with contextlib.suppress(AssertionError):
                wait_until(lambda look=look: look() == [], seconds)
            assert look() == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    platform = Platform(fresh_home())
    try:
        platform.up()
        made = Lab(platform, tmp_path_factory.mktemp("packages"))
        made.app = "bystander"
        platform.client.apps.create("bystander")
        made.uploaded()
        platform.client.apps.start("bystander", wait=60)
        yield made
    finally:
        platform.down()
        left = platform.processes()
        shutil.rmtree(platform.home.parent)
        assert left == []


@dataclass(frozen=True)
class Call:
    """`ready`: what must be so before it. `act`: the call, by its key. `seen`: what is so when it has been done."""

    ready: Callable[[Lab], None]
    act: Callable[[Lab, str], httpx2.Response | None]
    seen: Callable[[Lab], bool]


def _created(lab: Lab) -> None:
    lab.platform.client.apps.create(lab.app)


def _started(lab: Lab) -> None:
    _created(lab)
    lab.uploaded()
    lab.platform.client.apps.start(lab.app, wait=60)
    lab.before = lab.instances()


def _newer(lab: Lab, **more: Any) -> None:
    _started(lab)
    lab.uploaded(**more)


def _twice(lab: Lab) -> None:
    _newer(lab)
    lab.platform.client.apps.start(lab.app, wait=60)


def _post(what: str, **body: Any) -> Callable[[Lab, str], httpx2.Response | None]:
    return lambda lab, key: lab.send("POST", f"/apps/{lab.app}/{what}", key, json=body)


def _upload(lab: Lab, key: str) -> httpx2.Response | None:
    """Some megabytes, of the same bytes each time."""
    big = b"PK" + bytes(range(256)) * 80_000
    return lab.send("POST", f"/apps/{lab.app}/package", key, params={"filename": "big.bin"}, content=big)


def _packages(lab: Lab) -> int:
    return len(list(lab.platform.client.apps.packages(lab.app)))


def _apps(lab: Lab) -> int:
    return len(list(lab.platform.client.apps.list(name=lab.app)))


CALLS = {
    "create": Call(
        lambda lab: None,
        lambda lab, key: lab.send("POST", "/apps", key, json={"name": lab.app}),
        lambda lab: _apps(lab) == 1,
    ),
    "upload": Call(_created, _upload, lambda lab: _packages(lab) == 1),
    "first start": Call(
        lambda lab: (_created(lab), lab.uploaded()), _post("start"), lambda lab: lab.page() == (200, f"v{lab.version}")
    ),
    "build": Call(
        lambda lab: _newer(lab, dependencies=True), _post("start"), lambda lab: lab.page() == (200, f"v{lab.version}")
    ),
    "deploy": Call(_newer, _post("start"), lambda lab: lab.page() == (200, f"v{lab.version}")),
    "scale": Call(
        _started,
        _post("instances", instances=4),
        lambda lab: len(lab.instances()) == 4,
    ),
    "restart": Call(_started, _post("restart"), lambda lab: len(lab.instances() - lab.before) == 1),
    "rollback": Call(_twice, _post("rollback"), lambda lab: lab.page() == (200, f"v{lab.version - 1}")),
    "stop": Call(_started, _post("stop"), lambda lab: lab.page()[0] == 503),
    "destroy": Call(
        _started, lambda lab, key: lab.send("DELETE", f"/apps/{lab.app}", key), lambda lab: _apps(lab) == 0
    ),
}


def undisturbed(lab: Lab, call: Call) -> float:
    """Seconds from the call until what it asked for is seen."""
    lab.app = f"k-{secrets.token_hex(4)}"
    call.ready(lab)
    begin = time.monotonic()
    answer = call.act(lab, secrets.token_hex(8))
    assert answer is not None and answer.is_success, answer and answer.text
    wait_until(lambda: call.seen(lab))
    seconds = time.monotonic() - begin
    lab.settle()
    return seconds


@pytest.mark.parametrize("name", CALLS)
def test_killed_in_the_middle_it_is_done_once_and_nothing_is_left(lab: Lab, name: str) -> None:
    call = CALLS[name]
    seconds = undisturbed(lab, call)
    for moment in MOMENTS:
        lab.app = f"k-{secrets.token_hex(4)}"
        call.ready(lab)
        key = secrets.token_hex(8)
        with Load(lab.platform.edge_port, lab.platform.host("bystander"), workers=2) as bystander:
            caller = threading.Thread(target=call.act, args=(lab, key))
            caller.start()
            caller.join(seconds * moment)  # the moment is meant: nothing is waited for
            lab.platform.kill_control_plane()
            caller.join()
            lab.platform.up()
            again = call.act(lab, key)
            assert again is not None
            assert again.is_success or again.json()["code"] in ALREADY, again.text
            wait_until(lambda: call.seen(lab), 60, f"{name}, killed at {moment} of {seconds:.2f} s")
            lab.settle()
        assert bystander.failures == []
        assert bystander.answers.total() > 0
        lab.platform.client.apps.destroy(lab.app, wait=60) if name != "destroy" else None


# The answer of a call that was done before the kill, to the same call sent again.
ALREADY = ("idempotency_answer_lost", "app_not_found", "app_being_destroyed")
