"""What every broker must do, by the Open Service Broker API 2.17. Each driver comes with a lab that makes it work on:
the built-in one, on a real database and the pretending runtime; and the client of outside brokers, which speaks with
the same one over HTTP. Brokers that are somebody else's, and bad ones, are in `test_broker_outside`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gongfang.brokers.interface import Accepted, Bound, Done, Gone, Provisioned, Refused, Updated
from gongfang.brokers.osb.client import OsbClient
from gongfang.outbound import anything
from tests.contract.hosting_lab import HostingLab, hosting_lab
from tests.contract.osb_server import PASSWORD, USER, OsbServer, served

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["builtin", "outside"])
async def lab(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> AsyncIterator[HostingLab]:
    async with hosting_lab(postgres_url, tmp_path / "services") as lab:
        if request.param == "builtin":
            yield lab
            return
        async with served(OsbServer(lab.broker).app) as url:
            lab.broker = OsbClient(url, USER, PASSWORD, allowed=anything, timeout_s=20)
            yield lab


def status(answer: object) -> tuple[int, str | None]:
    assert isinstance(answer, Refused), answer
    assert answer.description
    assert len(answer.description) <= 1000
    assert answer.description.isprintable()
    return answer.status, answer.error


async def test_the_catalogue_is_whole(lab: HostingLab) -> None:
    catalog = await lab.broker.catalog()
    assert catalog is not None
    ids = [o.id for o in catalog.offerings] + [p.id for o in catalog.offerings for p in o.plans]
    assert len(ids) == len(set(ids))
    assert all(o.plans for o in catalog.offerings)
    assert await lab.broker.catalog() == catalog


async def test_a_provision_can_be_sent_again_at_any_time(lab: HostingLab) -> None:
    first = await lab.broker.provision(lab.provision(colour="red"))
    assert isinstance(first, Accepted)
    assert await lab.broker.provision(lab.provision(colour="red")) == first
    assert status(await lab.broker.provision(lab.provision(colour="blue"))) == (409, None)
    assert status(await lab.broker.provision(lab.provision(plan="large", colour="red"))) == (409, None)
    assert (await lab.ended(first)).state == "succeeded"
    again = await lab.broker.provision(lab.provision(colour="red"))
    assert again == Done(Provisioned(), created=False)
    assert status(await lab.broker.provision(lab.provision(colour="blue"))) == (409, None)
    assert await lab.broker.fetch_instance(lab.poll()) == Provisioned()
    assert len(await lab.rows()) == 1


async def test_what_is_not_offered_is_refused_and_leaves_nothing(lab: HostingLab) -> None:
    assert status(await lab.broker.provision(lab.provision(size=7))) == (400, None)
    assert status(await lab.broker.provision(lab.provision(speed=10))) == (400, None)
    strange = lab.provision()
    for target in ({"service_id": "x"}, {"plan_id": "x"}):
        from dataclasses import replace

        ask = replace(strange, target=replace(strange.target, **target))
        assert status(await lab.broker.provision(ask)) == (400, None)
    assert not await lab.rows()
    told = await lab.broker.provision(lab.provision(colour="s3cret-" * 9))
    assert isinstance(told, Refused)
    assert "s3cret" not in told.description


async def test_a_bind_can_be_sent_again_and_has_the_same_credentials(lab: HostingLab) -> None:
    await lab.ready()
    first = await lab.broker.bind(lab.bind(colour="red"))
    assert isinstance(first, Accepted)
    assert await lab.broker.bind(lab.bind(colour="red")) == first
    assert status(await lab.broker.fetch_binding(lab.poll(binding_id="bnd_1"))) == (404, None)
    assert (await lab.ended(first, "bnd_1")).state == "succeeded"
    bound = await lab.broker.fetch_binding(lab.poll(binding_id="bnd_1"))
    assert isinstance(bound, Bound)
    assert bound.endpoints
    assert await lab.broker.bind(lab.bind(colour="red")) == Done(bound, created=False)
    assert status(await lab.broker.bind(lab.bind(colour="blue"))) == (409, None)
    assert status(await lab.broker.bind(lab.bind("bnd_2", after="bnd_x"))) == (400, None)
    assert bound.credentials["password"] not in repr(bound)


async def test_a_rotation_has_credentials_of_its_own_beside_the_old_ones(lab: HostingLab) -> None:
    await lab.ready()
    old = await lab.bound("bnd_1")
    assert (await lab.ended(await lab.broker.bind(lab.bind("bnd_2", after="bnd_1")), "bnd_2")).state == "succeeded"
    new = await lab.broker.fetch_binding(lab.poll(binding_id="bnd_2"))
    assert isinstance(new, Bound)
    assert new.credentials["password"] != old["password"]
    still = await lab.broker.fetch_binding(lab.poll(binding_id="bnd_1"))
    assert isinstance(still, Bound)
    assert still.credentials == old


async def test_nothing_is_bound_to_what_is_not_there_yet_or_any_more(lab: HostingLab) -> None:
    assert status(await lab.broker.bind(lab.bind()))[0] == 404
    accepted = await lab.broker.provision(lab.provision())
    busy = await lab.broker.bind(lab.bind())
    assert isinstance(busy, Refused)
    assert busy.concurrency
    await lab.ended(accepted)
    await lab.broker.deprovision(lab.deprovision())
    busy = await lab.broker.bind(lab.bind())
    assert isinstance(busy, Refused)
    assert busy.concurrency
    again = await lab.broker.provision(lab.provision())
    assert isinstance(again, Refused)
    assert again.concurrency


async def test_an_unbind_can_be_sent_again_and_ends_as_gone(lab: HostingLab) -> None:
    await lab.ready()
    await lab.bound()
    first = await lab.broker.unbind(lab.unbind())
    assert isinstance(first, Accepted)
    assert await lab.broker.unbind(lab.unbind()) == first
    busy = await lab.broker.bind(lab.bind())
    assert isinstance(busy, Refused)
    assert busy.concurrency
    assert (await lab.ended(first, "bnd_1")).state == "gone"
    assert await lab.broker.unbind(lab.unbind()) == Done(Gone())
    assert not await lab.bindings()
    assert await lab.bound()  # the same id may be used again


async def test_a_deletion_can_be_sent_again_and_ends_as_gone(lab: HostingLab) -> None:
    assert await lab.broker.deprovision(lab.deprovision()) == Done(Gone())
    await lab.ready()
    await lab.bound()
    first = await lab.broker.deprovision(lab.deprovision())
    assert isinstance(first, Accepted)
    assert await lab.broker.deprovision(lab.deprovision()) == first
    assert (await lab.ended(first)).state == "gone"
    assert await lab.broker.deprovision(lab.deprovision()) == Done(Gone())
    assert await lab.broker.unbind(lab.unbind()) == Done(Gone())
    assert status(await lab.broker.fetch_instance(lab.poll())) == (404, None)
    assert (await lab.row("sin_1") if await lab.rows() else None) is None


async def test_a_deletion_while_creating_halts_the_creation(lab: HostingLab) -> None:
    creation = await lab.broker.provision(lab.provision())
    deletion = await lab.broker.deprovision(lab.deprovision())
    told = await lab.broker.last_operation(lab.poll(creation))
    assert getattr(told, "state", None) == "in progress"
    assert (await lab.ended(deletion)).state == "gone"
    assert (await lab.ended(creation)).state == "gone"


async def test_an_update_can_be_sent_again_and_one_at_a_time(lab: HostingLab) -> None:
    assert status(await lab.broker.update(lab.update()))[0] == 404
    await lab.ready()
    first = await lab.broker.update(lab.update(speed=3))
    assert isinstance(first, Accepted)
    assert await lab.broker.update(lab.update(speed=3)) == first
    busy = await lab.broker.update(lab.update(speed=4))
    assert isinstance(busy, Refused)
    assert busy.concurrency
    assert (await lab.ended(first)).state == "succeeded"
    assert await lab.broker.update(lab.update(speed=3)) == Done(Updated(), created=False)
    assert status(await lab.broker.update(lab.update(speed=10))) == (400, None)


async def test_what_can_not_be_is_refused_and_changes_nothing(lab: HostingLab) -> None:
    await lab.ready(plan="large")
    refused = await lab.broker.update(lab.update(plan="small"))
    assert isinstance(refused, Refused)
    assert (refused.status, refused.usable, refused.repeatable) == (422, True, False)
    assert (await lab.row()).plan == "large"


async def test_one_platform_does_not_see_anothers(lab: HostingLab) -> None:
    from gongfang.reconcile.builtin import BuiltinBroker

    await lab.ready()
    other = BuiltinBroker(
        lab.database, (lab.kind,), lab.clock, owner="usr_2", ports=range(16000, 16400), enforces=lambda _: True
    )
    assert status(await other.fetch_instance(lab.poll())) == (404, None)
    assert await other.deprovision(lab.deprovision()) == Done(Gone())
    assert isinstance(await other.provision(lab.provision(speed=2)), Accepted)
    mine, theirs = sorted(await lab.rows(), key=lambda row: row.owner)
    assert mine.port != theirs.port
