"""The pure parts of reading a request: languages, cursors, file names, and pydantic's findings in our words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from gongfang.api.language import language_of
from gongfang.api.paging import Paging, decode, encode
from gongfang.api.uploads import clean_filename
from gongfang.api.validation import error_of
from gongfang.domain.errors import Invalid
from gongfang.domain.messages import words
from gongfang.wire.models import AppRequest, InstancesRequest, TaskRequest, UserRequest


@given(st.text(max_size=60))
def test_any_header_gives_a_language(header: str) -> None:
    assert language_of(header) in ("zh-CN", "en")


def test_languages() -> None:
    assert language_of(None) == language_of("fr") == language_of("zh-TW") == "zh-CN"
    assert language_of("fr, en-US;q=0.3") == "en"


@given(st.text(st.characters(codec="utf-8"), max_size=40).filter(str.isprintable))
def test_cursors_come_back(value: str) -> None:
    assert decode(encode(value)) == value


def test_a_page_knows_whether_there_is_more() -> None:
    paging = Paging(2, None)
    assert paging.page([1, 2, 3], str, str) == {"items": ["1", "2"], "next_cursor": encode("2")}
    assert paging.page([1, 2], str, str)["next_cursor"] is None
    assert paging.page([], str, str) == {"items": [], "next_cursor": None}
    for wrong in ("x", "1" * 19, "-1", "٣"):
        with pytest.raises(Invalid):
            _ = Paging(1, wrong).after_number


@given(st.text(max_size=400))
def test_file_names_are_harmless(text: str) -> None:
    try:
        name = clean_filename(text)
    except Invalid:
        return
    assert 0 < len(name.encode()) <= 255 and "/" not in name and "\\" not in name and name not in (".", "..")
    assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)


@pytest.mark.parametrize(
    ("model", "data", "field", "chinese"),
    [
        (AppRequest, {}, "name", "必填。"),
        (AppRequest, {"name": "a", "type": "x"}, "type", "必须是以下之一：web, worker, task。"),
        (AppRequest, {"name": 1}, "name", "必须是字符串。"),
        (AppRequest, {"name": "a", "labels": []}, "labels", "必须是对象。"),
        (AppRequest, {"name": "a", "environment": {"1": "x"}}, "environment.1", None),
        (InstancesRequest, {"memory_mb": 1}, "memory_mb", "不能小于 16。"),
        (InstancesRequest, {"disk_mb": 1}, "disk_mb", "不能小于 16。"),
        (InstancesRequest, {"instances": "many"}, "instances", "必须是整数。"),
        (InstancesRequest, {"instances": 1.5}, "instances", "必须是整数。"),
        (TaskRequest, {"command": "", "timeout_s": 1}, "command", "至少 1 个字符。"),
        (TaskRequest, {"command": "x", "timeout_s": 0}, "timeout_s", "必须大于 0.0。"),
        (TaskRequest, {"command": "x", "timeout_s": float("nan")}, "timeout_s", None),
        (UserRequest, {"name": "a", "password": "short"}, "password", None),
        (UserRequest, {"name": "a", "password": "long enough!", "roles": {}}, "roles", "必须是列表。"),
    ],
)
def test_findings_in_words(model: type[BaseModel], data: object, field: str, chinese: str | None) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(data)
    details = error_of(caught.value.errors()).details
    assert [d.field for d in details] == [field]
    detail = details[0]
    assert "?" not in words(detail.code, detail.facts, "en") or "pattern" in detail.facts
    assert chinese is None or words(detail.code, detail.facts, "zh-CN") == chinese
    assert "short" not in str(detail.facts)  # a value at fault may be a secret
