"""What a hostile app reaches of the network, and what it does not: a whole platform in a namespace with surroundings.

Every place that must stay closed is there and answers to the machine itself, so that "closed" is the platform's doing.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import GONGFANG, Platform, fresh_home, wait_until
from tests.trust.netlab import METADATA, PLACES, Surroundings, surroundings

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks of their own take root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="the tests' surroundings are made with iproute2"),
]

API, EDGE = 7180, 7181
INTERNET, LAN = PLACES["internet"][0], PLACES["lan"][0]

# Answers GET /?tcp=HOST:PORT, ?name=NAME, ?raw, ?forge=ADDRESS … with what came of it.
HOSTILE = """
import ctypes, json, os, socket, subprocess, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

def tcp(place, timeout=3.0):
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout) as s:
            s.sendall(b"GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
            said = b""
            while part := s.recv(4096):
                said += part
            return "open " + said.decode("latin-1").split("\\r\\n\\r\\n")[-1]
    except OSError as error:
        return "closed " + type(error).__name__

def scan(prefix, ports):
    found = []
    def one(address):
        for port in ports:
            if tcp(f"{address}:{port}", 0.5).startswith("open"):
                found.append(f"{address}:{port}")
    threads = [threading.Thread(target=one, args=(f"{prefix}.{n}",)) for n in range(256)]
    for t in threads: t.start()
    for t in threads: t.join()
    return found

def attempt(what):
    try:
        what()
    except OSError as error:
        return "refused " + type(error).__name__
    return "done"

def forge(source):
    def go():
        s = socket.socket()
        s.bind((source, 0))
    return attempt(go)

def unshare():
    libc = ctypes.CDLL(None, use_errno=True)
    return "done" if libc.setns(os.open("/proc/1/ns/net", 0), 0) == 0 else "refused"

def fetch(url):
    try:
        return "open " + urllib.request.urlopen(url, timeout=5).read().decode()
    except OSError as error:
        return "closed " + str(error)

hold = []
def keep(place):
    host, _, port = place.rpartition(":")
    hold.append(socket.create_connection((host, int(port)), 3))
    hold[-1].settimeout(3)
    return "open"
def kept(_):
    try:
        hold[-1].sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        return "open" if hold[-1].recv(100) else "closed"
    except OSError as error:
        return "closed " + type(error).__name__

VERBS = {
    "tcp": tcp,
    "scan": lambda spec: scan(spec.split(" ")[0], [int(p) for p in spec.split(" ")[1].split(",")]),
    "name": lambda name: attempt(lambda: None) and resolve(name),
    "raw": lambda _: attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "packet": lambda _: attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "forge": forge,
    "address": lambda _: attempt(lambda: route(20)),
    "abstract": lambda name: attempt(lambda: socket.socket(socket.AF_UNIX).connect("\\0" + name)),
    "unix": lambda path: attempt(lambda: socket.socket(socket.AF_UNIX).connect(path)),
    "fetch": fetch, "keep": keep, "kept": kept,
    "me": lambda _: [l.split() for l in open("/proc/net/fib_trie") if "32 host" in l] and socket_address(),
}

def resolve(name):
    try:
        return socket.getaddrinfo(name, 1, socket.AF_INET)[0][4][0]
    except OSError as error:
        return "closed " + str(error)

def socket_address():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("192.0.2.1", 9))
    return s.getsockname()[0]

def route(kind):
    import struct
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    body = struct.pack("=BBBBI", 2, 32, 0, 0, 2) + struct.pack("=HH4s", 8, 2, socket.inet_aton("10.9.0.7"))
    s.send(struct.pack("=IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
    code = struct.unpack_from("=i", s.recv(4096), 16)[0]
    if code:
        raise OSError(-code, os.strerror(-code))

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        said = {k: VERBS[k](v) for k, v in parse_qsl(urlsplit(self.path).query, keep_blank_values=True)}
        body = json.dumps(said or os.environ["GONGFANG_APP_NAME"]).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"""


@dataclass
class World:
    lab: Surroundings
    platform: Platform
    address: dict[str, str]
    port: dict[str, int]

    @property
    def gateway(self) -> str:
        """The first address of the subnet that the platform chose."""
        subnet = json.loads((self.platform.home / "runtime" / "network.json").read_text())["subnet"]
        head, _, last = subnet.split("/")[0].rpartition(".")
        return f"{head}.{int(last) + 1}"

    def curl(self, host: str, path: str) -> str:
        """GET through the edge, from the machine itself."""
        script = (
            "import http.client,sys;c=http.client.HTTPConnection('127.0.0.1',int(sys.argv[1]),timeout=30);"
            "c.request('GET',sys.argv[3],headers={'Host':sys.argv[2]});print(c.getresponse().read().decode())"
        )
        return self.lab.run(sys.executable, "-c", script, str(EDGE), host, path).strip()

    def ask(self, verb: str, value: str = "", app: str = "mallory") -> object:
        """What became of an attempt of the hostile app."""
        from urllib.parse import quote

        return json.loads(self.curl(self.platform.host(app), f"/?{verb}={quote(value)}"))[verb]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("net")
    source = folder / "app"
    source.mkdir()
    (source / "app.py").write_text(HOSTILE)
    with surroundings(folder) as lab:
        platform = Platform(fresh_home(), API, EDGE, prefix=(*lab.inside, str(GONGFANG)))
        try:
            platform.up()
            address, port = {}, {}
            for app in ("mallory", "victim"):
                platform.cli("deploy", str(source), "--app", app)
                found = platform.json("ps", app)[0]
                address[app], port[app] = found["host"], found["port"]
            yield World(lab, platform, address, port)
        finally:
            platform.down()
            left = (platform.processes(), lab.run("ip", "-o", "link", check=False))
            forwarding = lab.run("cat", "/proc/sys/net/ipv4/ip_forward", check=False).strip()
            shutil.rmtree(platform.home.parent)
    assert left[0] == []
    assert "gf" not in left[1]
    assert forwarding == "0"


def test_networks_are_enforced(world: World) -> None:
    guarantees = {g["name"]: g["enforced"] for g in world.platform.json("status")["guarantees"]}
    assert guarantees["own_network"] is True
    assert world.ask("me") == world.address["mallory"]


def test_what_must_be_open_is_open(world: World) -> None:
    assert world.ask("tcp", f"{INTERNET}:80").startswith("open internet saw 93.184.215.1")  # type: ignore[union-attr]
    assert world.ask("name", "www.example.com") == INTERNET
    assert world.ask("name", "victim.apps.localhost") == world.gateway
    assert world.ask("fetch", f"http://victim.apps.localhost:{EDGE}/") == 'open "victim"'
    assert world.ask("fetch", "http://www.example.com/").startswith("open internet")  # type: ignore[union-attr]


def test_what_must_be_closed_is_closed(world: World) -> None:
    for place in (f"{LAN}:80", f"{METADATA}:80"):
        # The machine itself reaches it: what keeps the app away is the platform.
        script = "import socket,sys;socket.create_connection((sys.argv[1],80),5)"
        world.lab.run(sys.executable, "-c", script, place.split(":")[0])
    victim = f"{world.address['victim']}:{world.port['victim']}"
    closed = {
        f"{LAN}:80": "a machine of the company",
        f"{METADATA}:80": "the cloud's metadata service",
        victim: "another app's instance",
        f"{world.gateway}:{API}": "the platform's API at the gateway",
        f"127.0.0.1:{API}": "the platform's API on loopback",
        f"127.0.0.1:{EDGE}": "the edge on loopback",
        f"10.9.0.1:{EDGE}": "the machine's LAN address",
        f"93.184.215.1:{API}": "the machine's public address",
        f"{world.gateway}:22": "any other port of the machine",
    }
    for place, what in closed.items():
        assert str(world.ask("tcp", place)).startswith("closed"), f"{place}: {what}"


def test_a_scan_of_the_neighbours_finds_nothing_but_itself(world: World) -> None:
    own, other = world.address["mallory"], world.address["victim"]
    ports = f"{world.port['victim']},{world.port['mallory']}"
    found: list[str] = []
    for prefix in {own.rpartition(".")[0], other.rpartition(".")[0]}:
        found += world.ask("scan", f"{prefix} {ports}")  # type: ignore[arg-type]
    assert {place.split(":")[0] for place in found} == {own}


def test_the_app_cannot_change_what_its_network_is(world: World) -> None:
    for verb in ("raw", "address"):
        assert world.ask(verb) == "refused PermissionError", verb
    assert world.ask("packet") == "refused OSError"  # the filter of system calls knows no such family: EAFNOSUPPORT
    assert str(world.ask("forge", world.address["victim"])).startswith("refused")
    assert str(world.ask("unix", str(world.platform.home / "run" / "edge" / "xds.sock"))).startswith("refused")
    assert str(world.ask("unix", str(world.platform.home / "run" / "postgres" / ".s.PGSQL.5432"))).startswith("refused")


def test_the_machines_other_users_cannot_go_past_the_edge(world: World) -> None:
    script = "import socket,sys;socket.create_connection((sys.argv[1],int(sys.argv[2])),3)"
    words = (sys.executable, "-c", script, world.address["victim"], str(world.port["victim"]))
    world.lab.run(*words)  # root may: health checks are root's
    with pytest.raises(AssertionError, match="Refused"):
        world.lab.run("setpriv", "--reuid", "61234", "--clear-groups", "/usr/bin/python3", *words[1:])


def test_a_policy_that_is_closed_ends_what_is_under_way_and_opens_again(world: World) -> None:
    assert world.ask("keep", f"{INTERNET}:80") == "open"
    world.platform.cli("egress", "set", "--no-internet")
    wait_until(lambda: str(world.ask("tcp", f"{INTERNET}:80")).startswith("closed"), what="the internet closes")
    assert str(world.ask("kept")).startswith("closed")
    assert world.ask("fetch", f"http://victim.apps.localhost:{EDGE}/") == 'open "victim"'
    world.platform.cli("egress", "set", "--allow", f"{LAN}:80", "--allow", "169.0.0.0/8")
    wait_until(lambda: str(world.ask("tcp", f"{LAN}:80")).startswith("open lan"), what="the LAN opens")
    assert str(world.ask("tcp", f"{LAN}:81")).startswith("closed")
    assert str(world.ask("tcp", f"{METADATA}:80")).startswith("closed"), "no policy opens the metadata service"
    assert str(world.ask("tcp", f"{INTERNET}:80")).startswith("open")


def test_networks_live_on_without_the_control_plane_and_are_adopted(world: World) -> None:
    world.platform.cli("egress", "set", "--no-internet")
    wait_until(lambda: str(world.ask("tcp", f"{INTERNET}:80")).startswith("closed"), what="the internet closes")
    world.platform.kill_control_plane()
    assert world.ask("fetch", f"http://victim.apps.localhost:{EDGE}/") == 'open "victim"'
    assert world.ask("name", "www.example.com") == INTERNET
    assert str(world.ask("tcp", f"{INTERNET}:80")).startswith("closed")
    world.platform.up()
    assert {app: world.platform.json("ps", app)[0]["host"] for app in world.address} == world.address
    assert str(world.ask("tcp", f"{INTERNET}:80")).startswith("closed")
    world.platform.cli("egress", "set")
    wait_until(lambda: str(world.ask("tcp", f"{INTERNET}:80")).startswith("open"), what="the internet opens")


def test_another_machine_cannot_route_in(world: World) -> None:
    """The LAN's host knows the way to the apps' subnet, and still reaches no instance and not the gateway."""
    lan = world.lab.processes[1].pid
    enter = ("nsenter", f"--net=/proc/{lan}/ns/net")
    victim, port = world.address["victim"], world.port["victim"]
    script = "import socket,sys;socket.create_connection((sys.argv[1],int(sys.argv[2])),2)"
    for host, number in ((victim, port), (world.gateway, EDGE)):
        said = Surroundings(enter).run(
            sys.executable,
            "-c",
            f"try:\n {script.replace(';', chr(10) + ' ')}\n print('open')\nexcept OSError: pass",
            host,
            str(number),
        )
        assert said == "", host


def test_a_database_is_reached_by_the_app_that_is_bound_to_it_alone(world: World) -> None:
    platform = world.platform
    platform.cli("services", "enable", "postgresql")
    platform.cli("services", "create", "postgresql", "orders", "--plan", "small")
    try:
        seen = platform.json("services", "status", "orders")
        place = f"{seen['host']}:{seen['port']}"
        prefix = seen["host"].rpartition(".")[0]
        script = "import socket,sys;socket.create_connection((sys.argv[1],int(sys.argv[2])),3)"
        words = (sys.executable, "-c", script, seen["host"], str(seen["port"]))
        world.lab.run(*words)  # it is there, and root's to reach
        for app in ("mallory", "victim"):
            assert str(world.ask("tcp", place, app)).startswith("closed"), app
        platform.cli("bind", "victim", "orders")
        assert str(world.ask("tcp", place, "victim")).startswith("open")
        assert str(world.ask("tcp", f"{seen['host']}:22", "victim")).startswith("closed")

        assert str(world.ask("tcp", place)).startswith("closed")
        assert world.ask("scan", f"{prefix} {seen['port']}") == []
        platform.cli("egress", "set", "--allow", "10.0.0.0/8")  # of a space, by the platform's own administrator
        wait_until(lambda: str(world.ask("tcp", f"{LAN}:80")).startswith("open lan"), what="the LAN opens")
        assert str(world.ask("tcp", place)).startswith("closed"), "no policy opens a server"
        with pytest.raises(AssertionError, match="Refused"):
            world.lab.run("setpriv", "--reuid", "61234", "--clear-groups", "/usr/bin/python3", *words[1:])

        platform.cli("unbind", "victim", "orders")
        assert str(world.ask("tcp", place, "victim")).startswith("closed")
    finally:
        platform.cli("egress", "set")
        platform.cli("services", "delete", "orders", "--force", "--yes", check=False)


def test_rules_that_were_flushed_come_back(world: World) -> None:
    table = "gongfang_"
    source = Path(__file__).parents[2] / "src"
    script = (
        f"import sys;sys.path.insert(0,{str(source)!r});"
        "from gongfang.runtimes.local.net import nft;from gongfang.runtimes.local.net.netlink import Netlink\n"
        "with Netlink(nft.NETFILTER) as n:\n"
        "  for t in nft.forwarding_tables(n): nft.transaction(n,[nft.delete_table(t)])\n"
        "  print(nft.forwarding_tables(n))"
    )
    assert table not in world.lab.run(sys.executable, "-c", script)
    wait_until(
        lambda: (
            str(world.ask("tcp", f"{LAN}:80")).startswith("closed")
            and str(world.ask("tcp", f"{INTERNET}:80")).startswith("open")
        ),
        what="the rules come back",
    )
