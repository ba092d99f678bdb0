"""Uploads: both kinds, streamed, cut off, hostile names; nothing is kept of what did not arrive whole."""

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import Api, World, new_name

MIB = 1 << 20


@pytest.fixture
def path(admin: Api) -> str:
    return f"/apps/{admin.data('POST', '/apps', 201, json={'name': new_name('up')})['id']}/package"


def stored(world: World) -> int:
    folder: Path = world.services.blobs._folder  # type: ignore[attr-defined]
    return sum(1 for _, _, files in os.walk(folder.parent) for _ in files)


def comes_to(world: World, files: int) -> bool:
    latest = time.monotonic() + 20
    while stored(world) != files and time.monotonic() < latest:
        time.sleep(0.01)
    return stored(world) == files


def test_a_raw_body(admin: Api, path: str) -> None:
    content = os.urandom(3 * MIB)
    record = admin.data("POST", path, 201, params={"filename": "line 3.tar.zst"}, content=content)
    assert record["filename"] == "line 3.tar.zst" and record["size"] == len(content)
    assert record["sha256"] == hashlib.sha256(content).hexdigest() and record["seq"] == 1

    def chunks() -> Iterator[bytes]:
        yield from (content[i : i + 65536] for i in range(0, len(content), 65536))

    again = admin.data("POST", path, 201, params={"filename": "b.zip"}, content=chunks())
    assert again["sha256"] == record["sha256"] and again["seq"] == 2
    assert [p["seq"] for p in admin.data("GET", path.replace("/package", "/packages"))["items"]] == [2, 1]


def test_a_multipart_body(admin: Api, path: str) -> None:
    content = os.urandom(2 * MIB) + b"\r\n--not the boundary\r\n"
    files = {"note": ("n.txt", b"ignored"), "file": ("包 3.zip", content)}
    record = admin.data("POST", path, 201, files=files, data={"other": "x"})
    assert (record["filename"], record["size"]) == ("包 3.zip", len(content))
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert admin.data("POST", path, 201, files={"file": ("a.zip", b"")})["size"] == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\app.jar", "app.jar"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("工" * 200 + ".tar.gz", "工" * 82 + ".tar.gz"),
        ("  .hidden ", ".hidden"),
    ],
)
def test_file_names(admin: Api, path: str, given: str, kept: str) -> None:
    assert admin.data("POST", path, 201, params={"filename": given}, content=b"x")["filename"] == kept
    assert len(kept.encode()) <= 255


def test_what_is_no_upload(world: World, admin: Api, path: str) -> None:
    before = stored(world)
    for name in ("", "..", "/", "\u202e"):
        assert admin.code("POST", path, 422, params={"filename": name}, content=b"x") == "validation_failed"
    assert admin.code("POST", path, 422, content=b"x") == "validation_failed"
    assert admin.code("POST", path, 422, files={"other": ("a", b"x")}) == "multipart_no_file"
    two = [("file", ("a", b"x")), ("file", ("b", b"y"))]
    assert admin.code("POST", path, 422, files=two) == "multipart_two_files"
    form = {"content-type": "multipart/form-data; boundary=b"}
    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    for broken in (b"", whole[:-6], whole[:30], b"nonsense", whole.replace(b"--b\r\n", b"--c\r\n")):
        assert admin.code("POST", path, 400, content=broken, headers=form) == "multipart_broken"
    for bad in ("multipart/form-data", "multipart/form-data; boundary=" + "x" * 500):
        assert admin.code("POST", path, 400, content=whole, headers={"content-type": bad}) == "multipart_broken"
    big = b"x" * (10 * MIB)
    assert admin.code("POST", path, 413, params={"filename": "a"}, content=big) == "upload_too_large"
    assert admin.code("POST", path, 413, files={"file": ("a", big)}) == "upload_too_large"

    def unannounced() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * MIB

    assert admin.code("POST", path, 413, params={"filename": "a"}, content=unannounced()) == "upload_too_large"
    assert stored(world) == before
    assert admin.data("GET", path.replace("/package", "/packages"))["items"] == []


def test_who_may_not_upload_sends_nothing(world: World, admin: Api, path: str) -> None:
    _, supervisor = world.user([{"role": "supervisor"}])
    assert supervisor.code("POST", path, 403, params={"filename": "a"}, content=b"x") == "forbidden"
    assert admin.code("POST", "/apps/nothing/package", 404, params={"filename": "a"}, content=b"x")


@pytest.mark.parametrize("multipart", [False, True])
def test_a_connection_that_breaks_off(world: World, admin: Api, path: str, multipart: bool) -> None:
    before = stored(world)
    address = urlsplit(world.url)
    kind = "multipart/form-data; boundary=b" if multipart else "application/zip"
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' if multipart else b""
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(
            f"POST /api/v1{path}?filename=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.token}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: 5000000\r\n\r\n".encode()
            + start
            + b"x" * 2 * MIB
        )
        assert comes_to(world, before + 1)  # it has begun, else there would be nothing to break off
    assert comes_to(world, before)
    assert admin.data("GET", path.replace("/package", "/packages"))["items"] == []
