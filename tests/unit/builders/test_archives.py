"""Hostile archives: each trick is refused with its own code, and nothing is ever written outside the folder."""

import asyncio
import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gongfang.builders.archives import ArchiveLimits, safe_filename, unpack_droplet, unpack_package
from gongfang.builders.packing import pack
from gongfang.domain.errors import Invalid
from gongfang.domain.messages import CATALOGUE

SMALL = ArchiveLimits(total_bytes=1 << 20, entries=50, ratio=20, ratio_floor=64 << 10)


def unpack(tmp: Path, data: bytes, *, filename: str = "x.zip", limits: ArchiveLimits = SMALL) -> Path:
    archive, target = tmp / "archive", tmp / "inside" / "target"
    target.mkdir(parents=True)
    archive.write_bytes(data)
    asyncio.run(unpack_package(archive, target, filename=filename, limits=limits))
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(tmp: Path, data: bytes, **fields: ArchiveLimits) -> str:
    with pytest.raises(Invalid) as told:
        unpack(tmp, data, **fields)
    assert told.value.code in CATALOGUE
    assert "?" not in str(told.value)
    assert [path.name for path in (tmp / "inside").iterdir()] == ["target"]
    return told.value.code


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes | str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return data.getvalue()


def tar_of(*members: tarfile.TarInfo | tuple[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format) as archive:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                archive.addfile(member, io.BytesIO(bytes(member.size)))
    return data.getvalue()


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def sym(name: str, link: str) -> tarfile.TarInfo:
    return member(name, tarfile.SYMTYPE, link)


def zip_link(name: str, link: str) -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, link


@pytest.mark.parametrize(
    "squeeze", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_every_compression_is_told_by_content(tmp_path: Path, squeeze: Callable[[bytes], bytes]) -> None:
    target = unpack(tmp_path, squeeze(tar_of(("top/app.py", b"#!/usr/bin/python3"), ("top/a/b", b"x"))), filename="y")
    assert names(target) == ["a", "app.py"]
    assert stat.S_IMODE((target / "app.py").stat().st_mode) == 0o777
    assert stat.S_IMODE((target / "a" / "b").stat().st_mode) == 0o666
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0o777


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (tar_of(("../evil", b"")), "archive_outside"),
        (tar_of(("a/../../evil", b"")), "archive_outside"),
        (tar_of(("/etc/evil", b"")), "archive_absolute"),
        (zip_of(("../evil", "")), "archive_outside"),
        (zip_of(("/evil", "")), "archive_absolute"),
        (tar_of(sym("a", "/etc/passwd")), "archive_link_outside"),
        (tar_of(sym("a", "..")), "archive_link_outside"),
        (tar_of(sym("d/a", "../../x")), "archive_link_outside"),
        (tar_of(("f", b""), sym("x", "."), sym("y", "x/../etc/passwd")), "archive_link_outside"),
        (tar_of(("f", b""), sym("a", "b"), sym("b", "a")), "archive_link_loop"),
        (zip_of(("f", ""), zip_link("a", "../../etc")), "archive_link_outside"),
        (tar_of(sym("a", "b"), ("a/evil", b"x")), "archive_duplicate"),
        (tar_of(sym("a", "/tmp"), ("a/evil", b"x")), "archive_duplicate"),
        (tar_of(member("a", tarfile.LNKTYPE, "/etc/passwd")), "archive_hard_link"),
        (tar_of(member("a", tarfile.LNKTYPE, "../x")), "archive_hard_link"),
        (tar_of(sym("s", "t"), member("a", tarfile.LNKTYPE, "s")), "archive_hard_link"),
        (tar_of(member("a", tarfile.FIFOTYPE)), "archive_special"),
        (tar_of(member("a", tarfile.CHRTYPE)), "archive_special"),
        (tar_of(member("a", tarfile.BLKTYPE)), "archive_special"),
        (tar_of(("a", b"1"), ("./a", b"2")), "archive_duplicate"),
        (tar_of(("a", b"1"), ("a/b", b"2")), "archive_duplicate"),
        (tar_of(("a\nb", b"")), "archive_name"),
        (tar_of(("\udcff", b"")), "archive_name"),
        (tar_of(("n" * 300, b"")), "archive_name_long"),
        (tar_of(("n/" * 600, b"")), "archive_name_long"),
        (tar_of(*[(f"f{i}", b"") for i in range(60)]), "archive_too_many"),
        (zip_of(*[(f"f{i}", b"") for i in range(60)]), "archive_too_many"),
        (tar_of(("big", bytes(2 << 20))), "archive_too_big"),
        (zip_of(("big", bytes(2 << 20))), "archive_too_big"),
        (zip_of(("zeros", bytes(1 << 20))), "archive_bomb"),
        (gzip.compress(tar_of(("zeros", bytes(1 << 20)))), "archive_bomb"),
        (gzip.compress(b"just text"), "archive_not_tar"),
        (tar_of(("a", bytes(9000)))[:4000], "archive_damaged"),
        (gzip.compress(tar_of(("a", os.urandom(9000))))[:-2000], "archive_damaged"),
        (zip_of(("a", os.urandom(9000)))[:-30], "archive_damaged"),
        (b"PK\x03\x04 and nothing else", "archive_damaged"),
        (tar_of(("a", b"x"))[:1024] + b"garbage!" * 64 + bytes(1024), "archive_damaged"),
        (b"", "archive_empty"),
        (zip_of(("empty/../", "")), "archive_outside"),
        (zip_of(), "archive_empty"),
    ],
)
def test_refused_with_its_own_code(tmp_path: Path, data: bytes, code: str) -> None:
    assert refused(tmp_path, data) == code


def test_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zip_of(("a", "secret")))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[6] |= 1
    assert refused(tmp_path, bytes(data)) == "archive_encrypted"


@pytest.mark.parametrize("method", [6, 97, 99, 65535])
def test_a_compression_that_nobody_knows(tmp_path: Path, method: int) -> None:
    data = bytearray(zip_of(("a", "text")))
    struct.pack_into("<H", data, 8, method)
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, method)
    assert refused(tmp_path, bytes(data)) == "archive_method"


def test_entries_of_a_zip_that_overlap(tmp_path: Path) -> None:
    """A bomb without a ratio: many names in the directory for one and the same piece of data."""
    data = zip_of(("a", os.urandom(200_000)))
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    one = data[at:end]
    many = b"".join(one[:46] + bytes([97 + n]) + one[47:] for n in range(20))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 20, 20, len(many))
    assert refused(tmp_path, data[:at] + many + bytes(tail)) in ("archive_damaged", "archive_too_big", "archive_bomb")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_in_a_zip(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("dev")
    info.create_system, info.external_attr = 3, (kind | 0o666) << 16
    assert refused(tmp_path, zip_of(("app.py", "x"), (info, ""))) == "archive_special"


def test_a_sparse_giant_of_the_newer_kind(tmp_path: Path) -> None:
    info = tarfile.TarInfo("GNUSparseFile.0/giant")
    sparse = {"major": "1", "minor": "0", "name": "giant", "realsize": str(1 << 40)}
    info.pax_headers = {f"GNU.sparse.{name}": value for name, value in sparse.items()}
    body = f"1\n{1 << 40}\n0\n".encode().ljust(512, b"\0")
    info.size = len(body)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(body))
    assert refused(tmp_path, data.getvalue()) in ("archive_too_big", "archive_damaged", "archive_lies")


@pytest.mark.parametrize(
    "name", ["..\\evil", "C:\\evil", "a\\..\\..\\evil", "\\\\host\\evil", "%2e%2e/evil", "．．/evil"]
)
def test_what_leads_out_elsewhere_stays_inside(tmp_path: Path, name: str) -> None:
    """Backslashes, drives, percent signs and full-width dots: refused, or a name like any other; never a way out."""
    try:
        target = unpack(tmp_path, zip_of((name, "x"), ("app.py", "x")))
    except Invalid as error:
        assert error.code.startswith("archive_")
    else:
        found = [path for path in target.rglob("*") if path.is_file()]
        assert len(found) == 2 and all(path.resolve().is_relative_to(target.resolve()) for path in found)
    assert not [path for path in tmp_path.rglob("evil*") if "target" not in str(path) and path.is_file()]


def test_names_that_differ_in_case_or_form_are_two(tmp_path: Path) -> None:
    """Where an app runs, they are: nothing is lost, and nothing is written over."""
    both = ("App.py", "app.py", "caf\u00e9.py", "cafe\u0301.py")
    target = unpack(tmp_path, zip_of(*((name, name) for name in both)))
    assert {name: (target / name).read_text() for name in both} == {name: name for name in both}


def test_an_archive_in_an_archive_stays_a_file(tmp_path: Path) -> None:
    """However much is in it: only what was uploaded is unpacked."""
    inner = zip_of(("zeros", bytes(1 << 16)))
    for _ in range(5):
        inner = zip_of(*((f"{n}.zip", inner) for n in range(4)))
    target = unpack(tmp_path, zip_of(("bomb.zip", inner), ("app.py", "x")))
    assert (target / "bomb.zip").read_bytes() == inner


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    data = bytearray(zip_of(("a", os.urandom(5000))))
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 9)
    assert refused(tmp_path, bytes(data)) in ("archive_lies", "archive_damaged")


def test_a_sparse_giant(tmp_path: Path) -> None:
    header = bytearray(member("giant", b"S").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"00000000000\0"
    header[386:398] = header[398:410] = b"00000000000\0"
    header[483:495] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert refused(tmp_path, bytes(header) + bytes(1024)) == "archive_too_big"


def test_a_header_that_asks_for_all_memory(tmp_path: Path) -> None:
    info = member("x", tarfile.XHDTYPE)
    info.size = 4 << 30
    assert refused(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)) == "archive_damaged"


def test_headers_without_end(tmp_path: Path) -> None:
    one = member("x", tarfile.GNUTYPE_LONGNAME)
    one.size = 4
    data = (one.tobuf(tarfile.GNU_FORMAT) + b"abc\0".ljust(512, b"\0")) * 3000
    assert refused(tmp_path, data) == "archive_damaged"


def test_links_inside_are_kept_and_set_id_bits_are_not(tmp_path: Path) -> None:
    tool = tarfile.TarInfo("top/bin/tool")
    tool.mode, tool.size = 0o6755, 3
    hard = member("top/same", tarfile.LNKTYPE, "top/bin/tool")
    target = unpack(tmp_path, tar_of(tool, hard, sym("top/link", "bin/tool"), sym("top/d", "bin")))
    assert (target / "link").readlink() == Path("bin/tool")
    assert stat.S_IMODE((target / "bin/tool").stat().st_mode) == 0o777
    assert (target / "same").stat().st_ino != (target / "bin/tool").stat().st_ino
    assert (target / "d" / "tool").exists()


def test_a_link_out_of_the_stripped_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, tar_of(("top/a", b""), sym("top/l", "../top/a"))) == "archive_link_outside"


def test_a_single_file_a_jar_and_a_wheel_stay_whole(tmp_path: Path) -> None:
    assert names(unpack(tmp_path / "1", b"print(1)", filename="../../app.py")) == ["app.py"]
    jar = zip_of(("META-INF/MANIFEST.MF", "Main-Class: X\n"), ("X.class", ""))
    assert names(unpack(tmp_path / "2", jar, filename="x.jar")) == ["x.jar"]
    wheel = zip_of(("x/__init__.py", ""), ("x-1.0.dist-info/WHEEL", "Tag: py3-none-any\n"))
    assert names(unpack(tmp_path / "3", wheel, filename="upload")) == ["x-1.0-py3-none-any.whl"]


def test_chinese_names_of_old_zips(tmp_path: Path) -> None:
    raw = "设备.txt".encode("gb18030")
    data = zip_of(("A" * len(raw), "x"), ("b", "")).replace(b"A" * len(raw), raw)
    assert names(unpack(tmp_path, data)) == ["b", "设备.txt"]


def test_junk_of_other_systems_is_left_out(tmp_path: Path) -> None:
    target = unpack(tmp_path, zip_of(("top/a", "1"), ("__MACOSX/top/._a", ""), ("top/.DS_Store", "")))
    assert names(target) == ["a"]


@given(st.text())
def test_any_file_name_becomes_a_safe_one(name: str) -> None:
    safe = safe_filename(name)
    assert safe and "/" not in safe and safe.strip(".") and len(safe.encode()) <= 200 and safe.isprintable()


_NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "top", "ä\n", "x" * 300]), min_size=1, max_size=4)
_MEMBERS = st.lists(
    st.tuples(_NAMES.map("/".join), st.sampled_from([b"0", b"1", b"2", b"5", b"6"]), _NAMES.map("/".join)), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(_MEMBERS)
def test_nothing_gets_out(tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]) -> None:
    tmp = tmp_path_factory.mktemp("any")
    try:
        target = unpack(tmp, tar_of(*[member(*each) for each in members]) or b"x")
    except Invalid:
        target = tmp / "inside" / "target"
    assert {path.name for path in tmp.iterdir()} <= {"archive", "inside"}
    assert [path.name for path in (tmp / "inside").iterdir()] == ["target"]
    for path in target.rglob("*"):
        assert not path.is_symlink() or os.path.realpath(path).startswith(str(target))


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=600),
    st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"]),
)
def test_any_bytes_are_a_file_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes) -> None:
    try:
        unpack(tmp_path_factory.mktemp("any"), magic + data, filename="data")
    except Invalid as error:
        assert error.code.startswith("archive_")


def test_a_droplet_is_the_same_for_the_same_tree_and_survives_the_way(tmp_path: Path) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache-file"
    (tree / ".gongfang" / "bin").mkdir(parents=True)
    cache.write_text("shared")
    os.link(cache, tree / "linked")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o4755)
    (tree / "Icon\r").write_text("odd")
    os.mkfifo(tree / "pipe")
    (tree / ".gongfang" / "python").symlink_to("/usr/bin/python3")
    pack(tree, tmp_path / "one", SMALL)
    pack(tree, tmp_path / "two", SMALL)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tree / "linked").stat().st_nlink == 1
    out = tmp_path / "out"
    out.mkdir()
    asyncio.run(unpack_droplet(tmp_path / "one", out))
    assert names(out) == [".gongfang", "Icon\r", "linked", "run"]
    assert stat.S_IMODE((out / "run").stat().st_mode) == 0o777
    assert (out / ".gongfang" / "python").readlink() == Path("/usr/bin/python3")


def test_a_droplet_has_limits(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "giant").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Invalid) as told:
        pack(tree, tmp_path / "out", SMALL)
    assert told.value.code == "droplet_too_big"


def test_cancelling_ends_the_thread_first(tmp_path: Path) -> None:
    before = threading.active_count()
    archive, target = tmp_path / "a", tmp_path / "t"
    archive.write_bytes(tar_of(*[(f"d/{i}", bytes(2000)) for i in range(3000)]))
    target.mkdir()

    async def run() -> None:
        work = asyncio.create_task(unpack_package(archive, target, filename="x"))
        while not any(target.iterdir()):
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        count = len(names(target / "d"))
        await asyncio.sleep(0)
        assert len(names(target / "d")) == count < 3000

    asyncio.run(run())
    assert threading.active_count() <= before + 1
