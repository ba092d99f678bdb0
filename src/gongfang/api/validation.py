"""Pydantic's findings as the platform's own field errors, which are worded in both languages. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from gongfang.domain.errors import FieldError, GongfangError, Invalid
from gongfang.domain.messages import CATALOGUE
from gongfang.wire.models import NAME_PATTERN


class Malformed(GongfangError):
    """A body that can't be read at all (status 400)."""

    kind = "malformed"


class WrongType(GongfangError):
    """A body of a kind that the endpoint doesn't take (status 415)."""

    kind = "wrong_type"


_PLACES = ("body", "query", "path", "header", "cookie")
_PATTERN_CODES = {NAME_PATTERN: "v_app_name"}  # patterns that have words of their own
_MOST = 50  # findings told; a hostile body may have a million


def error_of(findings: Sequence[Mapping[str, Any]]) -> GongfangError:
    """What to raise for pydantic's findings about one request."""
    for finding in findings:
        if finding["type"] == "json_invalid":
            context = cast("Mapping[str, object]", finding.get("ctx") or {})
            position = finding["loc"][-1] if finding["loc"] else 0
            return Malformed("malformed_json", detail=str(context.get("error", "")), position=str(position))
    return Invalid("validation_failed", details=[field_error(f) for f in findings[:_MOST]])


def field_error(finding: Mapping[str, Any]) -> FieldError:
    """One finding; a kind of error without a sentence of its own is told in pydantic's English."""
    told = cast("Mapping[str, object]", finding.get("ctx") or {})
    context: dict[str, str | int | float] = {k: str(v) for k, v in told.items() if k != "error"}
    if "expected" in context:
        context["expected"] = str(context["expected"]).replace("'", "").replace(" or ", ", ")
    code = _PATTERN_CODES.get(str(context.get("pattern")), f"v_{finding['type']}")
    if code == "v_too_short" and isinstance(finding.get("input"), str):
        code = "v_string_too_short"  # a secret string is none to pydantic
    if code not in CATALOGUE:
        return FieldError(_path(finding["loc"]), "v_other", {"detail": str(finding.get("msg", finding["type"]))})
    return FieldError(_path(finding["loc"]), code, context)


def _path(parts: Iterable[str | int]) -> str:
    path = [str(part) for part in parts]
    if path and path[0] in _PLACES:
        path = path[1:]
    return ".".join(part for part in path if part != "[key]")[:300] or "body"
