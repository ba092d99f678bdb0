"""Clients that call, and a hand that kills: what the chaos benchmark and its small sister among the tests are made of.

Each client works on apps of its own and keeps a ledger: what it asked, under which key, and what it was answered. A
call that was not answered is sent again with the same key until it is. Afterwards the ledger is held against what the
platform has: a thing that was accepted and is not there is lost; one that is there more often than it was asked for
ran twice.
"""

import contextlib
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bench.lab import Lab, revive
from bench.leftovers import faults, unended
from bench.packages import package

APP = "steady"
PATIENCE_S = 180.0
QUIET_S = 120.0
_LOST_ANSWER = "idempotency_answer_lost"
_LATER = ("idempotency_in_progress",)


@dataclass
class Ledger:
    """What all clients together know. `operations`: ids that were accepted. `apps`, `packages`: by name and app, how
    many were accepted and not taken back; `refused`: answers that were a clear no, by code."""

    operations: set[str] = field(default_factory=set)
    apps: dict[str, str] = field(default_factory=dict)
    packages: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    given_up: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Outcome:
    """What the storm left. `kills`: by part."""

    calls: int
    accepted: int
    unanswered: int
    refused: dict[str, int]
    kills: dict[str, int]
    lost: list[str]
    twice: list[str]
    left: list[str]
    seconds: float


class Caller:
    """One client: raw HTTP without any help, so that every repetition is its own doing."""

    def __init__(self, lab: Lab, ledger: Ledger, seed: int) -> None:
        token = (lab.home / "admin-token").read_text().strip()
        self._http = httpx2.Client(
            base_url=f"http://127.0.0.1:{lab.api_port}/api/v1",
            headers={"authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )
        self._ledger = ledger
        self._random = random.Random(seed)
        self._seed = seed
        self._mine: list[str] = []
        self._versions = 0

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Until it is answered by the platform itself; raises `TimeoutError` where it never is."""
        headers = {"idempotency-key": secrets.token_hex(16)} if method == "POST" else {}
        latest = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = self._http.request(method, path, headers=headers, **more)
                if answer.status_code < 500 and answer.json().get("code") not in _LATER:
                    return answer
            with self._ledger.lock:
                self._ledger.unanswered += 1
            if time.monotonic() > latest:
                raise TimeoutError(f"{method} {path} was never answered")
            time.sleep(0.1 + 0.2 * self._random.random())

    def act(self) -> None:
        """One call of some kind, noted in the ledger."""
        kinds: list[Callable[[], tuple[str, httpx2.Response]]] = [self._create]
        if self._mine:
            kinds += [self._upload, self._start, self._start, self._scale, self._restart, self._stop, self._configure]
        if len(self._mine) > 2:
            kinds += [self._destroy, self._destroy]
        try:
            name, answer = self._random.choice(kinds)()
        except TimeoutError as error:
            with self._ledger.lock:
                self._ledger.given_up.append(str(error))
            return
        body = answer.json()
        with self._ledger.lock:
            if answer.is_success:
                self._ledger.done[name] += 1
                if "operation" in (body["data"] or {}):
                    self._ledger.operations.add(body["data"]["operation"]["id"])
            elif body["code"] == _LOST_ANSWER:
                self._ledger.done[name] += 1
            else:
                self._ledger.refused[body["code"]] += 1

    def _create(self) -> tuple[str, httpx2.Response]:
        name = f"s{self._seed}-{secrets.token_hex(4)}"
        answer = self.call("POST", "/apps", json={"name": name, "runtime": "python"})
        if answer.is_success or answer.json()["code"] == _LOST_ANSWER:
            self._mine.append(name)
            with self._ledger.lock:
                self._ledger.apps[name] = "created"
        return "create", answer

    def _upload(self) -> tuple[str, httpx2.Response]:
        app = self._random.choice(self._mine)
        self._versions += 1
        body = package(APP, self._versions % 1000).getvalue()
        answer = self.call("POST", f"/apps/{app}/package", params={"filename": "app.tar.gz"}, content=body)
        if answer.is_success or answer.json()["code"] == _LOST_ANSWER:
            with self._ledger.lock:
                self._ledger.packages[app] += 1
        return "upload", answer

    def _start(self) -> tuple[str, httpx2.Response]:
        return "start", self.call("POST", f"/apps/{self._random.choice(self._mine)}/start", json={})

    def _scale(self) -> tuple[str, httpx2.Response]:
        path = f"/apps/{self._random.choice(self._mine)}/instances"
        return "scale", self.call("POST", path, json={"instances": self._random.randint(1, 2)})

    def _restart(self) -> tuple[str, httpx2.Response]:
        return "restart", self.call("POST", f"/apps/{self._random.choice(self._mine)}/restart")

    def _stop(self) -> tuple[str, httpx2.Response]:
        return "stop", self.call("POST", f"/apps/{self._random.choice(self._mine)}/stop")

    def _configure(self) -> tuple[str, httpx2.Response]:
        path = f"/apps/{self._random.choice(self._mine)}/environment"
        return "configure", self.call("PATCH", path, json={"variables": {"MARK": secrets.token_hex(4)}})

    def _destroy(self) -> tuple[str, httpx2.Response]:
        app = self._random.choice(self._mine)
        self._mine.remove(app)
        with self._ledger.lock:
            self._ledger.apps.pop(app, None)
            self._ledger.packages.pop(app, None)
        return "destroy", self.call("DELETE", f"/apps/{app}")


class Killer:
    """Kills parts with SIGKILL, one after the other at random, until it is told to end."""

    def __init__(self, lab: Lab, parts: Sequence[str], seed: int, pause_s: float) -> None:
        self.lab = lab
        self.kills: Counter[str] = Counter()
        self.error: Exception | None = None
        self._parts = parts
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._end.wait(self._pause_s * (0.5 + self._random.random())):
                part = self._random.choice(self._parts)
                if self._kill(part):
                    self.kills[part] += 1
        except Exception as error:
            self.error = error

    def _kill(self, part: str) -> bool:
        if part == "control plane":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.lab.control_pid, signal.SIGKILL)
            while _runs(self.lab.control_pid):
                time.sleep(0.005)
            self.lab = revive(self.lab)
            return True
        pids = list(_processes(self.lab.home, part))
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._random.choice(pids), signal.SIGKILL)
        return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _processes(home: Path, part: str) -> Iterator[int]:
    """Of this home, by the name of what runs: a server's, or an app's (Python's)."""
    names = {"Envoy": ("envoy",), "PostgreSQL": ("postgres",), "an instance": ("python", "python3")}[part]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            first = Path((entry / "cmdline").read_bytes().split(b"\0")[0].decode()).name
            if first.startswith(names) and os.fsencode(home) in (entry / "mountinfo").read_bytes():
                yield int(entry.name)


def storm(
    lab: Lab, *, calls: int, clients: int, parts: Sequence[str], kills: int, seed: int = 1, pause_s: float = 2.0
) -> Outcome:
    """Makes the calls while parts are killed, lets everything come to rest, and audits. The calls are spread over so
    many kills: without that a fast platform would have answered them all before the second."""
    ledger = Ledger()
    left = iter(range(calls))
    began = time.monotonic()

    def work(number: int) -> None:
        caller = Caller(lab, ledger, seed * 1000 + number)
        try:
            while (made := next(left, None)) is not None:
                while killer.error is None and made * kills > (killer.kills.total() + 1) * calls:
                    time.sleep(0.02)
                caller.act()
        finally:
            caller.close()

    with Killer(lab, parts, seed, pause_s) as killer:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if killer.error is not None:
        raise killer.error
    return _audit(killer.lab, ledger, calls, killer.kills, began)


def _audit(lab: Lab, ledger: Ledger, calls: int, kills: Counter[str], began: float) -> Outcome:
    waiting = _until(lambda: unended(lab.client))
    remains = [] if waiting else _until(lambda: faults(lab.home, lab.client))
    apps = Counter(app.name for app in lab.client.apps.list())
    lost = [*ledger.given_up, *waiting]
    lost += [f"app {name} was accepted and is not there" for name in ledger.apps if not apps[name]]
    twice = [f"app {name} is there {count} times" for name, count in apps.items() if count > 1]
    for app in lab.client.apps.list():
        made, asked = len(list(lab.client.apps.packages(app.id))), ledger.packages[app.name]
        if app.name in ledger.apps and made != asked:
            (lost if made < asked else twice).append(f"{app.name} has {made} packages, {asked} were accepted")
    known = {operation.id for operation in lab.client.operations.list()}
    lost += [f"operation {key} was accepted and is not there" for key in ledger.operations - known]
    twice += [fault for fault in remains if " times at " in fault]
    remains = [fault for fault in remains if " times at " not in fault]
    return Outcome(
        calls=calls,
        accepted=ledger.done.total(),
        unanswered=ledger.unanswered,
        refused=dict(ledger.refused),
        kills=dict(kills),
        lost=lost,
        twice=twice,
        left=remains,
        seconds=time.monotonic() - began,
    )


def _until(look: Callable[[], list[str]]) -> list[str]:
    """Looks until nothing is found any more; what is found at the end of the patience."""
    latest = time.monotonic() + QUIET_S
    while (found := look()) and time.monotonic() < latest:
        time.sleep(0.2)
    return found
