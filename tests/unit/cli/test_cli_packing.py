"""What goes into a package, and how."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from gongfang.cli import packing
from gongfang.cli.errors import Failed


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.cn"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    for name in ("app.py", "web/index.html", "debug.log", "dist/app.js", "node_modules/x/index.js", ".venv/bin/python"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "app.pyc").write_text("")
    (made / ".gitignore").write_text("*.log\ndist/\n")
    return made


EXPECTED = [".gitignore", "app.py", "web/index.html"]


def test_a_plain_folder(folder: Path) -> None:
    assert packing.list_files(folder).files == EXPECTED


def test_a_checkout_with_what_is_new_and_without_what_is_deleted(folder: Path) -> None:
    (folder / "gone.py").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", "app.py", "gone.py", ".gitignore")
    git(folder, "add", "-f", "node_modules")
    git(folder, "commit", "-qm", "one")
    (folder / "gone.py").unlink()
    (folder / "app.py").write_text("changed")
    listing = packing.list_files(folder)
    assert listing.files == EXPECTED
    with packing.packed(folder, listing.files) as archive, tarfile.open(archive) as tar:
        found = tar.extractfile("app.py")
        assert found is not None
        assert found.read() == b"changed"


def test_a_folder_that_the_checkout_ignores_as_a_whole(tmp_path: Path, folder: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("source/\n")
    assert packing.list_files(folder).files == EXPECTED


@pytest.mark.parametrize("checkout", [False, True])
def test_the_projects_own_rules_take_out_and_bring_back(folder: Path, checkout: bool) -> None:
    if checkout:
        git(folder, "init", "-q")
    (folder / ".gongfangignore").write_text("web/\n")
    assert packing.list_files(folder).files == [".gitignore", ".gongfangignore", "app.py"]
    (folder / ".gongfangignore").write_text("web/\n!dist/\n!node_modules/\n")
    assert packing.list_files(folder).files == [
        ".gitignore",
        ".gongfangignore",
        "app.py",
        "dist/app.js",
        "node_modules/x/index.js",
    ]


def test_a_submodule_is_packed_with_its_files(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lib.py").write_text("")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "one")
    git(folder, "init", "-q")
    git(folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "vendor")
    assert "vendor/lib.py" in packing.list_files(folder).files
    assert "vendor/.git" not in packing.list_files(folder).files


def test_links_stay_inside(folder: Path) -> None:
    (folder / "inside").symlink_to("web/index.html")
    (folder / "outside").symlink_to("../../etc/passwd")
    (folder / "absolute").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    listing = packing.list_files(folder)
    assert "inside" in listing.files
    assert sorted(name for name, _ in listing.left_out) == ["absolute", "outside", "pipe"]
    with packing.packed(folder, listing.files) as archive, tarfile.open(archive) as tar:
        assert tar.getmember("inside").linkname == "web/index.html"


def test_nothing_to_pack(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no file"):
        packing.list_files(tmp_path)


def test_the_same_files_make_the_same_archive_and_it_is_removed(folder: Path) -> None:
    (folder / "app.py").chmod(0o700)
    os.link(folder / "app.py", folder / "zz.py")
    files = packing.list_files(folder).files
    with packing.packed(folder, files) as archive:
        first = archive.read_bytes()
    assert not archive.exists()
    with packing.packed(folder, files) as archive:
        assert archive.read_bytes() == first
        with tarfile.open(archive) as tar:
            member = tar.getmember("app.py")
            assert (member.mode, member.uid, member.uname) == (0o755, 0, "")
            assert tar.getmember("zz.py").isreg()
