"""A Git repository to be cloned, and runs of the kit against the reference server."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from gongfang.conformance import Options, Report, run
from tests.unit.conformance.reference import TOKEN, Reference


def bare_repository(place: Path) -> Path:
    """A bare repository that can be cloned over plain HTTP."""
    bare = place / "bare.git"

    def call(*words: str) -> None:
        name = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *name, *words], check=True, capture_output=True)

    call("init", "--quiet", str(place / "work"))
    call("-C", str(place / "work"), "commit", "--quiet", "--allow-empty", "-m", "first")
    call("clone", "--quiet", "--bare", str(place / "work"), str(bare))
    call("-C", str(bare), "update-server-info")
    return bare


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_repository(tmp_path_factory.mktemp("git"))


def tried(reference: Reference, *select: str, **options: Any) -> Report:
    """A run with little patience: the reference server does everything at once."""
    settings: dict[str, Any] = {
        "answer_s": 5.0, "operation_s": 0.3, "settle_s": 0.06, "measured_s": 0.06, "git_s": 20.0,
    }  # fmt: skip
    return run(Options(reference.url, TOKEN, select, **settings | options))
