"""The envelope of every JSON answer, and the one table from kinds of errors to HTTP statuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic_core import to_json
from starlette.responses import Response

from gongfang.api.written import Written
from gongfang.domain.errors import FieldError, GongfangError, TooMany, Unavailable
from gongfang.domain.messages import Language, words

STATUS: Mapping[str, int] = {
    "not_found": 404,
    "unauthenticated": 401,
    "forbidden": 403,
    "conflict": 409,
    "precondition": 412,
    "invalid": 422,
    "malformed": 400,
    "too_large": 413,
    "wrong_type": 415,
    "quota_exceeded": 403,
    "too_many": 429,
    "unavailable": 503,
    "internal": 500,
}


@dataclass(frozen=True, slots=True)
class Visit:
    """What an answer depends on beside its data."""

    language: Language
    request_id: str


def envelope(
    visit: Visit,
    status: int,
    code: str,
    data: Any = None,
    *,
    facts: Mapping[str, object] | None = None,
    details: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One answer. `data`: anything that pydantic writes as JSON, or what is written already."""
    body: dict[str, Any] = {
        "success": status < 400,
        "code": code,
        "message": words(code, facts or {}, visit.language),
        "data": data,
    }
    if details:
        body["details"] = [{"field": d.field, "message": words(d.code, d.facts, visit.language)} for d in details]
    body["request_id"] = visit.request_id
    if isinstance(data, Written):
        written = orjson.dumps({**body, "data": orjson.Fragment(data.json)})
    else:
        written = to_json(body, inf_nan_mode="null")
    return Response(written, status, dict(headers or {}), "application/json")


def error_answer(visit: Visit, error: GongfangError, data: Any = None) -> Response:
    """The answer that an error becomes."""
    status = STATUS.get(error.kind, 500)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="gongfang"'
    if isinstance(error, Unavailable | TooMany):
        headers["retry-after"] = f"{max(1, round(error.retry_after))}"
    if error.code == "idempotency_in_progress":
        headers["retry-after"] = "1"
    return envelope(visit, status, error.code, data, facts=error.facts, details=error.details, headers=headers)
