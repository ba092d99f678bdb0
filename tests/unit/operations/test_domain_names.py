"""Host names in their one spelling, and filing numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.errors import Invalid
from gongfang.operations.domains import PROVINCES, normal_domain, normal_icp

BASE = "apps.localhost"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("MES.Example.CN", "mes.example.cn"),
        (" mes.example.cn. ", "mes.example.cn"),
        ("工坊.中国", "xn--2esp7m.xn--fiqs8s"),
        ("工坊。中国", "xn--2esp7m.xn--fiqs8s"),
        ("ｍｅｓ.example.cn", "mes.example.cn"),
        ("a.apps.localhost", "a.apps.localhost"),
        ("straße.de", "xn--strae-oqa.de"),
        ("xn--fiqs8s.cn", "xn--fiqs8s.cn"),
    ],
)
def test_one_spelling(text: str, name: str) -> None:
    assert normal_domain(text, BASE) == name
    assert normal_domain(name, BASE) == name


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("*.example.cn", "domain_wildcard"),
        ("10.0.0.1", "domain_is_address"),
        ("[::1]", "domain_is_address"),
        ("::1", "domain_is_address"),
        ("１０.0.0.1", "domain_invalid"),
        ("1.2.3", "domain_invalid"),
        ("apps.localhost", "domain_is_base"),
        ("a.b.apps.localhost", "domain_too_deep"),
        ("localhost", "domain_invalid"),
        ("x.localhost", "domain_invalid"),
        ("mes", "domain_invalid"),
        ("", "domain_invalid"),
        (".", "domain_invalid"),
        ("a..cn", "domain_invalid"),
        (".a.cn", "domain_invalid"),
        ("-a.cn", "domain_invalid"),
        ("a_b.cn", "domain_invalid"),
        ("a b.cn", "domain_invalid"),
        ("a.cn:80", "domain_invalid"),
        ("a.cn/x", "domain_invalid"),
        ("a@b.cn", "domain_invalid"),
        ("a\u200b.b\u202e.cn", "domain_invalid"),
        ("x" * 64 + ".cn", "domain_invalid"),
        (".".join(["x" * 60] * 5) + ".cn", "domain_invalid"),
        ("xn--zzzzzz.cn", "domain_invalid"),
    ],
)
def test_what_is_no_domain(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        normal_domain(text, BASE)
    assert caught.value.details[0].code == code


@given(st.text(max_size=80))
def test_never_anything_else_than_a_spelling_or_a_refusal(text: str) -> None:
    try:
        name = normal_domain(text, BASE)
    except Invalid:
        return
    assert normal_domain(name, BASE) == name
    assert name.isascii() and name == name.lower() and len(name) <= 253


def test_filing_numbers() -> None:
    assert len(set(PROVINCES)) == len(PROVINCES) == 31
    assert normal_icp(None) is None
    for province in PROVINCES:
        assert normal_icp(f" {province}ICP备12345678号 ") == f"{province}ICP备12345678号"
    assert normal_icp("京ICP备12345678号-12") == "京ICP备12345678号-12"
    for wrong in (
        "",
        "ICP备12345678号",
        "港ICP备1号",
        "京icp备1号",
        "京ICP备１号",
        "京ICP备1号-",
        "京ICP备1号-0",
        "京ICP备1号-1\n2",
    ):
        with pytest.raises(Invalid):
            normal_icp(wrong)
