"""Another platform uses this one as its service broker, with nothing but HTTP: a database from `/broker/v2`."""

import base64
import http.client
import json
import time
from typing import Any

import pytest

from tests.e2e.pg_client import Connection, PgError


class Elsewhere:
    """The other platform."""

    def __init__(self, port: int, token: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        login = base64.b64encode(f"elsewhere:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "X-Broker-API-Version": "2.17"}

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = json.dumps(body) if body is not None else None
        self._http.request(method, f"/broker/v2{path}", content, self._headers)
        answer = self._http.getresponse()
        return answer.status, json.loads(answer.read())

    def ended(self, path: str, sent: tuple[int, Any]) -> str:
        """What an accepted request has come to."""
        status, told = sent
        assert status == 202, sent
        until = time.monotonic() + 60
        while time.monotonic() < until:
            status, said = self.send("GET", f"{path}/last_operation?operation={told['operation']}")
            if status == 410:
                return "gone"
            assert status == 200, said
            if said["state"] != "in progress":
                return f"{said['state']} {said.get('description', '')}".strip()
            time.sleep(0.05)
        raise AssertionError(f"{path} is still in progress")

    def close(self) -> None:
        self._http.close()


def lives(other: Elsewhere, instance: str) -> None:
    status, catalog = other.send("GET", "/catalog")
    assert status == 200
    service = next(s for s in catalog["services"] if s["name"] == "postgresql")
    plan = next(p for p in service["plans"] if p["name"] == "small")
    ids = {"service_id": service["id"], "plan_id": plan["id"]}
    query = f"?accepts_incomplete=true&service_id={service['id']}&plan_id={plan['id']}"
    wish = {**ids, "organization_guid": "org", "space_guid": "space", "context": {"platform": "elsewhere"}}
    assert other.ended(instance, other.send("PUT", f"{instance}?accepts_incomplete=true", wish)) == "succeeded"
    assert other.send("PUT", f"{instance}?accepts_incomplete=true", wish) == (200, {})

    binding = f"{instance}/service_bindings/key"
    bind = other.send("PUT", f"{binding}?accepts_incomplete=true", ids)
    assert "credentials" not in bind[1]
    assert other.ended(binding, bind) == "succeeded"
    status, bound = other.send("GET", binding)
    assert status == 200
    connection = Connection(bound["credentials"]["uri"])
    connection.query("CREATE TABLE parts (what text)")
    assert connection.query("INSERT INTO parts VALUES ('valve') RETURNING what") == [("valve",)]

    assert other.ended(binding, other.send("DELETE", f"{binding}{query}")) == "gone"
    with pytest.raises((PgError, OSError)):
        connection.query("SELECT 1")
    connection.close()
    with pytest.raises((PgError, OSError)):
        Connection(bound["credentials"]["uri"])
    assert other.send("GET", binding)[0] == 404
    assert other.send("DELETE", f"{binding}{query}") == (410, {})
    assert other.ended(instance, other.send("DELETE", f"{instance}{query}")) == "gone"
    assert other.send("DELETE", f"{instance}{query}") == (410, {})
