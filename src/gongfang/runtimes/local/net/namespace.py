"""Starting a process in a network namespace of its own, which ends with the last process in it.

The namespace is anonymous: a thread leaves the machine's namespace for a new one, furnishes it, starts the process
and ends. From then on only the process holds it. Whoever is killed in between takes it along, so nothing is ever left
over: no name, no mount, no interface.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from gongfang.runtimes.local.net.netlink import Netlink

T = TypeVar("T")
_NEWNET = 0x40000000
_libc: Any = ctypes.CDLL(None, use_errno=True)


def leave_network() -> None:
    """The calling thread gets a new, empty network namespace. For threads that end soon. Raises `OSError`."""
    if _libc.unshare(_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter_network(descriptor: int) -> None:
    """The calling thread goes into the namespace that a descriptor holds. Raises `OSError`."""
    if _libc.setns(descriptor, _NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def in_thread(work: Callable[[], T]) -> T:
    """Runs it in a thread of its own, which then ends; gives or raises what it does."""
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="network", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def in_new_network(family: int, furnish: Callable[[int, Netlink, Netlink], None], work: Callable[[], T]) -> T:
    """Does `work` in a new network namespace. `furnish` gets the namespace's descriptor, a socket outside, and one
    inside. What `work` started stays in the namespace; if it started nothing, the namespace is gone at the end."""

    def go() -> T:
        with Netlink(family) as outside:
            leave_network()
            descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                with Netlink(family) as inside:
                    furnish(descriptor, outside, inside)
            finally:
                os.close(descriptor)
        return work()

    return in_thread(go)
