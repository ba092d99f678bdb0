"""One suite for every place that keeps blobs: a folder, and any other `obstore` store."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from gongfang.blobs import ObjectBlobs
from gongfang.domain.errors import Invalid, NotFound, Rejected, TooLarge, Unavailable
from gongfang.domain.messages import CATALOGUE

Make = Callable[..., ObjectBlobs]
MIB = 1 << 20


@pytest.fixture(params=["folder", "store", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def made(**fields: Any) -> ObjectBlobs:
        if request.param == "folder":
            return ObjectBlobs(tmp_path / "spool", folder=tmp_path / "blobs", **fields)
        store = MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "blobs", mkdir=True)
        return ObjectBlobs(tmp_path / "spool", store=store, **fields)

    return made


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def stream(*chunks: bytes, breaks: bool = False) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if breaks:
        raise ConnectionResetError


async def whole(blobs: ObjectBlobs, sha256: str) -> bytes:
    return b"".join([chunk async for chunk in await blobs.open(sha256)])


def spool_is_empty(tmp_path: Path) -> bool:
    return not list((tmp_path / "spool").iterdir())


def test_what_is_put_comes_back(make: Make, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB + 7)

    async def work() -> None:
        blobs = make()
        blob = await blobs.put_stream(stream(data[:5], b"", data[5:]), limit=len(data), expected=len(data))
        assert (blob.sha256, blob.size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert await blobs.exists(blob.sha256)
        assert await whole(blobs, blob.sha256) == data
        await blobs.fetch(blob.sha256, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
        assert await blobs.put_file(tmp_path / "copy") == blob
        assert await asyncio.gather(*(blobs.put_stream(stream(data), limit=len(data)) for _ in range(8))) == [blob] * 8
        assert await whole(blobs, blob.sha256) == data
        await blobs.delete(blob.sha256)
        await blobs.delete(blob.sha256)
        assert not await blobs.exists(blob.sha256)

    run(work())
    assert spool_is_empty(tmp_path)


def test_what_is_not_used_is_listed_and_goes_unless_it_was_stored_again(make: Make) -> None:
    async def work() -> None:
        blobs = make()
        before = datetime.now(UTC) - timedelta(hours=1)
        one = await blobs.put_stream(stream(b"one"), limit=9)
        two = await blobs.put_stream(stream(b"two"), limit=9)
        assert {(each.sha256, each.size) for each in await blobs.list()} == {(one.sha256, 3), (two.sha256, 3)}
        assert all(before < each.at < datetime.now(UTC) + timedelta(seconds=5) for each in await blobs.list())
        assert await blobs.delete_unused(one.sha256, before) == 0  # stored after that
        later = datetime.now(UTC) + timedelta(hours=1)
        assert await blobs.delete_unused(one.sha256, later) == 3
        assert await blobs.delete_unused(one.sha256, later) == 0
        assert [each.sha256 for each in await blobs.list()] == [two.sha256]

    run(work())


def test_an_empty_blob(make: Make) -> None:
    async def work() -> None:
        blobs = make()
        blob = await blobs.put_stream(stream(), limit=1)
        assert (blob.size, await whole(blobs, blob.sha256)) == (0, b"")

    run(work())


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"limit": 9}, TooLarge, "upload_too_large"),
        ({"limit": 9, "expected": 10}, TooLarge, "upload_too_large"),
        ({"limit": 99, "expected": 11}, Invalid, "upload_truncated"),
        ({"limit": 99, "expected": 9}, Invalid, "upload_truncated"),
    ],
)
def test_nothing_is_left_of_what_is_refused(
    make: Make, tmp_path: Path, fields: dict[str, int], error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as told:
        run(make().put_stream(stream(b"12345", b"67890"), **fields))
    assert getattr(told.value, "code", "") == code in CATALOGUE
    assert spool_is_empty(tmp_path)


def test_nothing_is_left_of_a_stream_that_breaks_off(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        run(make().put_stream(stream(bytes(2 * MIB), breaks=True), limit=1 << 30))
    assert spool_is_empty(tmp_path)


def test_what_is_not_there(make: Make, tmp_path: Path) -> None:
    async def work() -> None:
        blobs = make()
        for name in ("0" * 64, "../../etc/passwd", ""):
            with pytest.raises(NotFound):
                await blobs.open(name)
            with pytest.raises(NotFound):
                await blobs.fetch(name, tmp_path / "copy")
        assert not await blobs.exists("0" * 64)

    run(work())
    assert not (tmp_path / "copy").exists()


def test_a_full_disk_is_told_before_it_is_full(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as told:
        run(make(keep_free=1 << 60).put_stream(stream(b"x"), limit=9))
    assert told.value.code == "disk_full"
    assert spool_is_empty(tmp_path)


def test_a_damaged_blob_is_not_handed_out(tmp_path: Path) -> None:
    async def work() -> None:
        blobs = ObjectBlobs(tmp_path / "spool", folder=tmp_path / "blobs")
        blob = await blobs.put_stream(stream(b"right"), limit=9)
        (stored,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        stored.write_bytes(b"wrong")
        with pytest.raises(Rejected) as told:
            await blobs.fetch(blob.sha256, tmp_path / "copy")
        assert told.value.code == "blob_corrupt"
        assert await blobs.put_stream(stream(b"right"), limit=9) == blob  # and putting it again heals it
        await blobs.fetch(blob.sha256, tmp_path / "copy")

    run(work())


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "left.part").write_bytes(b"x")

    async def slow() -> AsyncIterator[bytes]:
        yield b"1"
        assert list(spool.glob("*.part"))
        ObjectBlobs(spool, folder=tmp_path / "blobs")
        yield b"2"

    blobs = ObjectBlobs(spool, folder=tmp_path / "blobs")
    assert spool_is_empty(tmp_path)
    assert run(blobs.put_stream(slow(), limit=9)).size == 2


GROWTH = """
import asyncio, resource, sys
from pathlib import Path
from gongfang.blobs import ObjectBlobs
async def chunks():
    for _ in range(4096): yield bytes(65536)
async def work():
    blobs = ObjectBlobs(Path(sys.argv[1]) / "spool", folder=Path(sys.argv[1]) / "blobs")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blob = await blobs.put_stream(chunks(), limit=1 << 40)
    await blobs.fetch(blob.sha256, Path(sys.argv[1]) / "copy")
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
asyncio.run(work())
"""


def test_memory_stays_flat(tmp_path: Path) -> None:
    said = subprocess.run([sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(said.stdout) < 48, "MiB more for a quarter of a gigabyte"
