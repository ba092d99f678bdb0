"""The parts of the kit: assertions that tell right from wrong, and calls that always end."""

import json
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from gongfang.conformance.expect import TEXT, WHOLE, Failure, is_time, maybe, read_time, refused, succeeded, wrong_in
from gongfang.conformance.report import Check, Report, Result, Verdict
from gongfang.conformance.texts import Text, same
from gongfang.conformance.web import Answer, Call, Web

JSON = {"content-type": "application/json"}


def answer(status: int, document: Any, headers: dict[str, str] = JSON) -> Answer:
    return Answer("GET /x", None, status, headers, json.dumps(document).encode())


def error(**more: Any) -> dict[str, Any]:
    return {"success": False, "code": "app_not_found", "message": "m", "data": None, "request_id": "r", **more}


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("2026-01-31T08:00:00+08:00", True),
        ("2026-01-31T08:00:00Z", True),
        ("2026-01-31T08:00:00.123456789Z", True),
        ("2026-01-31T08:00:00.1+00:00", True),
        ("2026-01-31T08:00:00", False),
        ("2026-01-31 08:00:00+08:00", False),
        ("2026-02-31T08:00:00Z", False),
        ("2026-01-31T25:00:00Z", False),
        ("2026-01-31", False),
        ("now", False),
        (1769817600, False),
        (None, False),
    ],
)
def test_times(text: Any, fine: bool) -> None:
    assert is_time(text) is fine
    if fine:
        assert read_time(text).tzinfo is not None


@pytest.mark.parametrize(
    "insides",
    [
        'Traceback (most recent call last):\n  File "/srv/app.py", line 3',
        "java.lang.NullPointerException\n\tat com.plant.App.run(App.java:12)",
        "TypeError: x\n    at handle (/srv/app.js:10:5)",
        "panic: oops\n\ngoroutine 1 [running]:",
        "thread 'main' panicked at src/main.rs",
    ],
)
def test_insides_of_programs_are_recognised(insides: str) -> None:
    with pytest.raises(Failure, match="stack trace"):
        refused(answer(404, error(message=insides)), 404)


@pytest.mark.parametrize(
    "message", ["app.py line 12 is wrong; correct it", "应用不存在，请检查名称", "look at https://x/y"]
)
def test_plain_words_are_no_insides(message: str) -> None:
    refused(answer(404, error(message=message)), 404)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (answer(500, error()), "status 404"),
        (answer(404, error(code="AppNotFound")), "lower_snake"),
        (answer(404, error(code="")), "`code`"),
        (answer(404, error(message="")), "`message`"),
        (answer(404, error(success=True)), "`success`"),
        (answer(404, error(success=0)), "`success`"),
        (answer(404, error(details=[{"name": "x"}])), "details"),
        (answer(404, error(details="name")), "details"),
        (answer(404, error(message="your token is sesame")), "secret"),
        (answer(404, error(), {"content-type": "text/html"}), "JSON"),
        (answer(404, [error()]), "envelope"),
        (Answer("GET /x", None, 404, JSON, b"\xff\xfe"), "envelope"),
        (Answer("GET /x", None, 404, JSON, b"[" * 100_000), "envelope"),
        (Answer("GET /x", None, trouble="refused"), "status 404"),
    ],
)
def test_what_is_no_clear_error(found: Answer, said: str) -> None:
    with pytest.raises(Failure) as failure:
        refused(found, 404, token="sesame")
    assert said in failure.value.expected.english
    assert failure.value.expected.chinese


def test_a_good_answer_has_data_even_where_there_is_none() -> None:
    envelope = {"success": True, "code": "OK", "message": "m", "request_id": "r"}
    assert succeeded(answer(200, envelope | {"data": None}), 200) is None
    with pytest.raises(Failure, match="data"):
        succeeded(answer(200, envelope), 200)


def test_shapes_say_where_they_are_broken() -> None:
    shape = {"id": TEXT, "size": WHOLE, "note": maybe(TEXT)}
    assert wrong_in({"id": "a", "size": 0, "note": None, "more": 1}, shape) is None
    for value, said in (
        ({"id": ""}, "`id`"),
        ({"id": "a"}, "`size`"),
        ({"id": "a", "size": True}, "`size`"),
        ([], "id"),
    ):
        wrong = wrong_in(value, shape)
        assert wrong is not None
        assert said in wrong.english
        assert said in wrong.chinese


# --- calls that always end -------------------------------------------------------------------------------------------


@contextmanager
def talking(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that says what `talk` says to its first caller."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                talk(connection, over)
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        listener.close()


def asked(url: str, limit_s: float) -> Answer:
    web = Web(url, "t", limit_s=limit_s)
    try:
        return web.send(Call("GET", "/apps"))
    finally:
        web.close()


def test_a_server_that_never_answers_is_given_up() -> None:
    with talking(lambda _connection, over: bool(over.wait()) and None) as url:
        found = asked(url, 0.05)
    assert found.status == 0
    assert found.trouble


def test_a_server_that_dribbles_is_given_up() -> None:
    """Each byte comes in time; the whole does not."""

    def dribble(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not over.wait(0.01):
            connection.sendall(b"x")

    with talking(dribble) as url:
        began = time.monotonic()
        found = asked(url, 0.2)
        assert time.monotonic() - began < 10
    assert found.status == 0
    assert "no end of the body" in (found.trouble or "")


def test_a_server_that_dribbles_its_headers_is_given_up() -> None:
    def dribble(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        while not over.wait(0.01):
            connection.sendall(b"x")

    with talking(dribble) as url:
        found = asked(url, 0.2)
    assert found.status == 0
    assert found.trouble


def test_a_server_that_floods_is_given_up() -> None:
    def flood(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not over.is_set():
            connection.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")

    with talking(flood) as url:
        found = asked(url, 60)
    assert "a body of more than" in (found.trouble or "")


def test_what_is_no_http_is_no_answer() -> None:
    with talking(lambda connection, _over: connection.sendall(b"220 mail ready\r\n")) as url:
        assert asked(url, 5).status == 0


def test_a_stream_that_never_ends_is_given_up() -> None:
    def stream(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not over.wait(0.01):
            connection.sendall(b": keep-alive\n\n")

    with talking(stream) as url:
        web = Web(url, "t", limit_s=5)
        head, found = web.events("/operations/1/events", None, 0.1)
        web.close()
    assert found == []
    assert head.status in (0, 200)


# --- reports ---------------------------------------------------------------------------------------------------------


def report(*verdicts: Verdict) -> Report:
    made = Report("http://x", datetime.now(UTC))
    for number, verdict in enumerate(verdicts):
        result = Result(f"5.1({number})", "应用", "App", "GET /x", verdict=verdict, excused=verdict is Verdict.missing)
        if verdict is Verdict.failed:
            result.checks.append(
                Check(same("n"), verdict, "GET /x", same("e"), same("seen \x00\x1b\ud800 <&>"), same("b"))
            )
        made.results.append(result)
    return made


def test_junit_counts_and_stays_xml_whatever_was_seen() -> None:
    made = report(Verdict.passed, Verdict.failed, Verdict.missing, Verdict.blocked)
    for allow, failures, skipped in ((False, "3", "0"), (True, "2", "1")):
        (suite,) = ET.fromstring(made.junit("en", allow_missing=allow))
        assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", failures, skipped)
        assert "<&>" in "".join(suite.itertext())


@pytest.mark.parametrize(
    ("verdicts", "strict", "lenient"),
    [
        ((Verdict.passed,), True, True),
        ((Verdict.passed, Verdict.missing), False, True),
        ((Verdict.passed, Verdict.blocked), False, False),
        ((Verdict.failed, Verdict.missing), False, False),
    ],
)
def test_when_a_server_conforms(verdicts: tuple[Verdict, ...], strict: bool, lenient: bool) -> None:
    assert report(*verdicts).conforms(allow_missing=False) is strict
    assert report(*verdicts).conforms(allow_missing=True) is lenient


def test_facts_are_filled_into_both_languages() -> None:
    text = Text("{a} in {b}", "{b} 中的 {a}").fill(a=Text("one", "一"), b=2)
    assert (text.english, text.chinese) == ("one in 2", "2 中的 一")
