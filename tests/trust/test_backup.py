"""A backup of a running platform, restored into an empty home elsewhere: every app runs again as it was."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gongfang.client import Client, UnauthenticatedError
from tests.e2e.conftest import Platform, fresh_home, wait_until, write_version


@pytest.fixture
def elsewhere() -> Iterator[Platform]:
    """A home that does not exist yet; other ports, another base domain."""
    other = Platform(
        fresh_home(),
        environment={"GONGFANG_BASE_DOMAIN": "other.localhost", "GONGFANG_PORT_RANGE": "[40000, 40200]"},
    )
    try:
        yield other
    finally:
        other.down()
        left = other.processes()
        shutil.rmtree(other.home.parent)
        assert left == []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two apps, one with a history, secrets and a domain of its own."""
    hello = tmp_path_factory.mktemp("hello")
    write_version(hello, "v1")
    started = Platform(fresh_home())
    try:
        started.up()
        started.cli("deploy", "--app", "one", cwd=hello)
        started.cli("env", "set", "one", "MARK=first")
        write_version(hello, "v2")
        started.cli("deploy", "--app", "one", cwd=hello)
        started.cli("deploy", "--app", "two", cwd=hello)
        app = started.client.apps.get("one")
        started.client.request("POST", "/domains", json={"domain": "line3.example.cn", "app_id": app.id})
        yield started
    finally:
        started.down()
        left = started.processes()
        shutil.rmtree(started.home.parent)
        assert left == []


@pytest.mark.timeout(400)
def test_from_a_running_platform_to_another_home(source: Platform, elsewhere: Platform, tmp_path: Path) -> None:
    file, word = tmp_path / "b.tar.zst", tmp_path / "passphrase"
    word.write_text("correct horse battery\n")
    user = source.client.users.create("li", password="long enough to pass", roles=[])
    token = source.client.tokens.create("t", user_id=user.id).token
    source.client.request("POST", f"/users/{user.id}/roles", json={"role": "supervisor", "level": "platform"})
    stop = threading.Event()
    failed: list[str] = []

    def load() -> None:
        """Requests, and changes to the database, while the backup is made."""
        number = 0
        while not stop.is_set():
            status, _, body = source.get(source.host("one"))
            if status != 200 or body != b"v2 0 first":
                failed.append(f"{status} {body!r}")
            number += 1
            source.client.request("PATCH", "/apps/two", json={"labels": {"n": str(number)}})

    busy = threading.Thread(target=load)
    busy.start()
    try:
        made = source.json("backup", "make", str(file), "--passphrase-file", str(word))
    finally:
        stop.set()
        busy.join()
    assert failed == []
    assert made["lost"] == [] and made["blobs"] >= 4
    assert file.stat().st_mode & 0o777 == 0o600
    again = source.cli("backup", "make", str(file), check=False)
    assert again.returncode == 1 and "there already" in again.stderr
    source.cli("backup", "verify", str(file), "--passphrase-file", str(word))

    # The original goes on beside it: the restored one must not take the other's instances for its own.
    done = elsewhere.cli("restore", str(file), "--passphrase-file", str(word), timeout=250)
    assert "Apps that run again: 2 of 2" in done.stdout
    (told,) = source.json("events", "--tag", "platform:backup:made")
    assert told["data"]["file"] == str(file) and told["data"]["encrypted"] is True
    assert told["data"]["parts"] == made["parts"] and told["data"]["size"] == made["size"]
    (back,) = elsewhere.json("events", "--tag", "platform:restored")
    assert back["actor_name"] == told["actor_name"] != "platform"
    assert back["data"]["backup_of"] == told["data"]["backup_of"] and back["data"]["backup_host"]
    assert elsewhere.get("one.other.localhost")[2] == b"v2 0 first"
    assert elsewhere.get("two.other.localhost")[2] == b"v2 0 "
    assert elsewhere.get("line3.example.cn")[2] == b"v2 0 first"
    assert elsewhere.get("one.apps.localhost")[0] == 404
    variables = elsewhere.json("env", "show", "one")
    assert "first" in str(variables)
    with Client(elsewhere.url, token, language="en") as li:
        assert li.whoami().user.name == "li"
    with Client(elsewhere.url, "gf_" + "x" * 43) as nobody, pytest.raises(UnauthenticatedError):
        nobody.whoami()
    elsewhere.cli("rollback", "one", "2")
    assert elsewhere.get("one.other.localhost")[2] == b"v1 0 first"
    assert source.get(source.host("one"))[2] == b"v2 0 first"
    refused = elsewhere.cli("restore", str(file), "--passphrase-file", str(word), check=False)
    assert refused.returncode == 1 and "nothing was changed" in refused.stderr


@pytest.mark.timeout(400)
def test_what_is_no_backup_leaves_the_home_empty_and_a_killed_restore_begins_again(
    source: Platform, elsewhere: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar.zst"
    source.cli("backup", str(file))
    data = file.read_bytes()
    for name, content, word in (
        ("cut", data[:-1], "cut off"),
        ("other", b"hello, world " * 99, "no backup"),
        ("changed", data[:500] + bytes([data[500] ^ 1]) + data[501:], "damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        done = elsewhere.cli("restore", str(tmp_path / name), check=False)
        assert done.returncode == 1 and word in done.stderr, done.stderr
        assert not elsewhere.home.exists()
    done = elsewhere.cli("restore", str(tmp_path / "nothing"), check=False)
    assert done.returncode == 1 and "can't be read" in done.stderr

    elsewhere.home.mkdir()
    (elsewhere.home / "mine").write_text("keep me")
    done = elsewhere.cli("restore", str(file), check=False)
    assert done.returncode == 1 and "not empty (it holds mine)" in done.stderr
    (elsewhere.home / "mine").unlink()

    # kill -9 in the middle, at several places: each time it begins again.
    for reached in (elsewhere.home / "restoring", elsewhere.home / "postgres" / "password", elsewhere.home / "blobs"):
        said = (tmp_path / "said").open("wb")
        with said:
            running = subprocess.Popen(
                [*elsewhere.prefix, "restore", str(file)],
                env=elsewhere.variables(),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
            )
        wait_until_killable(running, reached, tmp_path / "said")
        running.kill()
        running.wait()
        assert (elsewhere.home / "restoring").exists()
        done = elsewhere.cli("up", "--detach", check=False)
        assert done.returncode == 1 and "restore" in done.stderr
    done = elsewhere.cli("restore", str(file), "--no-start", timeout=120)
    assert not (elsewhere.home / "restoring").exists()
    assert "gongfang up --detach" in done.stdout
    elsewhere.up()
    wait_until(lambda: elsewhere.get("one.other.localhost")[0] == 200, 60)
    assert elsewhere.get("one.other.localhost")[2] == b"v2 0 first"


def wait_until_killable(running: "subprocess.Popen[bytes]", reached: Path, said: Path) -> None:
    wait_until(lambda: reached.exists() or running.poll() is not None, 60)
    assert running.poll() is None, said.read_text()
