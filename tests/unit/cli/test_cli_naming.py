"""Names out of folders, the project's file, and what is remembered."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.cli import naming
from gongfang.cli.errors import Failed
from gongfang.cli.times import span


@pytest.mark.parametrize(
    ("text", "name"),
    [("line-3", "line-3"), ("Line 3 Dashboard", "line-3-dashboard"), ("mes_v2.1", "mes-v2-1"), ("Ｌｉｎｅ３", "line3")],
)
def test_plain_names(text: str, name: str) -> None:
    assert naming.slug(text) == name


def test_chinese_names_stay_apart_and_keep_what_is_readable() -> None:
    assert re.fullmatch(r"app-[0-9a-f]{6}", naming.slug("三号线看板"))
    assert re.fullmatch(r"mes-[0-9a-f]{6}", naming.slug("MES系统"))
    assert naming.slug("三号线看板") != naming.slug("四号线看板")


@given(st.text(max_size=200))
def test_every_text_gives_a_name_that_the_platform_takes(text: str) -> None:
    name = naming.slug(text)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
    assert naming.slug(text) == name


def test_the_projects_file(tmp_path: Path) -> None:
    assert naming.read_project(tmp_path) == naming.Project()
    (tmp_path / "gongfang.toml").write_text('name = "line-3"\nmemory = 128\n[env]\nLINE = 3\n')
    assert naming.read_project(tmp_path) == naming.Project(name="line-3", memory=128, env={"LINE": "3"})


@pytest.mark.parametrize("text", ["nmae = 'x'", "memory = 'much'", "instances = true", "name ="])
def test_a_faulty_projects_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "gongfang.toml").write_text(text)
    with pytest.raises(Failed, match=r"gongfang\.toml"):
        naming.read_project(tmp_path)


def test_what_a_folder_was_deployed_as_is_remembered_for_each_platform(tmp_path: Path) -> None:
    memory = naming.Remembered(tmp_path)
    assert memory.recall("http://a") is None
    memory.remember("http://a", "line-3")
    memory.remember("http://b", "line-4")
    assert (memory.recall("http://a"), memory.recall("http://b")) == ("line-3", "line-4")
    assert (tmp_path / ".gongfang" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h30m", 9000), ("1.5d", 129600)])
def test_spans(text: str, seconds: float) -> None:
    assert span(text) == seconds
