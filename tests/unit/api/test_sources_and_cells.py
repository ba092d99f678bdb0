"""Where a call comes from behind proxies, and what stands in a spreadsheet's cells."""

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncGenerator
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.api.exports import accepts_gzip, allowed, cell, rows
from gongfang.api.source import client_address
from gongfang.domain.errors import Unauthenticated

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.5", ["1.2.3.4"], "203.0.113.5"),  # no proxy of ours: not believed
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # what the client itself wrote in front
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["", "nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("fd00::1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        (None, ["1.2.3.4"], None),
        ("a-socket", ["1.2.3.4"], "a-socket"),
    ],
)
def test_the_address_of_a_client(peer: str | None, forwarded: list[str], expected: str | None) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected
    assert client_address("10.0.0.1", ["1.2.3.4"], []) == "10.0.0.1"


@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_stands_there_is_read(forwarded: list[str]) -> None:
    assert client_address("10.0.0.1", forwarded, PROXIES)


@given(st.text())
def test_no_cell_begins_a_formula(text: str) -> None:
    shown = cell(text)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert shown in (text, f"'{text}")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=4))
def test_rows_are_read_back(cells: list[str]) -> None:
    assert next(csv.reader(io.StringIO(rows([cells]).decode(), newline=""))) == cells


def test_compression_by_wish() -> None:
    assert accepts_gzip("gzip, br") and accepts_gzip("GZIP;q=0.5") and accepts_gzip("*")
    assert not accepts_gzip("") and not accepts_gzip("br") and not accepts_gzip("gzip;q=0")


def test_a_download_ends_where_its_caller_is_shut_out() -> None:
    asked = 0

    async def confirm() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Unauthenticated("token_invalid")

    async def pages() -> AsyncGenerator[list[str]]:
        for number in range(5):
            yield [str(number)]

    async def read(every_s: float) -> list[list[str]]:
        got: list[list[str]] = []
        with contextlib.suppress(Unauthenticated):
            async for page in allowed(pages(), confirm, every_s):
                got.append(page)
        return got

    assert asyncio.run(read(0)) == [["0"]] and asked == 2
    assert len(asyncio.run(read(3600))) == 5 and asked == 2
