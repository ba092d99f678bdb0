"""The reconciler of the built-in broker's servers, on the pretending runtime: what goes wrong, and where it ends."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gongfang.brokers.interface import Accepted, Bound, Done, Gone, Polled, Provisioned, Refused
from gongfang.brokers.kinds.memory import MemoryKind
from gongfang.domain.errors import Reason, Rejected, Unavailable
from gongfang.domain.hosting import PORTS_EACH, HostedInstance, HostedState
from gongfang.domain.services import BUILTIN, BindingState, Offering, ServicePlan
from gongfang.reconcile.builtin import BuiltinBroker, sync_catalog
from gongfang.reconcile.orphans import remove_orphans
from gongfang.reconcile.plans import hosting as plan
from gongfang.runtimes.memory import MemoryRuntime
from gongfang.state import Database, Writing
from tests.api.conftest import postgres_url
from tests.contract.hosting_lab import HostingLab, hosting_lab
from tests.contract.kinds_by_hand import free_block

__all__ = ["postgres_url"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def lab(postgres_url: str, tmp_path: Path) -> AsyncIterator[HostingLab]:
    async with hosting_lab(postgres_url, tmp_path / "services") as lab:
        yield lab


def kind(lab: HostingLab) -> MemoryKind:
    assert isinstance(lab.kind, MemoryKind)
    return lab.kind


def machine(lab: HostingLab) -> Any:
    assert isinstance(lab.runtime, MemoryRuntime)
    return lab.runtime.machine


def ready(row: HostedInstance) -> bool:
    return row.state is HostedState.ready and row.ready_at is not None


async def test_a_server_is_created_settled_and_goes_with_all_it_had(lab: HostingLab) -> None:
    row = await lab.ready()
    assert row.initialized
    assert (row.plan_seen, row.parameters_seen, row.observed_generation) == ("small", {}, 1)
    assert row.open_ports == (row.port, row.port + 1)
    spec = machine(lab).runs[row.workload_id].spec
    assert (spec.port, spec.kind, spec.network.internet) == (row.port, "service", False)
    assert spec.limits.disk_bytes == 64 << 20
    assert any(mount.lock for mount in spec.mounts)
    secret = spec.files["/gongfang/admin"].decode()
    assert secret not in repr(spec)
    assert secret not in repr(row)
    assert await lab.work() == [None]
    figures = lab.reconciler.figures("sin_1")
    assert figures is not None
    assert figures.memory_bytes
    assert figures.most_connections == 5
    assert [w.key for w in lab.wakes if w.kind == "service"]
    assert (await lab.ended(await lab.broker.deprovision(lab.deprovision()))).state == "gone"
    assert not machine(lab).runs
    assert not list(lab.folder.iterdir())
    assert lab.reconciler.figures("sin_1") is None or await lab.reconciler(row.id) is None


async def test_the_end_of_each_matter_wakes_who_waits_for_it(lab: HostingLab) -> None:
    await lab.ready()
    lab.wakes.clear()
    await lab.bound("bnd_1")
    assert "bnd_1" in [w.key for w in lab.wakes if w.kind == "binding"]
    lab.wakes.clear()
    await lab.ended(await lab.broker.unbind(lab.unbind("bnd_1")), "bnd_1")
    assert "bnd_1" in [w.key for w in lab.wakes if w.kind == "binding"]


async def test_a_server_that_ends_comes_back_with_all_it_had(lab: HostingLab) -> None:
    first = await lab.ready()
    credentials = await lab.bound()
    machine(lab).lose(first.workload_id)
    row = await lab.until(lambda row: row.state is HostedState.crashed)
    assert row.reason == Reason("exit_lost", {})
    assert row.next_start_at is not None
    later = (await lab.work())[0]
    assert later is not None
    assert later <= plan.FIRST_RESTART_S
    row = await lab.until(ready)
    assert row.workload_id != first.workload_id
    assert (row.port, row.host, row.restarts, row.reason) == (first.port, first.host, 1, None)
    found = await lab.broker.fetch_binding(lab.poll(binding_id="bnd_1"))
    assert isinstance(found, Bound)
    assert found.credentials == credentials
    assert len(machine(lab).runs) == 1


async def test_the_waits_grow_and_a_steady_server_begins_anew(lab: HostingLab) -> None:
    await lab.ready()
    for count in range(1, 5):
        row = await lab.until(ready)
        machine(lab).lose(row.workload_id)
        row = await lab.until(lambda row: row.state is HostedState.crashed and row.workload_id is None)
        assert row.restarts == count
        assert row.next_start_at is not None
        assert row.next_start_at - lab.clock() <= timedelta(seconds=plan.FIRST_RESTART_S * 2 ** (count - 1))
        lab.clock.by += timedelta(seconds=30)
    row = await lab.until(ready)
    lab.clock.by += timedelta(seconds=plan.STEADY_S)
    machine(lab).lose(row.workload_id)
    assert (await lab.until(lambda row: row.state is HostedState.crashed)).restarts == 1


async def test_a_stop_of_all_is_no_crash(lab: HostingLab) -> None:
    row = await lab.ready()
    await lab.runtime.stop(str(row.workload_id), grace_s=1)
    lab.restart()
    row = await lab.until(lambda now: ready(now) and now.workload_id != row.workload_id)
    assert row.restarts == 0


class Killed(BaseException):
    """What a control plane feels: nothing after it is done."""


async def _look(lab: HostingLab) -> None:
    for row in await lab.rows():
        await lab.reconciler(row.id)


@pytest.mark.parametrize("step", ["create", "bind", "restart", "live", "unbind", "delete"])
async def test_a_control_plane_that_is_killed_anywhere_finds_its_way(
    lab: HostingLab, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after each thing that lasts, each time from the same beginning."""
    kills = 0
    while await _killed(lab, step, kills + 1, monkeypatch):
        kills += 1
        assert kills < 60
    assert kills >= 3


async def _killed(lab: HostingLab, step: str, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether there was an `at`-th moment to be killed at; what was asked for has come to be in any case."""
    if step != "create":
        await lab.ready()
    if step == "unbind":
        await lab.bound()
    asks = {
        "create": lambda: lab.broker.provision(lab.provision()),
        "bind": lambda: lab.broker.bind(lab.bind()),
        "restart": lambda: lab.broker.update(lab.update(speed=5)),
        "live": lambda: lab.broker.update(lab.update(colour="blue")),
        "unbind": lambda: lab.broker.unbind(lab.unbind()),
        "delete": lambda: lab.broker.deprovision(lab.deprovision()),
    }
    answer = await asks[step]()
    assert isinstance(answer, Accepted)
    runtime, own = lab.runtime, kind(lab)
    moments, killed = 0, False

    def lasting(what: Any, *, after: bool = True) -> Any:
        async def done(*words: Any, **more: Any) -> Any:
            nonlocal moments
            for moment in (False, True)[: 1 + after]:
                if moment:
                    found = await what(*words, **more)
                moments += 1
                if moments == at:
                    raise Killed
            return found if after else await what(*words, **more)  # pyright: ignore[reportPossiblyUnboundVariable]

        return done

    with monkeypatch.context() as patch:
        for name in ("start", "stop", "remove"):
            patch.setattr(runtime, name, lasting(getattr(runtime, name)))
        for name in ("prepare", "bind", "unbind", "reconfigure"):
            patch.setattr(own, name, lasting(getattr(own, name)))
        patch.setattr(Writing, "finish", lasting(Writing.finish, after=False))
        try:
            await _look(lab)
        except Killed:
            killed = True
    lab.restart()
    told = await lab.ended(answer, "bnd_1" if step in ("bind", "unbind") else None)
    assert told.state == ("gone" if step in ("unbind", "delete") else "succeeded")
    assert (await lab.broker.fetch_instance(lab.poll()) == Provisioned()) is (step != "delete")
    await remove_orphans(lab.database, runtime)
    assert len(await runtime.list()) == (0 if step == "delete" else 1)
    if step == "bind":
        found = await lab.broker.fetch_binding(lab.poll(binding_id="bnd_1"))
        assert isinstance(found, Bound)
        assert [u["password"] for users in own.users.values() for u in users.values()] == [
            found.credentials["password"]
        ]
    if step == "unbind":
        assert [list(users) for users in own.users.values()] == [[]]
    if step != "delete":
        row = await lab.row()
        assert row.restarts == 0
        await lab.ended(await lab.broker.deprovision(lab.deprovision()))
    assert not await runtime.list()
    own.users.clear()
    return killed


async def test_data_that_are_gone_are_not_made_anew(lab: HostingLab) -> None:
    row = await lab.ready()
    await lab.bound()
    machine(lab).lose(row.workload_id)
    data = lab.folder / row.id / "data"
    aside = lab.folder.parent / "aside"
    shutil.move(data, aside)
    row = await lab.until(lambda row: row.state is HostedState.broken)
    assert row.reason == plan.DATA_MISSING
    sites = len(kind(lab).sites)
    lab.restart()
    assert await lab.work() == [None]
    assert len(kind(lab).sites) == sites
    assert not data.exists()
    refused = await lab.broker.bind(lab.bind("bnd_2"))
    assert isinstance(refused, Refused)
    assert refused.usable is False
    assert "data" in refused.description
    assert await lab.broker.unbind(lab.unbind()) == Done(Gone())
    shutil.move(aside, data)
    await lab.until(ready)
    assert not kind(lab).sites[-1].fresh
    assert not await lab.bindings()  # what was unbound meanwhile was revoked before it served


async def test_missing_data_can_still_be_deleted(lab: HostingLab) -> None:
    row = await lab.ready()
    machine(lab).lose(row.workload_id)
    shutil.rmtree(lab.folder / row.id)
    await lab.until(lambda row: row.state is HostedState.broken)
    assert (await lab.ended(await lab.broker.deprovision(lab.deprovision()))).state == "gone"
    assert not await lab.rows()


async def test_a_creation_that_never_works_is_given_up(lab: HostingLab) -> None:
    kind(lab).command = ("echo", "no room", ";", "exit", "3")
    kind(lab).fails["ready"] = [Unavailable("service_server_away", what="refused") for _ in range(99)]
    answer = await lab.broker.provision(lab.provision())
    told = await lab.ended(answer)
    assert told.state == "failed"
    assert told.description
    row = await lab.row()
    assert (row.state, row.restarts, row.last_output) == (HostedState.broken, plan.TRIES, "no room")
    lab.restart()
    assert await lab.work() == [None]
    assert await lab.broker.provision(lab.provision()) == answer
    assert (await lab.ended(await lab.broker.deprovision(lab.deprovision()))).state == "gone"


async def test_a_server_that_does_not_answer_in_time_is_started_again(lab: HostingLab) -> None:
    kind(lab).fails["ready"] = [Unavailable("service_server_away", what="refused") for _ in range(10_000)]
    answer = await lab.broker.provision(lab.provision())
    looking = asyncio.create_task(_look(lab))
    await lab.until(lambda row: row.started_at is not None)
    lab.clock.by += timedelta(seconds=plan.START_S)
    await looking
    row = await lab.until(lambda row: row.restarts == 1)
    assert row.reason is not None
    assert (row.reason.code, row.reason.facts["what"]) == ("service_start_timeout", "refused")
    kind(lab).fails.clear()
    lab.clock.by += timedelta(seconds=1)
    assert (await lab.ended(answer)).state == "succeeded"


async def test_a_server_that_stops_answering_is_started_again(lab: HostingLab) -> None:
    first = await lab.ready()
    kind(lab).fails["figures"] = [Unavailable("service_server_away", what="stuck") for _ in range(plan.MISSES)]
    for _ in range(plan.MISSES):
        assert (await lab.row()).workload_id == first.workload_id
        await lab.work()
    row = await lab.until(lambda row: row.state is HostedState.crashed)
    assert row.reason is not None
    assert row.reason.code == "service_no_answer"
    assert (await lab.until(ready)).restarts == 1


async def test_a_change_takes_a_restart_or_none(lab: HostingLab) -> None:
    first = await lab.ready()
    assert (await lab.ended(await lab.broker.update(lab.update(colour="blue")))).state == "succeeded"
    row = await lab.row()
    assert row.workload_id == first.workload_id
    assert ("reconfigure", "blue") in kind(lab).calls
    assert (await lab.ended(await lab.broker.update(lab.update(colour="blue", speed=2)))).state == "succeeded"
    row = await lab.row()
    assert row.workload_id != first.workload_id
    assert (row.parameters_seen, row.restarts) == ({"colour": "blue", "speed": 2}, 0)
    assert (await lab.ended(await lab.broker.update(lab.update("sin_1", "large")))).state == "succeeded"
    assert (await lab.row()).plan_seen == "large"
    assert len(machine(lab).runs) == 1


async def test_a_change_that_the_server_does_not_start_with_is_taken_back(lab: HostingLab) -> None:
    await lab.ready(speed=1)
    await lab.bound()
    answer = await lab.broker.update(lab.update(speed=9))
    kind(lab).command = ("exit", "2")
    kind(lab).fails["ready"] = [Unavailable("service_server_away", what="refused") for _ in range(99)]
    told = await lab.ended(answer)
    assert (told.state, told.usable) == ("failed", True)
    kind(lab).command = ("serve",)
    kind(lab).fails.clear()
    row = await lab.until(ready)
    assert (row.parameters, row.parameters_seen) == ({"speed": 1}, {"speed": 1})
    assert row.last_operation is not None
    assert row.last_operation.state == "failed"
    assert (await lab.ended(await lab.broker.update(lab.update(speed=3)))).state == "succeeded"


async def test_a_change_that_fails_while_it_runs_is_taken_back(lab: HostingLab) -> None:
    first = await lab.ready(colour="red")
    kind(lab).fails["reconfigure"] = [Rejected("service_seed_invalid")]
    assert (await lab.ended(await lab.broker.update(lab.update(colour="blue")))).state == "failed"
    row = await lab.row()
    assert (row.parameters, row.state, row.workload_id) == ({"colour": "red"}, HostedState.ready, first.workload_id)
    kind(lab).fails["reconfigure"] = [Unavailable("service_server_failed", what="58P01") for _ in range(plan.TRIES)]
    assert (await lab.ended(await lab.broker.update(lab.update(colour="blue")))).state == "failed"


async def test_who_is_not_let_in_does_not_let_it_serve(lab: HostingLab) -> None:
    """The data are another server's: it is stopped, and nothing is done to them."""
    kind(lab).fails["ready"] = [Rejected("service_admin_refused")]
    told = await lab.ended(await lab.broker.provision(lab.provision()))
    assert told.state == "failed"
    await lab.until(lambda row: row.workload_id is None)
    assert (await lab.row()).state is HostedState.broken
    assert not machine(lab).runs


async def test_a_binding_that_can_never_be_fails_and_one_that_can_not_now_waits(lab: HostingLab) -> None:
    await lab.ready()
    kind(lab).fails["bind"] = [Rejected("service_seed_invalid"), Unavailable("service_server_away", what="x")]
    answer = await lab.broker.bind(lab.bind("bnd_1"))
    assert (await lab.ended(answer, "bnd_1")).state == "failed"
    (binding,) = await lab.bindings()
    assert binding.state is BindingState.failed
    assert (await lab.ended(await lab.broker.unbind(lab.unbind("bnd_1")), "bnd_1")).state == "gone"
    assert await lab.bound("bnd_2")


async def test_a_wish_while_it_is_down_is_tried_at_once(lab: HostingLab) -> None:
    row = await lab.ready()
    await lab.change(state=HostedState.crashed, workload_id=None, next_start_at=lab.clock() + timedelta(seconds=200))
    await lab.runtime.stop(str(row.workload_id), grace_s=1)
    answer = await lab.broker.update(lab.update(speed=2))
    assert (await lab.ended(answer)).state == "succeeded"


async def test_a_clock_that_was_put_back_keeps_nobody_waiting(lab: HostingLab) -> None:
    row = await lab.ready()
    machine(lab).lose(row.workload_id)
    await lab.until(lambda row: row.state is HostedState.crashed)
    await lab.change(next_start_at=lab.clock() + timedelta(days=400))
    await lab.until(ready)


async def test_all_ports_taken_is_said(postgres_url: str, tmp_path: Path) -> None:
    async with hosting_lab(postgres_url, tmp_path / "services", ports=range(16000, 16006)) as lab:
        await lab.ready()
        told = await lab.broker.provision(lab.provision("sin_2"))
        assert isinstance(told, Refused)
        assert "GONGFANG_SERVICE_PORT_RANGE" in told.description


async def test_a_port_that_another_has_is_left_to_it_where_ports_are_shared(lab: HostingLab) -> None:
    first = free_block()
    ports = range(first, first + 2 * PORTS_EACH)
    broker = BuiltinBroker(
        lab.database, (lab.kind,), lab.clock, owner="", ports=ports, enforces=lambda name: name != "own_network"
    )
    with socket.create_server(("127.0.0.1", first + 1)):  # the second one of a block
        assert isinstance(await broker.provision(lab.provision()), Accepted | Refused)
    assert [row.port for row in await lab.rows() if row.port == first] == []


async def test_two_at_once_get_places_of_their_own(lab: HostingLab) -> None:
    asks = [lab.broker.provision(lab.provision(f"sin_{number % 4}")) for number in range(12)]
    answers = await asyncio.gather(*asks)
    assert all(isinstance(answer, Accepted) for answer in answers)
    rows = await lab.rows()
    assert len(rows) == len({row.port for row in rows}) == 4


async def test_the_catalogue_becomes_rows_whose_ids_stay(lab: HostingLab) -> None:
    async def rows(database: Database) -> tuple[dict[str, Offering], dict[str, ServicePlan]]:
        async with database.reading() as tx:
            offerings = await tx.find(Offering, broker_id=BUILTIN)
            plans = await tx.find(ServicePlan, offering_id=[o.id for o in offerings])
        return {o.name: o for o in offerings}, {f"{p.offering_id}.{p.name}": p for p in plans}

    def broker(*kinds: MemoryKind, enforces: bool = True) -> BuiltinBroker:
        return BuiltinBroker(
            lab.database, kinds, lab.clock, owner="", ports=range(16000, 16100), enforces=lambda _: enforces
        )

    other = MemoryKind(name="other", needs=frozenset({"own_network"}))
    await sync_catalog(lab.database, broker(MemoryKind(), other), lab.clock)
    first = await rows(lab.database)
    await sync_catalog(lab.database, broker(MemoryKind(), other), lab.clock)
    assert await rows(lab.database) == first
    assert all(len(plans) == 2 for plans in [[p for p in first[1] if p.startswith(o.id)] for o in first[0].values()])
    await sync_catalog(lab.database, broker(MemoryKind(), other, enforces=False), lab.clock)
    offerings, _ = await rows(lab.database)
    assert offerings["other"].unavailable == Reason("service_needs", {"what": "own_network"})
    assert offerings["pretend"].unavailable is None
    await sync_catalog(lab.database, broker(MemoryKind()), lab.clock)
    offerings, _ = await rows(lab.database)
    assert (offerings["other"].gone, offerings["pretend"].gone) == (True, False)
    assert offerings["other"].id == first[0]["other"].id
    refused = await broker(other, enforces=False).provision(lab.provision())
    assert isinstance(refused, Refused)
    assert isinstance(await lab.broker.last_operation(lab.poll()), Polled)
