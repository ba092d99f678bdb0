"""What servers that apps are bound to need of every Runtime: a place that stays, files that touch no disk, and to be
reached by whom they are bound to, alone."""

import asyncio
import os
import random
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from gongfang.domain.egress import Target, parse_target
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.hosting import PORTS_EACH
from gongfang.domain.messages import CATALOGUE
from gongfang.runtimes.interface import Mount, Network, Phase, WorkloadKind
from gongfang.runtimes.local import LocalRuntime, stop_everything
from gongfang.runtimes.local.net import nft
from gongfang.runtimes.local.net.netlink import Netlink
from gongfang.runtimes.local.net.network import NetworkSettings
from gongfang.runtimes.memory import MemoryRuntime
from tests.contract.runtime_labs import Lab, is_root, local_lab, memory_lab, until

pytestmark = pytest.mark.anyio
needs_root = pytest.mark.skipif(not is_root(), reason="networks of their own take root")
PORTS = (16000, 19999)
SECRET = b"hunter2-of-the-plant"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "runtime"


@pytest.fixture(params=["memory", "local", "plain"])
async def lab(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Lab]:
    lab = memory_lab() if request.param == "memory" else local_lab(home, sandboxed=request.param == "local")
    await lab.open()
    yield lab
    await lab.clean()


@pytest.fixture(params=["sandbox", "plain"])
async def real(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Lab]:
    lab = local_lab(home, sandboxed=request.param == "sandbox")
    await lab.open()
    yield lab
    await lab.clean()


@pytest.fixture
async def sandboxes(home: Path) -> AsyncIterator[Lab]:
    lab = local_lab(home)
    await lab.open()
    yield lab
    await lab.clean()


@pytest.fixture
def port() -> int:
    """One that a server may keep, and that nobody on this machine has now."""
    while True:
        port = random.randrange(PORTS[0], PORTS[1], PORTS_EACH)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def shell(line: str) -> tuple[str, ...]:
    return ("sh", "-c", line)


# --- a place that stays -----------------------------------------------------------------------------------------------


async def test_a_pinned_port_has_its_address_every_time(lab: Lab, port: int) -> None:
    seen: list[object] = []
    for name in ("a", "b"):
        await lab.start_up(name, lab.commands.sleep(), port=port)
        endpoint = (await lab.runtime.observe(name)).endpoint
        assert endpoint is not None and endpoint.port == port
        seen.append(endpoint)
        await lab.reopen()
        assert (await lab.runtime.observe(name)).endpoint == endpoint
        await lab.runtime.stop(name, grace_s=5)
        await lab.run(f"other-{name}", lab.commands.echo("takes a slot"), wants_port=True)
    assert seen[0] == seen[1]


async def test_a_pinned_port_is_ones_alone(lab: Lab, port: int) -> None:
    await lab.start_up("a", lab.commands.sleep(), port=port)
    for runtime in (lab.runtime, await lab.reopen()):
        with pytest.raises(Unavailable) as refused:
            await runtime.start(lab.spec("b", lab.commands.sleep(), port=port))
        assert refused.value.code == "port_in_use" and refused.value.code in CATALOGUE
        assert (await runtime.observe("b")).phase is Phase.unknown
    assert (await lab.runtime.observe("a")).phase is Phase.running
    await lab.start_up("c", lab.commands.sleep(), port=PORTS[0] + (port + PORTS_EACH) % 4000)
    await lab.runtime.stop("a", grace_s=5)
    await lab.start_up("b", lab.commands.sleep(), port=port)


async def test_it_is_free_as_soon_as_its_end_is_seen(lab: Lab, port: int) -> None:
    for name in ("a", "b", "c", "d"):
        await lab.runtime.start(lab.spec(name, lab.commands.echo("done"), port=port))
        async with asyncio.timeout(20):
            while (await lab.runtime.observe(name)).phase is Phase.running:
                await asyncio.sleep(0)


async def test_the_server_is_told_its_port_and_keeps_its_user(real: Lab, port: int) -> None:
    said = [await real.run(name, shell("echo $PORT $(id -u)"), port=port) for name in ("a", "b")]
    assert said[0] == said[1] and said[0].split()[0] == str(port)
    ordinary = await real.run("c", shell("id -u"), wants_port=True)
    assert (ordinary.strip() != said[0].split()[1]) == real.runtime.capabilities().enforces("own_user")


@pytest.mark.parametrize("wrong", [1, PORTS[0] + 1, PORTS[1] - 1, PORTS[1] + 1, 20000, 65535])
async def test_only_ports_of_the_range_can_be_kept(sandboxes: Lab, wrong: int) -> None:
    with pytest.raises(Rejected) as refused:
        await sandboxes.runtime.start(sandboxes.spec("a", shell("exit 0"), port=wrong))
    assert refused.value.code == "port_out_of_range" and refused.value.code in CATALOGUE
    assert (await sandboxes.runtime.observe("a")).phase is Phase.unknown


async def test_a_port_that_somebody_else_has_on_loopback(home: Path, port: int) -> None:
    """Where servers share the machine's loopback; in networks of their own it doesn't matter."""
    lab = local_lab(home, network=NetworkSettings(wanted=False))
    await lab.open()
    try:
        with socket.create_server(("127.0.0.1", port)):
            with pytest.raises(Unavailable, match=str(port)):
                await lab.runtime.start(lab.spec("a", shell("exit 0"), port=port))
        await lab.run("a", shell("exit 0"), port=port)
    finally:
        await lab.clean()


# --- files -----------------------------------------------------------------------------------------------------------

FILES = {"/bindings/orders/password": SECRET, "/bindings/orders/type": b"postgresql", "/gongfang/empty": b""}


def found_on_disk(home: Path, secret: bytes) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()]


async def test_files_are_there_and_read_only(real: Lab) -> None:
    lines = [
        "cat /bindings/orders/password; echo",
        "stat -c '%s' /gongfang/empty",
        "ls /bindings/orders | tr '\\n' ' '; echo",
        "(echo x >/bindings/orders/type) 2>/dev/null && echo wrote",
        "ls /proc/self/fd | tr '\\n' ' '",
    ]
    sandboxed = real.runtime.capabilities().enforces("own_filesystem")
    if sandboxed:
        lines += ["echo", "stat -c '%a' /bindings/orders/password", "touch /bindings/new 2>/dev/null || echo closed"]
    said = (await real.run("a", shell("; ".join(lines)), files=FILES)).splitlines()
    assert said[:3] == [SECRET.decode(), "0", "password type "]
    if sandboxed:
        assert said[3:] == ["0 1 2 3 ", "444", "closed"]


async def test_files_touch_no_disk_and_no_command_line(real: Lab, home: Path) -> None:
    """Without a sandbox there is nothing but the disk: there they are their owner's alone, and gone afterwards."""
    await real.start_up("a", shell("echo up; sleep 600"), files=FILES)
    sandboxed = real.runtime.capabilities().enforces("own_filesystem")
    places = found_on_disk(home, SECRET)
    assert (places == []) == sandboxed
    assert all(stat.S_IMODE(place.stat().st_mode) == 0o600 for place in places)
    assert (home / "workloads").stat().st_mode & 0o077 == 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert SECRET not in path.read_bytes()
        except OSError:
            continue
    await real.reopen()
    assert SECRET.decode() not in repr(await real.runtime.list())
    await real.runtime.stop("a", grace_s=0)
    assert found_on_disk(home, SECRET) == []


async def test_files_of_a_server_that_ended_unwatched_are_gone(home: Path) -> None:
    lab = local_lab(home, sandboxed=False)
    await lab.open()
    try:
        await lab.start_up("a", shell("echo up; sleep 0.2"), files=FILES)
        await lab.runtime.close()
        status = home / "workloads" / "a" / "status"
        await until(lambda: "exit-code" in status.read_text())
        assert found_on_disk(home, SECRET) != []
        await lab.open()
        await lab.runtime.wait("a")
        assert found_on_disk(home, SECRET) == []
    finally:
        await lab.clean()


async def test_as_many_and_as_large_as_they_may_be(real: Lab) -> None:
    files = {f"/bindings/{number // 16}/{number}": os.urandom(4096).hex().encode() for number in range(128)}
    said = await real.run("a", shell("cat /bindings/*/* | wc -c; ls -d /bindings/*/* | wc -l"), files=files)
    assert said.split() == [str(128 * 8192), "128"]


async def test_the_pretending_driver_keeps_them_for_tests(port: int) -> None:
    lab = memory_lab()
    await lab.open()
    await lab.start_up("a", lab.commands.sleep(), files=FILES, port=port)
    assert isinstance(lab.runtime, MemoryRuntime)
    assert lab.runtime.machine.runs["a"].spec.files == FILES
    assert SECRET.decode() not in repr(lab.runtime.machine.runs["a"].spec)
    await lab.clean()


async def test_files_that_nobody_can_be_handed(lab: Lab, tmp_path: Path) -> None:
    """Below a mount it would be written to the machine's own folder."""
    mounts = (Mount(tmp_path, "/data", writable=True, own=True),)
    with pytest.raises(Rejected, match="path"):
        await lab.runtime.start(lab.spec("a", lab.commands.sleep(), files={"/data/x": b"x"}, mounts=mounts))
    assert list(tmp_path.glob("x")) == []


# --- who is reached by whom -------------------------------------------------------------------------------------------

# Answers what it is sent. Of each new client it is told a port first, and tries to connect back to it.
ECHO = """
import os, socket, threading
def serve(s, peer):
    back = int(s.makefile("rb", 0).readline())
    try:
        socket.create_connection((peer, back), 2)
        print("reached", flush=True)
    except OSError as error:
        print("back", type(error).__name__, flush=True)
    try:
        while data := s.recv(1):
            s.sendall(data)
    except OSError:
        pass
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("up", flush=True)
while True:
    s, (peer, _) = server.accept()
    threading.Thread(target=serve, args=(s, peer)).start()
"""
# Connects, talks for as long as that goes well, and says what changes. Listens too.
CLIENT = """
import os, socket, sys, time
host, port, own = sys.argv[1], int(sys.argv[2]), int(os.environ["PORT"])
mine = socket.create_server(("0.0.0.0", own))
last = None
def say(*words):
    global last
    if words != last:
        print(*words, flush=True)
    last = words
while True:
    try:
        s = socket.create_connection((host, port), 5)
    except OSError as error:
        say("closed", type(error).__name__)
        time.sleep(0.02)
        continue
    s.settimeout(5)
    try:
        s.sendall(b"%d\\n" % own)
        while True:
            s.sendall(b"x")
            if not s.recv(1):
                raise EOFError
            say("open")
            time.sleep(0.02)
    except (OSError, EOFError) as error:
        say("cut", type(error).__name__)
"""


async def said(lab: Lab, name: str, words: list[str]) -> None:
    """Waits until these are the workload's last words."""
    async with asyncio.timeout(20):
        while True:
            chunk = await lab.log(name)
            lines = chunk.data.decode().splitlines()
            if lines[-len(words) :] == words:
                return
            assert (await lab.runtime.observe(name)).phase is Phase.running, lines
            await asyncio.wait({asyncio.ensure_future(lab.runtime.log_grew(name, chunk.next_offset))})


async def start_server(lab: Lab, port: int) -> Target:
    spec = lab.spec("server", ("python3", "-c", ECHO), port=port, tools=("python",), network=Network(internet=False))
    await lab.runtime.start(replace(spec, kind=WorkloadKind.service))
    await lab.runtime.log_grew("server", 0)
    endpoint = (await lab.runtime.observe("server")).endpoint
    assert endpoint is not None
    return Target(IPv4Network(endpoint.host), endpoint.port, endpoint.port)


async def start_client(lab: Lab, name: str, server: Target, **network: object) -> None:
    command = ("python3", "-c", CLIENT, str(server.network.network_address), str(server.first))
    fields = {"wants_port": True, "tools": ("python",), "network": Network(**network)}  # type: ignore[arg-type]
    await lab.runtime.start(lab.spec(name, command, **fields))


CLOSED = "closed ConnectionRefusedError"


@needs_root
async def test_a_server_is_reached_by_those_that_are_bound_to_it(sandboxes: Lab, port: int) -> None:
    lab = sandboxes
    server = await start_server(lab, port)
    everything = (parse_target("10.0.0.0/8"),)
    await start_client(lab, "app", server, allow=everything)
    await start_client(lab, "other", server, allow=everything)
    await said(lab, "app", [CLOSED])
    await lab.runtime.set_network("app", Network(allow=everything, services=(server,)))
    await said(lab, "app", [CLOSED, "open"])
    await said(lab, "server", ["up", "back ConnectionRefusedError"])  # it answers, and can open nothing

    # A later control plane, and a change of something else: the connection stays.
    await lab.reopen()
    await lab.runtime.set_network("app", Network(services=(server,)))
    assert (await lab.output("app")).splitlines() == [CLOSED, "open"]
    assert (await lab.output("other")).splitlines() == [CLOSED]
    assert "reached" not in await lab.output("server")

    # Rules that somebody has flushed come back as they were; who got in meanwhile is thrown out.
    assert isinstance(lab.runtime, LocalRuntime)
    networks = lab.runtime._net._networks
    with Netlink(nft.NETFILTER) as tables:
        nft.transaction(tables, [nft.delete_table(networks.table)])
    assert networks.check() is False
    await said(lab, "other", [CLOSED])
    assert (await lab.output("app")).splitlines() == [CLOSED, "open"]

    await lab.runtime.set_network("app", Network())
    await said(lab, "app", [CLOSED, "open", "cut ConnectionResetError", CLOSED])


@needs_root
async def test_the_server_can_come_and_go(sandboxes: Lab, port: int) -> None:
    """Its endpoint may be listed before it is there, and stays so through its restarts."""
    lab = sandboxes
    server = await start_server(lab, port)
    await start_client(lab, "app", server, services=(server,))
    await said(lab, "app", ["open"])
    await lab.runtime.stop("server", grace_s=0)
    await said(lab, "app", [CLOSED])
    await lab.runtime.remove("server")
    assert await start_server(lab, port) == server
    await said(lab, "app", [CLOSED, "open"])


@needs_root
async def test_one_that_is_bound_to_it_cannot_be_reached_by_the_next_of_its_place(sandboxes: Lab, port: int) -> None:
    """What a workload could reach goes with it: its address is soon somebody else's."""
    lab = sandboxes
    server = await start_server(lab, port)
    await start_client(lab, "app", server, services=(server,))
    await said(lab, "app", ["open"])
    assert isinstance(lab.runtime, LocalRuntime)
    networks = lab.runtime._net._networks
    await lab.runtime.stop("app", grace_s=0)
    assert networks._state is not None
    await until(lambda: [p.services for p in networks._state.members.values()] == [()])  # type: ignore[union-attr]


@needs_root
@pytest.mark.parametrize("slots", [1, 4])
async def test_a_subnet_with_little_room(home: Path, slots: int) -> None:
    """Of a setting that was enough before there were servers: they get what is left, and those beyond are told."""
    ports = (29000, 29000 + 10 + slots - 4)
    network = NetworkSettings(subnet=IPv4Network("10.213.214.0/27"))  # 32: 16 + 7 … 10 ordinary ones, the rest
    lab = local_lab(home, network=network, port_range=ports)
    await lab.open()
    try:
        assert lab.runtime.capabilities().enforces("own_network")
        room = 31 - 16 - (ports[1] - ports[0] + 1)
        assert room >= 1
        await lab.run("a", shell("exit 0"), port=PORTS[0] + (room - 1) * PORTS_EACH)
        with pytest.raises(Unavailable) as refused:
            await lab.runtime.start(lab.spec("b", shell("exit 0"), port=PORTS[0] + room * PORTS_EACH))
        assert refused.value.code == "network_outgrown" and refused.value.code in CATALOGUE
        assert (await lab.runtime.observe("b")).phase is Phase.unknown
        await lab.run("b", shell("exit 0"), wants_port=True)
    finally:
        await lab.clean()


async def test_without_networks_of_their_own_it_is_the_machines_loopback(home: Path, port: int) -> None:
    lab = local_lab(home, network=NetworkSettings(wanted=False))
    await lab.open()
    try:
        server = await start_server(lab, port)
        assert str(server) == f"127.0.0.1/32:{port}"
        await start_client(lab, "app", server, services=(server,))
        await said(lab, "app", ["open"])
    finally:
        await lab.clean()
        await stop_everything(home, grace_s=0)
