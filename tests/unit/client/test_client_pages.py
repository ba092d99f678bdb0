"""Lists are fetched as they are read."""

from hypothesis import given
from hypothesis import strategies as st

from gongfang.client import Client, Pages
from gongfang.wire.envelope import Page
from tests.unit.client.speaking_platform import Platform


def test_all_pages_are_read_and_no_more_than_needed(platform: Platform, client: Client) -> None:
    names = [f"app-{number}" for number in range(7)]
    for name in names:
        platform.add_app(name)
    apps = client.apps.list(page_size=3)
    assert [app.name for app in apps] == names
    assert len(platform.calls) == 3
    assert apps.first() is not None
    assert len(platform.calls) == 4


def test_one_page_at_a_time(platform: Platform, client: Client) -> None:
    for number in range(3):
        platform.add_app(f"app-{number}")
    page = client.apps.list(page_size=2).page()
    assert (len(page.items), page.next_cursor) == (2, "2")
    rest = client.apps.list(page_size=2).page(page.next_cursor)
    assert (len(rest.items), rest.next_cursor) == (1, None)


@given(st.lists(st.integers()), st.integers(1, 10))
def test_every_entry_comes_once_and_in_order(items: list[int], size: int) -> None:
    def fetch(cursor: str | None, limit: int | None) -> Page[int]:
        start = int(cursor or 0)
        end = start + (limit or 1)
        return Page(items=items[start:end], next_cursor=str(end) if end < len(items) else None)

    assert Pages(fetch, size).all() == items
