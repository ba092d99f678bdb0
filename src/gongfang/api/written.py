"""Apps as they were last written, so that a list of hundreds is not made of thousands of values each time.

What an app's JSON says follows from its row, those of its instances and domains, the numbers of their releases, and
the language. The store gives the same object for a row that has not changed (`Reading.find`), and values never change;
so if all of them are the very objects that were written last, the JSON is the same, too. The rows are read at each
call as before: nothing here can be out of date.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import is_
from typing import Any

from pydantic_core import to_json

from gongfang.api.present import app_out
from gongfang.domain.messages import Language
from gongfang.operations.views import AppView

KEPT = 20_000  # of a few thousand bytes each


@dataclass(frozen=True, slots=True)
class Written:
    """Data of an answer that is JSON already."""

    json: bytes


def written_page(page: dict[str, Any]) -> Written:
    """A page whose items are JSON already."""
    return Written(b'{"items":[%b],"next_cursor":%b}' % (b",".join(page["items"]), to_json(page["next_cursor"])))


class WrittenApps:
    """The first parts of what `app_out` takes are the same in every call of a process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Language], tuple[tuple[Any, ...], bytes]] = {}

    def __call__(
        self,
        view: AppView,
        edge_url: Callable[[str], str],
        language: Language,
        https_url: Callable[[str], str] | None,
    ) -> bytes:
        key = view.app.id, language
        parts = _parts(view)
        kept = self._kept.get(key)
        if kept is not None and len(kept[0]) == len(parts) and all(map(is_, kept[0], parts)):
            return kept[1]
        written = to_json(app_out(view, edge_url, language, https_url), inf_nan_mode="null")
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = parts, written
        return written


def _parts(view: AppView) -> tuple[Any, ...]:
    """All that the JSON depends on. A release's number is told by whether it is there: it never becomes another."""
    app, there = view.app, view.numbers.__contains__
    return (
        app,
        there(app.current_release_id or ""),
        there(app.target_release_id or ""),
        *view.instances,
        None,
        *view.domains,
        None,
        *(there(instance.release_id) for instance in view.instances),
    )
