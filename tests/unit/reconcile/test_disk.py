"""Marks of free space, and what happens at them."""

import asyncio
from pathlib import Path

import pytest

from gongfang.domain.errors import Unavailable
from gongfang.domain.sizes import GB, MB, size_of
from gongfang.reconcile.disk import DiskWatch, Marks


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1024", 1024), ("512MB", 512 * MB), ("2.5 gb", 5 * GB // 2), ("2%", 20), ("100%", 1000), ("1k", 1024)],
)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text, 1000) == size


@pytest.mark.parametrize("text", ["", "-1", "much", "101%", "1 PB", "%", "1e3", "nan", "１２"])
def test_no_sizes(text: str) -> None:
    if text == "１２":  # digits of another script are digits, too
        assert size_of(text, 0) == 12
        return
    with pytest.raises(ValueError, match=r"\w"):
        size_of(text, 1000)


def test_marks_make_sense_on_small_and_on_huge_disks() -> None:
    small, usual, huge = (Marks.of("", "", whole * GB) for whole in (8, 250, 100_000))
    assert (small.refuse, small.warn) == (512 * MB, GB)
    assert (usual.refuse, usual.warn) == (5 * GB, 250 * GB * 5 // 100)
    assert (huge.refuse, huge.warn) == (10 * GB, 25 * GB)
    assert Marks.of("1MB", "10MB", GB).warn == 10 * MB  # the warning never comes after the refusal
    assert [small.level(free) for free in (0, 511 * MB, 512 * MB, GB - 1, GB)] == [
        *("refuse", "refuse", "warn", "warn", "ok"),
    ]


def test_it_refuses_clears_up_once_and_recovers(tmp_path: Path) -> None:
    cleared: list[str] = []

    async def clear() -> None:
        cleared.append("now")

    async def run() -> None:
        watch = DiskWatch(tmp_path, "", "")
        watch.marks = Marks(warn=1 << 60, refuse=1 << 60)  # more than any disk has
        await watch.look(clear)
        await watch.look(clear)
        with pytest.raises(Unavailable) as refused:
            watch.room()
        assert refused.value.code == "disk_full"
        assert str(tmp_path) in str(refused.value) and "gongfang gc" in str(refused.value)
        watch.marks = Marks(1 << 60, 0)
        watch.room()
        reason = watch.reason()
        assert reason is not None and reason.code == "disk_short"
        watch.marks = Marks(0, 0)
        await watch.look(clear)
        assert watch.reason() is None

    asyncio.run(run())
    assert cleared == ["now"]
