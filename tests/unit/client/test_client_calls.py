"""One call: what is sent, what comes back, what is tried again, and which error ends it."""

import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from gongfang.client import (
    ApiError,
    Client,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PlatformAway,
    PreconditionError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
)
from gongfang.wire.models import AppOut, ProcessChange
from tests.unit.client.speaking_platform import Platform, Trouble, free_port


def test_a_call_carries_who_and_in_which_language(platform: Platform, client: Client) -> None:
    app = client.apps.create("line-3", runtime="python", labels={"plant": "苏州"}, processes={"web": {"memory_mb": 64}})
    assert isinstance(app, AppOut)
    assert app.name == "line-3"
    (call,) = platform.told("POST", "/api/v1/apps")
    assert call.headers["authorization"] == "Bearer good"
    assert call.headers["accept-language"] == "en"
    assert call.body == {
        "name": "line-3",
        "runtime": "python",
        "labels": {"plant": "苏州"},
        "processes": {"web": {"memory_mb": 64}},
    }


def test_models_are_sent_with_what_was_set_so_that_null_differs_from_absent(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    client.apps.change("line-3", processes={"web": ProcessChange(command=None, memory_mb=64)})
    (call,) = platform.told("PATCH", "/api/v1/apps/line-3")
    assert call.body == {"processes": {"web": {"command": None, "memory_mb": 64}}}


def test_a_change_gives_its_operation_only_where_there_is_one(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    assert client.apps.change("line-3", labels={"a": "b"}).operation is None
    assert client.apps.change("line-3", processes={"web": {"memory_mb": 64}}).operation is not None


@pytest.mark.parametrize("trouble", [Trouble(503), Trouble(502), Trouble(429), Trouble(None)])
def test_a_post_is_repeated_with_the_same_key(platform: Platform, client: Client, trouble: Trouble) -> None:
    platform.troubles = [trouble, trouble]
    client.apps.create("line-3")
    calls = platform.told("POST", "/api/v1/apps")
    assert len(calls) == 3
    assert len({call.headers["idempotency-key"] for call in calls}) == 1


def test_two_posts_have_two_keys(platform: Platform, client: Client) -> None:
    client.apps.create("line-3")
    client.apps.create("line-4")
    assert len({call.headers["idempotency-key"] for call in platform.calls}) == 2


def test_the_platforms_own_time_to_wait_is_kept(platform: Platform, client: Client) -> None:
    platform.troubles = [Trouble(503, {"retry-after": "0.3"})]
    begin = time.monotonic()
    client.apps.list().page()
    assert time.monotonic() - begin >= 0.3


def test_a_repeated_call_waits_for_the_first_one_to_be_done(platform: Platform, client: Client) -> None:
    platform.troubles = [Trouble(None), *[Trouble(409, code="idempotency_in_progress")] * 2]
    assert client.apps.create("line-3").name == "line-3"
    assert len({call.headers["idempotency-key"] for call in platform.calls}) == 1


def test_a_long_time_to_wait_is_the_callers_matter(platform: Platform, client: Client) -> None:
    platform.troubles = [Trouble(429, {"retry-after": "3600"}, code="too_many_attempts")]
    with pytest.raises(ApiError) as caught:
        client.login("wang.li", "correct horse")
    assert caught.value.retry_after == 3600
    assert len(platform.calls) == 1


def test_it_gives_up_in_the_end(platform: Platform) -> None:
    platform.troubles = [Trouble(503)] * 9
    with Client(platform.url, "good", retries=2) as client, pytest.raises(UnavailableError):
        client.whoami()
    assert len(platform.calls) == 3


def test_what_has_a_condition_is_not_repeated_once_it_may_have_arrived(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    platform.troubles = [Trouble(None)]
    with pytest.raises(PlatformAway):
        client.apps.change("line-3", labels={"a": "b"}, if_match='"1"')
    assert len(platform.calls) == 1


def test_errors_of_the_platforms_own_making_are_not_repeated(platform: Platform, client: Client) -> None:
    platform.troubles = [Trouble(500, code="internal")]
    with pytest.raises(ServerError) as caught:
        client.whoami()
    assert caught.value.request_id == "req_1"
    assert len(platform.calls) == 1


def test_every_refusal_has_its_class(platform: Platform, client: Client) -> None:
    platform.add_app("line-3", labels={"guarded": "yes"})
    with pytest.raises(NotFoundError) as gone:
        client.apps.get("line-4")
    assert (gone.value.code, gone.value.status) == ("app_not_found", 404)
    with pytest.raises(ConflictError):
        client.apps.create("line-3")
    with pytest.raises(ForbiddenError):
        client.apps.stop("line-3")
    with pytest.raises(PreconditionError):
        client.apps.change("line-3", labels={"a": "b"}, if_match='"0"')
    with pytest.raises(InvalidError) as invalid:
        client.apps.create("Line 3")
    assert [(fault.field, fault.message) for fault in invalid.value.details] == [("name", "not a name")]
    with Client(platform.url, "bad") as stranger, pytest.raises(UnauthenticatedError):
        stranger.whoami()


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, retries=1) as client, pytest.raises(PlatformAway) as caught:
        client.whoami()
    assert caught.value.url == url
    assert url in str(caught.value)


def test_something_else_answers(platform: Platform, client: Client) -> None:
    platform.troubles = [Trouble(200, raw=b"<html>Welcome to nginx!</html>")]
    with pytest.raises(ApiError, match="check the address"):
        client.whoami()
    platform.troubles = [Trouble(404, raw=b"<html>gone</html>")]
    with pytest.raises(NotFoundError) as caught:
        client.whoami()
    assert caught.value.code == "http_404"


def test_wait_is_sent_within_its_limit(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    client.apps.start("line-3", wait=2.5)
    client.apps.start("line-3", wait=9000)
    assert [call.query for call in platform.calls] == [[("wait", "2.5")], [("wait", "300")]]


def test_times_carry_their_offset_and_labels_repeat(platform: Platform, client: Client) -> None:
    platform.add_app("line-3")
    list(client.apps.logs("line-3", since=datetime(2026, 3, 1, tzinfo=UTC), tail=1))
    client.apps.list(labels={"a": "1", "b": "2"}, state=None).page()
    assert ("since", "2026-03-01T00:00:00+00:00") in platform.calls[0].query
    assert platform.calls[1].query == [("label", "a=1"), ("label", "b=2")]


def test_names_cannot_leave_their_place_in_the_path(platform: Platform, client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.apps.get("../whoami?x=")
    assert platform.calls[0].path == "/api/v1/apps/..%2Fwhoami%3Fx%3D"


def test_any_endpoint_and_those_beside_the_base_path(platform: Platform, client: Client) -> None:
    answer = client.request("get", "/platform")
    assert (answer.status, answer.etag, answer.data["version"]) == (200, '"1"', "0.1.0")
    assert client.ready()["status"] == "ready"
    assert platform.calls[1].path == "/readyz"


def test_importing_the_package_loads_no_library() -> None:
    heavy = "[m for m in ('httpx2', 'pydantic') if m in sys.modules]"
    code = f"import sys, gongfang.client as c; c.NotFoundError; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
