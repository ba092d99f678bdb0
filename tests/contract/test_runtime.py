"""What every Runtime promises, tried on every driver: the pretending one, the sandboxes, and plain processes."""

import asyncio
import http.client
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gongfang.domain.clock import utc_now
from gongfang.domain.egress import parse_target
from gongfang.domain.errors import Rejected
from gongfang.domain.messages import CATALOGUE
from gongfang.domain.values import ExitInfo
from gongfang.runtimes.interface import Handle, Limits, Mount, Network, NetworkKind, Phase
from tests.contract.runtime_labs import Lab, local_lab, memory_lab

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "local", "plain"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    if request.param == "memory":
        lab = memory_lab()
    else:
        lab = local_lab(tmp_path / "runtime", sandboxed=request.param == "local")
    await lab.open()
    yield lab
    await lab.clean()


# --- starting and ending ---------------------------------------------------------------------------------------------


async def test_a_command_runs_and_its_end_is_known(lab: Lab) -> None:
    before = utc_now() - timedelta(seconds=1)
    handle = await lab.runtime.start(lab.spec("a", lab.commands.echo("hello", code=3), labels={"app": "x"}))
    seen = await lab.runtime.wait("a")
    assert seen.phase is Phase.ended
    assert seen.exit == ExitInfo(3)
    assert seen.kind == "instance" and seen.labels == {"app": "x"} and seen.endpoint is None
    assert seen.started_at is not None and seen.ended_at is not None
    assert before < seen.started_at <= seen.ended_at + timedelta(seconds=0.1)
    assert await lab.output("a") == "hello\n"
    assert await lab.runtime.observe("a") == seen
    assert Handle.from_json(handle.to_json()) == handle


async def test_a_known_id_starts_nothing_twice(lab: Lab) -> None:
    spec = lab.spec("a", lab.commands.echo("once"))
    handles = await asyncio.gather(*(lab.runtime.start(spec) for _ in range(5)))
    await lab.runtime.wait("a")
    assert await lab.runtime.start(spec) == handles[0]
    assert all(handle == handles[0] for handle in handles)
    assert await lab.output("a") == "once\n"


async def test_a_command_that_cannot_be_executed_is_an_exit(lab: Lab) -> None:
    output = await lab.run("a", lab.commands.missing())
    seen = await lab.runtime.observe("a")
    assert seen.exit == ExitInfo(127)
    assert "not found" in output or "No such file" in output


@pytest.mark.parametrize("number", [9, 15, 6])
async def test_a_signal_is_told_from_an_exit_code(lab: Lab, number: int) -> None:
    await lab.run("a", lab.commands.signal(number))
    seen = await lab.runtime.observe("a")
    assert seen.exit == ExitInfo(None, signal=number)
    assert not seen.told


async def test_the_time_limit_ends_it(lab: Lab) -> None:
    await lab.runtime.start(lab.spec("a", lab.commands.sleep(), limits=Limits(wall_s=0.2)))
    seen = await lab.runtime.wait("a")
    assert seen.timed_out
    assert seen.exit is not None and seen.exit.signal == 15


async def test_the_endpoint_answers(lab: Lab) -> None:
    await lab.runtime.start(lab.spec("a", lab.commands.serve(), wants_port=True, tools=("python",)))
    endpoint = (await lab.runtime.observe("a")).endpoint
    assert endpoint is not None

    def get() -> int:
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        finally:
            connection.close()

    async with asyncio.timeout(20):
        while True:
            try:
                assert await asyncio.to_thread(get) == 200
                break
            except ConnectionError:
                assert (await lab.runtime.observe("a")).phase is Phase.running, await lab.output("a")
                await asyncio.sleep(0.02)
    await lab.runtime.stop("a", grace_s=5)


async def test_two_that_run_have_two_ports(lab: Lab) -> None:
    for name in ("a", "b"):
        await lab.runtime.start(lab.spec(name, lab.commands.sleep(), wants_port=True))
    first, second = [(await lab.runtime.observe(name)).endpoint for name in ("a", "b")]
    assert first is not None and second is not None and first.port != second.port


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_stop_asks_first(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.sleep())
    await asyncio.wait_for(lab.runtime.stop("a", grace_s=30), 10)
    seen = await lab.runtime.observe("a")
    assert seen.phase is Phase.ended and seen.exit is not None and seen.exit.signal == 15 and not seen.timed_out
    assert seen.told


async def test_stop_kills_after_its_grace(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.stubborn())
    loop = asyncio.get_running_loop()
    began = loop.time()
    await lab.runtime.stop("a", grace_s=0.3)
    assert loop.time() - began >= 0.29
    seen = await lab.runtime.observe("a")
    assert seen.phase is Phase.ended and seen.exit is not None and seen.exit.signal == 9


async def test_stop_twice_and_of_what_is_gone(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.stubborn())
    await asyncio.gather(lab.runtime.stop("a", grace_s=30), lab.runtime.stop("a", grace_s=0.1))
    await lab.runtime.stop("a", grace_s=1)
    await lab.runtime.stop("never", grace_s=1)
    assert (await lab.runtime.observe("a")).phase is Phase.ended


async def test_remove_forgets_what_ended_and_refuses_what_runs(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.sleep())
    with pytest.raises(Rejected, match="still running"):
        await lab.runtime.remove("a")
    await lab.runtime.stop("a", grace_s=5)
    await lab.runtime.remove("a")
    await lab.runtime.remove("a")
    assert (await lab.runtime.observe("a")).phase is Phase.unknown
    assert list(await lab.runtime.list()) == []
    assert (await lab.log("a")).data == b""


async def test_the_unknown(lab: Lab) -> None:
    runtime = lab.runtime
    assert (await runtime.observe("x")).phase is Phase.unknown
    assert (await runtime.wait("x")).phase is Phase.unknown
    assert await runtime.usage("x") is None
    assert (await runtime.read_log("x", offset=7, limit=10)).next_offset == 7
    assert list(await runtime.log_marks("x")) == []
    await asyncio.wait_for(runtime.log_grew("x", 0), 1)


# --- being told ------------------------------------------------------------------------------------------------------


async def test_every_reader_is_told_of_ends_from_its_beginning_on(lab: Lab) -> None:
    first = lab.runtime.ends()
    await lab.run("a", lab.commands.echo("x"))
    second = lab.runtime.ends()
    await lab.run("b", lab.commands.echo("x"))
    async with asyncio.timeout(5):
        assert [await anext(first), await anext(first)] == ["a", "b"]
        assert await anext(second) == "b"


async def test_a_late_control_plane_adopts(lab: Lab) -> None:
    await lab.start_up("runs", lab.commands.sleep(), labels={"app": "x"}, wants_port=True)
    await lab.run("ended", lab.commands.echo("x", code=4))
    before = {seen.workload_id: seen for seen in await lab.runtime.list()}
    handle = await lab.runtime.start(lab.spec("runs", lab.commands.sleep()))
    runtime = await lab.reopen()
    assert {seen.workload_id: seen for seen in await runtime.list()} == before
    assert await runtime.start(lab.spec("runs", lab.commands.echo("again"))) == handle
    ends = runtime.ends()
    await runtime.stop("runs", grace_s=5)
    assert await asyncio.wait_for(anext(ends), 5) == "runs"
    assert await lab.output("runs") == "up\n"


async def test_usage(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.sleep())
    usage = await lab.runtime.usage("a")
    assert usage is not None
    assert 0 < usage.memory_bytes < 1 << 30 and 0 <= usage.cpu_s < 10 and 1 <= usage.processes < 10
    await lab.runtime.stop("a", grace_s=5)
    assert await lab.runtime.usage("a") is None


# --- output ----------------------------------------------------------------------------------------------------------


async def test_output_by_offset(lab: Lab) -> None:
    await lab.run("a", lab.commands.echo("0123456789"))
    read = lab.runtime.read_log
    assert (await read("a", offset=2, limit=3)).data == b"234"
    assert (await read("a", offset=-4, limit=100)).data == b"789\n"
    assert (await read("a", offset=-400, limit=100)).offset == 0
    tail = await read("a", offset=9, limit=100)
    assert (tail.data, tail.offset, tail.next_offset) == (b"9\n", 9, 11)
    assert (await read("a", offset=11, limit=100)).data == b""
    marks = await lab.runtime.log_marks("a")
    assert marks and marks[0].offset == 0
    assert [mark.offset for mark in marks] == sorted(mark.offset for mark in marks)


async def test_following_output_ends_with_it(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.sleep())
    follower = asyncio.create_task(lab.runtime.log_grew("a", 3))
    await asyncio.sleep(0)
    assert not follower.done()
    await lab.runtime.stop("a", grace_s=5)
    await asyncio.wait_for(follower, 5)


# --- refusing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", ".hidden", "x" * 65, "ä", "a\n"])
async def test_hostile_names(lab: Lab, name: str) -> None:
    with pytest.raises(Rejected) as caught:
        await lab.runtime.start(lab.spec(name, lab.commands.echo("x")))
    assert caught.value.code == "workload_id_invalid"
    assert list(await lab.runtime.list()) == []


async def test_values_that_no_process_can_have(lab: Lab) -> None:
    for code, fields in (
        ("environment_name_invalid", {"environment": {"A=B": "x"}}),
        ("value_has_nul", {"environment": {"A": "x\0y"}}),
        ("path_invalid", {"workdir": "../x"}),
        ("path_invalid", {"mounts": (Mount(Path("/tmp"), "/a/../../b"),)}),
        ("limit_invalid", {"limits": Limits(memory_bytes=0)}),
        ("uid_invalid", {"uid": 0}),
    ):
        with pytest.raises(Rejected) as caught:
            await lab.runtime.start(lab.spec("a", lab.commands.echo("x"), **fields))
        assert caught.value.code == code
    with pytest.raises(Rejected) as caught:
        await lab.runtime.start(lab.spec("a", ()))
    assert caught.value.code == "command_empty"


async def test_a_lock_is_held_for_as_long_as_it_lives(lab: Lab, tmp_path: Path) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    mounts = tuple(Mount(place, f"/data/{place.name}", writable=True, lock=True) for place in places)
    await lab.start_up("a", lab.commands.stubborn(), mounts=mounts)
    for mount in mounts:
        with pytest.raises(Rejected) as caught:
            await lab.runtime.start(lab.spec("b", lab.commands.sleep(), mounts=(mount,)))
        assert caught.value.code == "path_in_use"
    await lab.reopen()
    with pytest.raises(Rejected):
        await lab.runtime.start(lab.spec("b", lab.commands.sleep(), mounts=mounts))
    assert (await lab.runtime.observe("b")).phase is Phase.unknown
    await lab.runtime.stop("a", grace_s=0)
    await lab.start_up("b", lab.commands.sleep(), mounts=mounts)


async def test_a_mount_that_is_not_there(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        await lab.runtime.start(lab.spec("a", lab.commands.sleep(), mounts=(Mount(tmp_path / "no", "/data"),)))
    assert caught.value.code == "mount_missing"
    assert (await lab.runtime.observe("a")).phase is Phase.unknown


async def test_capabilities_say_why_not(lab: Lab) -> None:
    capabilities = lab.runtime.capabilities()
    names = {guarantee.name for guarantee in capabilities.guarantees}
    assert {"memory_limit", "cpu_limit", "process_limit", "disk_limit", "system_calls"} <= names
    assert {"own_user", "own_filesystem", "own_processes", "own_network"} <= names
    for guarantee in capabilities.guarantees:
        assert guarantee.enforced == (guarantee.why == "")
        assert guarantee.enforced or guarantee.why in CATALOGUE


async def test_a_policy_acts_on_what_runs_and_is_remembered(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.sleep())
    closed = Network(internet=False, allow=(parse_target("10.1.2.0/24:5432"),))
    for _ in range(2):
        await lab.runtime.set_network("a", closed)
    with pytest.raises(Rejected) as refused:
        await lab.runtime.set_network("a", Network(NetworkKind.host))
    assert refused.value.code == "network_kind_fixed"
    await lab.reopen()
    assert (await lab.runtime.observe("a")).phase is Phase.running
    await lab.runtime.set_network("a", Network())
    await lab.runtime.stop("a", grace_s=0)
    for workload_id in ("a", "nobody"):
        await lab.runtime.set_network(workload_id, closed)


async def test_an_adopted_one_keeps_its_endpoint(lab: Lab) -> None:
    await lab.start_up("a", lab.commands.sleep(), wants_port=True)
    before = (await lab.runtime.observe("a")).endpoint
    await lab.reopen()
    assert (await lab.runtime.observe("a")).endpoint == before
