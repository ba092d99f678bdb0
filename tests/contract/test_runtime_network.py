"""The real driver's networks: what each kind is, what is left over (nothing), and a machine that refuses them."""

import asyncio
import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from gongfang.domain.errors import Unavailable
from gongfang.runtimes.interface import Network, NetworkKind, Phase
from gongfang.runtimes.local import stop_everything
from gongfang.runtimes.local.net import firewall, links, network, nft
from gongfang.runtimes.local.net.addresses import tag
from gongfang.runtimes.local.net.namespace import in_new_network
from gongfang.runtimes.local.net.netlink import Netlink
from gongfang.runtimes.local.net.network import NetworkSettings
from tests.contract.runtime_labs import Lab, local_lab, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks of their own take root"),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def home() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gf-net-"))
    folder.chmod(0o755)
    yield folder / "home"
    await stop_everything(folder / "home", grace_s=0)
    left = ours(folder / "home")
    shutil.rmtree(folder)
    assert left == ([], False)


@pytest.fixture
async def lab(home: Path) -> AsyncIterator[Lab]:
    made = local_lab(home)
    await made.open()
    yield made
    await made.clean()


def ours(home: Path) -> tuple[list[str], bool]:
    """The home's interfaces, and whether it has rules."""
    with Netlink(links.ROUTE) as routes, Netlink(nft.NETFILTER) as tables:
        names = [name for name in links.names(routes) if name.startswith(f"gf{tag(home)}")]
        return names, nft.has_table(tables, f"gongfang_{tag(home)}")


INTERFACES = ("python3", "-c", "import socket; print(*(name for _, name in socket.if_nameindex()))")


async def test_each_kind_is_what_it_says(lab: Lab) -> None:
    tools = ("python",)
    own = await lab.run("own", INTERFACES, tools=tools)
    none = await lab.run("none", INTERFACES, tools=tools, network=Network(NetworkKind.none))
    host = await lab.run("host", INTERFACES, tools=tools, network=Network(NetworkKind.host))
    assert own.split() == ["lo", "eth0"]
    assert none.split() == ["lo"]
    assert set(host.split()) >= {name for _, name in socket.if_nameindex() if not name.startswith("gf")}


async def test_interfaces_go_with_the_workload_however_it_ends(lab: Lab, home: Path) -> None:
    await lab.start_up("a", lab.commands.sleep())
    await lab.start_up("b", lab.commands.sleep())
    assert len(ours(home)[0]) == 2
    await lab.runtime.stop("a", grace_s=0)
    await until(lambda: len(ours(home)[0]) == 1)
    pid = next(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _says(p, b"sleep 600", home))
    os.kill(pid, signal.SIGKILL)
    assert (await lab.runtime.wait("b")).phase is Phase.ended
    await until(lambda: ours(home)[0] == [])


async def test_what_is_for_a_workload_that_has_ended_does_not_leave_the_machine(lab: Lab) -> None:
    """Its route is gone with its interface: whoever has its address out there must not be taken for it."""
    await lab.start_up("a", lab.commands.sleep(), wants_port=True)
    endpoint = (await lab.runtime.observe("a")).endpoint
    assert endpoint is not None
    await lab.runtime.stop("a", grace_s=0)
    with pytest.raises(OSError) as caught:
        await asyncio.wait_for(asyncio.open_connection(endpoint.host, endpoint.port), 5)
    assert caught.value.errno in (errno.ECONNREFUSED, errno.ENETUNREACH)  # the latter without a default route


def _says(process: Path, words: bytes, home: Path) -> bool:
    """The sandbox of the home's `sleep`: its outer process, whose status file is in the home."""
    try:
        return (
            any(str(home) in str(fd.readlink()) for fd in (process / "fd").iterdir())
            and b"bwrap" in (process / "cmdline").read_bytes()
        )
    except OSError:
        return False


async def test_an_address_is_listed_for_as_long_as_its_workload_runs(lab: Lab, home: Path) -> None:
    networks = lab.runtime._net._networks  # type: ignore[attr-defined]
    assert networks._state.members == {}
    await lab.start_up("a", lab.commands.sleep())
    assert list(networks._state.members.values()) == [firewall.Policy()]
    await lab.runtime.set_network("a", Network(internet=False))
    assert list(networks._state.members.values()) == [firewall.Policy(internet=False)]
    await lab.reopen()
    networks = lab.runtime._net._networks  # type: ignore[attr-defined]
    assert list(networks._state.members.values()) == [firewall.Policy(internet=False)]
    await lab.runtime.stop("a", grace_s=0)
    await until(lambda: networks._state.members == {})


async def test_a_control_plane_killed_in_the_middle_of_a_start_leaves_no_network(lab: Lab, home: Path) -> None:
    """Between the making of the namespace and the start of the sandbox nothing but a thread holds it."""
    script = (
        "import sys, time\n"
        "from ipaddress import IPv4Address as A\n"
        "from gongfang.runtimes.local.net import links\n"
        "from gongfang.runtimes.local.net.namespace import in_new_network\n"
        "from gongfang.runtimes.local.net.network import _joining\n"
        "pair = links.Pair(sys.argv[1], A(sys.argv[2]) + 1, A(sys.argv[2]))\n"
        "def work():\n    print('made', flush=True)\n    time.sleep(60)\n"
        "in_new_network(links.ROUTE, _joining(pair, 80), work)\n"
    )
    name = f"gf{tag(home)}9"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, name, str(lab.runtime.gateway), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None and await child.stdout.readline() == b"made\n"
    assert name in ours(home)[0]
    child.kill()
    await child.wait()
    await until(lambda: ours(home)[0] == [])


async def test_a_start_that_fails_leaves_no_network(lab: Lab, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(12, "no memory for it")

    monkeypatch.setattr(links, "join_outside", refuse)
    with pytest.raises(Unavailable) as refused:
        await lab.runtime.start(lab.spec("a", lab.commands.sleep()))
    assert refused.value.code == "workload_network_failed"
    assert (await lab.runtime.observe("a")).phase is Phase.unknown
    await until(lambda: ours(home)[0] == [])
    monkeypatch.undo()
    await lab.start_up("a", lab.commands.sleep())


@pytest.mark.parametrize("part", ["namespace", "veth", "nftables"])
async def test_a_machine_that_refuses_is_used_without_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    places = {"namespace": (network, "in_new_network"), "veth": (links, "make_pair"), "nftables": (nft, "transaction")}
    monkeypatch.setattr(*places[part], refuse)
    lab = local_lab(home)
    runtime = await lab.open()
    try:
        (said,) = [g for g in runtime.capabilities().guarantees if g.name == "own_network"]
        assert not said.enforced and said.why == "no_network"
        assert said.facts == {"detail": "Operation not supported"}
        assert await lab.run("a", lab.commands.echo("runs")) == "runs\n"
        monkeypatch.undo()
        assert ours(home)[0] == []
    finally:
        await lab.clean()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (NetworkSettings(wanted=False), "network_not_wanted"),
        (NetworkSettings(subnet=IPv4Network("10.3.0.0/30")), "network_too_small"),
    ],
)
async def test_settings_that_leave_no_network(home: Path, settings: NetworkSettings, why: str) -> None:
    lab = local_lab(home, network=settings)
    runtime = await lab.open()
    try:
        (said,) = [g for g in runtime.capabilities().guarantees if g.name == "own_network"]
        assert (said.enforced, said.why) == (False, why)
        assert await lab.run("a", lab.commands.echo("runs")) == "runs\n"
    finally:
        await lab.clean()


async def test_a_namespace_is_gone_when_nothing_was_started_in_it(home: Path) -> None:
    pair = links.Pair(f"gf{tag(home)}8", IPv4Address("10.255.255.3"), None)  # type: ignore[arg-type]
    in_new_network(links.ROUTE, lambda namespace, outside, _: links.make_pair(outside, namespace, pair), lambda: None)
    await until(lambda: ours(home)[0] == [])
