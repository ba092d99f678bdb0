"""The filter, run by a small interpreter of the kernel's own rules: what each call gets, on each architecture."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.runtimes.local import seccomp
from gongfang.runtimes.local.seccomp import ALLOW, ARCHITECTURES, KILL, NAMESPACES, REFUSE, seccomp_filter

I386, ARM = 0x4000_0003, 0x4000_0028
machines = pytest.mark.parametrize("machine", sorted(ARCHITECTURES))


def run(program: bytes, data: bytes) -> int:
    """Classic BPF as seccomp allows it; every jump must stay inside, and the last instruction be a return."""
    words = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, yes, no, k = words[at]
        at += 1
        if code == seccomp.LOAD:
            assert k % 4 == 0 and k + 4 <= len(data)
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == seccomp.EQUAL:
            at += yes if accumulator == k else no
        elif code == seccomp.AT_LEAST:
            at += yes if accumulator >= k else no
        elif code == seccomp.ANY_OF:
            at += yes if accumulator & k else no
        elif code == seccomp.RETURN:
            return k
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


def verdict(machine: str, call: int, *arguments: int, audit: int | None = None) -> int:
    program = seccomp_filter(machine)
    assert program is not None
    architecture = ARCHITECTURES[machine].audit if audit is None else audit
    filled = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    return run(program, struct.pack("=IIQ6Q", call, architecture, 0x40_0000, *filled))


def refused(number: int) -> int:
    return REFUSE | number


@machines
def test_what_is_listed_is_refused(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    for calls, number in ((seccomp.EPERM, errno.EPERM), (seccomp.ENOSYS, errno.ENOSYS)):
        for name, numbers in calls.items():
            call = numbers[column]
            if call is not None:
                assert verdict(machine, call) == refused(number), name


@machines
def test_no_number_stands_twice(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    tables = (*seccomp.EPERM.values(), *seccomp.ENOSYS.values(), seccomp.CLONE, seccomp.UNSHARE, seccomp.SOCKET)
    numbers = [each[column] for each in (*tables, seccomp.IOCTL, seccomp.PERSONALITY) if each[column] is not None]
    assert len(numbers) == len(set(numbers))


def test_the_calls_of_every_day_pass() -> None:
    # read write open mmap brk rt_sigaction socket… accept4 epoll_wait futex execve fork vfork getrandom statx openat2
    for call in (0, 1, 2, 9, 12, 13, 42, 43, 44, 49, 50, 57, 58, 59, 202, 232, 257, 281, 288, 302, 318, 332, 437, 439):
        assert verdict("x86_64", call) == ALLOW


@machines
def test_another_numbering_ends_the_process(machine: str) -> None:
    for audit in (I386, ARM, 0, *(a.audit for a in ARCHITECTURES.values() if a.name != machine)):
        assert verdict(machine, 1, audit=audit) == KILL


def test_x32_ends_the_process() -> None:
    assert verdict("x86_64", 0x4000_0000 | 1) == KILL
    assert verdict("x86_64", 0x4000_0000 | 520) == KILL
    assert verdict("x86_64", 0xFFFF_FFFF) == refused(errno.ENOSYS)


@machines
def test_what_is_newer_than_the_list_is_not_there(machine: str) -> None:
    for call in (seccomp.NEWEST + 1, 600, 0x3FFF_FFFF):
        assert verdict(machine, call) == refused(errno.ENOSYS)
    assert verdict(machine, seccomp.NEWEST) == ALLOW


@machines
@given(flags=st.integers(0, 2**64 - 1))
def test_clone_makes_threads_and_processes_but_no_namespace(machine: str, flags: int) -> None:
    column = ARCHITECTURES[machine].column
    wanted = refused(errno.EPERM) if flags & NAMESPACES else ALLOW
    assert verdict(machine, seccomp.CLONE[column], flags) == wanted
    wanted = refused(errno.EPERM) if flags & (NAMESPACES | 0x80) else ALLOW
    assert verdict(machine, seccomp.UNSHARE[column], flags) == wanted


@machines
def test_threads_and_processes_pass(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    pthread, fork, vfork = 0x3D0F00, 0x1200011, 0x4111
    assert {verdict(machine, seccomp.CLONE[column], flags) for flags in (pthread, fork, vfork)} == {ALLOW}
    assert verdict(machine, seccomp.UNSHARE[column], 0x400) == ALLOW  # CLONE_FILES


@machines
@given(upper=st.integers(0, 2**32 - 1))
def test_the_upper_half_of_an_argument_changes_nothing(machine: str, upper: int) -> None:
    column = ARCHITECTURES[machine].column
    high = upper << 32
    assert verdict(machine, seccomp.IOCTL[column], 0, high | 0x5412) == refused(errno.EPERM)
    assert verdict(machine, seccomp.SOCKET[column], high | 17, 3) == refused(errno.EAFNOSUPPORT)
    assert verdict(machine, seccomp.UNSHARE[column], high | 0x1000_0000) == refused(errno.EPERM)


@machines
def test_sockets_by_family(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    socket = seccomp.SOCKET[column]
    for family in range(64):
        for protocol in (0, 6, 9, 16):
            allowed = family in (1, 2, 10) or (family == 16 and protocol == 0)
            wanted = ALLOW if allowed else refused(errno.EAFNOSUPPORT)
            assert verdict(machine, socket, family, 1, protocol) == wanted


@machines
def test_terminals_and_personalities(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    ioctl, personality = seccomp.IOCTL[column], seccomp.PERSONALITY[column]
    assert verdict(machine, ioctl, 0, 0x5413) == ALLOW  # TIOCGWINSZ
    assert verdict(machine, ioctl, 0, 0x5412) == verdict(machine, ioctl, 0, 0x541C) == refused(errno.EPERM)
    assert verdict(machine, personality, 0xFFFF_FFFF) == verdict(machine, personality, 0) == ALLOW
    assert verdict(machine, personality, 0x40000) == refused(errno.EPERM)  # no random addresses


@machines
@given(call=st.integers(0, 2**32 - 1), arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_every_call_gets_a_verdict(machine: str, call: int, arguments: list[int]) -> None:
    assert verdict(machine, call, *arguments) in {
        *(ALLOW, KILL),
        *(refused(number) for number in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)),
    }


def test_a_machine_without_a_list() -> None:
    assert seccomp_filter("riscv64") is None
