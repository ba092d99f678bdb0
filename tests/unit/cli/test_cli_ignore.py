"""The rules of ignore files: known cases, and the same verdict as Git on trees that hypothesis makes up."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gongfang.cli import ignore

CASES = [
    ("*.log", "a.log", True),
    ("*.log", "deep/er/a.log", True),
    ("/a.log", "b/a.log", False),
    ("doc/a", "x/doc/a", False),
    ("build/", "build/x", True),
    ("build/", "build", False),
    ("**/tmp", "a/b/tmp/x", True),
    ("a/**/z", "a/z", True),
    ("a/**/z", "a/b/c/z", True),
    ("a/**", "a/x", True),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("[a-c]x", "bx", True),
    ("[!a-c]x", "bx", False),
    ("[[:digit:]]x", "1x", True),
    (r"\#a", "#a", True),
    ("# a", "# a", False),
    (r"\!a", "!a", True),
    ("a  ", "a", True),
    ("a\\ ", "a ", True),
    ("看板*", "看板.txt", True),
    ("[abc", "a", False),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), CASES)
def test_one_pattern(pattern: str, path: str, expected: bool) -> None:
    assert ignore.excluded_with_parents(ignore.parse([pattern]), path) is expected


def test_the_last_rule_wins_but_not_in_an_excluded_folder() -> None:
    rules = ignore.parse(["*.log", "!keep.log", "out/", "!out/keep.log"])
    assert not ignore.excluded_with_parents(rules, "keep.log")
    assert ignore.excluded_with_parents(rules, "out/keep.log")


names = st.sampled_from(["a", "b", "ab", "a.b", "c d", "看"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
globs = st.lists(
    st.sampled_from(["a", "b", "*", "?", "**", "/", ".", "[ab]", "[!a]", "c d", "看"]), min_size=1, max_size=5
)
patterns = st.builds(
    lambda bang, glob, slash: bang + "".join(glob) + slash,
    st.sampled_from(["", "", "!"]),
    globs,
    st.sampled_from(["", "/"]),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.sets(paths, max_size=6), top=st.lists(patterns, max_size=4), nested=st.lists(patterns, max_size=2))
def test_the_walk_finds_what_git_finds(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], top: list[str], nested: list[str]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for file in sorted(files):
        place = root / file
        if any(parent.is_file() for parent in place.parents) or place.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x")
    (root / ".gitignore").write_text("\n".join(top))
    if (root / "a").is_dir():
        (root / "a" / ".gitignore").write_text("\n".join(nested))
    assert sorted(ignore.walk(root, [], [])) == _git(root)
    shutil.rmtree(root)


def _git(root: Path) -> list[str]:
    command = ["git", "-c", "core.quotePath=false", "-C", str(root)]
    subprocess.run([*command, "init", "-q"], check=True)
    done = subprocess.run([*command, "ls-files", "-oz", "--exclude-standard"], check=True, capture_output=True)
    return sorted(path.decode() for path in done.stdout.split(b"\0") if path)
