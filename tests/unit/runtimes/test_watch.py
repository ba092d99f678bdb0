"""How much a stranger's tree takes on the disk, and when somebody is told that it is too much."""

import asyncio
import os
from pathlib import Path

import pytest

from gongfang.runtimes.local import watch
from gongfang.runtimes.local.watch import DiskWatch, count

BIG = 1 << 40
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def fill(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_what_is_in_the_tree_counts_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    fill(tree / "a" / "b" / "file", 100_000)
    fill(tree / "top", 50_000)
    alone = count([tree], BIG)
    assert 150_000 <= alone < 200_000
    os.link(tree / "top", tree / "again")
    (tree / "link").symlink_to(tree / "top")
    assert count([tree], BIG) - alone <= 8192
    assert count([tree, tree / "a"], BIG) > alone


def test_what_lies_elsewhere_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path / "outside" / "large", 10_000_000)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "tree" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "tree" / "pipe")
    with (tmp_path / "tree" / "hole").open("wb") as file:
        file.truncate(1 << 33)
    assert count([tmp_path / "tree"], BIG) < 100_000
    assert count([tmp_path / "nowhere"], BIG) == 0


def test_more_than_enough_is_not_counted_to_its_end(tmp_path: Path) -> None:
    for number in range(100):
        fill(tmp_path / f"{number}", 10_000)
    assert 50_000 < count([tmp_path], 50_000) < 100_000


def test_a_tree_without_end_in_depth(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    assert 0 < count([tmp_path], BIG) < BIG
    os.system(f"rm -rf '{tmp_path}/d'")  # deeper than `shutil` goes


async def test_over_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    happened = asyncio.Event()

    def over(workload_id: str) -> None:
        told.append(workload_id)
        happened.set()

    looks = DiskWatch(over, every_s=0.005)
    task = asyncio.create_task(looks.run())
    for name, limit in (("small", 100_000), ("large", 1 << 30), ("unlimited", None)):
        (tmp_path / name).mkdir()
        looks.add(name, [str(tmp_path / name)], limit, keeps_reserve=False)
    fill(tmp_path / "small" / "x", 300_000)
    fill(tmp_path / "unlimited" / "x", 300_000)
    await asyncio.wait_for(happened.wait(), 10)
    looks.drop("large")
    fill(tmp_path / "small" / "y", 300_000)
    task.cancel()
    await asyncio.wait([task])
    assert told == ["small"]


async def test_a_full_machine_ends_builds_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RESERVE_BYTES", BIG * BIG)
    told: asyncio.Queue[str] = asyncio.Queue()
    looks = DiskWatch(told.put_nowait, every_s=0.005)
    looks.add("instance", [str(tmp_path)], BIG, keeps_reserve=False)
    looks.add("build", [str(tmp_path)], BIG, keeps_reserve=True)
    task = asyncio.create_task(looks.run())
    assert await asyncio.wait_for(told.get(), 10) == "build"
    task.cancel()
    await asyncio.wait([task])
    assert told.empty()
