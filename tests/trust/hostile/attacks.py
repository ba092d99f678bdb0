"""What a hostile program tries, from inside. Each function answers what happened, for the test to judge.

Standard library only. Run as `python attacks.py NAME [ARGUMENT]` it prints one answer as JSON, so that what may end the
process ends only that one.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MB = 1 << 20
X86 = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "setns": 308, "chroot": 161, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "mount_setattr": 442, "name_to_handle_at": 303, "open_by_handle_at": 304, "clone3": 435,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438, "bpf": 321,
    "perf_event_open": 298, "userfaultfd": 323, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "kexec_load": 246, "reboot": 169, "syslog": 103, "add_key": 248, "request_key": 249, "keyctl": 250,
    "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "swapon": 167, "acct": 163, "quotactl": 179,
    "io_uring_setup": 425, "sethostname": 170, "newer": 600,
}  # fmt: skip
ARM = {
    "mount": 40, "umount2": 39, "pivot_root": 41, "setns": 268, "chroot": 51, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "mount_setattr": 442, "name_to_handle_at": 264, "open_by_handle_at": 265, "clone3": 435,
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "pidfd_getfd": 438, "bpf": 280,
    "perf_event_open": 241, "userfaultfd": 282, "init_module": 105, "finit_module": 273, "delete_module": 106,
    "kexec_load": 104, "reboot": 142, "syslog": 116, "add_key": 217, "request_key": 218, "keyctl": 219,
    "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "swapon": 224, "acct": 89, "quotactl": 60,
    "io_uring_setup": 425, "sethostname": 161, "newer": 600,
}  # fmt: skip
MACHINE = os.uname().machine
CALLS = X86 if MACHINE == "x86_64" else ARM
CLONE, UNSHARE, PERSONALITY = (56, 272, 135) if MACHINE == "x86_64" else (220, 97, 92)
NAMESPACES = {
    "mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000,
    "net": 0x40000000, "time": 0x80,
}  # fmt: skip


def call(number, *arguments):
    """A system call by its number; the name of its error, or "allowed"."""
    words = [ctypes.c_long(each) for each in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    if LIBC.syscall(ctypes.c_long(number), *words) < 0:
        return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))
    return "allowed"


def said(work):
    """What an operation of the standard library ends with."""
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "allowed"


def forked(work):
    """The wait status of a child that does something."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def system_calls(_):
    found = {name: call(number, 0, 0, 0, 0, 0, 0) for name, number in CALLS.items()}
    found |= {f"unshare {name}": call(UNSHARE, flag) for name, flag in NAMESPACES.items()}
    for name, flag in NAMESPACES.items():
        if name != "time":
            found[f"clone {name}"] = call(CLONE, flag | signal.SIGCHLD)
    found["personality"] = call(PERSONALITY, 0x40000)
    if MACHINE == "x86_64":
        status = forked(lambda: LIBC.syscall(ctypes.c_long(0x40000000 | 39)))
        found["x32"] = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "allowed"
    return found


def sockets(_):
    found = {}
    for name, family in {"packet": 17, "vsock": 40, "alg": 38, "bluetooth": 31, "can": 29, "xdp": 44}.items():
        found[name] = said(lambda family=family: socket.socket(family, socket.SOCK_DGRAM).close())
    found["raw"] = said(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
    found["netlink audit"] = said(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).close())
    found["netlink route"] = said(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close())
    found["unix"] = said(lambda: socket.socket(socket.AF_UNIX).close())
    found["inet"] = said(lambda: socket.socket(socket.AF_INET).close())
    found["inet6"] = said(lambda: socket.socket(socket.AF_INET6).close())
    return found


def reach(places):
    """Connections to addresses, and to abstract Unix sockets by name."""
    found = {}
    for place in json.loads(places):
        host, _, port = place.rpartition(":")
        if host:
            found[place] = said(lambda h=host, p=port: socket.create_connection((h, int(p)), 3).close())
        else:
            found[place] = said(lambda name=port: socket.socket(socket.AF_UNIX).connect(f"\0{name}"))
    return found


def terminal(_):
    import fcntl
    import termios

    other, mine = os.openpty()
    try:
        return {"inject": said(lambda: fcntl.ioctl(mine, termios.TIOCSTI, b"x"))}
    finally:
        os.close(other)
        os.close(mine)


def rights(_):
    """Of this process, and of what a set-user-id program becomes."""
    lines = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups")
    mine = Path("/tmp/set-id")
    mine.write_bytes(Path("/usr/bin/id").resolve().read_bytes())
    mine.chmod(0o6755)
    become = subprocess.run([mine, "-u"], capture_output=True, text=True).stdout.strip()
    su = subprocess.run(["su", "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return {
        "status": {name: lines.get(name, "").strip() for name in names},
        "uid": os.getuid(),
        "set-id": become,
        "su": su.returncode,
        "setuid": said(lambda: os.setuid(0)) if os.getuid() else "root already",
        "setgroups": said(lambda: os.setgroups([0])),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "unkillable": said(lambda: Path("/proc/self/oom_score_adj").write_text("-1000")),
    }


def reading(paths):
    """Paths that must not be there, or not be readable."""
    found = {}
    for path in json.loads(paths):
        place = Path(path)
        found[path] = said(place.stat)
        if found[path] != "allowed":
            continue
        if place.is_dir():
            found[path] = said(lambda place=place: list(place.iterdir()))
            if found[path] == "allowed":
                found[path] = "empty" if not list(place.iterdir()) else sorted(each.name for each in place.iterdir())
        else:
            found[path] = said(lambda place=place: place.open("rb").read(1))
    return found


def writing(_):
    places = (
        "/x /usr/x /usr/bin/sh /etc/x /etc/passwd /dev/x /etc/ssl/private/x /usr/local/etc/x /var/x "
        "/proc/sys/kernel/core_pattern /proc/sys/kernel/hostname "
        "/proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/1/oom_score_adj /sys/fs/cgroup/x "
        "/proc/self/uid_map"
    ).split()
    return {place: said(lambda place=place: Path(place).open("a").write("0")) for place in places}


def devices(_):
    import stat

    found = {}
    for name, kind, major, minor in (("disk", stat.S_IFBLK, 254, 0), ("mem", stat.S_IFCHR, 1, 1)):
        found[name] = said(lambda n=name, k=kind, d=os.makedev(major, minor): os.mknod(f"/tmp/{n}", k | 0o666, d))
    found["there"] = sorted(each.name for each in Path("/dev").iterdir())
    return found


def processes(others):
    """What can be seen of others, and what signals to their numbers do."""
    seen = [each.name for each in Path("/proc").iterdir() if each.name.isdigit()]
    words = [Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace") for pid in seen]
    found = {
        "seen": len(seen),
        "commands": words,
        "first's root": said(lambda: list(Path("/proc/1/root").iterdir())),
        "first's environment": said(lambda: Path("/proc/1/environ").read_bytes()),
        "first's files": said(lambda: list(Path("/proc/1/fd").iterdir())),
        "own program": said(lambda: open("/proc/self/exe", "ab")),
        "first's program": said(lambda: open("/proc/1/exe", "ab")),
    }
    for pid in json.loads(others):
        found[f"kill {pid}"] = said(lambda pid=pid: os.kill(pid, 9))
    return found


def kill_all(_):
    """Everything that may be signalled: the sandbox's own processes, and nobody else's."""
    os.kill(-1, signal.SIGKILL)
    return {"survived": True}


def fork_bomb(_):
    """Children that make children, until there are no more; all end with the first one's session."""
    made = 0
    first = None
    children = []
    while made < 20_000:
        try:
            pid = os.fork()
        except OSError as error:
            first = errno.errorcode[error.errno]
            break
        if pid == 0:
            signal.pause()
        children.append(pid)
        made += 1
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return {"made": made, "then": first}


def relentless_fork_bomb(_):
    """The one of the textbooks: every process makes more, and none gives up, for some seconds."""
    ends = time.monotonic() + 4

    def breed():
        while time.monotonic() < ends:
            try:
                os.fork()
            except OSError:
                pass
        os._exit(0)

    forked(breed)
    return {"over": True}


def memory(_):
    """Takes memory and uses it, in a child that is to be ended for it."""

    def take():
        kept = []
        while len(kept) < 4096:
            kept.append(b"x" * MB)

    status = forked(take)
    return {"ended by": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}


def fill(path):
    """Writes until it is refused, in a child (memory may be what runs out); how many MB went in."""
    reader, writer = os.pipe()

    def write():
        total = 0
        block = b"x" * MB
        try:
            with open(path, "wb", buffering=0) as file:
                while total < 8192:
                    total += file.write(block) / MB
                    os.write(writer, struct.pack("d", total))
        except OSError as error:
            os.write(writer, struct.pack("d", -float(error.errno)))

    status = forked(write)
    os.close(writer)
    numbers = b""
    while part := os.read(reader, 1 << 16):
        numbers += part
    os.close(reader)
    values = [each for (each,) in struct.iter_unpack("d", numbers)]
    Path(path).unlink(missing_ok=True)
    why = errno.errorcode.get(int(-values[-1])) if values and values[-1] < 0 else None
    return {"mb": max(values, default=0), "error": why, "killed": os.WIFSIGNALED(status)}


def many_files(folder):
    """Empty files, until there may be no more."""
    made = 0
    error = None
    Path(folder).mkdir()
    while made < 400_000:
        error = said(lambda: os.close(os.open(f"{folder}/{made}", os.O_CREAT | os.O_WRONLY)))  # noqa: B023
        if error != "allowed":
            break
        made += 1
    subprocess.run(["rm", "-rf", folder])
    return {"made": made, "error": error}


def flood(seconds):
    """Output as fast as it goes."""
    block = (b"y\n" * 512 + b"n\n" * 512) * 512
    total, refused = 0, None
    ends = time.monotonic() + float(seconds)
    while time.monotonic() < ends:
        try:
            total += os.write(1, block)
        except OSError as error:
            refused = errno.errorcode.get(error.errno)
    return {"mb": total / MB, "refused": refused}


def open_files(_):
    opened = []
    error = None
    while len(opened) < 2_000_000:
        try:
            opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as failed:
            error = errno.errorcode[failed.errno]
            break
    return {"opened": len(opened), "error": error}


ATTACKS = {
    each.__name__: each
    for each in (
        *(system_calls, sockets, reach, terminal, rights, reading, writing, devices, processes, kill_all, fork_bomb),
        *(relentless_fork_bomb, memory, fill, many_files, flood, open_files),
    )
}

if __name__ == "__main__":
    print(json.dumps(ATTACKS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "")))
