"""The filter of system calls that every sandbox gets: a pure function to the bytes that `bwrap --seccomp` takes.

It is a list of what is refused, with a ceiling: a call that is newer than this list answers "no such call", so that
what a later kernel brings is refused until somebody has looked at it, and programs fall back as they do on an older
kernel. What is refused is what Docker and Flatpak refuse by default: whatever reaches past the sandbox (mounts,
namespaces, other processes' memory, the kernel's own programs, keys, modules, clocks) or is a large piece of the kernel
that ordinary programs do without (io_uring, userfaultfd, perf). Why so: docs/decisions/0023-system-calls.md.

    refused with EPERM    as a missing right would be: programs know how to go on
    refused with ENOSYS   where a program has an older way that it then takes: clone3 → clone (whose flags can be
                          looked at; clone3's lie in memory, out of a filter's reach), io_uring → epoll
    ended (SIGSYS)        a call in another machine language's numbering (32 bit, x32): its numbers mean other calls
"""

import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

# Classic BPF, as in linux/filter.h and linux/seccomp.h.
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
KILL, REFUSE, ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_MOST_INSTRUCTIONS = 4096  # the kernel's own bound

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. `unshare` has NEWTIME too, which in `clone` is a
# part of the signal's number.
NAMESPACES = 0x7E02_0000
_NEW_TIME = 0x80
_X32 = 0x4000_0000
NEWEST = 469  # file_setattr; from 424 on all architectures share their numbers
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
_FAMILIES = (AF_UNIX, AF_INET, AF_INET6)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# The ordinary one, 32-bit, and both with the version of older kernels; the last only asks. Others lift safeguards.
_PERSONALITIES = (0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)

# Name: (x86_64, aarch64); None where an architecture has no such call.
EPERM: dict[str, tuple[int | None, int | None]] = {
    # mounts, roots and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # the kernel itself
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
    "sysfs": (139, None),
    "ustat": (136, None),
    # keys live in the kernel, not in a namespace
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # clocks are the machine's
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    # where memory lies
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
ENOSYS: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # the newer way to mount
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "open_tree_attr": (467, 467),
    # of long ago
    "uselib": (134, None),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "nfsservctl": (180, 42),
    "vserver": (236, None),
}
# Looked at by their arguments.
CLONE, UNSHARE, SOCKET, IOCTL, PERSONALITY = (56, 220), (272, 97), (41, 198), (16, 29), (135, 92)


@dataclass(frozen=True, slots=True)
class Architecture:
    """`audit`: the kernel's AUDIT_ARCH number. `column`: in the tables above."""

    name: str
    audit: int
    column: int


ARCHITECTURES = {
    each.name: each for each in (Architecture("x86_64", 0xC000_003E, 0), Architecture("aarch64", 0xC000_00B7, 1))
}


def seccomp_filter(machine: str) -> bytes | None:
    """The filter for a machine as `os.uname().machine` calls it; None for one that there is no list for."""
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        return None
    program = _program(architecture)
    assert len(program) <= _MOST_INSTRUCTIONS
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def own_filter() -> bytes | None:
    """The one for this machine."""
    return seccomp_filter(os.uname().machine)


_Instruction = tuple[int, int, int, int]


def _program(architecture: Architecture) -> list[_Instruction]:
    column = architecture.column
    program: list[_Instruction] = [
        _load(_ARCHITECTURE),
        (EQUAL, 1, 0, architecture.audit),
        _return(KILL),
        _load(_NUMBER),
    ]
    if architecture.name == "x86_64":
        # -1 is what a tracer, and nothing else, calls: it stays "no such call".
        program += [(AT_LEAST, 0, 3, _X32), (EQUAL, 0, 1, 0xFFFF_FFFF), _refuse(errno.ENOSYS), _return(KILL)]
    program += _looked_at(SOCKET[column], _sockets())
    program += _looked_at(IOCTL[column], _none_of(1, (_TIOCSTI, _TIOCLINUX), errno.EPERM))
    program += _looked_at(CLONE[column], _without_flags(NAMESPACES))
    program += _looked_at(UNSHARE[column], _without_flags(NAMESPACES | _NEW_TIME))
    program += _looked_at(PERSONALITY[column], _one_of(0, _PERSONALITIES, errno.EPERM))
    for calls, number in ((EPERM, errno.EPERM), (ENOSYS, errno.ENOSYS)):
        for call in sorted(found for each in calls.values() if (found := each[column]) is not None):
            program += [(EQUAL, 0, 1, call), _refuse(number)]
    return [*program, (AT_LEAST, 0, 1, NEWEST + 1), _refuse(errno.ENOSYS), _return(ALLOW)]


def _load(offset: int) -> _Instruction:
    return (LOAD, 0, 0, offset)


def _argument(index: int) -> _Instruction:
    """Its lower half: the kernel itself looks at no more of a family, a request or flags, so neither must we (a
    comparison of the whole would be passed by a stray upper half)."""
    return _load(_ARGUMENTS + 8 * index)


def _return(what: int) -> _Instruction:
    return (RETURN, 0, 0, what)


def _refuse(number: int) -> _Instruction:
    return _return(REFUSE | number)


def _looked_at(call: int, check: Sequence[_Instruction]) -> list[_Instruction]:
    """A check that ends in a verdict, for one call; others go on behind it with the call's number still loaded."""
    return [(EQUAL, 0, len(check), call), *check]


def _sockets() -> list[_Instruction]:
    """Families that programs on a network use; of netlink only its routes (what addresses there are)."""
    refused = _refuse(errno.EAFNOSUPPORT)
    families: list[_Instruction] = []
    for family in _FAMILIES:
        families += [(EQUAL, 0, 1, family), _return(ALLOW)]
    netlink = [(EQUAL, 1, 0, AF_NETLINK), refused, _argument(2), (EQUAL, 0, 1, 0), _return(ALLOW), refused]
    return [_argument(0), *families, *netlink]


def _without_flags(flags: int) -> list[_Instruction]:
    return [_argument(0), (ANY_OF, 0, 1, flags), _refuse(errno.EPERM), _return(ALLOW)]


def _none_of(index: int, values: Sequence[int], number: int) -> list[_Instruction]:
    result = [_argument(index)]
    for value in values:
        result += [(EQUAL, 0, 1, value), _refuse(number)]
    return [*result, _return(ALLOW)]


def _one_of(index: int, values: Sequence[int], number: int) -> list[_Instruction]:
    result = [_argument(index)]
    for value in values:
        result += [(EQUAL, 0, 1, value), _return(ALLOW)]
    return [*result, _refuse(number)]
