"""Webhooks of the real platform under kill -9: each event arrives, in order of first arrival; and the command line."""

import csv
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gongfang.client import ClientError
from tests.api.receiver import genuine, receiving
from tests.e2e.conftest import Platform, fresh_home, is_running, running, wait_until


@pytest.fixture(scope="module")
def fragile() -> Iterator[Platform]:
    with running(Platform(fresh_home(), environment={"GONGFANG_WEBHOOK_PRIVATE": "true"})) as started:
        yield started


def test_every_event_arrives_though_the_control_plane_is_killed(fragile: Platform) -> None:
    """Tenants are made all the time while the control plane is killed five times; the answers say which there are."""
    with receiving() as receiver:
        hook = fragile.client.webhooks.create(receiver.url, tags=["tenant:create"], level="platform")
        stop = threading.Event()
        made: set[str] = set()

        def work(worker: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    made.add(fragile.client.tenants.create(f"t-{worker}-{number}").id)
                except ClientError:
                    stop.wait(0.05)  # away just now; whether it was made is what the list says in the end

        workers = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for worker in workers:
            worker.start()
        try:
            for kill in range(1, 6):
                receiver.wait(kill * 15, 60)
                fragile.kill_control_plane()
                fragile.up()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        there = {t.id for t in fragile.client.tenants.list() if t.name.startswith("t-")}
        assert made <= there
        wait_until(lambda: there <= {e["data"]["object_id"] for e in receiver.events}, 60)
        first = list(dict.fromkeys(receiver.numbers))
        assert first == sorted(first)  # what came twice came again, but nothing overtook
        assert all(genuine(hook.secret or "", headers, body) for headers, body in receiver.got)
        assert len(receiver.numbers) - len(first) <= 5  # at most the one under way at each kill


def test_a_receiver_that_was_away_gets_what_it_missed(fragile: Platform) -> None:
    with receiving() as receiver:
        port = int(receiver.url.split(":")[2].partition("/")[0])
        hook = fragile.client.webhooks.create(receiver.url, tags=["tenant:*"], level="platform")
    tenant = fragile.client.tenants.create("while-away").id
    wait_until(lambda: fragile.client.webhooks.get(hook.id).attempts >= 1)
    pid = fragile.control_pid
    fragile.cli("webhooks", "test", hook.id, check=False)
    import os

    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_running(pid))
    with receiving(port) as receiver:
        fragile.up()
        receiver.wait(1, 60)
        assert receiver.events[0]["data"]["object_id"] == tenant
    fragile.client.webhooks.remove(hook.id)


def test_the_command_line(fragile: Platform, tmp_path: Path) -> None:
    with receiving() as receiver:
        made = fragile.json("webhooks", "add", receiver.url, "--tag", "space:*", "--level", "tenant", "--name", "mes")
        assert made["secret"].startswith("whsec_")
        assert "mes" in fragile.cli("webhooks").stdout
        assert "delivered: 200" in fragile.cli("webhooks", "test", made["id"]).stderr
        fragile.cli("spaces", "create", "line-9")
        receiver.wait(2)
        assert [e["type"] for e in receiver.events] == ["webhook:test", "space:create"]
        wait_until(lambda: "space:create" in fragile.cli("webhooks", "deliveries", made["id"]).stdout)
        fragile.cli("webhooks", "set", made["id"], "--disable")
        assert "disabled" in fragile.cli("webhooks", "show", made["id"]).stdout
        fragile.cli("webhooks", "remove", made["id"])
    lines = fragile.cli("events", "export", "--tag", "space:*").stdout.splitlines()
    assert json.loads(lines[-1])["after"]["name"] == "line-9"
    target = tmp_path / "events.csv"
    fragile.cli("events", "export", "--format", "csv", "--bom", "--since", "30d", "-o", str(target))
    rows = list(csv.DictReader(target.read_text("utf-8-sig").splitlines()))
    assert {"webhook:create", "webhook:delete", "space:create"} <= {row["tag"] for row in rows}
    assert list(tmp_path.iterdir()) == [target]
    assert "space:create" in fragile.cli("events", "--tag", "space:*").stdout


def test_a_setting_below_the_law_is_refused(tmp_path: Path) -> None:
    wrong = Platform(tmp_path / "home", environment={"GONGFANG_EVENT_RETENTION_DAYS": "90"})
    said = wrong.cli("up", "--detach", check=False)
    assert said.returncode == 1 and "GONGFANG_EVENT_RETENTION_DAYS" in said.stderr and "180" in said.stderr
    wrong = Platform(tmp_path / "home", environment={"GONGFANG_TRUSTED_PROXIES": "10.0.0.0/8,nonsense"})
    said = wrong.cli("up", "--detach", check=False)
    assert said.returncode == 1 and "GONGFANG_TRUSTED_PROXIES" in said.stderr
