"""Every call that changes something leaves an event, refused ones too; nobody changes the log; it is whole."""

import asyncio
import csv
import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gongfang.api.routes import ROUTES
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, AppConfig, Event, JsonObject, Release, Tenant
from gongfang.operations import events
from gongfang.operations.context import Caller, Context
from gongfang.reconcile.retention import prune_events
from gongfang.state import EventForgotten, Scope
from tests.api.conftest import Api, World, new_name
from tests.api.one_of_everything import UNBINDABLE, Place, a_service
from tests.api.test_streams import stream

PASSWORD = "long enough to pass"


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    return Place(world)


def of_request(world: World, request_id: str) -> list[Event]:
    async def work() -> list[Event]:
        async with world.services.database.reading() as tx:
            return await tx.events(scope=Scope(everything=True), equals={"request_id": request_id})

    return world.do(work())


# --- what a valid call of each endpoint is ----------------------------------------------------------------------------


def two_releases(place: Place, ids: dict[str, str]) -> None:
    async def work() -> None:
        now = place.world.clock()
        release = Release(
            new_id("rel"), ids["app_id"], 2, new_id("drp"), "p", 1, AppConfig(), "deploy", None, now, None, now
        )
        async with place.world.services.database.writing() as tx:
            await tx.insert(release)
            await tx.update(App, ids["app_id"], target_release_id=release.id, current_release_id=release.id)

    place.world.do(work())


def started(place: Place, ids: dict[str, str]) -> None:
    async def work() -> None:
        async with place.world.services.database.writing() as tx:
            await tx.update(App, ids["app_id"], desired="started")

    place.world.do(work())


def detached(place: Place, ids: dict[str, str]) -> None:
    place.admin.data("DELETE", f"/apps/{ids['app_id']}/domains/{ids['domain_id']}")


def empty_tree(place: Place, ids: dict[str, str]) -> None:
    ids["tenant_id"] = place.admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    body = {"name": "o", "tenant_id": place.tenant}
    ids["organization_id"] = place.admin.data("POST", "/organizations", 201, json={**body, "name": new_name()})["id"]
    body = {"name": new_name("s"), "organization_id": place.organization}
    ids["space_id"] = place.admin.data("POST", "/spaces", 201, json=body)["id"]


def a_token(place: Place, ids: dict[str, str]) -> None:
    ids["token_id"] = place.admin.data("POST", "/tokens", 201, json={"name": "t"})["id"]


def a_name(place: Place, ids: dict[str, str]) -> None:
    ids["name"] = new_name("u")
    ids["user_id"] = place.admin.data("POST", "/users", 201, json={"name": ids["name"], "password": PASSWORD})["id"]


def a_newer_package(place: Place, ids: dict[str, str]) -> None:
    place.admin.data("POST", f"/apps/{ids['app_id']}/package?filename=b.zip", 201, content=b"newer")


def unbound(place: Place, ids: dict[str, str]) -> None:
    ids["service_instance_id"] = place.world.do(a_service(place.world, ids))


def unused(place: Place, ids: dict[str, str]) -> None:
    path = f"/organizations/{place.organization}/services"
    ids["service_id"] = place.admin.request("POST", path, json={"name": UNBINDABLE.name}).json()["data"]["id"]


def not_enabled(place: Place, ids: dict[str, str]) -> None:
    unused(place, ids)
    place.admin.data("DELETE", f"/organizations/{place.organization}/services/{ids['service_id']}")


BEFORE = {
    "POST /organizations/{organization_id}/services": not_enabled,
    "DELETE /organizations/{organization_id}/services/{service_id}": unused,
    "DELETE /service-instances/{service_instance_id}": unbound,
    "POST /apps/{app_id}/bindings": unbound,
    "POST /apps/{app_id}/start": a_newer_package,
    "POST /apps/{app_id}/rollback": two_releases,
    "POST /apps/{app_id}/restart": started,
    "PUT /apps/{app_id}/domains/{domain_id}": detached,
    "DELETE /tenants/{tenant_id}": empty_tree,
    "DELETE /organizations/{organization_id}": empty_tree,
    "DELETE /spaces/{space_id}": empty_tree,
    "DELETE /tokens/{token_id}": a_token,
    "POST /auth/login": a_name,
}


def body_of(place: Place, endpoint: str, ids: dict[str, str]) -> object:
    own: dict[str, object] = {
        "POST /tenants": {"name": new_name("t")},
        "POST /users": {"name": new_name("u"), "password": PASSWORD},
        "POST /tokens": {"name": "t"},
        "POST /auth/login": {"username": ids.get("name"), "password": PASSWORD},
        "PATCH /users/{user_id}": {"display_name": "Wang", "password": "another long password"},
    }
    return own[endpoint] if endpoint in own else place.body(endpoint, ids)


CHANGING = sorted(
    f"{method} {path.removeprefix('/api/v1')}"
    for route in ROUTES
    for path in [route.path]
    for method in route.methods
    if method != "GET"
)


def test_the_document_has_the_same_endpoints(admin: Api) -> None:
    paths = admin.get("/openapi.json").json()["paths"]
    known = {f"{m.upper()} {p.removeprefix('/api/v1')}" for p, ms in paths.items() for m in ms if m != "get"}
    assert known == set(CHANGING)


# What reconcilers do for whoever asks, and write the event of: tried in `test_housekeeping`.
ELSEWHERE = {"POST /platform/gc", "POST /platform/keys/rotate"}


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in CHANGING if endpoint not in ELSEWHERE])
def test_every_changing_call_leaves_its_event(place: Place, world: World, endpoint: str) -> None:
    ids = place.fill(user="user_id" in endpoint, hook="webhook_id" in endpoint)
    BEFORE.get(endpoint, lambda _place, _ids: None)(place, ids)
    method, path = endpoint.split(" ")
    request_id = f"r-{new_name()}"
    more: dict[str, Any] = {"headers": {"x-request-id": request_id, "user-agent": "walker/1.0"}}
    if endpoint == "POST /apps/{app_id}/package":
        more |= {"params": {"filename": "a.zip"}, "content": b"x"}
    elif method in ("POST", "PATCH", "PUT") and endpoint != "PUT /apps/{app_id}/domains/{domain_id}":
        more["json"] = body_of(place, endpoint, ids)
    response = place.admin.request(method, path.format(**ids), **more)
    assert response.status_code < 300, response.text
    found = of_request(world, request_id)
    assert found, "no event"
    told = [e for e in found if e.before is not None or e.after is not None]
    assert told, "no event says what was before and after"
    for event in found:
        assert event.actor_id and event.actor_name and event.source == "127.0.0.1"
        assert event.object_id and event.object_kind and event.user_agent == "walker/1.0"
        assert event.outcome in ("succeeded", "requested")
        assert (event.token_id is None) == (endpoint == "POST /auth/login")
    if method == "DELETE" and endpoint != "DELETE /apps/{app_id}":
        assert any(e.before for e in told)
    elif endpoint != "POST /webhooks/{webhook_id}/test":
        assert any(e.after for e in told), told


def test_a_change_without_an_event_is_refused(world: World, admin: Api) -> None:
    tenant = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]

    async def forget(*, mean_to: bool) -> None:
        async with world.services.database.audited.writing() as tx:
            if mean_to:
                tx.unrecorded("a test")
            await tx.update(Tenant, tenant, name=f"forgotten-{tenant}")

    with pytest.raises(EventForgotten, match="Tenant"):
        world.do(forget(mean_to=False))
    assert admin.data("GET", f"/tenants/{tenant}")["name"] != f"forgotten-{tenant}"
    world.do(forget(mean_to=True))
    assert admin.data("GET", f"/tenants/{tenant}")["name"] == f"forgotten-{tenant}"


def last_event(admin: Api, tag: str, **more: str) -> JsonObject:
    return admin.data("GET", "/events", params={"tag": tag, "limit": 1, **more})["items"][0]


def test_before_and_after_without_a_secret(place: Place, admin: Api) -> None:
    ids = place.fill()
    app = ids["app_id"]
    path = f"/apps/{app}/environment"
    admin.data("PATCH", path, 202, json={"variables": {"DB_PASSWORD": "hunter2-old", "LINE": "three"}})
    admin.data("PATCH", path, 202, json={"variables": {"DB_PASSWORD": "hunter2-new", "LINE": "three"}})
    event = last_event(admin, "app:environment:change", app_id=app)
    assert event["before"] == {"environment.DB_PASSWORD": "***"}
    assert event["after"] == {"environment.DB_PASSWORD": "*** (changed)"}
    admin.data("PATCH", path, 202, json={"variables": {"DB_PASSWORD": None}})
    event = last_event(admin, "app:environment:change", app_id=app)
    assert (event["before"], event["after"]) == ({"environment.DB_PASSWORD": "***"}, {})
    admin.data("PATCH", f"/apps/{app}", json={"labels": {"area": "north"}})
    event = last_event(admin, "app:change", app_id=app)
    assert (event["before"], event["after"]) == ({}, {"labels.area": "north"})
    admin.data("PATCH", f"/users/{ids['user_id']}", json={"password": "hunter2-very-long"})
    event = last_event(admin, "user:change")
    assert event["after"]["password"] == "*** (changed)"
    hook = {"url": "http://127.0.0.1:9/hunter2-token?access_token=hunter2", "scope_id": place.space}
    secret = admin.data("POST", "/webhooks", 201, json=hook)["secret"]
    event = last_event(admin, "webhook:create")
    assert event["after"]["url"] == "http://127.0.0.1:9/***" and event["after"]["secret"] == "***"
    everything = admin.get("/events?limit=500").text
    assert "hunter2" not in everything and secret.removeprefix("whsec_") not in everything


def test_what_goes_along_is_told(place: Place, admin: Api) -> None:
    space = admin.data("POST", "/spaces", 201, json={"name": new_name(), "organization_id": place.organization})["id"]
    hook = admin.data("POST", "/webhooks", 201, json={"url": "http://127.0.0.1:9/", "name": "h", "scope_id": space})
    role = {"role": "developer", "level": "space", "scope_id": space}
    user, caller = place.world.user([role], scopes=["app:read", "tree:read"])
    binding = admin.data("GET", f"/users/{user}")["roles"][0]["id"]
    own = admin.data("GET", f"/tokens?user_id={user}")["items"][0]["id"]
    made = caller.data("POST", "/tokens", 201, json={"name": "of it", "scopes": ["app:read"]})["id"]
    admin.data("DELETE", f"/tokens/{own}")
    before = last_event(admin, "token:delete")["before"]
    assert before["name"] == "t" and before[f"token[{made}].name"] == "of it"
    admin.data("DELETE", f"/spaces/{space}")
    before = last_event(admin, "space:delete")["before"]
    assert before[f"webhook[{hook['id']}].url"] == "http://127.0.0.1:9/***"
    assert before[f"role[{binding}].role"] == "developer"
    kept = [admin.data("POST", "/tokens", 201, json={"name": "many", "user_id": user})["id"] for _ in range(30)]
    admin.data("DELETE", f"/users/{user}")
    before = last_event(admin, "user:delete")["before"]
    assert any(f"token[{key}].name" in before for key in kept) and len(before) < 120 and before["…"] > 0


# --- refused calls ----------------------------------------------------------------------------------------------------


def refused(world: World, client: Api, method: str, path: str, status: int, **more: Any) -> Event:
    request_id = f"r-{new_name()}"
    client.code(method, path, status, headers={"x-request-id": request_id}, **more)
    found = of_request(world, request_id)
    assert [e.outcome for e in found] == ["refused"]
    return found[0]


def test_refused_changes_leave_an_event(place: Place, world: World) -> None:
    ids = place.fill()
    _, reader = world.user([{"role": "supervisor", "level": "space", "scope_id": place.space}])
    event = refused(world, reader, "POST", f"/apps/{ids['app_id']}/stop", 403)
    assert event.tag == "api:stop:refused" and event.data["code"] == "forbidden"
    assert (event.app_id, event.space_id, event.object_kind) == (ids["app_id"], place.space, "app")
    assert event.actor_name and event.source == "127.0.0.1" and event.token_id
    tenant = place.admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    _, outsider = world.user([{"role": "administrator", "level": "tenant", "scope_id": tenant}])
    event = refused(world, outsider, "DELETE", f"/apps/{ids['app_id']}", 404)
    assert (event.data["status"], event.space_id) == (404, place.space)
    # Those who may read the place see who tried; whoever tried does not see the place.
    seen = reader.data("GET", "/events?tag=api:*&limit=500")["items"]
    assert {"api:stop:refused", "api:destroy:refused"} <= {e["tag"] for e in seen}
    assert outsider.data("GET", "/events?tag=api:*")["items"] == []
    event = refused(world, place.admin, "DELETE", f"/tenants/{place.tenant}", 409)
    assert event.data["code"] == "not_empty" and event.tenant_id == place.tenant
    request_id = f"r-{new_name()}"  # reading is no change, and a misspelt call never was one
    reader.code("GET", "/platform", 403, headers={"x-request-id": request_id})
    reader.code("POST", "/apps", 422, headers={"x-request-id": request_id}, json={"name": "A B"})
    assert of_request(world, request_id) == []


def test_a_flood_of_refused_calls_is_counted(place: Place, world: World) -> None:
    user_id, reader = world.user([{"role": "supervisor", "level": "space", "scope_id": place.space}])
    ids = place.shared
    for _ in range(40):
        reader.code("POST", f"/apps/{ids['app_id']}/stop", 403)

    def written() -> list[tuple[str, int]]:
        found = place.admin.data("GET", "/events?tag=api:stop:refused&limit=100")["items"]
        return [(e["tag"], e["data"]["count"]) for e in found if e["actor_id"] == user_id]

    assert written() == [("api:stop:refused", 1)]
    world.do(world.api.state.refusals.flush())
    assert written() == [("api:stop:refused", 39), ("api:stop:refused", 1)]
    for number in range(70):  # every path that there isn't is a way of its own: no more than so many are kept apart
        reader.code("POST", f"/apps/none-{number}/stop", 404)
        reader.code("DELETE", f"/apps/none-{number}", 404)
    world.do(world.api.state.refusals.flush())
    total = place.admin.data("GET", "/events?tag=api:*&limit=500")["items"]
    assert len([e for e in total if e["actor_id"] == user_id]) == 6


def test_an_address_counts_only_from_a_trusted_proxy(place: Place, world: World) -> None:
    def source(forwarded: str) -> str | None:
        request_id = f"r-{new_name()}"
        headers = {"x-request-id": request_id, "x-forwarded-for": forwarded}
        place.admin.data("POST", "/tenants", 201, json={"name": new_name("t")}, headers=headers)
        return of_request(world, request_id)[0].source

    from ipaddress import ip_network

    trusted: Any = world.services.trusted_proxies
    assert source("203.0.113.9") == "127.0.0.1"  # anybody can write that
    trusted.append(ip_network("127.0.0.0/8"))
    try:
        assert source("203.0.113.9") == "203.0.113.9"
        assert source("198.51.100.1, 203.0.113.9, 127.0.0.7") == "203.0.113.9"
        assert source("not an address") == "127.0.0.1"
    finally:
        trusted.clear()


# --- the log itself ---------------------------------------------------------------------------------------------------


def test_nobody_changes_the_log(world: World, admin: Api) -> None:
    admin.data("POST", "/tenants", 201, json={"name": new_name("t")})

    async def run(statement: str) -> None:
        async with world.services.database._engine.begin() as connection:  # pyright: ignore[reportPrivateUsage]
            await connection.execute(text(statement))

    for statement in ("UPDATE events SET actor_name = 'x'", "DELETE FROM events", "TRUNCATE events"):
        with pytest.raises(DBAPIError, match="only ever added"):
            world.do(run(statement))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert admin.request(method, "/events").status_code == 405
        assert admin.request(method, "/events/1").status_code in (404, 405)


def test_old_events_are_removed_in_batches_and_no_young_ones(world: World) -> None:
    database = world.services.database
    old, edge = world.clock() - timedelta(days=500), world.clock() - timedelta(days=400)

    async def work() -> list[int]:
        async with database.writing() as tx:
            for _ in range(5):
                await tx.event("test:old", at=old)
            await tx.event("test:young", at=world.clock() - timedelta(days=170))
        removed = [await prune_events(database, edge, 2) for _ in range(4)]
        with pytest.raises(DBAPIError):  # whatever somebody asks for
            await prune_events(database, world.clock(), 1000)
        async with database.reading() as tx:
            left = await tx.events(scope=Scope(everything=True), tag="test:*")
        return [*removed, len(left)]

    assert world.do(work()) == [2, 2, 1, 0, 1]


def test_a_number_is_taken_only_under_the_lock(world: World) -> None:
    """While somebody holds the log's lock exclusively, a writer waits, and waits without a number."""
    database = world.services.database
    from gongfang.state import eventlog

    async def allocated(connection: Any) -> int:
        return (await connection.execute(eventlog.ALLOCATED)).scalar_one()

    async def work() -> tuple[int, int, int]:
        engine = database._engine  # pyright: ignore[reportPrivateUsage]
        async with engine.begin() as holder:
            await holder.execute(text(f"SELECT pg_advisory_xact_lock({0x6576656E})"))
            before = await allocated(holder)
            writer = asyncio.create_task(one_event(world, "test:locked"))
            waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            while (await holder.execute(waiting)).scalar_one() == 0:
                await asyncio.sleep(0.005)
            during = await allocated(holder)
        await writer
        async with engine.connect() as connection:
            return before, during, await allocated(connection)

    before, during, after = world.do(work())
    assert before == during == after - 1


async def one_event(world: World, tag: str) -> None:
    async with world.services.database.writing() as tx:
        await tx.event(tag, at=world.clock())


@dataclass
class Reader:
    """A stream of events by `events_after`, as server-sent events are made of it."""

    context: Context
    tag: str
    position: int
    seen: list[Event] = field(default_factory=list[Event])

    async def look(self) -> bool:
        found, self.position, more = await events.events_after(self.context, self.position, tag=self.tag)
        self.seen += found
        return more


async def reader_of(world: World, tag: str) -> Reader:
    services = world.services
    async with services.database.reading() as tx:
        record = await tx.token_by_hash(hashlib.sha256(world.token.encode()).hexdigest())
    assert record is not None
    context = Context(services.database, world.clock, Caller(record.user, record.token), "x", lambda host: host)
    return Reader(context, tag, await events.newest_event(context))


def test_a_lower_number_that_commits_later_is_not_skipped(world: World) -> None:
    async def work() -> tuple[list[str], list[str], list[str]]:
        reader = await reader_of(world, "test:gap:*")
        async with world.services.database.writing() as slow:
            await slow.event("test:gap:low", at=world.clock())
            await slow.finish()  # it has its number
            slow.noted.clear()
            await one_event(world, "test:gap:high")
            more = await reader.look()
            assert more and reader.seen == []
            early = [e.tag for e in reader.seen]
        await reader.look()
        async with world.services.database.writing() as broken:
            await broken.event("test:gap:never", at=world.clock())
            await broken.finish()
            broken.noted.clear()
            await one_event(world, "test:gap:last")
            await broken._connection.rollback()  # pyright: ignore[reportPrivateUsage]
            middle = [e.tag for e in reader.seen]
            await reader.look()
        return early, middle, [e.tag for e in reader.seen]

    early, middle, late = world.do(work())
    assert early == [] and middle == ["test:gap:low", "test:gap:high"]
    assert late == ["test:gap:low", "test:gap:high", "test:gap:last"]


def test_streams_skip_nothing_under_concurrent_transactions(world: World, admin: Api) -> None:
    """Transactions that commit in any order, roll back, and hold several numbers; a stream over HTTP and two readers
    get each event that was committed, once, in the order of the numbers."""
    writers, each = 12, 15
    dice = random.Random(7)

    async def write(number: int) -> int:
        committed = 0
        for turn in range(each):
            try:
                async with world.services.database.writing() as tx:
                    count = dice.randint(1, 3)
                    for _ in range(count):
                        await tx.event("test:crowd:one", at=world.clock(), data={"by": [number, turn]})
                    await tx.finish()
                    tx.noted.clear()
                    await asyncio.sleep(dice.random() * 0.02)
                    if dice.random() < 0.2:
                        raise ZeroDivisionError
                    committed += count
            except ZeroDivisionError:
                pass
        return committed

    async def work() -> tuple[int, list[int], list[int]]:
        readers = [await reader_of(world, "test:crowd:*") for _ in range(2)]
        running = asyncio.gather(*(write(n) for n in range(writers)))
        while not running.done():
            for reader in readers:
                await reader.look()
            await asyncio.sleep(0)
        for reader in readers:
            while await reader.look():
                pass
        await one_event(world, "test:crowd:end")
        return sum(running.result()), *([e.seq for e in reader.seen] for reader in readers)

    with stream(admin, "/events/stream?tag=test:crowd:*") as messages:
        total, first, second = world.do(work())
        streamed: list[int] = []
        for _, _, event in messages:
            if event["tag"] == "test:crowd:end":
                break
            streamed.append(event["seq"])
    assert len(first) == total
    assert first == sorted(set(first)) == second == streamed


def test_export(place: Place, world: World) -> None:
    ids = place.fill()
    admin = place.admin
    admin.data("PATCH", f"/apps/{ids['app_id']}", json={"labels": {"area": "=1+1"}})
    listed = admin.data("GET", f"/events?app_id={ids['app_id']}&limit=500")["items"]
    by_app = {"app_id": ids["app_id"]}
    answer = admin.get("/events/export", params={"format": "jsonl", **by_app})
    assert answer.headers["content-type"] == "application/jsonl"
    assert "gongfang-events.jsonl" in answer.headers["content-disposition"]
    assert answer.headers["content-encoding"] == "gzip"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(e["seq"], e["tag"], e["after"]) for e in reversed(lines)] == [
        (e["seq"], e["tag"], e["after"]) for e in listed
    ]
    plain = admin.get("/events/export", params={"format": "jsonl", **by_app}, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == answer.content
    table = admin.get("/events/export", params={"format": "csv", "bom": "true", **by_app})
    assert table.content.startswith(b"\xef\xbb\xbf") and table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(table.content.decode("utf-8-sig").splitlines()))
    assert [int(row["seq"]) for row in rows] == [e["seq"] for e in lines]
    assert set(lines[0]) == set(rows[0])
    later = {"since": "2100-01-01T00:00:00Z"}
    assert admin.get("/events/export", params={"format": "jsonl", **later}).text == ""
    inverted = {"since": "2030-01-01T00:00:00Z", "until": "2029-01-01T00:00:00Z", "format": "csv"}
    assert admin.code("GET", "/events/export", 422, params=inverted) == "validation_failed"
    assert admin.code("GET", "/events/export", 422) == "validation_failed"
    # A supervisor exports where bound, an outsider nothing of it.
    spaces = {json.loads(x)["space_id"] for x in export_lines(place.clients["supervisor"])}
    assert spaces == {place.space}
    assert all(json.loads(x)["space_id"] != place.space for x in export_lines(place.outsider))


def export_lines(client: Api) -> list[str]:
    return client.get("/events/export", params={"format": "jsonl"}).text.splitlines()


def test_an_export_goes_over_many_pages(world: World) -> None:
    async def work() -> tuple[int, list[int]]:
        async with world.services.database.writing() as tx:
            for _ in range(95):
                await tx.event("test:page:one", at=world.clock())
        reader = await reader_of(world, "")
        pages = await events.export(reader.context, tag="test:page:*", page=10)
        await one_event(world, "test:page:late")  # it was not there when the export began
        sizes = [len(page) async for page in pages]
        return sum(sizes), sizes

    assert world.do(work()) == (95, [10] * 9 + [5])
