"""What every driver refuses: files where none can be put, and ports that are none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.errors import Rejected
from gongfang.domain.messages import CATALOGUE
from gongfang.runtimes.checks import check_spec
from gongfang.runtimes.interface import Mount, WorkloadKind, WorkloadSpec

MOUNTS = (Mount(Path("/h"), "/data", writable=True), Mount(Path("/h"), "/mnt/deep/"), Mount(Path("/h"), "/mnt/x/y/z"))
SHAPES = ["", "relative", "/", "/top", "/a/../b", "//a/b", "/a//b", "/a/b/", "/a/./b", "/a/b\0c", "/./a/b"]
PLACES = ["/proc/x", "/app/x", "/usr/x", "/etc/passwd", "/tmp/x", "/var/tmp/x", "/dev/shm/x", "/lib64/x"]
COVERED = ["/data/x", "/data/x/y", "/mnt/deep", "/mnt/deep/x/y", "/mnt/x/y", "/mnt/x/y/z"]


def spec(**fields: object) -> WorkloadSpec:
    return WorkloadSpec("a", WorkloadKind.service, ("run",), mounts=MOUNTS, **fields)  # type: ignore[arg-type]


def code(**fields: object) -> str:
    with pytest.raises(Rejected) as refused:
        check_spec(spec(**fields))
    assert refused.value.code in CATALOGUE
    return refused.value.code


@pytest.mark.parametrize("path", [*SHAPES, *PLACES, *COVERED])
def test_places_where_no_file_can_be_put(path: str) -> None:
    assert code(files={path: b"x"}) == "path_invalid"


@pytest.mark.parametrize("path", ["/bindings/a/b", "/gongfang/x", "/mnt/other", "/mnt/deeper/x", "/database/x"])
def test_places_where_one_can(path: str) -> None:
    check_spec(spec(files={path: b"x"}))


def test_files_that_are_too_many_too_large_or_in_each_others_way() -> None:
    assert code(files={f"/b/{number}": b"" for number in range(129)}) == "files_too_many"
    assert code(files={"/b/1": bytes(1 << 20), "/b/2": b"x"}) == "files_too_large"
    assert code(files={"/b/1": b"", "/b/1/2": b""}) == "path_invalid"
    check_spec(spec(files={f"/b/{number}": bytes(8192) for number in range(128)}))


@given(st.text(st.sampled_from("/.ab\0 "), max_size=12))
def test_what_is_taken_stays_below_its_first_folder(path: str) -> None:
    """No path that gets past the check can leave the folder that its first word names."""
    try:
        check_spec(spec(files={path: b""}))
    except Rejected:
        return
    words = path.split("/")
    assert words[0] == "" and len(words) > 2 and all(word not in ("", ".", "..") for word in words[1:])


def test_ports_that_are_none() -> None:
    for number in (0, -1, 65536):
        assert code(port=number) == "port_invalid"


def test_secrets_are_not_in_a_specifications_text() -> None:
    assert "hunter2" not in repr(spec(files={"/b/1": b"hunter2"}))
