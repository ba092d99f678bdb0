"""Other platforms ask this one: what each request must be answered, by the Open Service Broker API 2.17."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gongfang.api import create_api
from gongfang.api.broker.requests import address, check_version, origin_of, token_of, wish
from gongfang.api.validation import Malformed
from gongfang.domain.errors import GongfangError, Precondition
from gongfang.domain.services import CallKind
from gongfang.domain.values import Level, Permission, Role
from gongfang.state import Database, Hub, Keyring
from tests.contract.broker_endpoint_lab import ORIGIN, EndpointLab, Platform, endpoint_lab


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def lab(postgres_url: str, tmp_path: Path) -> AsyncIterator[EndpointLab]:
    async with endpoint_lab(postgres_url, tmp_path) as lab:
        yield lab


@pytest.fixture
async def platform(lab: EndpointLab) -> Platform:
    return await lab.platform()


def refused(answer: httpx2.Response, status: int, error: str | None = None) -> str:
    """In the specification's form: never this platform's envelope."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.get("error") == error, body
    assert 0 < len(body["description"]) <= 1000 and "success" not in body
    return body["description"]


# --- the way in ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_who_may_ask(lab: EndpointLab, platform: Platform) -> None:
    for header in (
        None,
        "",
        "Bearer " + platform.token,
        "Basic",
        "Basic ***",
        "Basic " + base64.b64encode(b"x").decode(),
    ):
        answer = await platform.send("GET", "/catalog", headers={"authorization": header})
        refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Basic ")
    wrong = "Basic " + base64.b64encode(b"admin:gf_wrong").decode()
    refused(await platform.send("GET", "/catalog", headers={"authorization": wrong}), 401)
    assert (await platform.send("GET", "/catalog")).status_code == 200
    for role, level, scope in (
        (Role.developer, Level.platform, None),
        (Role.operator, Level.platform, None),
        (Role.supervisor, Level.platform, None),
        (Role.service_manager, Level.tenant, "ten_1"),
        (Role.administrator, Level.organization, "org_1"),
    ):
        other = await lab.platform(role, level, scope)
        refused(await other.send("GET", "/catalog"), 403)
        refused(await other.provision(), 403)
    cut = await lab.platform(scopes=(Permission.service_read,))
    refused(await cut.provision(), 403)
    assert (await (await lab.platform(Role.administrator)).send("GET", "/catalog")).status_code == 200
    assert await platform.rows() == []


@pytest.mark.anyio
async def test_the_version_is_asked_for(platform: Platform) -> None:
    for version in (None, "", "2", "2.12", "1.17", "3.0", "9.9", "2.x", "v2.17", "2.017", "2.17.0"):
        answer = await platform.send("GET", "/catalog", headers={"x-broker-api-version": version})
        assert "2.17" in refused(answer, 412)
    for version in ("2.13", "2.14", "2.17", "2.18"):
        answer = await platform.send("GET", "/catalog", headers={"x-broker-api-version": version})
        assert answer.status_code == 200


@pytest.mark.anyio
async def test_the_catalogue(platform: Platform) -> None:
    answer = await platform.send("GET", "/catalog", headers={"x-broker-api-request-identity": "e26cee84"})
    (service,) = answer.json()["services"]
    assert {"id", "name", "description", "bindable", "plans"} <= set(service)
    assert service["instances_retrievable"] and service["bindings_retrievable"]
    for plan in service["plans"]:
        assert {"id", "name", "description", "schemas"} <= set(plan)
        assert "$schema" in plan["schemas"]["service_instance"]["create"]["parameters"]
    assert None not in [*service.values(), *(v for plan in service["plans"] for v in plan.values())]
    assert answer.headers["x-broker-api-request-identity"] == "e26cee84"
    etag = answer.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = await platform.send("GET", "/catalog", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await platform.send("GET", "/catalog", headers={"if-none-match": '"other"'})).status_code == 200


@pytest.mark.anyio
async def test_paths_and_methods(platform: Platform) -> None:
    for path in ("", "/", "/catalog/", "/nothing", "/service_instances", "/service_instances/i/x", "/../api/v1/apps"):
        refused(await platform.send("GET", path), 404)
    assert (await platform.send("POST", "/catalog")).headers["allow"] == "GET"
    refused(await platform.send("POST", "/service_instances/i"), 405)
    for path in (
        "/service_instances/",
        "/service_instances/%00",
        "/service_instances/%ff",
        "/service_instances/" + "i" * 256,
    ):
        refused(await platform.send("GET", path), 400)


@pytest.mark.anyio
async def test_the_originating_identity_has_a_form(platform: Platform) -> None:
    for identity in ("", "cloudfoundry", "cloudfoundry ***", "cloudfoundry W10=", " e30=", "cloud/foundry e30="):
        answer = await platform.send("GET", "/catalog", headers={"x-broker-api-originating-identity": identity})
        refused(answer, 400)
    answer = await platform.send("GET", "/catalog", headers={"x-broker-api-originating-identity": ORIGIN})
    assert answer.status_code == 200


# --- a life ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_from_provision_to_the_end(platform: Platform) -> None:
    answer = await platform.provision(colour="red")
    assert (answer.status_code, set(answer.json())) == (202, {"operation"})
    assert (await platform.provision(colour="red")).json() == answer.json()
    refused(await platform.send("GET", "/service_instances/i"), 404)
    refused(await platform.bind(), 422, "ConcurrencyError")
    assert await platform.ended(answer) == "succeeded"
    assert (await platform.provision(colour="red")).status_code == 200
    refused(await platform.provision(colour="blue"), 409)
    refused(await platform.provision(plan="large", colour="red"), 409)
    fetched = (await platform.send("GET", "/service_instances/i")).json()
    assert fetched == {"service_id": platform.service, "plan_id": platform.plan(), "parameters": {"colour": "red"}}

    binding = await platform.bind()
    assert (binding.status_code, set(binding.json())) == (202, {"operation"})
    assert (await platform.bind()).json() == binding.json()
    path = "/service_instances/i/service_bindings/b"
    refused(await platform.send("GET", path), 404)
    assert await platform.ended(binding, binding="b") == "succeeded"
    bound = await platform.send("GET", path)
    assert bound.headers["cache-control"] == "no-store"
    assert {"host", "port", "username", "password"} <= set(bound.json()["credentials"])
    port = bound.json()["credentials"]["port"]
    host = bound.json()["credentials"]["host"]
    assert bound.json()["endpoints"] == [{"host": host, "ports": [str(port), str(port + 1)], "protocol": "tcp"}]
    again = await platform.bind()
    assert (again.status_code, again.json()) == (200, {k: v for k, v in bound.json().items() if k != "parameters"})
    refused(await platform.bind(colour="blue"), 409)

    change = await platform.update(plan_id=platform.plan("large"))
    assert change.status_code == 202
    refused(await platform.send("GET", "/service_instances/i"), 422, "ConcurrencyError")
    refused(await platform.update(parameters={"colour": "green"}), 422, "ConcurrencyError")
    assert await platform.ended(change) == "succeeded"
    fetched = (await platform.send("GET", "/service_instances/i")).json()
    assert (fetched["plan_id"], fetched["parameters"]) == (platform.plan("large"), {"colour": "red"})
    assert (await platform.update(plan_id=platform.plan("large"))).status_code == 200
    told = refused(await platform.update(plan_id=platform.plan("small")), 422)
    assert "storage" in told and platform.asked[-1].json()["instance_usable"] is True
    assert platform.asked[-1].json()["update_repeatable"] is False

    unbound = await platform.unbind()
    assert unbound.status_code == 202
    assert (await platform.unbind()).json() == unbound.json()
    assert await platform.ended(unbound, binding="b") == "gone"
    assert (await platform.unbind()).status_code == 410
    refused(await platform.send("GET", path), 404)
    refused(await platform.poll(binding.json()["operation"], binding="b"), 404)

    deletion = await platform.deprovision()
    assert (await platform.deprovision()).json() == deletion.json()
    refused(await platform.provision(colour="red"), 422, "ConcurrencyError")
    assert await platform.ended(deletion) == "gone"
    gone = await platform.deprovision()
    assert (gone.status_code, gone.json()) == (410, {})
    refused(await platform.poll(answer.json()["operation"]), 404)
    refused(await platform.poll(None), 404)
    assert await platform.rows() == []


@pytest.mark.anyio
async def test_a_deletion_while_creating(platform: Platform) -> None:
    await platform.provision()
    assert await platform.ended(await platform.deprovision()) == "gone"
    deletion = platform.asked[-1]
    assert deletion.status_code == 410
    # The same id anew: the old deletion stays done.
    assert (await platform.provision()).status_code == 202
    assert (await platform.poll("deprovision.0123456789abcdef")).status_code == 410


@pytest.mark.anyio
async def test_a_rotation_says_only_whose_place_it_takes(platform: Platform) -> None:
    await platform.ended(await platform.provision())
    await platform.ended(await platform.bind(colour="red"), binding="b")
    refused(await platform.bind("new", body={"predecessor_binding_id": "none"}), 400)
    refused(await platform.bind("new", "none", body={"predecessor_binding_id": "b"}), 404)
    rotation = await platform.bind("new", body={"predecessor_binding_id": "b"})
    assert (await platform.bind("new", body={"predecessor_binding_id": "b"})).json() == rotation.json()
    assert await platform.ended(rotation, binding="new") == "succeeded"
    old, new = [(await platform.send("GET", f"/service_instances/i/service_bindings/{b}")).json() for b in ("b", "new")]
    assert old["credentials"] != new["credentials"]
    assert old["parameters"] == new["parameters"] == {"colour": "red"}


@pytest.mark.anyio
async def test_one_platform_sees_nothing_of_another(lab: EndpointLab, platform: Platform) -> None:
    await platform.ended(await platform.provision())
    await platform.ended(await platform.bind(), binding="b")
    other = await lab.platform()
    for path in ("/service_instances/i", "/service_instances/i/service_bindings/b"):
        refused(await other.send("GET", path), 404)
    refused(await other.update(plan_id=other.plan("large")), 404)
    refused(await other.bind("mine"), 404)
    assert [(await other.unbind()).status_code, (await other.deprovision()).status_code] == [410, 410]
    refused(await other.poll("provision.0"), 404)
    assert (await other.provision(colour="blue")).status_code == 202  # the same id is another one here
    assert (await platform.send("GET", "/service_instances/i")).json()["parameters"] == {}
    assert len({row.port for row in await platform.rows() if hasattr(row, "port")}) == 2


@pytest.mark.anyio
async def test_an_id_may_hold_what_paths_are_made_of(platform: Platform) -> None:
    for instance in ("a%2Fb", "%E5%B7%A5%E5%9D%8A", "a%20b%3F", "%2E%2E"):
        assert await platform.ended(await platform.provision(instance), instance) == "succeeded"
        assert (await platform.send("GET", f"/service_instances/{instance}")).status_code == 200
    assert {row.instance_id for row in await platform.rows()} == {"a/b", "工坊", "a b?", ".."}


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_what_lacks_something_is_malformed_and_changes_nothing(platform: Platform) -> None:
    whole = {"service_id": platform.service, "plan_id": platform.plan(), "organization_guid": "o", "space_guid": "s"}
    path = "/service_instances/i"
    for lacking in whole:
        body = {name: value for name, value in whole.items() if name != lacking}
        assert lacking in refused(await platform.send("PUT", path, body, accepts_incomplete="true"), 400)
    for wrong in (
        {"service_id": ""},
        {"service_id": 7},
        {"plan_id": "x" * 256},
        {"service_id": "none"},
        {"plan_id": "none"},
        {"parameters": []},
        {"parameters": "x"},
        {"parameters": {"speed": 10}},
        {"parameters": {"colour": "x\0"}},
        {"parameters": {"speed": 10**30}},
        {"context": []},
        {"maintenance_info": {}},
        {"maintenance_info": "1.0.0"},
    ):
        refused(await platform.send("PUT", path, {**whole, **wrong}, accepts_incomplete="true"), 400)
    for content in (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b"[" * 100_000):
        refused(await platform.send("PUT", path, content=content, accepts_incomplete="true"), 400)
    refused(await platform.send("PUT", path, content=b" " * (1 << 20) + b"{}", accepts_incomplete="true"), 413)
    later = {**whole, "maintenance_info": {"version": "1.0.1"}}
    refused(await platform.send("PUT", path, later, accepts_incomplete="true"), 422, "MaintenanceInfoConflict")
    unknown = {**whole, "something": {"new": True}, "context": {"platform": "x", "later": [1]}}
    assert (await platform.send("PUT", path, unknown, accepts_incomplete="true")).status_code == 202
    assert len(await platform.rows()) == 1


@pytest.mark.anyio
async def test_who_can_not_wait_is_told_so(platform: Platform) -> None:
    refused(await platform.provision(waits=False), 422, "AsyncRequired")
    assert await platform.rows() == []
    await platform.ended(await platform.provision())
    refused(await platform.bind(waits=False), 422, "AsyncRequired")
    await platform.ended(await platform.bind(), binding="b")
    before = await platform.rows()
    refused(await platform.unbind(waits=False), 422, "AsyncRequired")
    refused(await platform.update(waits=False, plan_id=platform.plan("large")), 422, "AsyncRequired")
    refused(await platform.deprovision(waits=False), 422, "AsyncRequired")
    assert (await platform.deprovision("none", waits=False)).status_code == 410  # there is nothing to wait for
    assert await platform.rows() == before


@pytest.mark.anyio
async def test_a_deletion_needs_the_right_names(platform: Platform) -> None:
    await platform.ended(await platform.provision())
    for name, value in (("service_id", ""), ("plan_id", ""), ("service_id", "another")):
        refused(await platform.deprovision("i", waits=True, **{name: value}), 400)
    assert [row.deleting for row in await platform.rows()] == [False]


@pytest.mark.anyio
async def test_a_poll_needs_its_operation(platform: Platform) -> None:
    answer = await platform.provision()
    for operation in (None, "", "x", "provision", "create.00", "provision.0 ", "provision.xyz"):
        refused(await platform.poll(operation), 400)
    assert await platform.ended(answer) == "succeeded"
    twice = f"/service_instances/i/last_operation?operation={answer.json()['operation']}&operation=x"
    refused(await platform.send("GET", twice), 400)


# --- what is left behind ---------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_each_change_leaves_its_event_and_no_secret(
    platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = len(await platform.events())
    await platform.ended(await platform.provision(colour="s3cret-colour"))
    await platform.ended(await platform.bind(), binding="b")
    bound = (await platform.send("GET", "/service_instances/i/service_bindings/b")).json()["credentials"]
    await platform.ended(await platform.bind("new", body={"predecessor_binding_id": "b"}), binding="new")
    await platform.ended(await platform.update(plan_id=platform.plan("large")))
    await platform.ended(await platform.unbind(), binding="b")
    body = {"service_id": platform.service, "plan_id": platform.plan()}
    header = {"x-broker-api-originating-identity": ORIGIN}
    await platform.send(
        "PUT", "/service_instances/i/service_bindings/c", body, headers=header, accepts_incomplete="true"
    )
    await platform.provision(colour="s3cret-colour")  # nothing of it is new
    await platform.ended(await platform.deprovision())
    events = (await platform.events())[begun:]
    verbs = ("create", "bind", "rotate", "configure", "unbind", "bind", "delete")
    assert [e["tag"] for e in events] == [f"service:{verb}:requested" for verb in verbs]
    assert {e["actor"] for e in events} == {platform.user_id}
    assert {e["data"]["instance_id"] for e in events} == {"i"}
    assert events[5]["data"]["for"] == {"platform": "cloudfoundry", "user": "wang"}
    told = repr(events) + "".join(capfd.readouterr())
    for secret in (bound["password"], platform.token, "s3cret-colour"):
        assert secret not in told


@pytest.mark.anyio
async def test_a_user_whose_platform_has_services_here_stays(lab: EndpointLab, platform: Platform) -> None:
    await platform.ended(await platform.provision())
    headers = {"authorization": f"Bearer {(await lab.platform(Role.administrator)).token}", "accept-language": "en"}
    answer = await lab.http.delete(f"/api/v1/users/{platform.user_id}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "user_has_services")
    assert "/broker/v2" in answer.json()["message"]
    await platform.ended(await platform.deprovision())
    assert (await lab.http.delete(f"/api/v1/users/{platform.user_id}", headers=headers)).status_code == 200
    refused(await platform.provision(), 401)


@pytest.mark.anyio
async def test_a_store_that_is_away_is_told_as_that(lab: EndpointLab, platform: Platform) -> None:
    away = Database("postgresql+asyncpg://x@/x?host=/nonexistent", Keyring([Fernet.generate_key()]), Hub())
    transport = httpx2.ASGITransport(app=create_api(replace(lab.services, database=away)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
        other = replace(platform, http=http)
        for answer in (await other.send("GET", "/catalog"), await other.provision()):
            refused(answer, 503)
            assert int(answer.headers["retry-after"]) >= 1
    none = httpx2.ASGITransport(app=create_api(replace(lab.services, broker=None)))
    async with httpx2.AsyncClient(transport=none, base_url="http://here") as http:
        refused(await replace(platform, http=http).send("GET", "/catalog"), 404)
    await away.close()


# --- rules, for whatever is asked ------------------------------------------------------------------------------------

STATUSES = {
    ("instance", "PUT"): {200, 201, 202, 400, 409, 422},
    ("instance", "PATCH"): {200, 202, 400, 404, 422},
    ("instance", "DELETE"): {200, 202, 400, 410, 422},
    ("instance", "GET"): {200, 404, 422},
    ("binding", "PUT"): {200, 201, 202, 400, 404, 409, 422},
    ("binding", "DELETE"): {200, 202, 400, 410, 422},
    ("binding", "GET"): {200, 404},
    ("poll", "GET"): {200, 404, 410},
}
"""By the specification; 404 where what is changed or bound is not there, which it leaves open."""

instances, bindings = st.sampled_from(["i", "j"]), st.sampled_from(["b", "c"])
colours = st.sampled_from([None, "red", "blue"])
plans = st.sampled_from(["small", "large"])
STEPS = st.one_of(
    st.tuples(st.just("provision"), instances, plans, colours, st.booleans()),
    st.tuples(st.just("update"), instances, st.none() | plans, st.none() | colours, st.booleans()),
    st.tuples(st.just("deprovision"), instances, st.booleans()),
    st.tuples(st.just("bind"), instances, bindings, colours, st.booleans()),
    st.tuples(st.just("rotate"), instances, bindings, bindings),
    st.tuples(st.just("unbind"), instances, bindings, st.booleans()),
    st.tuples(st.just("fetch"), instances, st.none() | bindings),
    st.tuples(st.just("poll"), st.integers(0, 50)),
    st.just(("work",)),
    st.just(("work",)),
    st.just(("again",)),
)


class Play:
    """Plays steps, and holds each answer against the rules."""

    def __init__(self, platform: Platform) -> None:
        self.p = platform
        self.operations: list[tuple[str, str | None, str]] = []
        self.last: Any = None

    async def step(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("work",):
                await self.p.lab.work()
                self.last = None
            case ("again",):
                if self.last is not None:
                    await self._again(*self.last)
            case ("poll", number):
                if self.operations:
                    await self._polled(*self.operations[number % len(self.operations)])
            case ("fetch", instance, binding):
                path = f"/service_instances/{instance}" + (f"/service_bindings/{binding}" if binding else "")
                self._held("binding" if binding else "instance", await self.p.send("GET", path))
            case _:
                await self._changed(step)

    def _send(self, step: tuple[Any, ...]) -> Any:
        match step:
            case ("provision", i, plan, colour, waits):
                return self.p.provision(i, plan, waits=waits, **({"colour": colour} if colour else {}))
            case ("update", i, plan, colour, waits):
                plan_id = {"plan_id": self.p.plan(plan)} if plan else {}
                return self.p.update(
                    i, waits=waits, **plan_id, **({"parameters": {"colour": colour}} if colour else {})
                )
            case ("deprovision", i, waits):
                return self.p.deprovision(i, waits=waits)
            case ("bind", i, b, colour, waits):
                return self.p.bind(b, i, waits=waits, **({"colour": colour} if colour else {}))
            case ("rotate", i, b, before):
                return self.p.bind(b, i, body={"predecessor_binding_id": before})
            case (_, i, b, waits):
                return self.p.unbind(b, i, waits=waits)
            case _:
                raise AssertionError(step)

    async def _changed(self, step: tuple[Any, ...]) -> None:
        before = await self.p.rows()
        answer = await self._send(step)
        self._held("binding" if step[0] in ("bind", "rotate", "unbind") else "instance", answer)
        if answer.status_code != 202:
            assert await self.p.rows() == before, "only what is accepted changes anything"
        else:
            assert set(answer.json()) == {"operation"}, "no credentials before the end"
            binding = step[2] if step[0] in ("bind", "rotate", "unbind") else None
            self.operations.append((step[1], binding, answer.json()["operation"]))
        if step[-1] is False and step[0] not in ("rotate",):
            assert answer.status_code in (410, 422, 400, 404)
        self.last = (step, answer)

    async def _again(self, step: tuple[Any, ...], first: httpx2.Response) -> None:
        """Nothing happened in between: the same is said, and nothing happens."""
        before = await self.p.rows()
        answer = await self._send(step)
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
        assert await self.p.rows() == before

    async def _polled(self, instance: str, binding: str | None, operation: str) -> None:
        answer = await self.p.poll(operation, instance, binding)
        self._held("poll", answer)
        if answer.status_code == 410:
            assert operation.startswith(("deprovision.", "unbind."))
        if answer.status_code == 200:
            assert answer.json()["state"] in ("in progress", "succeeded", "failed")
            assert ("retry-after" in answer.headers) == (answer.json()["state"] == "in progress")

    def _held(self, what: str, answer: httpx2.Response) -> None:
        assert answer.status_code in STATUSES[what, answer.request.method], (answer.request.url, answer.text)
        body = answer.json()
        assert isinstance(body, dict) and "success" not in body
        if answer.status_code >= 400 and answer.status_code != 410:
            assert body["description"]
            assert body.get("error") in (None, "AsyncRequired", "ConcurrencyError")
        if answer.status_code != 200:
            assert "credentials" not in body


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def lasting(
    runner: asyncio.Runner, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EndpointLab]:
    stack = AsyncExitStack()
    lab = runner.run(stack.enter_async_context(endpoint_lab(postgres_url, tmp_path_factory.mktemp("lasting"))))
    yield lab
    runner.run(stack.aclose())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=4, max_size=16))
def test_the_rules_hold_in_whatever_order(runner: asyncio.Runner, lasting: EndpointLab, steps: list[Any]) -> None:
    async def play() -> None:
        playing = Play(await lasting.platform())
        for step in steps:
            await playing.step(step)
        # Whatever came before: a platform that deletes what it has asked for gets rid of it.
        for instance in ("i", "j"):
            answer = await playing.p.deprovision(instance)
            if answer.status_code == 202:
                assert await playing.p.ended(answer, instance) == "gone"
        assert [row for row in await playing.p.rows() if getattr(row, "owner", None) == playing.p.user_id] == []

    runner.run(play())


PURE = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "\0", "\ud800", "x" * 256, "工坊"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["version", "plan_id"]), inner),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    [
        *("service_id", "plan_id", "organization_guid", "space_guid", "context", "parameters", "maintenance_info"),
        *("previous_values", "bind_resource", "app_guid", "predecessor_binding_id", "x"),
    ]
)


@PURE
@given(kind=st.sampled_from([CallKind.provision, CallKind.update, CallKind.bind]), body=st.dictionaries(FIELDS, JSON))
def test_a_body_is_read_or_refused(kind: CallKind, body: dict[str, Any]) -> None:
    try:
        found = wish(kind, json.dumps(body).encode())
    except GongfangError as error:
        assert error.kind in ("malformed", "invalid"), error
        return
    assert found.service_id == body.get("service_id")
    assert found.parameters == body.get("parameters")


@PURE
@given(st.binary(max_size=200))
def test_whatever_bytes_are_no_more_than_malformed(content: bytes) -> None:
    with pytest.raises(GongfangError) as told:
        wish(CallKind.provision, content)
    assert told.value.kind in ("malformed", "invalid")


@PURE
@given(st.binary(max_size=60))
def test_any_path_is_an_address_none_or_malformed(path: bytes) -> None:
    for raw in (path, b"/v2/service_instances/" + path, b"/v2/service_instances/i/service_bindings/" + path):
        try:
            found = address(raw)
        except Malformed:
            continue
        assert found is None or found.what == "catalog" or 0 < len(found.instance_id) <= 255


@PURE
@given(st.text(max_size=60))
def test_headers_of_any_text(text: str) -> None:
    token_of(text)
    token_of("Basic " + text)
    for read, error in ((check_version, Precondition), (origin_of, Malformed)):
        try:
            read(text)
        except error:
            continue
