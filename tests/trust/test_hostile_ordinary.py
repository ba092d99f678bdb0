"""The hostile app on a platform that an ordinary user runs: what the kernel allows is enforced, the rest is said."""

import shutil
from pathlib import Path

from tests.e2e.conftest import Platform
from tests.e2e.test_ordinary_user import UID, theirs
from tests.trust.test_hostile import HERE, HIDDEN, Hostile, own_all

__all__ = ["theirs"]


def test_what_an_ordinary_user_gets(theirs: Platform, tmp_path: Path) -> None:
    guarantees = {g["name"]: g["enforced"] for g in theirs.json("status")["guarantees"]}
    assert {name for name, enforced in guarantees.items() if not enforced} == {
        *("memory_limit", "cpu_limit", "disk_limit", "own_user", "own_network"),
    }
    said = theirs.cli("status").stdout
    assert "is ended within seconds" in said
    folder = theirs.home.parent / "hostile"
    folder.mkdir()
    for name in ("app.py", "attacks.py"):
        shutil.copy(HERE / name, folder)
    own_all(folder, UID)
    theirs.cli("apps", "create", "hostile", "--memory", "512")
    theirs.cli("apps", "change", "hostile", "--disk", "64")
    theirs.cli("deploy", "--app", "hostile", cwd=folder)
    hostile = Hostile(theirs)
    status = hostile.found("rights")["status"]
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    calls = hostile.found("system_calls")
    assert "allowed" not in calls.values()
    written = {path for path, said in hostile.found("writing").items() if said == "allowed"}
    assert written <= {"/proc/1/oom_score_adj"}  # of its own sandbox's first process, which is the same user
    shown = {path: said for path, said in hostile.reading().items() if str(said) not in HIDDEN}
    assert set(shown) <= {"/proc/1/environ", "/proc/1/mem"}  # the same: it knows what the app was told anyway
    assert hostile.ask("inherited") == {"inherited": []}
    forks = hostile.found("fork_bomb")
    assert forks["then"] == "EAGAIN" and forks["made"] <= 512
    assert hostile.found("fill", "/dev/shm/x")["error"] == "ENOSPC"
    # Not refused, but ended: it comes back, and what it wrote is gone.
    before = hostile.instance["id"]
    theirs.get(theirs.host("hostile"), "/fill?/app/x", 60)
    hostile.wait_for_another(before)
    (ended,) = [i for i in theirs.json("ps", "hostile", "--ended") if i["id"] == before]
    assert ended["reason"]["code"] == "exit_disk"
    assert not (theirs.home / "runtime/workloads" / before / "layer").exists()
