"""Webhooks: in order, at least once, signed, tried again, given up; and never to an address inside."""

import asyncio
import socket
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gongfang.domain.values import JsonObject
from gongfang.domain.webhooks import Sent, Webhook
from gongfang.reconcile.loop import KeyedWorkers
from gongfang.reconcile.sender import WebhookSender
from gongfang.reconcile.webhooks import Webhooks
from tests.api.conftest import Api, World, new_name
from tests.api.one_of_everything import Place
from tests.api.receiver import Receiver, genuine, receiving


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    return Place(world)


def hooks_of(world: World) -> Webhooks:
    return Webhooks(world.services.database, world.clock, world.services.send_webhook)


def new_hook(place: Place, receiver: Receiver | str, **more: object) -> JsonObject:
    url = receiver if isinstance(receiver, str) else receiver.url
    body = {"url": url, "scope_id": place.space, **more}
    return place.admin.data("POST", "/webhooks", 201, json=body)


def do_something(place: Place, times: int = 1) -> None:
    for _ in range(times):
        place.admin.data("POST", "/apps", 201, json={"name": new_name("a"), "space_id": place.space})


def test_events_arrive_signed_and_in_order(place: Place, world: World) -> None:
    with receiving() as receiver:
        hook = new_hook(place, receiver, tags=["app:create", "domain:*"], name="mes")
        assert hook["secret"].startswith("whsec_")
        assert (
            "secret" not in place.admin.data("GET", f"/webhooks/{hook['id']}")
            or not place.admin.data("GET", f"/webhooks/{hook['id']}")["secret"]
        )
        do_something(place, 3)
        place.admin.data("POST", "/tenants", 201, json={"name": new_name("t")})  # another place's
        assert world.do(hooks_of(world)(hook["id"])) is None
        assert [e["type"] for e in receiver.events] == ["app:create"] * 3
        assert receiver.numbers == sorted(receiver.numbers)
        headers, body = receiver.got[0]
        assert genuine(hook["secret"], headers, body) and not genuine(hook["secret"], headers, body + b" ")
        assert headers["webhook-id"] == f"{hook['id']}_{receiver.numbers[0]}"
        data = receiver.events[0]["data"]
        assert data["space_id"] == place.space and data["after"]["name"] and data["token_id"]
        world.do(hooks_of(world)(hook["id"]))  # begun anew, it sends nothing twice
        assert len(receiver.got) == 3
        shown = place.admin.data("GET", f"/webhooks/{hook['id']}")
        assert shown["position"] == receiver.numbers[-1] and shown["attempts"] == 0
        deliveries = place.admin.data("GET", f"/webhooks/{hook['id']}/deliveries")["items"]
        assert [(d["seq"], d["delivered"], d["status"]) for d in deliveries] == [
            (number, True, 200) for number in reversed(receiver.numbers)
        ]
        assert deliveries[0]["response"].startswith("thanks") and len(deliveries[0]["response"]) == 200


def test_the_address_is_whole_only_for_those_who_may_change_it(place: Place) -> None:
    hook = new_hook(place, "http://127.0.0.1:9/robot?access_token=t0ken", enabled=False)
    path = f"/webhooks/{hook['id']}"
    assert place.clients["operator"].data("GET", path)["url"].endswith("access_token=t0ken")
    assert place.clients["supervisor"].data("GET", path)["url"] == "http://127.0.0.1:9/***"
    assert hook["id"] in {w["id"] for w in place.clients["developer"].data("GET", "/webhooks")["items"]}
    assert hook["id"] not in {w["id"] for w in place.outsider.data("GET", "/webhooks")["items"]}


def test_what_fails_is_tried_again_and_nothing_overtakes_it(place: Place, world: World) -> None:
    with receiving() as receiver:
        hook = new_hook(place, receiver, tags=["app:create"])
        path = f"/webhooks/{hook['id']}"
        receiver.answers = [500, 302]
        do_something(place, 2)
        hooks = hooks_of(world)
        again = world.do(hooks(hook["id"]))
        assert again is not None and 3 < again <= 5
        assert len(receiver.got) == 1
        shown = place.admin.data("GET", path)
        assert (shown["attempts"], shown["reason"]["code"]) == (1, "webhook_answered")
        assert world.do(hooks(hook["id"])) and len(receiver.got) == 1  # not due yet
        world.clock.ahead = timedelta(seconds=6)
        again = world.do(hooks(hook["id"]))
        assert again is not None and 7 < again <= 10
        assert receiver.paths == ["/events", "/events"]  # the redirect was not followed
        world.clock.ahead = timedelta(seconds=20)
        assert world.do(hooks(hook["id"])) is None
        numbers = receiver.numbers
        assert numbers[0] == numbers[1] == numbers[2] < numbers[3]
        assert len({h["webhook-id"] for h, _ in receiver.got[:3]}) == 1  # by which the receiver knows it again
        assert place.admin.data("GET", path)["failing_since"] is None


def test_after_a_day_it_is_disabled_and_goes_on_when_enabled(place: Place, world: World) -> None:
    with receiving() as receiver:
        hook = new_hook(place, receiver, tags=["app:create"])
        path = f"/webhooks/{hook['id']}"
        receiver.answers = [503, 503]
        do_something(place)
        hooks = hooks_of(world)
        assert world.do(hooks(hook["id"]))
        world.clock.ahead = timedelta(days=1, minutes=1)
        assert world.do(hooks(hook["id"])) is None
        shown = place.admin.data("GET", path)
        assert (shown["enabled"], shown["reason"]["code"]) == (False, "webhook_given_up")
        event = place.admin.data("GET", "/events", params={"tag": "webhook:disabled", "limit": 1})["items"][0]
        assert (event["object_id"], event["actor_name"], event["outcome"]) == (hook["id"], "platform", "failed")
        assert event["data"]["reason"]["code"] == "webhook_given_up" and event["space_id"] == place.space
        do_something(place)
        assert world.do(hooks(hook["id"])) is None and len(receiver.got) == 2
        place.admin.data("PATCH", path, json={"enabled": True})
        assert world.do(hooks(hook["id"])) is None
        assert len(receiver.got) == 4 and receiver.numbers[1] == receiver.numbers[2] < receiver.numbers[3]


def test_a_new_address_is_not_given_up_for_the_old_ones_failures(place: Place, world: World) -> None:
    body = {"url": "http://127.0.0.1:9/", "scope_id": place.space, "tags": ["no:such"]}
    hook = place.admin.data("POST", "/webhooks", 201, json=body)["id"]

    async def failing() -> None:
        async with world.services.database.writing() as tx:
            since = world.clock() - timedelta(hours=23)
            await tx.update(Webhook, hook, attempts=30, failing_since=since, next_attempt_at=world.clock())

    world.do(failing())
    same = place.admin.data("PATCH", f"/webhooks/{hook}", json={"url": "http://127.0.0.1:9/"})
    assert (same["attempts"], same["next_attempt_at"]) == (30, None) and same["failing_since"]
    new = place.admin.data("PATCH", f"/webhooks/{hook}", json={"url": "http://127.0.0.1:9/new"})
    assert (new["attempts"], new["failing_since"], new["next_attempt_at"]) == (0, None, None)
    place.admin.data("DELETE", f"/webhooks/{hook}")


def test_one_that_is_gone_is_disabled_at_once(place: Place, world: World) -> None:
    with receiving() as receiver:
        hook = new_hook(place, receiver, tags=["app:create"])
        receiver.answers = [410]
        do_something(place)
        assert world.do(hooks_of(world)(hook["id"])) is None
        shown = place.admin.data("GET", f"/webhooks/{hook['id']}")
        assert (shown["enabled"], shown["reason"]["code"]) == (False, "webhook_gone")


def test_killed_between_sending_and_writing_it_sends_again(place: Place, world: World) -> None:
    with receiving() as receiver:
        hook = new_hook(place, receiver, tags=["app:create"])
        do_something(place, 2)

        async def send_and_die(webhook: Webhook, message_id: str, body: bytes) -> Sent:
            await world.services.send_webhook(webhook, message_id, body)
            raise asyncio.CancelledError

        async def killed() -> None:
            task = asyncio.create_task(Webhooks(world.services.database, world.clock, send_and_die)(hook["id"]))  # pyright: ignore[reportArgumentType]
            with pytest.raises(asyncio.CancelledError):
                await task

        world.do(killed())
        assert len(receiver.got) == 1
        world.do(hooks_of(world)(hook["id"]))
        numbers = receiver.numbers
        assert len(numbers) == 3 and numbers[0] == numbers[1] < numbers[2]


def test_an_address_that_changes_under_way_loses_nothing(place: Place, world: World) -> None:
    with receiving() as old, receiving() as new:
        hook = new_hook(place, old, tags=["app:create"])
        do_something(place, 2)

        async def send(webhook: Webhook, message_id: str, body: bytes) -> Sent:
            if webhook.url == old.url:
                change = place.admin.patch
                await asyncio.to_thread(change, f"/webhooks/{hook['id']}", json={"url": new.url})
                return Sent(500, 1)
            return await world.services.send_webhook(webhook, message_id, body)

        assert world.do(Webhooks(world.services.database, world.clock, send)(hook["id"])) is None
        assert len(new.numbers) == 2 and new.numbers == sorted(new.numbers)


def test_a_dead_receiver_holds_up_no_other(place: Place, world: World) -> None:
    """Workers as the platform runs them; one receiver never answers while the other gets everything."""
    database = world.services.database
    with receiving() as slow, receiving() as quick:
        slow.hold.clear()
        held = [new_hook(place, slow, tags=["app:create"])["id"] for _ in range(3)]
        new_hook(place, quick, tags=["app:create"])
        hooks = hooks_of(world)
        workers = KeyedWorkers("webhook", hooks, hooks.enabled, database.hub, sweep_s=30, concurrency=99)

        async def begin() -> list[asyncio.Task[None]]:
            return [asyncio.create_task(workers.run()), asyncio.create_task(hooks.relay())]

        async def end(tasks: list[asyncio.Task[None]]) -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        tasks = world.do(begin())
        try:
            do_something(place, 5)
            quick.wait(5)
            assert slow.got == [] and quick.numbers == sorted(set(quick.numbers))
        finally:
            slow.hold.set()
            slow.wait(3)
            world.do(end(tasks))
            for hook in held:
                place.admin.data("DELETE", f"/webhooks/{hook}")


def test_the_last_fifty_deliveries_are_kept(place: Place, world: World) -> None:
    with receiving() as receiver:
        hook = new_hook(place, receiver, enabled=False)
        for _ in range(55):
            place.admin.data("POST", f"/webhooks/{hook['id']}/test")
        assert len(place.admin.data("GET", f"/webhooks/{hook['id']}/deliveries")["items"]) == 50
        assert world.do(hooks_of(world)(hook["id"])) is None  # disabled: nothing but the tests was sent
        assert {e["type"] for e in receiver.events} == {"webhook:test"}
        assert all(genuine(hook["secret"], headers, body) for headers, body in receiver.got)


def test_a_test_says_what_went_wrong(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    hook = new_hook(place, f"http://127.0.0.1:{port}/", enabled=False)
    answer = place.admin.data("POST", f"/webhooks/{hook['id']}/test")
    assert (answer["delivered"], answer["status"], answer["reason"]["code"]) == (False, None, "webhook_unreachable")


def test_what_is_refused(place: Place, admin: Api) -> None:
    def code(**body: object) -> tuple[str, str]:
        answer = admin.post("/webhooks", json={"scope_id": place.space, "url": "http://127.0.0.1:9/", **body})
        assert answer.status_code == 422
        return answer.json()["code"], answer.json()["details"][0]["field"]

    for url in (
        "ftp://example.com/x",
        "http://",
        "http://a b/",
        "http://u:p@example.com/",
        "https://h/#f",
        "http://h:0/",
    ):
        assert code(url=url) == ("validation_failed", "url"), url
    assert code(url="http://例子.example/") == ("validation_failed", "url")
    assert code(secret="whsec_c2hvcnQ=") == ("validation_failed", "secret")
    assert code(secret="plain") == ("validation_failed", "secret")
    assert code(tags=[])[0] == code(tags=["A"])[0] == code(tags=["a*b"])[0] == "validation_failed"
    assert admin.code("GET", "/webhooks/whk_none", 404) == "webhook_not_found"
    body = {"url": "http://127.0.0.1:9/", "level": "platform", "scope_id": "x"}
    assert admin.code("POST", "/webhooks", 422, json=body) == "validation_failed"
    assert place.clients["administrator"].code("POST", "/webhooks", 403, json={**body, "scope_id": None}) == "forbidden"


class Names:
    """Names that lead where a test says; each look-up takes the next answer, the last stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_a_name_that_leads_inside_is_refused_when_it_is_used(place: Place, world: World) -> None:
    with receiving() as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        shown = new_hook(place, f"http://receiver.example.com:{port}", enabled=False)

        async def send(names: Names, *, private: bool) -> Sent:
            async with world.services.database.reading() as tx:
                webhook = await tx.one(Webhook, shown["id"])
            assert webhook is not None
            sender = WebhookSender(world.clock, private=private, resolve=names, timeout_s=5)
            try:
                return await sender.send(webhook, "msg_1", b"{}")
            finally:
                await sender.close()

        for inside in (["127.0.0.1"], ["::1"], ["10.1.2.3", "169.254.169.254"], ["::ffff:127.0.0.1"], []):
            sent = world.do(send(Names(inside), private=False))
            assert sent.reason is not None and sent.reason.code == "webhook_address_refused", inside
        # Another answer a moment later gains nothing: the name is looked up once, and that answer is what is used.
        names = Names(["10.1.2.3"], ["127.0.0.1"])
        assert world.do(send(names, private=False)).delivered is False and names.asked == 1
        assert receiver.got == []
        assert world.do(send(Names(["127.0.0.1"]), private=True)).delivered
        assert receiver.got[0][0]["host"] == f"receiver.example.com:{port}"


def test_a_receiver_that_never_ends_is_left(place: Place, world: World) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        shown = new_hook(place, receiver, enabled=False)

        async def send() -> Sent:
            async with world.services.database.reading() as tx:
                webhook = await tx.one(Webhook, shown["id"])
            assert webhook is not None
            sender = WebhookSender(world.clock, private=True, timeout_s=0.2)
            try:
                return await sender.send(webhook, "msg_1", b"{}")
            finally:
                await sender.close()

        sent = world.do(send())
        assert sent.reason is not None and sent.reason.code == "webhook_timed_out"


def test_a_webhook_goes_with_its_place(admin: Api, place: Place) -> None:
    space = admin.data("POST", "/spaces", 201, json={"name": new_name(), "organization_id": place.organization})["id"]
    hook = admin.data("POST", "/webhooks", 201, json={"url": "http://127.0.0.1:9/", "scope_id": space})
    for _ in range(19):
        admin.data("POST", "/webhooks", 201, json={"url": "http://127.0.0.1:9/", "scope_id": space})
    body = {"url": "http://127.0.0.1:9/", "scope_id": space}
    assert admin.code("POST", "/webhooks", 409, json=body) == "too_many_webhooks"
    admin.data("DELETE", f"/spaces/{space}")
    assert admin.code("GET", f"/webhooks/{hook['id']}", 404) == "webhook_not_found"
