"""The file of a backup: whole, or refused with a word about what is wrong; sealed, or open to `tar`."""

import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.domain.errors import GongfangError
from gongfang.main.backup.archive import _END, ArchiveWriter, Header, parts_of, verify
from gongfang.main.backup.sealing import MAGIC, PIECE, Opener, Sealer

HEADER = Header(1, "0.1", "2026-01-01T00:00:00+00:00", "0001", "apps.localhost", [("apps", ["id"])], 1)
WORD = b"correct horse"


def made(path: Path, passphrase: bytes | None = None, size: int = 300_000) -> bytes:
    with path.open("wb") as file:
        archive = ArchiveWriter(file, HEADER, passphrase, log_n=4)
        archive.bytes("database/apps/000000", b"a\tb\n" * 1000)
        archive.bytes("home/secrets/keys", b"key\n")
        content = os.urandom(size)
        archive.stream("blobs/" + "0" * 64, size, io.BytesIO(content))
        archive.finish(more={"sequences": []})
    return content


def code(path: Path, passphrase: bytes | None = None) -> str:
    with pytest.raises(GongfangError) as refused:
        verify(path, passphrase)
    assert "?" not in str(refused.value)
    return refused.value.code


@pytest.mark.parametrize("passphrase", [None, WORD])
def test_what_was_put_in_comes_out(tmp_path: Path, passphrase: bytes | None) -> None:
    content = made(tmp_path / "b", passphrase)
    manifest = verify(tmp_path / "b", passphrase)
    assert manifest.header == HEADER
    assert [part.name for part in manifest.parts] == [
        "backup.json",
        "database/apps/000000",
        "home/secrets/keys",
        "blobs/" + "0" * 64,
    ]
    with (tmp_path / "b").open("rb") as file:
        found = {name: whole.read(size) for name, size, whole in parts_of(file, passphrase)}
    assert found["blobs/" + "0" * 64] == content
    assert "manifest.json" in found


def test_an_open_backup_is_a_tar_in_zstd_and_a_sealed_one_shows_nothing(tmp_path: Path) -> None:
    made(tmp_path / "open")
    made(tmp_path / "sealed", WORD)
    plain = zstandard.ZstdDecompressor().stream_reader((tmp_path / "open").read_bytes())
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        assert tar.getnames()[0] == "backup.json"
    assert (tmp_path / "sealed").read_bytes().startswith(MAGIC)
    assert b"backup.json" not in (tmp_path / "sealed").read_bytes()


@pytest.mark.parametrize("passphrase", [None, WORD])
def test_cut_off_anywhere_it_is_refused(tmp_path: Path, passphrase: bytes | None) -> None:
    made(tmp_path / "b", passphrase)
    data = (tmp_path / "b").read_bytes()
    seen: set[str] = set()
    for kept in (0, 1, 10, 40, 100, PIECE, PIECE + 77, len(data) // 2, len(data) - 40, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:kept])
        seen.add(code(tmp_path / "cut", passphrase))
    assert "backup_truncated" in seen
    assert seen <= {"backup_truncated", "backup_passphrase_wrong", "backup_damaged"}


def test_a_sealed_backup_cut_between_two_pieces_is_called_cut_off(tmp_path: Path) -> None:
    made(tmp_path / "b", WORD)
    head = len(MAGIC) + 26
    (tmp_path / "cut").write_bytes((tmp_path / "b").read_bytes()[: head + 2 * (PIECE + 16)])
    assert code(tmp_path / "cut", WORD) == "backup_truncated"


@pytest.mark.parametrize("passphrase", [None, WORD])
def test_a_changed_byte_is_found(tmp_path: Path, passphrase: bytes | None) -> None:
    made(tmp_path / "b", passphrase)
    data = bytearray((tmp_path / "b").read_bytes())
    for place in range(60, len(data), len(data) // 17):
        changed = bytearray(data)
        changed[place] ^= 0x40
        (tmp_path / "changed").write_bytes(changed)
        assert code(tmp_path / "changed", passphrase) in {
            "backup_damaged",
            "backup_truncated",
            "backup_passphrase_wrong",
            "backup_part_unknown",
        }


def test_passphrases(tmp_path: Path) -> None:
    made(tmp_path / "open")
    made(tmp_path / "sealed", WORD)
    assert code(tmp_path / "sealed") == "backup_needs_passphrase"
    assert code(tmp_path / "sealed", b"battery staple") == "backup_passphrase_wrong"
    assert code(tmp_path / "open", WORD) == "backup_not_sealed"


def test_other_files_are_no_backups(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, world, this is no backup at all")
    assert code(tmp_path / "text") == "backup_not_one"
    (tmp_path / "zst").write_bytes(zstandard.compress(b"hello" * 1000))
    assert code(tmp_path / "zst") == "backup_truncated"
    (tmp_path / "zst").write_bytes(zstandard.compress(b"hello" * 1000) + _END)
    assert code(tmp_path / "zst") in ("backup_damaged", "backup_truncated")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../etc/passwd", tarfile.REGTYPE),
        ("home/../../etc/passwd", tarfile.REGTYPE),
        ("/etc/passwd", tarfile.REGTYPE),
        ("home/secrets/keys", tarfile.SYMTYPE),
        ("database/Robert'); DROP TABLE apps;--/000000", tarfile.REGTYPE),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for each, sort in (("backup.json", tarfile.REGTYPE), (name, kind)):
            info = tarfile.TarInfo(each)
            info.type, info.linkname = sort, "/etc/passwd"
            data = b""
            if each == "backup.json":
                data = b'{"format":1,"version":"","created_at":"","schema":"","base_domain":"","tables":[],"blobs":0}'
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (tmp_path / "b").write_bytes(zstandard.compress(plain.getvalue()) + _END)
    assert code(tmp_path / "b") == "backup_part_unknown"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=3 * PIECE), max_size=4))
def test_a_sealed_stream_comes_out_as_it_went_in(pieces: list[bytes]) -> None:
    file = io.BytesIO()
    sealer = Sealer(file, WORD, log_n=4)
    for piece in pieces:
        sealer.write(piece)
    sealer.close()
    file.seek(len(MAGIC))
    opened = Opener(file, WORD)
    assert opened.read() == b"".join(pieces)
    assert opened.read() == b""
