"""Bytes to lines: any cut of the same bytes gives the same lines, and hostile ones stay small and readable."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.errors import Invalid
from gongfang.operations.logs import CUT, MAX_LINE, Splitter, decode_cursor, encode_cursor, line_text, time_of
from gongfang.runtimes.interface import LogMark


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_cuts_do_not_matter(data: bytes, cuts: list[int]) -> None:
    whole = Splitter()
    expected = whole.feed(data) + whole.flush()
    pieces = Splitter()
    found: list[tuple[int, int, str]] = []
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for start, end in pairwise(edges):
        found += pieces.feed(data[start:end])
    assert found + pieces.flush() == expected
    assert [start for start, _, _ in expected[1:]] == [end for _, end, _ in expected[:-1]]
    assert not expected or expected[-1][1] == len(data)


def test_what_lines_look_like() -> None:
    splitter = Splitter(10)
    assert splitter.feed(b"a\r\n\x1b[31mred\x1b[0m\n\xff\xfe\n\npart") == [
        (10, 13, "a"),
        (13, 26, "\x1b[31mred\x1b[0m"),
        (26, 29, "\ufffd\ufffd"),
        (29, 30, ""),
    ]
    assert splitter.offset == 30
    assert splitter.flush() == [(30, 34, "part")]
    assert splitter.flush() == []


def test_a_long_line_is_cut_between_characters() -> None:
    splitter = Splitter()
    text = "工" * MAX_LINE
    (start, end, shown), after = splitter.feed(text.encode() + b"\nnext\n")
    assert (start, end) == (0, len(text.encode()) + 1) and after[2] == "next"
    assert shown.endswith(CUT) and "\ufffd" not in shown and len(shown.encode()) <= MAX_LINE + len(CUT.encode())
    assert line_text(b"x" * MAX_LINE) == "x" * MAX_LINE


def test_a_line_without_end_takes_no_memory() -> None:
    splitter = Splitter()
    for _ in range(100):
        assert splitter.feed(b"x" * 65536) == []
    assert splitter.flush()[0][1] == 100 * 65536


def test_times_by_marks() -> None:
    zero = datetime(2026, 1, 1, tzinfo=UTC)
    marks = [LogMark(zero, 0), LogMark(zero + timedelta(seconds=1), 100)]
    assert time_of(marks, 99, zero) == zero
    assert time_of(marks, 100, zero) == zero + timedelta(seconds=1)
    assert time_of([], 5, zero) == zero


def test_cursors() -> None:
    offsets = {"ins_1": 0, "ins_2": 1 << 40}
    assert decode_cursor(encode_cursor(offsets)) == offsets
    for wrong in ("", "x", "%%", "W10", "eyJhIjotMX0", "eyJhIjoieCJ9", "é"):
        with pytest.raises(Invalid):
            decode_cursor(wrong)
