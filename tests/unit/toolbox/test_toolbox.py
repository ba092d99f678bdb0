"""The toolbox without a network: pins, what is on the machine, and folders that appear whole or not at all."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from gongfang.domain.errors import Rejected
from gongfang.toolbox import WheelToolbox
from gongfang.toolbox.fetch import place
from gongfang.toolbox.layout import LAYOUTS
from gongfang.toolbox.pins import pin_of


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "uv"])
def test_every_wheel_is_pinned_with_hashes(name: str) -> None:
    pin = pin_of(name)
    text = pin.requirements.read_text()
    assert re.fullmatch(r"[\d.]+(\.post\d+)?", pin.version)
    assert "--hash=sha256:" in text
    assert text.count("==") == 1
    assert pin.folder == f"{name}-{pin.version}"


def test_an_unknown_tool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as told:
        asyncio.run(WheelToolbox(tmp_path).ensure("cobol"))
    assert told.value.code == "tool_unknown"
    assert "postgres" in str(told.value)


def test_nothing_is_found_in_an_empty_cache(tmp_path: Path) -> None:
    box = WheelToolbox(tmp_path, prefer="wheel")
    assert [name for name in ("bwrap", "envoy", "node", "go", "uv") if box.find(name)] == []


def test_python_is_the_one_that_this_runs_on(tmp_path: Path) -> None:
    tool = asyncio.run(WheelToolbox(tmp_path).ensure("python"))
    said = subprocess.run(
        ["python", "--version"], env={"PATH": tool.path[0]}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == f"Python {tool.version}"
    folder = Path(tool.executables["python3"])
    assert any(folder.is_relative_to(shown) for shown in ("/usr", *tool.roots))


def test_uv_is_copied_from_the_installation(tmp_path: Path) -> None:
    tool = asyncio.run(WheelToolbox(tmp_path).ensure("uv"))
    assert Path(tool.executables["uv"]).stat().st_mode & 0o777 == 0o755
    assert tool.roots == (tmp_path / f"uv-{tool.version}",)


def test_many_callers_fill_a_folder_once(tmp_path: Path) -> None:
    filled: list[Path] = []

    async def fill(partial: Path) -> None:
        filled.append(partial)
        partial.mkdir()
        await asyncio.sleep(0)
        (partial / "file").touch(mode=0o600)

    async def work() -> None:
        await asyncio.gather(*(place(tmp_path, "tool-1", fill, lambda _folder: None) for _ in range(20)))

    asyncio.run(work())
    assert len(filled) == 1
    assert (tmp_path / "tool-1" / "file").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_fetch_left_is_replaced_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tool-1.partial" / "half").mkdir(parents=True)

    def fails(partial: Path) -> None:
        partial.mkdir()
        raise Rejected("tool_missing", tool="x", wheel="x", detail="")

    with pytest.raises(Rejected):
        asyncio.run(place(tmp_path, "tool-1", fails, lambda _folder: None))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    asyncio.run(place(tmp_path, "tool-1", lambda partial: partial.mkdir(), lambda _folder: None))
    assert list((tmp_path / "tool-1").iterdir()) == []
