"""The client of outside brokers: against a broker that others have written (`openbrokerapi`), and against bad ones."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.serving import make_server

from gongfang.brokers.interface import (
    Accepted,
    Bind,
    Bound,
    Broker,
    Deprovision,
    Done,
    Gone,
    NotSent,
    Poll,
    Polled,
    Provision,
    Provisioned,
    Refused,
    Target,
    Unbind,
    Unsure,
    Update,
    Updated,
    Where,
    Who,
)
from gongfang.brokers.memory import CATALOG, MemoryBroker
from gongfang.brokers.osb.bodies import MOST_BYTES
from gongfang.brokers.osb.client import OsbClient
from gongfang.domain.errors import GongfangError, Rejected, Unavailable
from gongfang.domain.messages import words
from gongfang.outbound import anything, private_too, public_only
from tests.contract.osb_server import PASSWORD, USER, OsbServer, served

pytestmark = pytest.mark.anyio

TARGET = Target("sin_1", "pretend-service", "plan-small")
HERE = Where("tnt_1", "org_1", "works", "spc_1", "line", "db")
WHO = Who(None, "王工")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client(url: str, **more: Any) -> OsbClient:
    return OsbClient(url, USER, PASSWORD, **({"allowed": anything, "timeout_s": 10.0} | more))


def asks(broker: Broker) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Everything that can be asked, by its name."""
    provision = Provision(TARGET, {"secret": "s3cret-parameter"}, HERE, WHO, "opr_1")
    update = Update(TARGET, "plan-small", True, {"a": 1}, HERE, WHO, "opr_2")
    bind = Bind(TARGET, "bnd_1", "app_1", "app", {}, None, HERE, WHO, "opr_3")
    poll = Poll(TARGET, None, "op", "opr_4")
    return {
        "provision": lambda: broker.provision(provision),
        "update": lambda: broker.update(update),
        "deprovision": lambda: broker.deprovision(Deprovision(TARGET, None, "orp_1")),
        "bind": lambda: broker.bind(bind),
        "unbind": lambda: broker.unbind(Unbind(TARGET, "bnd_1", None, "orp_2")),
        "last_operation": lambda: broker.last_operation(poll),
        "fetch_binding": lambda: broker.fetch_binding(replace(poll, binding_id="bnd_1")),
        "fetch_instance": lambda: broker.fetch_instance(poll),
    }


MAKES = {"provision", "bind"}
DELETES = {"deprovision", "unbind"}


# --- bad brokers -----------------------------------------------------------------------------------------------------

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(answer: Handler) -> AsyncIterator[str]:
    """Whatever is done with the connection, at an address of loopback. Each request's head is read first."""
    tasks: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> Handler:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = len(body) if length is None else length
        head = [f"HTTP/1.1 {status} Said", f"content-length: {size}", "content-type: application/json", *headers]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()

    return answer


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 100000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Cre")
    await writer.drain()


async def no_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await writer.drain()


def no_secret(told: Any) -> None:
    assert PASSWORD not in repr(told)
    assert "s3cret-parameter" not in repr(told)
    reason = getattr(told, "reason", None)
    if reason is not None:
        assert words(reason.code, reason.facts, "en") != reason.code


@pytest.mark.parametrize("bad", [never, drip, hang_up, no_http, saying(201, b"{", length=50)])
async def test_an_answer_that_never_comes_leaves_what_makes_to_be_deleted(bad: Handler) -> None:
    async with speaking(bad) as url:
        for name, ask in asks(client(url, timeout_s=0.3)).items():
            told = await ask()
            assert isinstance(told, Unsure), name
            assert told.mitigate is (name in MAKES), name
            no_secret(told)
        with pytest.raises(Unavailable) as error:
            await client(url, timeout_s=0.3).catalog()
        assert words(error.value.code, error.value.facts, "en") != error.value.code


async def test_huge_bodies_are_not_read_to_their_end() -> None:
    async with speaking(flood) as url:
        for name, ask in asks(client(url)).items():
            told = await ask()
            assert isinstance(told, Unsure), name
            assert told.mitigate is (name in MAKES | DELETES), name
    async with speaking(saying(200, b'{"a": "' + b"x" * MOST_BYTES + b'"}')) as url:
        told = await asks(client(url))["bind"]()
        assert isinstance(told, Unsure)
        assert not told.mitigate


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_sent_elsewhere(status: int) -> None:
    asked: list[str] = []

    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append("asked")
        await saying(200)(_, writer)

    async with (
        speaking(other) as elsewhere,
        speaking(saying(status, b"", f"location: {elsewhere}/v2/catalog")) as url,
    ):
        for name, ask in asks(client(url)).items():
            told = await ask()
            assert isinstance(told, Refused), name
            assert told.status == status
        with pytest.raises(Rejected):
            await client(url).catalog()
    assert not asked


async def test_500_for_ever_and_202_for_ever() -> None:
    async with speaking(saying(500, b"<html>")) as url:
        for name, ask in asks(client(url)).items():
            told = await ask()
            assert isinstance(told, Unsure), name
            assert told.mitigate is (name in MAKES | DELETES), name
    async with speaking(saying(202, b'{"operation": "op"}', "retry-after: 30")) as url:
        every = asks(client(url))
        for name in MAKES | DELETES | {"update"}:
            assert await every[name]() == Accepted("op", retry_after=30.0)
        for name in ("last_operation", "fetch_binding", "fetch_instance"):
            assert isinstance(await every[name](), Unsure)


async def test_a_broker_that_repeats_what_is_secret_is_not_repeated() -> None:
    said = {"description": f"no: {PASSWORD} with s3cret-parameter", "error": PASSWORD}
    async with speaking(saying(400, json.dumps(said).encode())) as url:
        told = await asks(client(url))["provision"]()
        assert told == Refused(400, "***", "no: *** with ***")
        for ask in asks(client(url)).values():
            assert PASSWORD not in repr(await ask())
        with pytest.raises(GongfangError) as error:
            await client(url).catalog()
        assert PASSWORD not in repr(error.value)


async def test_what_was_never_sent_has_done_nothing() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        import socket

        raise socket.gaierror(-2, f"{host}:{port}")

    async def slow(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with speaking(never) as url:
        port = url.rpartition(":")[2]
    plain = f"http://127.0.0.1:{port}"  # nothing listens there any more
    async with speaking(saying(200)) as good:
        for broker in (
            client(plain),
            client(good.replace("http:", "https:"), timeout_s=0.1),  # it waits for a request, we for its certificate
            client(good, allowed=public_only),
            client(good, allowed=private_too(own_ports={int(good.rpartition(":")[2])})),
            client("http://broker.test", resolve=unknown),
            client("http://broker.test", resolve=slow, timeout_s=0.1),
            client("ftp://127.0.0.1:1"),
        ):
            for name, ask in asks(broker).items():
                told = await ask()
                assert isinstance(told, NotSent), (name, told)
                no_secret(told)
            with pytest.raises(Unavailable):
                await broker.catalog()
        assert await asks(client(good, allowed=private_too()))["provision"]() == Done(Provisioned(), created=False)


def test_where_an_administrators_broker_may_not_lie() -> None:
    from ipaddress import IPv4Network

    allowed = private_too([IPv4Network("10.64.0.0/18")], {8000})
    for address in ("169.254.169.254", "100.100.100.200", "0.0.0.0", "10.64.3.4", "224.0.0.1", "::", "fe80::1", "x"):
        assert not allowed(address, 443), address
    assert not allowed("::ffff:169.254.169.254", 443)
    for address in ("127.0.0.1", "::1", "127.0.0.9", "::ffff:127.0.0.1"):
        assert not allowed(address, 8000), address
        assert allowed(address, 8001), address
    for address in ("192.168.1.2", "10.1.2.3", "172.16.0.1", "fd00::1", "8.8.8.8"):
        assert allowed(address, 443), address
        assert public_only(address, 443) is (address == "8.8.8.8")


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_the_newest_version_that_the_broker_takes_is_spoken_and_kept() -> None:
    server = OsbServer(MemoryBroker(), version="2.14")
    async with served(server.app) as url:
        broker = client(url)
        assert await broker.catalog() is not None
        assert await asks(broker)["provision"]() == Done(Provisioned())
    versions = [headers["x-broker-api-version"] for _, _, headers in server.asked]
    assert versions == ["2.17", "2.16", "2.15", "2.14", "2.14"]


async def test_a_broker_of_another_age_is_refused_in_its_words() -> None:
    async with served(OsbServer(MemoryBroker(), version="2.1").app) as url:
        told = await asks(client(url))["provision"]()
        assert told == Refused(412, None, "speaks 2.1")


async def test_who_asks_and_for_what_is_told() -> None:
    memory = MemoryBroker()
    server = OsbServer(memory)
    async with served(server.app) as url:
        every = asks(client(url))
        for name in ("provision", "bind", "unbind", "deprovision"):
            await every[name]()
    provision, bind, unbind, deprovision = memory.asked
    assert (provision.where, provision.who, provision.target) == (HERE, Who("王工", "王工"), TARGET)
    assert (bind.app_id, bind.binding_id) == ("app_1", "bnd_1")
    assert (unbind.who, deprovision.who) == (None, None)
    assert [h["x-broker-api-request-identity"] for _, _, h in server.asked] == ["opr_1", "opr_3", "orp_2", "orp_1"]


async def test_a_wrong_password_and_a_catalogue_that_is_none() -> None:
    async with served(OsbServer(MemoryBroker()).app) as url:
        with pytest.raises(Rejected) as told:
            await OsbClient(url, USER, "wrong-password", allowed=anything).catalog()
        assert told.value.code == "broker_credentials_refused"
        with pytest.raises(Rejected) as told:
            await client(url + "/v2").catalog()
        assert told.value.code == "broker_no_catalog"
    async with speaking(saying(200, b'{"services": []}')) as url:
        with pytest.raises(Rejected) as told:
            await client(url).catalog()
        assert told.value.code == "catalog_invalid"
    async with served(OsbServer(MemoryBroker(replace(CATALOG, etag='"1"'))).app) as url:
        catalog = await client(url).catalog()
        assert catalog is not None
        assert catalog.etag == '"1"'
        assert await client(url).catalog('"1"') is None


# --- a broker that others have written -------------------------------------------------------------------------------


class Shelf:
    """Services of `openbrokerapi`, in memory: made asynchronously, bound at once."""

    def __init__(self) -> None:
        self.instances: dict[str, Any] = {}
        self.bindings: dict[str, Any] = {}
        self.polls = 0


def _service(shelf: Shelf) -> Any:
    from openbrokerapi import errors, service_broker  # pyright: ignore[reportMissingTypeStubs]
    from openbrokerapi.catalog import ServicePlan  # pyright: ignore[reportMissingTypeStubs]

    s: Any = service_broker
    e: Any = errors

    class Theirs(s.ServiceBroker):
        def catalog(self) -> Any:
            return s.Service(
                id="pretend-service",
                name="theirs",
                description="Somebody's",
                bindable=True,
                bindings_retrievable=True,
                instances_retrievable=True,
                plans=[ServicePlan(id="plan-small", name="small", description="Little")],
            )

        def provision(self, instance_id: str, details: Any, async_allowed: bool, **_: Any) -> Any:
            assert async_allowed
            told = (details.plan_id, details.parameters)
            known = shelf.instances.setdefault(instance_id, told)
            if known != told:
                raise e.ErrInstanceAlreadyExists
            return s.ProvisionedServiceSpec(s.ProvisionState.IS_ASYNC, "https://theirs.example/d", "made-it")

        def update(self, instance_id: str, details: Any, async_allowed: bool, **_: Any) -> Any:
            assert instance_id in shelf.instances
            if details.parameters == {"a": 2}:
                raise e.ErrInvalidParameters("a is not 2")
            return s.UpdateServiceSpec(is_async=False)

        def deprovision(self, instance_id: str, details: Any, async_allowed: bool, **_: Any) -> Any:
            if shelf.instances.pop(instance_id, None) is None:
                raise e.ErrInstanceDoesNotExist
            return s.DeprovisionServiceSpec(is_async=True, operation="end-it")

        def bind(self, instance_id: str, binding_id: str, details: Any, async_allowed: bool, **_: Any) -> Any:
            if details.parameters == {"busy": True}:
                raise e.ErrConcurrentInstanceAccess
            if details.bind_resource is None:
                raise e.ErrAppGuidNotProvided
            state = (
                s.BindState.IDENTICAL_ALREADY_EXISTS if binding_id in shelf.bindings else s.BindState.SUCCESSFUL_BOUND
            )
            found = shelf.bindings.setdefault(binding_id, {"uri": f"pretend://{binding_id}@h:1"})
            return s.Binding(state=state, credentials=found)

        def unbind(self, instance_id: str, binding_id: str, details: Any, async_allowed: bool, **_: Any) -> Any:
            if shelf.bindings.pop(binding_id, None) is None:
                raise e.ErrBindingDoesNotExist
            return s.UnbindSpec(is_async=False)

        def get_instance(self, instance_id: str, **_: Any) -> Any:
            if instance_id not in shelf.instances:
                raise e.ErrInstanceDoesNotExist
            return s.GetInstanceDetailsSpec("pretend-service", "plan-small")

        def get_binding(self, instance_id: str, binding_id: str, **_: Any) -> Any:
            if binding_id not in shelf.bindings:
                raise e.ErrBindingDoesNotExist
            return s.GetBindingSpec(credentials=shelf.bindings[binding_id])

        def last_operation(self, instance_id: str, operation_data: Any, *_: Any, **__: Any) -> Any:
            assert operation_data in ("made-it", "end-it")
            if instance_id not in shelf.instances:
                raise e.ErrInstanceDoesNotExist
            shelf.polls += 1
            state = s.OperationState.IN_PROGRESS if shelf.polls == 1 else s.OperationState.SUCCEEDED
            return s.LastOperation(state, "half of it")

    return Theirs()


@contextmanager
def theirs() -> Iterator[str]:
    import flask
    from openbrokerapi import api  # pyright: ignore[reportMissingTypeStubs]
    from openbrokerapi.auth import BrokerCredentials  # pyright: ignore[reportMissingTypeStubs]

    logger = logging.getLogger("openbrokerapi")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = flask.Flask("theirs")
    made: Any = api
    app.register_blueprint(made.get_blueprint(_service(Shelf()), BrokerCredentials(USER, PASSWORD), logger))
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_whole_life_at_a_broker_that_others_have_written() -> None:
    with theirs() as url:
        broker = client(url)
        catalog = await broker.catalog()
        assert catalog is not None
        (offering,) = catalog.offerings
        assert (offering.name, [p.name for p in offering.plans]) == ("theirs", ["small"])
        every = asks(broker)
        poll = Poll(TARGET, None, "made-it", "opr_9")
        assert isinstance(await every["fetch_instance"](), Refused)
        assert await every["deprovision"]() == Done(Gone())
        for _ in range(2):
            assert await every["provision"]() == Accepted("made-it", "https://theirs.example/d")
        other = await broker.provision(Provision(TARGET, {"other": 1}, HERE, WHO, "opr_1"))
        assert other == Refused(409, None, "409 Conflict")
        assert await broker.last_operation(poll) == Polled("in progress", "half of it")
        assert await broker.last_operation(poll) == Polled("succeeded", "half of it")
        assert await every["fetch_instance"]() == Provisioned()
        assert await every["update"]() == Done(Updated(), created=False)
        refused = await broker.update(Update(TARGET, "plan-small", False, {"a": 2}, HERE, None, "opr_2"))
        assert refused == Refused(400, "InvalidParameters", "a is not 2")
        bound = Bound({"uri": "pretend://bnd_1@h:1"})
        assert await every["bind"]() == Done(bound, created=True)
        assert await every["bind"]() == Done(bound, created=False)
        assert await every["fetch_binding"]() == bound
        bind = Bind(TARGET, "bnd_2", "app_1", "app", {"busy": True}, None, HERE, WHO, "opr_3")
        busy = await broker.bind(bind)
        assert isinstance(busy, Refused)
        assert busy.concurrency
        key = await broker.bind(replace(bind, app_id=None, parameters={}))
        assert isinstance(key, Refused)
        assert key.requires_app
        unknown = await broker.provision(Provision(replace(TARGET, plan_id="x"), {}, HERE, WHO, "opr_1"))
        assert unknown == Refused(400, None, "plan_id not found in this service.")
        assert await every["unbind"]() == Done(Gone())
        assert await every["unbind"]() == Done(Gone())
        assert await every["deprovision"]() == Accepted("end-it")
        assert await broker.last_operation(replace(poll, operation="end-it")) == Polled("gone")
        assert await every["deprovision"]() == Done(Gone())
