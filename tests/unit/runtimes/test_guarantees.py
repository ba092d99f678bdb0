"""Each promise is said to hold, or why not, in a sentence that there is."""

import pytest

from gongfang.domain.messages import CATALOGUE, words
from gongfang.runtimes.local.guarantees import guarantees
from gongfang.runtimes.local.sandbox import Isolation

ALL = frozenset({"memory", "cpu", "pids"})
ROOT = Isolation("/b", True, True, ("setpriv",), filtered=True, layer=True)
ORDINARY = Isolation("/b", False, True, (), filtered=True, layer=True, counts_processes=True)
NOTHING = Isolation(None, False, False, (), why_no_sandbox="no user namespaces")


@pytest.mark.parametrize(
    ("isolation", "controllers", "why_no_disk", "missing"),
    [
        (ROOT, ALL, "", {}),
        (ROOT, ALL, "no mkfs.ext4", {"disk_limit": "no_disk"}),
        (
            *(ORDINARY, frozenset[str](), "only root"),
            {"memory_limit": "no_cgroup", "cpu_limit": "no_cgroup", "disk_limit": "no_disk", "own_user": "no_own_user"},
        ),
        (
            *(Isolation("/b", False, False, (), why_no_overlay="old", why_no_filter="old"), ALL, "only root"),
            {
                "disk_limit": "no_disk_but_memory",
                "own_user": "no_own_user",
                "system_calls": "no_filter",
                "writable_app": "no_overlay",
            },
        ),
        (
            *(NOTHING, frozenset[str](), "not tried"),
            {
                **{"memory_limit": "no_cgroup", "cpu_limit": "no_cgroup", "process_limit": "no_cgroup"},
                **{"disk_limit": "no_sandbox", "own_user": "no_own_user", "own_filesystem": "no_sandbox"},
                **{"own_processes": "no_sandbox", "system_calls": "no_filter"},
            },
        ),
    ],
)
def test_what_is_missing(
    isolation: Isolation, controllers: frozenset[str], why_no_disk: str, missing: dict[str, str]
) -> None:
    found = guarantees(isolation, controllers, why_no_disk)
    assert {each.name: each.why for each in found if not each.enforced} == missing
    for each in found:
        assert not each.why or (each.why in CATALOGUE and "{" not in words(each.why, each.facts, "zh"))
