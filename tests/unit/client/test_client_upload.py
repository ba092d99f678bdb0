"""Uploads are streamed, counted, and repeated from their beginning."""

import hashlib
import io
import tracemalloc
from pathlib import Path

import pytest

from gongfang.client import Client, UnavailableError
from tests.unit.client.speaking_platform import Platform, Trouble


class OneWay(io.RawIOBase):
    """A pipe: read once, without a known length."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def test_a_file_is_sent_with_its_length_and_progress(platform: Platform, client: Client, tmp_path: Path) -> None:
    platform.add_app("line-3")
    file = tmp_path / "看板.zip"
    file.write_bytes(b"x" * 600_000)
    seen: list[tuple[int, int | None]] = []
    package = client.apps.upload("line-3", file, progress=lambda sent, total: seen.append((sent, total)))
    (call,) = platform.calls
    assert call.headers["content-length"] == "600000"
    assert call.headers["idempotency-key"]
    assert package.filename == "看板.zip"
    assert package.sha256 == hashlib.sha256(b"x" * 600_000).hexdigest()
    assert (seen[0], seen[-1]) == ((0, 600_000), (600_000, 600_000))
    assert [sent for sent, _ in seen] == sorted(sent for sent, _ in seen)


def test_memory_stays_flat(platform: Platform, client: Client, tmp_path: Path) -> None:
    platform.add_app("line-3")
    file = tmp_path / "big.tar"
    with file.open("wb") as sparse:
        sparse.truncate(48 << 20)
    tracemalloc.start()
    client.apps.upload("line-3", file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert platform.packages[0]["size"] == 48 << 20
    assert peak < 8 << 20


def test_an_open_file_is_sent_from_where_it_stands_also_the_second_time(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    stream = io.BytesIO(b"headBODY")
    stream.seek(4)
    platform.troubles = [Trouble(503)]
    package = client.apps.upload("line-3", stream, filename="a.bin")
    assert package.sha256 == hashlib.sha256(b"BODY").hexdigest()
    assert len(platform.calls) == 2


def test_a_pipe_goes_in_chunks_and_only_once(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    package = client.apps.upload("line-3", OneWay(b"z" * 500_000), filename="a.bin")
    assert package.size == 500_000
    platform.troubles = [Trouble(503)]
    with pytest.raises(UnavailableError):
        client.apps.upload("line-3", OneWay(b"z"), filename="a.bin")
    assert len(platform.calls) == 2


def test_a_stream_needs_a_name(client: Client) -> None:
    with pytest.raises(ValueError, match="filename"):
        client.apps.upload("line-3", io.BytesIO(b""))
