"""Lists that come in pages: iterate over all of it, or take one page."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from gongfang.wire.envelope import Page

T = TypeVar("T")


class Pages(Generic[T]):
    """A list that is fetched as it is read: `for app in client.apps.list()`. Every iteration asks anew.

    `page_size`: how many to fetch at a time (1-500); None leaves it to the platform.
    """

    def __init__(self, fetch: Callable[[str | None, int | None], Page[T]], page_size: int | None = None) -> None:
        self._fetch = fetch
        self._size = page_size

    def __iter__(self) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._fetch(cursor, self._size)
            yield from page.items
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    def page(self, cursor: str | None = None) -> Page[T]:
        """One page: the first, or the one after `cursor` (a page's `next_cursor`)."""
        return self._fetch(cursor, self._size)

    def first(self) -> T | None:
        """The first entry, or None."""
        return next(iter(self), None)

    def all(self) -> list[T]:
        """Everything, as a list."""
        return list(self)
