"""What holds for every endpoint: the envelope, languages, strict parameters, request ids, the OpenAPI document."""

import json
import re

import pytest

from gongfang.api.routes import ROUTES
from gongfang.operations import tree
from tests.api.conftest import Api, World, envelope, new_name


def test_alive_and_ready_without_a_token(world: World) -> None:
    anybody = world.client(None)
    assert envelope(anybody.get(f"{world.url}/healthz"), 200)["data"]["status"] == "ok"
    assert envelope(anybody.get(f"{world.url}/readyz"), 200)["data"]["checks"]["database"]["ok"]
    world.problems.append(("edge", False))
    not_ready = envelope(anybody.get(f"{world.url}/readyz"), 503)
    assert not_ready["code"] == "not_ready" and not_ready["data"]["checks"]["edge"]["message"]


def test_the_envelope_is_around_everything(world: World, admin: Api) -> None:
    anybody = world.client(None)
    assert envelope(anybody.get(f"{world.url}/nothing/here"), 404)["code"] == "path_not_found"
    assert envelope(anybody.get("/nothing"), 404)["code"] == "path_not_found"
    refused = anybody.put("/apps")
    assert envelope(refused, 405)["code"] == "method_not_allowed" and refused.headers["allow"]
    assert admin.code("GET", "/apps/", 404) == "path_not_found"
    assert admin.code("GET", "/apps/%00", 404) == "path_not_found"


def test_a_fault_inside_shows_nothing(admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_context: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(tree, "default_space_id", broken)
    response = admin.get("/whoami")
    body = envelope(response, 500)
    assert body["code"] == "internal" and "secret" not in response.text and body["request_id"] in body["message"]


def test_the_platform_tells_its_guarantees(admin: Api) -> None:
    data = admin.data("GET", "/platform")
    assert data["parts"][0]["state"] == "degraded" and data["parts"][0]["message"]
    assert not data["guarantees"][0]["enforced"] and "pretends" in data["guarantees"][0]["message"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh-CN"),
        ("en-GB,en;q=0.9", "en"),
        ("fr, zh;q=0.5, en;q=0.4", "zh-CN"),
        ("en;q=0, *", "zh-CN"),
        (";;q=x,,", "zh-CN"),
    ],
)
def test_languages(world: World, header: str | None, language: str) -> None:
    client = world.client(None)
    del client.headers["accept-language"]
    response = client.get("/apps", headers={"accept-language": header} if header else {})
    assert response.headers["content-language"] == language
    chinese = any("\u4e00" <= letter <= "\u9fff" for letter in response.json()["message"])
    assert chinese is (language == "zh-CN")


def test_request_ids(admin: Api) -> None:
    assert admin.get("/whoami", headers={"x-request-id": "line-3.42"}).json()["request_id"] == "line-3.42"
    for hostile in ("a b", "x" * 41, "<script>", "é".encode()):
        given = admin.get("/whoami", headers={"x-request-id": hostile}).headers["x-request-id"]
        assert re.fullmatch(r"req_[0-9a-f]{20}", given)


def test_parameters_are_strict(admin: Api) -> None:
    body = envelope(admin.get("/apps?nmae=x&limit=5"), 422)
    assert body["details"][0]["field"] == "nmae" and "name" in body["details"][0]["message"]
    assert envelope(admin.get("/apps?name=x&name=y"), 422)["details"][0]["field"] == "name"
    admin.data("GET", "/apps?label=a=1&label=b=2")
    assert admin.code("GET", "/apps?label=a", 422) == "validation_failed"
    for query in ("limit=0", "limit=501", "limit=x", "cursor=!!", "cursor=AAAA", "type=webb", "name=%00"):
        assert admin.code("GET", f"/apps?{query}", 422) == "validation_failed", query
    assert admin.code("GET", "/events?cursor=MXg", 422) == "validation_failed"
    assert admin.code("GET", "/events?since=2026-01-01T00:00:00", 422) == "validation_failed"
    admin.data("GET", "/events?since=2026-01-01T00:00:00%2B08:00&tag=app:*")
    assert admin.code("POST", "/apps?surprise=1", 422, json={"name": new_name()}) == "validation_failed"


def test_bodies_are_strict(world: World, admin: Api) -> None:
    faults = envelope(admin.post("/apps", json={"name": "Not OK", "processes": {"web": {"memory_mb": 1}}, "x": 1}), 422)
    assert {d["field"] for d in faults["details"]} == {"name", "processes.web.memory_mb", "x"}
    chinese = world.client(world.token, "zh-CN").post("/apps", json={})
    assert envelope(chinese, 422)["details"] == [{"field": "name", "message": "必填。"}]
    headers = {"content-type": "application/json"}
    for content in (b"{", b"", b'{"name": "\xff"}', b"[" * 100000):
        assert admin.request("POST", "/apps", content=content, headers=headers).status_code in (400, 422)
    assert admin.code("POST", "/apps", 400, content=b"{", headers=headers) == "malformed_json"
    body = json.dumps({"name": new_name(), "password": "long enough!", "display_name": "a\0b"})
    assert admin.code("POST", "/users", 422, content=body, headers=headers) == "validation_failed"
    body = '{"name": "n", "password": "long enough!", "display_name": "\\ud800"}'
    assert admin.code("POST", "/users", 422, content=body, headers=headers) == "validation_failed"
    assert admin.code("POST", "/apps", 413, content=b" " * (21 << 20), headers=headers) == "body_too_large"


def test_the_document_lists_the_standard(world: World) -> None:
    document = world.client(None).get("/openapi.json").json()
    clauses = {
        operation["x-aii-clause"]: f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "x-aii-clause" in operation
    }
    assert clauses == {
        "5.1(1)": "POST /api/v1/apps",
        "5.1(2)": "POST /api/v1/apps/{app_id}/package",
        "5.1(3)": "POST /api/v1/apps/{app_id}/start",
        "5.1(4)": "POST /api/v1/apps/{app_id}/instances",
        "5.1(6)": "POST /api/v1/apps/{app_id}/stop",
        "5.1(7)": "DELETE /api/v1/apps/{app_id}",
        "5.1(8)": "POST /api/v1/apps/{app_id}/bindings",
        "5.1(9)": "DELETE /api/v1/apps/{app_id}/bindings/{service_instance_id}",
        "5.1(10)": "GET /api/v1/tenants/{tenant_id}/domains",
        "5.1(11)": "POST /api/v1/domains",
        "5.1(12)": "DELETE /api/v1/apps/{app_id}/domains/{domain_id}",
        "5.4(1)": "POST /api/v1/organizations/{organization_id}/services",
        "5.4(2)": "POST /api/v1/spaces/{space_id}/service-instances",
        "5.4(3)": "POST /api/v1/service-instances/{service_instance_id}/configuration",
        "5.4(4)": "GET /api/v1/apps/{app_id}/services/{service_instance_id}/environment",
        "5.4(5)": "DELETE /api/v1/service-instances/{service_instance_id}",
        "5.4(6)": "GET /api/v1/service-instances/{service_instance_id}/status",
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"] and operation["tags"], path
            # Each error by its status, in the envelope and never in the framework's own form.
            errors = {status: told for status, told in operation["responses"].items() if int(status) >= 400}
            assert {"404", "422", "503"} <= set(errors) and "default" not in operation["responses"], path
            for told in errors.values():
                assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Envelope_Any_"}
            assert ("401" in errors) is (operation.get("security") != [] or "/auth/" in path)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/api/v1/auth/login"]["post"]["security"] == []
    assert document["components"]["schemas"]["AppRequest"]["examples"]


def test_every_endpoint_has_one_name() -> None:
    names = [route.operation_id for route in ROUTES]
    assert len(set(names)) == len(names)
