"""Hostile, broken and repeated input: a clear answer, and nothing changed."""

import io
import re
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from gongfang.client import ApiError
from tests.e2e.conftest import Platform, wait_until, write_version

GIB = 1 << 30


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for entry, data in entries.items():
            file.writestr(entry, data)
    return buffer.getvalue()


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        link = tarfile.TarInfo("app.py")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../../etc/passwd"
        file.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("filename", "data", "said"),
    [
        ("slip.zip", archive({"../../evil.py": b"1", "app.py": b"1"}), "evil.py"),
        ("absolute.zip", archive({"/etc/cron.d/evil": b"1"}), "evil"),
        ("link.tar.gz", linked(), "app.py"),
        ("broken.zip", archive({"app.py": b"print(1)" * 1000})[:-60], "."),
        ("empty.zip", archive({}), "."),
        ("bomb.zip", b"", "."),
    ],
)
def test_hostile_archives_fail_the_build_with_the_entry_named_and_nothing_runs(
    platform: Platform, name: str, filename: str, data: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / filename
    if filename == "bomb.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("app.py", "w") as entry:
            for _ in range(300):
                entry.write(bytes(1 << 20))
    else:
        path.write_bytes(data)
    client = platform.client
    app = client.apps.create(name=name)
    try:
        client.apps.upload(app.id, path)
        client.apps.start(app.id, wait=60)
    except ApiError as error:
        assert 400 <= error.status < 500, error
        assert re.search(re.escape(said), error.message)
    else:
        raise AssertionError(f"{filename} was accepted")
    assert client.apps.get(app.id).state == "stopped"
    assert not (platform.home / "builds" / "evil.py").exists()


def test_two_gibibytes_are_taken_without_memory_growing(platform: Platform, name: str, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(2 * GIB)
    client = platform.client
    app = client.apps.create(name=name)

    def peak() -> int:
        status = Path(f"/proc/{platform.control_pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024

    before = peak()
    package = client.apps.upload(app.id, big)
    assert package.size == 2 * GIB
    assert peak() - before < 200 * 1024 * 1024


def test_twenty_identical_creations_make_one_app(platform: Platform, name: str) -> None:
    outcomes: list[str] = []

    def create() -> None:
        try:
            outcomes.append(platform.client.apps.create(name=name).id)
        except ApiError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=create) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [o for o in outcomes if o.startswith("app_0")]
    assert len(made) == 1
    assert set(outcomes) - set(made) <= {"app_name_taken", "name_taken"}


def test_of_several_deploys_at_once_the_newest_runs(platform: Platform, hello: Path, name: str) -> None:
    client = platform.client
    app = client.apps.create(name=name)
    operations = []
    for number in range(1, 6):
        write_version(hello, f"v{number}")
        client.apps.upload(app.id, hello / "app.py")
        operations.append(client.apps.start(app.id).operation.id)
    wait_until(lambda: client.operations.get(operations[-1]).status == "succeeded", 60)
    assert platform.get(platform.host(name))[2].startswith(b"v5")
    assert all(client.operations.get(o).status in ("succeeded", "cancelled") for o in operations)
    assert client.apps.get(app.id).instances_ready == 1


def test_a_cancelled_deploy_leaves_the_former_release_whole(platform: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, "--env", "MARK=old", cwd=hello)
    client = platform.client
    app = client.apps.get(name)
    (hello / "app.py").write_text("import time\ntime.sleep(600)\n")
    client.apps.upload(app.id, hello / "app.py")
    operation = client.apps.start(app.id).operation
    wait_until(lambda: any(s.name == "step_roll_out" for s in client.operations.get(operation.id).steps))
    newest = client.apps.set_environment(app.id, {"MARK": "new"})
    assert newest is not None
    client.operations.cancel(newest.id)
    wait_until(lambda: client.operations.get(newest.id).status == "cancelled")
    wait_until(lambda: client.apps.get(app.id).state == "running")
    assert platform.get(platform.host(name))[2] == b"v1 0 old"
    assert client.apps.environment(app.id).variables == {"MARK": "old"}
