"""How long failed log-ins lock a user."""

from datetime import timedelta

from gongfang.operations.access import FIRST_LOCK, LONGEST_LOCK, fresh_token, hash_token, lock_time


def test_it_grows_from_the_fifth_failure_on() -> None:
    assert [lock_time(n) for n in range(5)] == [None] * 5
    assert lock_time(5) == FIRST_LOCK == timedelta(minutes=15)
    assert lock_time(6) == timedelta(minutes=30)
    assert lock_time(10**6) == LONGEST_LOCK


def test_tokens() -> None:
    text = fresh_token()
    assert text.startswith("gf_") and len(text) == 46 and text != fresh_token()
    assert len(hash_token(text)) == 64 and hash_token(text) == hash_token(text) != hash_token(text + "x")
    assert hash_token("\udcff")  # what a header may hold must not fail
