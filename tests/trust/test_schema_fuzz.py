"""The OpenAPI document against the real API: whatever is sent, nothing is a 5xx, and each answer has a status, a
content type and a shape that the document promises. The same calls each time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from requests.exceptions import InvalidHeader, InvalidURL
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3.exceptions import LocationParseError

from gongfang.api.routes import ROUTES
from tests.api.conftest import BASE_DOMAIN, World, postgres_url, world
from tests.api.test_roles import Place, place

__all__ = ["BASE_DOMAIN", "place", "postgres_url", "world"]

EXAMPLES = 6
NO_HTTP = b"Invalid HTTP request received."  # the server's own answer to what is no request; nothing of ours saw it
NOT_HERE = "not_here"  # gc and rotation are the whole platform's work, which this API does without, and says so
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# Streams that never end. Those that do, and their pages, are tried.
ENDLESS = {"GET /events/stream"}


def endpoints() -> Iterator[str]:
    for route in ROUTES:
        name = f"{next(iter(route.methods))} {route.path.removeprefix('/api/v1')}"
        if name not in ENDLESS:
            yield name


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@pytest.fixture(scope="module")
def schema(world: World) -> Any:
    document = world.client(None).get("/openapi.json").json()
    return schemathesis.openapi.from_dict(document)


# What takes away what others need goes last.
ORDER = sorted(endpoints(), key=lambda e: (e.startswith("DELETE"), "users" in e))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda m: m.name.lower())
@pytest.mark.parametrize("endpoint", ORDER)
def test_answers_are_as_documented(
    schema: Any, session: requests.Session, place: Place, endpoint: str, mode: GenerationMode
) -> None:
    method, path = endpoint.split(" ")
    prefix = "" if path in ("/healthz", "/readyz") else "/api/v1"
    operation = schema[prefix + path][method]
    headers = {"authorization": f"Bearer {place.world.token}"}
    strategy = operation.as_strategy(generation_mode=mode)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, known=st.booleans())
    def probe(case: Any, known: bool) -> None:
        if known:  # with names of what is there, the calls get further
            case.path_parameters = {**(case.path_parameters or {}), **_there(place, path)}
        query = dict(case.query) if isinstance(case.query, dict) else {}
        if "wait" in query:
            query["wait"] = 0
        query.pop("follow", None)
        case.query = query
        try:
            response = case.call(place.world.url, session=session, headers=headers, timeout=20)
        except (InvalidHeader, UnicodeError, LocationParseError, InvalidURL):
            return  # can't be sent at all
        if response.status_code == 400 and response.content == NO_HTTP:
            return
        if response.status_code == 503 and response.json()["code"] == NOT_HERE:
            return
        case.validate_response(response, checks=CHECKS)

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):
        probe()


def _there(place: Place, path: str) -> dict[str, str]:
    return {name: value for name, value in place.ids.items() if f"{{{name}}}" in path}
