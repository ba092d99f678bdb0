"""JSON bodies, read strictly: what two readers could take in two ways is no body.

A name twice in one object, `NaN`, `Infinity` and numbers that no float or 64-bit integer holds are refused (JSON has
none of the former, and readers differ on the rest); so is a zero byte in a text, since the database has no such text.
"""

import json
import math
from typing import Any, cast

from gongfang.api.validation import Malformed
from gongfang.domain.errors import FieldError, GongfangError, Invalid

_DIGITS = 1000  # of an integer; what is larger than a field takes is told as that field's fault


class _Fault(ValueError):
    """What is wrong, in a few words."""


def parsed(body: bytes) -> Any:
    """The value of a body. Raises `Malformed("malformed_json")`, `Invalid("validation_failed")`."""
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except UnicodeDecodeError as error:
        raise _malformed("not UTF-8", error.start) from error
    except json.JSONDecodeError as error:
        raise _malformed(error.msg, error.pos) from error
    except _Fault as error:
        raise _malformed(str(error), 0) from error
    except RecursionError as error:
        raise _malformed("nested too deeply", 0) from error
    if b"\\u0000" in body and _holds_zero(value):
        raise Invalid("validation_failed", details=[FieldError("body", "v_zero_byte", {})])
    return value


def _malformed(detail: str, position: int) -> GongfangError:
    return Malformed("malformed_json", detail=detail, position=position)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise _Fault(f"{json.dumps(twice[:64])} twice in one object")
    return made


def _constant(name: str) -> object:
    raise _Fault(f"{name} is no JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Fault("a number too large")
    return number


def _int(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Fault("a number too large")
    return int(text)


def _holds_zero(value: object) -> bool:
    """Whether any text in it, or name, has a zero byte. Without recursion: a hostile body is deep."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            for name, inner in cast("dict[str, object]", item).items():
                waiting += (name, inner)
        elif isinstance(item, list):
            waiting += cast("list[object]", item)
    return False
