"""A disk that fills: what needs room is refused by name, the rest goes on, it recovers by itself. And gc, for real."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gongfang.client import Client
from gongfang.client.errors import ApiError, UnavailableError
from tests.e2e.conftest import Platform, fresh_home, wait_until, write_version

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own takes root")


@pytest.fixture
def small() -> Iterator[Platform]:
    """A platform on a file system of 700 MB, of which 100 are kept free."""
    platform = Platform(
        fresh_home(),
        environment={
            "GONGFANG_DISK_REFUSE": "100MB",
            "GONGFANG_DISK_WARN": "150MB",
            "GONGFANG_KEEP_RELEASES": "1",
            "GONGFANG_KEEP_PACKAGES": "1",
            "GONGFANG_KEEP_BUILDS": "1",
            "GONGFANG_GC_GRACE_S": "0",
        },
    )
    platform.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m,mode=700", "gongfang-test", platform.home], check=True)
    try:
        platform.up()
        yield platform
    finally:
        platform.down()
        left = platform.processes()
        subprocess.run(["umount", "--lazy", platform.home], check=True)
        shutil.rmtree(platform.home.parent)
        assert left == []


def disk(platform: Platform) -> str:
    return next(part.facts["level"] for part in platform.client.platform().parts if part.name == "disk")


def fill(platform: Platform, leave: int) -> Path:
    """A file of somebody else's that leaves so many bytes free."""
    path = platform.home / "somebody-elses"
    with path.open("wb") as file:
        while True:
            found = os.statvfs(platform.home)
            try:
                os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)
                return path
            except OSError as error:  # somebody wrote in between
                assert error.errno == errno.ENOSPC
                file.truncate(0)


@needs_root
@pytest.mark.timeout(400)
def test_a_filling_disk(small: Platform, hello: Path) -> None:
    small.cli("deploy", "--app", "demo", cwd=hello)
    small.cli("scale", "demo", "2")
    app = small.client.apps.get("demo")
    other = fill(small, 60 << 20)
    assert disk(small) == "refuse"
    done = small.cli("status", check=False)
    assert done.returncode == 1 and "gongfang gc" in done.stdout and str(small.home) in done.stdout
    write_version(hello, "v2")
    refused = small.cli("deploy", "--app", "demo", cwd=hello, check=False)
    assert refused.returncode == 1 and "MB free" in refused.stderr, refused.stderr
    # What needs no room goes on.
    assert small.get(small.host("demo"))[0] == 200
    small.cli("scale", "demo", "1")
    small.cli("gc")
    small.cli("stop", "demo")
    small.cli("start", "demo")
    wait_until(lambda: bool(small.client.events.list(tag="platform:gc").page().items), what="it clears up by itself")
    other.unlink()
    assert disk(small) == "ok"
    small.cli("deploy", "--app", "demo", cwd=hello)
    assert small.get(small.host("demo"))[2].startswith(b"v2")

    # Really full: the database can't write. The answer says so, apps serve on, and nothing is lost.
    other = fill(small, 0)
    with Client(small.url, small.token, language="en", retries=0) as client, pytest.raises(ApiError) as failed:
        for number in range(2000):
            client.request("PATCH", f"/apps/{app.id}", json={"labels": {"n": f"{number:0>60}"}})
    assert isinstance(failed.value, UnavailableError)
    assert failed.value.code in {"database_disk_full", "database_away"}
    assert small.get(small.host("demo"))[0] == 200
    other.unlink()
    wait_until(lambda: small.cli("apps", check=False).returncode == 0, 60, "the database is back")
    small.cli("restart", "demo")
    assert small.get(small.host("demo"))[2].startswith(b"v2")


@pytest.mark.timeout(300)
def test_gc_keeps_what_runs_and_what_can_be_rolled_back_to(hello: Path) -> None:
    platform = Platform(
        fresh_home(),
        environment={
            **{f"GONGFANG_KEEP_{what}": "2" for what in ("RELEASES", "PACKAGES", "BUILDS")},
            "GONGFANG_GC_GRACE_S": "0",
            "GONGFANG_KEEP_UNPACKED_DAYS": "0",
        },
    )
    try:
        platform.up()
        for version in range(1, 5):
            write_version(hello, f"v{version}")
            platform.cli("deploy", "--app", "demo", cwd=hello)
        promised = platform.json("gc", "--dry-run")
        done = platform.json("gc")
        assert done["problems"] == []
        assert done["freed"] == promised["freed"] > 0
        kinds = [item["kind"] for item in done["items"]]
        assert kinds.count("release") == kinds.count("package") == kinds.count("build") == 2
        blobs = [path for path in (platform.home / "blobs").rglob("*") if path.is_file()]
        assert len(blobs) == 4  # two packages, two droplets
        assert len(list((platform.home / "droplets").iterdir())) == 1
        assert platform.get(platform.host("demo"))[2].startswith(b"v4")
        platform.cli("rollback", "demo")
        assert platform.get(platform.host("demo"))[2].startswith(b"v3")
        assert platform.json("gc")["problems"] == []
        platform.cli("restart", "demo")
        assert platform.get(platform.host("demo"))[2].startswith(b"v3")
        platform.cli("keys", "rotate")
        platform.kill_control_plane()
        platform.up()
        platform.cli("restart", "demo")
    finally:
        platform.down()
        shutil.rmtree(platform.home.parent)


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd is not here")
    platform = Platform(tmp_path / "home")
    unit = tmp_path / "gongfang.service"
    unit.write_text(platform.cli("service").stdout)
    assert "KillMode=process" in unit.read_text() and f"GONGFANG_HOME={platform.home}" in unit.read_text()
    done = subprocess.run([tool, "verify", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "gongfang.service" not in done.stderr, done.stderr
