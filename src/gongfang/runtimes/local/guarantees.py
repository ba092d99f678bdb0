"""What this machine was found to enforce, and why not the rest. Pure."""

from gongfang.runtimes.interface import Guarantee
from gongfang.runtimes.local.sandbox import Isolation

_LIMITS = (("memory_limit", "memory"), ("cpu_limit", "cpu"), ("process_limit", "pids"))


def guarantees(isolation: Isolation, controllers: frozenset[str], why_no_disk: str) -> list[Guarantee]:
    """`controllers`: the control groups that can be used. `why_no_disk`: empty where each has a disk of its own."""
    sandboxed = isolation.bwrap is not None
    found: list[Guarantee] = []
    for name, part in _LIMITS:
        has = part in controllers or (part == "pids" and sandboxed and isolation.counts_processes)
        found.append(Guarantee(name, has, "" if has else "no_cgroup", {} if has else {"controller": part}))
    instead = ("no_disk" if isolation.layer else "no_disk_but_memory") if sandboxed else "no_sandbox"
    found.append(_one("disk_limit", sandboxed and not why_no_disk, instead, isolation.why_no_sandbox or why_no_disk))
    own_user = isolation.as_root and sandboxed
    found.append(Guarantee("own_user", own_user, "" if own_user else "no_own_user"))
    for name in ("own_filesystem", "own_processes"):
        found.append(_one(name, sandboxed, "no_sandbox", isolation.why_no_sandbox))
    filtered = sandboxed and isolation.filtered
    found.append(_one("system_calls", filtered, "no_filter", isolation.why_no_filter or isolation.why_no_sandbox))
    writable = isolation.overlay or not sandboxed
    found.append(_one("writable_app", writable, "no_overlay", isolation.why_no_overlay))
    return found


def _one(name: str, enforced: bool, why: str, detail: str) -> Guarantee:
    return Guarantee(name, enforced) if enforced else Guarantee(name, False, why, {"detail": detail})
