"""The same platform, run by an ordinary user: a user id without any right, name or home of its own."""

import os
import shutil
import site
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gongfang.toolbox import WheelToolbox
from tests.e2e.conftest import Platform, fresh_home, write_version
from tests.e2e.load import Load
from tests.e2e.test_services import write_orders

UID = 61_234
TOOLS = ("bwrap-*", "envoy-*", "postgres-*")


def python_for_all() -> str | None:
    """An interpreter of our version that any user may run (root's own often lies in root's home)."""
    for candidate in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(candidate).exists():
            asked = [candidate, "-c", "import sys; print(*sys.version_info[:2])"]
            found = subprocess.run(asked, capture_output=True, text=True, check=False, user=UID, group=UID, cwd="/")
            if found.stdout.split() == ["3", "11"]:
                return candidate
    return None


def readable(path: Path) -> bool:
    return subprocess.run(["ls", path], user=UID, group=UID, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def theirs() -> Iterator[Platform]:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; an ordinary user runs all other tests as one")
    python = python_for_all()
    packages = Path(site.getsitepackages()[0])
    source = Path(__file__).parents[2] / "src"
    if python is None or not readable(packages) or not readable(source):
        pytest.skip("this checkout, or a Python 3.11, cannot be read by other users")
    home = fresh_home()
    cache = home.parent / "cache"
    kept = WheelToolbox().cache
    for pattern in TOOLS:
        for tool in kept.glob(pattern):
            shutil.copytree(tool, cache / "gongfang" / "tools" / tool.name, symlinks=True)
    for folder in (home.parent, *cache.rglob("*"), cache):
        os.chown(folder, UID, UID, follow_symlinks=False)
    variables = {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": f"{source}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"}
    become = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups")
    platform = Platform(home, environment=variables, prefix=(*become, python, "-m", "gongfang.cli"))
    try:
        platform.up()
        yield platform
    finally:
        platform.down()
        left = platform.processes()
        shutil.rmtree(home.parent)
        assert left == []


def test_status_says_what_is_not_enforced(theirs: Platform) -> None:
    said = theirs.cli("status").stdout
    guarantees = {g["name"]: g for g in theirs.json("status")["guarantees"]}
    assert not guarantees["own_user"]["enforced"]
    assert guarantees["own_user"]["message"] in said
    assert not guarantees["memory_limit"]["enforced"]


def test_an_app_lives_as_it_does_under_root(theirs: Platform, hello: Path) -> None:
    mine = theirs.home.parent / "hello"
    shutil.copytree(hello, mine)
    for path in (mine, *mine.iterdir()):
        os.chown(path, UID, UID)
    theirs.cli("deploy", "--app", "demo", cwd=mine)
    with Load(theirs.edge_port, theirs.host("demo")) as load:
        write_version(mine, "v2")
        theirs.cli("deploy", "--app", "demo", cwd=mine)
        theirs.cli("scale", "demo", "web=2")
    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}
    seen = theirs.cli("run", "demo", "--", f"id -u; ls {theirs.home} 2>&1 || true").stdout
    assert "No such file" in seen or "cannot access" in seen


def test_a_database_is_bound_as_it_is_under_root(theirs: Platform) -> None:
    """Without networks of their own, servers share the machine's: reached by whoever has the password."""
    theirs.cli("services", "enable", "postgresql")
    theirs.cli("services", "create", "postgresql", "orders")
    mine = theirs.home.parent / "orders"
    write_orders(mine)
    for path in (mine, *mine.iterdir()):
        os.chown(path, UID, UID)
    theirs.cli("deploy", "--app", "orders", cwd=mine)
    theirs.cli("bind", "orders", "orders")
    assert theirs.get(theirs.host("orders"), "/make")[::2] == (200, b'[["eleven valves"]]')
    assert theirs.get(theirs.host("orders"), "/bound")[0] == 200
    theirs.cli("unbind", "orders", "orders")
    assert theirs.get(theirs.host("orders"), "/orders")[0] == 500
    theirs.cli("services", "delete", "orders", "--yes")
