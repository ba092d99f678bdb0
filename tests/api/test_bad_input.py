"""Hostile names, numbers, bodies and requests: a clear 4xx, and nothing changed. (Uploads: `test_uploads`.)"""

import concurrent.futures
import json
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.api.conftest import Api, World, envelope, new_name
from tests.api.test_apps import new_app

JSON = {"content-type": "application/json"}

NEVER_APPS = [
    *(
        "",
        "-",
        "-app",
        "app-",
        "App",
        "应用",
        "a" * 64,
        "a b",
        "a_b",
        "a.b",
        "a/b",
        "a\\b",
        "..",
        "../etc",
        "a\n",
        " a",
    ),
    *(
        "ａｐｐ",
        "аpp",
        "app\u200b",
        "\u202eppa",
        "a\u0300pp",
        "app\ufe0f",
        "📈",
        "a%20b",
        "%2e%2e",
        "ap%",
        "app*",
        "a\0",
    ),
    *("--help", "${HOME}", "a;b", "a'b", 'a"b', "a`b", "<a>", "\ud800", "ﬁre", "ß", "K"),
]


@pytest.mark.parametrize("name", NEVER_APPS)
def test_names_of_apps(admin: Api, name: str) -> None:
    body = envelope(admin.post("/apps", content=json.dumps({"name": name}), headers=JSON), 422)
    assert body["details"][0]["field"] in ("name", "body") and body["code"] == "validation_failed"
    app = new_app(admin)
    content = json.dumps({"name": name})
    assert admin.code("PATCH", f"/apps/{app['id']}", 422, content=content, headers=JSON) == "validation_failed"
    assert admin.data("GET", f"/apps/{app['id']}")["name"] == app["name"]


NEVER_PLACES = [
    *(
        "",
        " ",
        "/",
        "a/b",
        "a\\b",
        "a\tb",
        "\u202eppa",
        "a\u200bb",
        "a\u200db",
        "\ufeffa",
        "a\u00a0b",
        "a\u2028b",
    ),
    *(
        "a\ufe0f",
        "a\u3164",
        "\u2800",
        "\u0301a",
        "a" + "\u0301" * 9,
        "\ud800",
        "\ue000",
        "\U000e0041",
        "a\u00ad",
        "x" * 64,
    ),
    *("\u2066a\u2069", "a\x7f"),
]


@pytest.mark.parametrize("name", NEVER_PLACES)
def test_names_of_places_and_people(admin: Api, name: str) -> None:
    content = json.dumps({"name": name})
    for path in ("/tenants", "/organizations", "/spaces"):
        assert admin.code("POST", path, 422, content=content, headers=JSON) == "validation_failed"
    if name.strip() and not {*name} & {*"/\\"} and len(name) < 64:
        person = {"name": new_name("u"), "password": "correct horse", "display_name": name}
        assert admin.code("POST", "/users", 422, content=json.dumps(person), headers=JSON) == "validation_failed"
        assert admin.code("POST", "/tokens", 422, content=content, headers=JSON) == "validation_failed"


def test_names_of_places_that_look_the_same_are_one(admin: Api) -> None:
    tenant = admin.data("POST", "/tenants", 201, json={"name": new_name("t")})["id"]
    first = admin.data("POST", "/organizations", 201, json={"name": "Caf\u00e9 苏州（一）", "tenant_id": tenant})
    other = admin.data("POST", "/organizations", 201, json={"name": "other", "tenant_id": tenant})
    for alike in (
        "Cafe\u0301 苏州（一）",
        "café 苏州（一）",
        "Ｃafé 苏州(一)",
        "CAFÉ  苏州（一）",
        "Caf\u00e9\u3000苏州（一）",
    ):
        body = {"name": alike, "tenant_id": tenant}
        told = envelope(admin.post("/organizations", json=body), 409)
        assert told["code"] == "name_taken" and told["details"][0]["field"] == "name"
        assert admin.code("PATCH", f"/organizations/{other['id']}", 409, json={"name": alike}) == "name_taken"
    # Kept in one form; the same again, in its own case, is its own.
    assert first["name"] == "Café 苏州（一）"
    admin.data("PATCH", f"/organizations/{first['id']}", json={"name": "CAFÉ 苏州（一）"})
    admin.data("POST", "/spaces", 201, json={"name": "📈 三号线", "organization_id": first["id"]})


def test_names_never_match_by_prefix_or_pattern(world: World, admin: Api) -> None:
    """Stopping `app` once stopped `app2`: whatever stands for a name stands for that one alone."""
    body = {"name": new_name("o")}
    organization = admin.data("POST", "/organizations", 201, json=body)["id"]
    space = admin.data("POST", "/spaces", 201, json={"name": "s", "organization_id": organization})["id"]
    stem = new_name("app")
    names = [stem, f"{stem}2", f"{stem}-2", f"2-{stem}"]
    ids = {n: admin.data("POST", "/apps", 201, json={"name": n, "space_id": space})["id"] for n in names}
    for name in names:
        assert [a["name"] for a in admin.data("GET", "/apps", params={"name": name})["items"]] == [name]
        assert admin.data("GET", f"/apps/{name}")["id"] == ids[name]
        admin.data("POST", f"/apps/{name}/package?filename=a.zip", 201, content=b"x")
        admin.data("POST", f"/apps/{name}/start", 202)
    for hostile in (
        stem[:-1],
        f"{stem}%",
        f"{stem}*",
        f"{stem[:-1]}_",
        f"%{stem}",
        f"({stem})",
        stem.upper(),
    ):
        assert admin.data("GET", "/apps", params={"name": hostile})["items"] == []
        assert admin.code("POST", f"/apps/{quote(hostile, safe='')}/stop", 404) == "app_not_found"
        assert admin.code("DELETE", f"/apps/{quote(hostile, safe='')}", 404) == "app_not_found"
        assert admin.data("GET", "/events", params={"tag": hostile})["items"] == []
    admin.data("POST", f"/apps/{stem}/stop", 202)
    wanted = {a["name"]: a["desired_state"] for a in admin.data("GET", f"/apps?space_id={space}")["items"]}
    assert wanted == dict.fromkeys(names, "started") | {stem: "stopped"}
    admin.data("DELETE", f"/apps/{stem}", 202)
    admin.data("PATCH", f"/apps/{stem}2", json={"labels": {"line": "3"}})
    assert not [a for a in admin.data("GET", "/apps?label=line=%25")["items"] if a["space_id"] == space]


def test_concurrent_identical_calls(world: World, admin: Api) -> None:
    """One is done; the others are told so, or get the first answer."""
    clients = [world.client(world.token) for _ in range(6)]

    def times(work: Any) -> list[int]:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            return sorted(pool.map(work, clients))

    app = {"name": new_name("twin")}
    assert times(lambda c: c.post("/apps", json=app).status_code) == [201] + [409] * 5
    tenant = {"name": new_name("twin")}
    assert times(lambda c: c.post("/tenants", json=tenant).status_code) == [201] + [409] * 5
    user = {"name": new_name("twin"), "password": "correct horse"}
    assert times(lambda c: c.post("/users", json=user).status_code) == [201] + [409] * 5
    key = {"idempotency-key": new_name("key")}
    body = {"name": new_name("once")}
    assert set(times(lambda c: c.post("/apps", json=body, headers=key).status_code)) <= {201, 409}
    assert len(admin.data("GET", "/apps", params=body)["items"]) == 1
    user_id, _ = world.user([{"role": "developer"}])
    role = {"role": "operator"}
    assert set(times(lambda c: c.post(f"/users/{user_id}/roles", json=role).status_code)) <= {201, 409}
    assert len(admin.data("GET", f"/users/{user_id}")["roles"]) == 2
    assert set(times(lambda c: c.delete(f"/apps/{app['name']}").status_code)) == {202}


NUMBERS = [
    "-1",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "1" * 30,
    "9" * 5000,
    "1.5",
    "true",
    '"2"',
    "[]",
    "{}",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers(admin: Api, number: str) -> None:
    app = new_app(admin)
    path = f"/apps/{app['id']}"

    def refused(method: str, where: str, body: str) -> None:
        response = admin.request(method, where, content=body, headers=JSON)
        assert envelope(response, response.status_code)["code"] in ("validation_failed", "malformed_json"), (
            response.text
        )
        assert response.status_code in (400, 422)

    for field in ("instances", "memory_mb"):
        refused("POST", f"{path}/instances", f'{{"{field}": {number}}}')
    refused("POST", f"{path}/rollback", f'{{"release": {number}}}')
    refused("POST", "/tokens", f'{{"name": "n", "expires_in_s": {number}}}')
    if number != "1.5":
        for field in ("cpu", "drain_s", "stop_timeout_s", "start_timeout_s"):
            refused("PATCH", path, f'{{"processes": {{"web": {{"{field}": {number}}}}}}}')
        refused("PATCH", path, f'{{"processes": {{"web": {{"readiness": {{"timeout_s": {number}}}}}}}}}')
    if number not in ("true",):
        refused("PATCH", "/users/usr_x", f'{{"disabled": {number}}}')
    assert admin.data("GET", path) == app


@pytest.mark.parametrize("value", ["-1", "301", "1e400", "nan", "inf", "x", "", "１", "0x10", "1,5", "9" * 400])
def test_numbers_in_the_address(admin: Api, value: str) -> None:
    app = new_app(admin)
    for path in (f"/operations/op_x?wait={quote(value)}", f"/apps?limit={quote(value)}"):
        if value == "301" and "limit" in path:
            continue
        assert admin.code("GET", path, 422) == "validation_failed", path
    if value not in ("301",):
        assert admin.get(f"/apps/{app['id']}/releases/{quote(value)}").status_code in (404, 422)


BODIES = {
    "a name twice": b'{"name": "a-%s", "name": "b"}',
    "a name twice, deep": b'{"name": "a", "processes": {"web": {"cpu": 1, "cpu": 2}}}',
    "a name twice, spelled otherwise": b'{"name": "a", "n\\u0061me": "b"}',
    "nothing": b"",
    "no JSON": b"name=a",
    "half": b'{"name": "a"',
    "two": b'{"name": "a"}{"name": "b"}',
    "UTF-8 that is none": b'{"name": "\xff\xfe"}',
    "overlong": b'{"name": "\xc0\xaf"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "a mark before it": b'\xef\xbb\xbf{"name": "a"}',
    "half a character": b'{"name": "\\ud800"}',
    "deep lists": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep with a zero": b'{"name": ' + b"[" * 900 + b'"\\u0000"' + b"]" * 900 + b"}",
    "deep inside": b'{"name": "a", "labels": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "a list": b"[]",
    "a text": b'"name"',
    "null": b"null",
    "too many": json.dumps({"name": "a", "labels": {f"k{n}": "v" for n in range(65)}}).encode(),
    "many unknown": json.dumps({f"k{n}": 1 for n in range(20_000)}).encode(),
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies(admin: Api, what: str) -> None:
    response = admin.post("/apps", content=BODIES[what], headers=JSON)
    assert response.status_code in (400, 422), response.text
    assert envelope(response, response.status_code)["code"] in ("malformed_json", "validation_failed")
    assert len(response.content) < 20_000


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "application/xml",
        "x",
    ],
)
def test_other_kinds_of_bodies(admin: Api, kind: str | None) -> None:
    name = new_name("kind")
    headers = {} if kind is None else {"content-type": kind}
    body = envelope(admin.post("/apps", content=json.dumps({"name": name}).encode(), headers=headers), 415)
    assert body["code"] == "content_type_not_json" and "application/json" in body["message"]
    assert admin.data("GET", "/apps", params={"name": name})["items"] == []
    for good in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
        content = json.dumps({"name": new_name("kind")})
        assert admin.post("/apps", content=content, headers={"content-type": good}).status_code == 201


@pytest.mark.parametrize("value", ["", "*, *", "W/", '"' * 500, "x" * 9000, "\u00e9".encode("latin-1"), '"a", "b"'])
def test_headers(admin: Api, value: Any) -> None:
    app = new_app(admin)
    response = admin.patch(f"/apps/{app['id']}", json={"labels": {"a": "b"}}, headers={"if-match": value})
    assert response.status_code == 412, response.text
    for name in ("idempotency-key", "last-event-id", "accept-language", "x-request-id", "x-forwarded-for", "accept"):
        response = admin.get(f"/apps/{app['id']}/logs", headers={name: value})
        assert response.status_code in (200, 422), (name, response.text)
    keys = admin.post("/apps", json={"name": new_name("k")}, headers={"idempotency-key": value})
    assert keys.status_code in (201, 422)


def spoken(world: World, data: bytes, *, more: bytes = b"", times: int = 0) -> bytes:
    """What the server says to these bytes before it closes."""
    address = urlsplit(world.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(data)
            for _ in range(times):
                connection.sendall(more)
            if not times:
                connection.shutdown(socket.SHUT_WR)
        except (ConnectionResetError, BrokenPipeError):
            pass
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    return answer


def test_a_flood_of_headers_is_cut_off(world: World) -> None:
    """By anybody, without a token: neither many nor one without end may fill the memory."""
    start = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    for more in (b"x-a: " + b"y" * 1000 + b"\r\n", b"y" * 1000):
        answer = spoken(world, start + b"x-b: ", more=more, times=5000)
        assert not answer or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    answer = spoken(world, b"GET /" + b"a" * 300_000, more=b"a" * 1000, times=2000)
    assert not answer or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    assert b"200 OK" in spoken(world, start + b"x-a: " + b"y" * 8000 + b"\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        b"\r\n",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request(world: World, data: bytes) -> None:
    answer = spoken(world, data)
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    assert world.client(None).get(f"{world.url}/healthz").status_code == 200


def test_an_upload_whose_length_lies(world: World, admin: Api) -> None:
    app = new_app(admin)
    head = (
        f"POST /api/v1/apps/{app['id']}/package?filename=a.zip HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {world.token}\r\n"
    ).encode()
    longer = spoken(world, head + b"Content-Length: 100\r\n\r\nonly this")
    assert not longer or longer.startswith(b"HTTP/1.1 4")
    chunked = spoken(world, head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nffffffff\r\nand no more")
    assert not chunked or chunked.startswith(b"HTTP/1.1 4")
    garbage = spoken(world, head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnot a size\r\n")
    assert not garbage or garbage.startswith(b"HTTP/1.1 4")
    assert admin.data("GET", f"/apps/{app['id']}/packages")["items"] == []
    shorter = spoken(world, head + b"Content-Length: 2\r\n\r\nhe, and what follows is no request\r\n\r\n")
    # The two bytes may have been stored by the time that the rest was seen to be no request.
    assert b"HTTP/1.1 400" in shorter and b"HTTP/1.1 5" not in shorter
    assert {p["size"] for p in admin.data("GET", f"/apps/{app['id']}/packages")["items"]} <= {2}


@pytest.mark.parametrize(
    "domain",
    [
        *(
            "",
            ".",
            "a",
            "-a.cn",
            "a-.cn",
            "a..cn",
            "a.cn.",
            "*.a.cn",
            "1.2.3.4",
            "[::1]",
            "::1",
            "0x7f.1",
            "localhost",
            "a b.cn",
        ),
        *(
            "a.cn/x",
            "a.cn:80",
            "http://a.cn",
            "a.cn\u0000",
            "a\u202e.cn",
            "\u2024.cn",
            "a" * 64 + ".cn",
            "x." * 130 + "cn",
        ),
        *("a_b.cn", "%2e.cn", "xn--.cn", "apps.localhost", "x.y.apps.localhost", "\ud800.cn", "127.1"),
    ],
)
def test_domains(admin: Api, domain: str) -> None:
    if domain == "a.cn.":  # the one spelling of it has no dot at its end
        return
    response = admin.post("/domains", content=json.dumps({"domain": domain}), headers=JSON)
    assert envelope(response, 422)["code"] == "validation_failed"
