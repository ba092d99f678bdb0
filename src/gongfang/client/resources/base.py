"""What every resource does: call, and read the answer's `data` as a wire model."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from gongfang.client.http import Answer, Http, Params
from gongfang.client.pages import Pages
from gongfang.wire.envelope import Page

M = TypeVar("M", bound=BaseModel)


class Resource:
    """A family of endpoints of one platform."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def _get(self, path: str, model: type[M], params: Params | None = None, *, wait: float | None = None) -> M:
        return model.model_validate(self._http.call("GET", path, params=params, wait=wait).data)

    def _post(self, path: str, model: type[M], json: Any = None, *, wait: float | None = None) -> M:
        return model.model_validate(self._http.call("POST", path, json=json, wait=wait).data)

    def _patch(self, path: str, json: Any, *, wait: float | None = None, if_match: str | None = None) -> Answer:
        return self._http.call("PATCH", path, json=json, wait=wait, if_match=if_match)

    def _delete(self, path: str, *, if_match: str | None = None) -> None:
        self._http.call("DELETE", path, if_match=if_match)

    def _list(self, path: str, model: type[M], params: Params | None = None, page_size: int | None = None) -> Pages[M]:
        def fetch(cursor: str | None, limit: int | None) -> Page[M]:
            answer = self._http.call("GET", path, params={**(params or {}), "cursor": cursor, "limit": limit})
            items: list[Any] = answer.data["items"]
            return Page(
                items=[model.model_validate(item) for item in items], next_cursor=answer.data.get("next_cursor")
            )

        return Pages(fetch, page_size)


def given(**values: Any) -> dict[str, Any]:
    """The body's fields that were given: None means absent."""
    return {name: plain(value) for name, value in values.items() if value is not None}


def plain(value: Any) -> Any:
    """A value as JSON: models are written with what was set on them, so that absent stays absent."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        mapping: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {str(key): plain(item) for key, item in mapping.items()}
    if isinstance(value, (list, tuple)):
        items: list[Any] | tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        return [plain(item) for item in items]
    return value


def part(name: str) -> str:
    """A name or id as one part of a path."""
    return quote(name, safe="")
