"""A machine's surroundings in namespaces: the tests' platform runs in one, and others play what lies around it.

    the company's LAN 10.9.0.7      ┐
    the internet      93.184.215.14 ├── one veth each ── the platform's namespace (default route: the internet)
    the metadata service 169.254.169.254 ┘

Each of the others answers on TCP port 80 with its name, and notes who asked. So what is closed was really there to be
reached, and no packet leaves this machine.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SERVER = """
import http.server, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{sys.argv[1]} saw {self.client_address[0]}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
import threading, socket
def dns(kind):
    '''Answers every question for A with 93.184.215.14, every other with nothing.'''
    def answer(q):
        end = q.index(0, 12) + 5
        is_a = q[end-4:end-2] == b"\\0\\1"
        head = q[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if is_a else b"\\0\\0") + b"\\0\\0\\0\\0"
        record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + bytes([93, 184, 215, 14])
        return head + q[12:end] + (record if is_a else b"")
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53))
    while True:
        data, who = s.recvfrom(4096); s.sendto(answer(data), who)
if sys.argv[1] == "lan":
    threading.Thread(target=dns, args=("udp",), daemon=True).start()
server = Server(("", 80), Answer)
print("up", flush=True)
server.serve_forever()
"""

PLACES = {"lan": ("10.9.0.7", "10.9.0.1/24"), "internet": ("93.184.215.14", "93.184.215.1/24")}
METADATA = "169.254.169.254"
RESOLVER = "10.9.0.7"


@dataclass
class Surroundings:
    """`inside`: words that run a command in the platform's namespace."""

    inside: tuple[str, ...] = ()
    processes: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def run(self, *words: str, check: bool = True) -> str:
        done = subprocess.run([*self.inside, *words], capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout


def _hold(*words: str) -> subprocess.Popen[str]:
    """A process in namespaces of its own, which holds them until it is ended."""
    held = subprocess.Popen(
        ["unshare", *words, "sh", "-c", "echo up; exec sleep infinity"], stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None and held.stdout.readline() == "up\n"
    return held


@contextmanager
def surroundings(folder: Path) -> Iterator[Surroundings]:
    """Everything made, and at the end everything gone."""
    lab = Surroundings()
    try:
        machine = _hold("--net", "--mount")
        lab.processes.append(machine)
        lab.inside = ("nsenter", f"--net=/proc/{machine.pid}/ns/net", f"--mount=/proc/{machine.pid}/ns/mnt")
        resolv = folder / "resolv.conf"
        resolv.write_text(f"nameserver {RESOLVER}\n")
        lab.run("mount", "--bind", str(resolv), "/etc/resolv.conf")
        lab.run("ip", "link", "set", "lo", "up")
        lab.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")  # a new namespace takes the machine's over
        for number, (name, (address, here)) in enumerate(PLACES.items()):
            there = _hold("--net")
            lab.processes.append(there)
            enter = ("nsenter", f"--net=/proc/{there.pid}/ns/net")
            lab.run("ip", "link", "add", f"out{number}", "type", "veth", "peer", "name", "up0", "netns", str(there.pid))
            lab.run("ip", "addr", "add", here, "dev", f"out{number}")
            lab.run("ip", "link", "set", f"out{number}", "up")
            gateway = here.split("/")[0]
            for words in (
                ("ip", "link", "set", "lo", "up"),
                ("ip", "addr", "add", f"{address}/24", "dev", "up0"),
                ("ip", "link", "set", "up0", "up"),
                ("ip", "route", "add", "default", "via", gateway),
            ):
                subprocess.run([*enter, *words], check=True, timeout=20)
            if name == "lan":  # the metadata service lives beside it, as on a cloud's hypervisor
                subprocess.run([*enter, "ip", "addr", "add", f"{METADATA}/32", "dev", "lo"], check=True, timeout=20)
                lab.run("ip", "route", "add", f"{METADATA}/32", "via", address)
            else:
                lab.run("ip", "route", "add", "default", "via", address)
            server = subprocess.Popen(
                [*enter, sys.executable, "-c", _SERVER, name], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
            )
            assert server.stdout is not None and server.stdout.readline() == "up\n"
            lab.processes.append(server)
        yield lab
    finally:
        for each in reversed(lab.processes):
            each.kill()
            each.wait()
            if each.stdout is not None:
                each.stdout.close()
