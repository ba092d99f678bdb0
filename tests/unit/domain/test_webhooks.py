"""Decisions about webhooks that need no network."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.clock import utc_now
from gongfang.domain.webhooks import (
    Sent,
    Webhook,
    fault_of_url,
    fresh_secret,
    gives_up,
    matches,
    pause,
    public_url,
    refused_address,
    secret_bytes,
    signature,
)


def hook(**more: object) -> Webhook:
    now = utc_now()
    made = {"tags": ("*",), "enabled": True, "created_at": now, "created_by": None, "position": 0, **more}
    return Webhook("whk_1", None, None, None, "", "http://h/", fresh_secret(), **made)  # type: ignore[arg-type]


def test_the_signature_of_the_standards_example() -> None:
    """The example of the Standard Webhooks libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_tags() -> None:
    assert matches(["*"], "app:create") and matches(["app:*"], "app:create") and matches(["app:create"], "app:create")
    assert not matches(["app:create"], "app:created") and not matches(["app:*"], "apps:x") and not matches([], "x")


def test_secrets() -> None:
    assert len(secret_bytes(fresh_secret())) == 32
    for wrong in ("", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", fresh_secret().removeprefix("whsec_")):
        with pytest.raises(ValueError):
            secret_bytes(wrong)
    assert "whsec_" not in repr(hook()) and "http://h" not in repr(hook())


@given(st.integers(1, 500), st.floats(0, 1))
def test_pauses_grow_to_an_hour(attempts: int, spread: float) -> None:
    waited = pause(attempts, spread)
    assert timedelta(seconds=3.7) < waited <= timedelta(hours=1)
    assert pause(attempts + 1, 0) >= pause(attempts, 0)


def test_when_it_is_given_up() -> None:
    now = utc_now()
    assert gives_up(hook(), Sent(500, 1), now) is None
    assert gives_up(hook(failing_since=now - timedelta(hours=23)), Sent(500, 1), now) is None
    late = gives_up(hook(failing_since=now - timedelta(days=1), attempts=41), Sent(None, 1), now)
    assert late is not None and late.facts["attempts"] == 42
    gone = gives_up(hook(), Sent(410, 1), now)
    assert gone is not None and gone.code == "webhook_gone"


INSIDE = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "::1"),
    *(
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::7f00:1",
    ),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378::", "fec0::1", "198.18.0.1", "", "name"),
)


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside(address: str) -> None:
    assert refused_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "114.114.114.114", "2400:3200::1", "::ffff:8.8.8.8"])
def test_addresses_outside(address: str) -> None:
    assert not refused_address(address)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://mes.example.com/x?y=1", None),
        ("http://8.8.8.8:8080/", None),
        ("http://127.0.0.1/", "webhook_url_private"),
        ("http://[::1]/", "webhook_url_private"),
        ("http://localhost:80/", "webhook_url_private"),
        ("http://x.localhost/", "webhook_url_private"),
        ("file:///etc/passwd", "webhook_url_invalid"),
        ("http://host:99999/", "webhook_url_invalid"),
        ("http://[::1/", "webhook_url_invalid"),
        ("http:///x", "webhook_url_invalid"),
        ("http://a\\b/", "webhook_url_invalid"),
        ("http://u@host/", "webhook_url_userinfo"),
    ],
)
def test_addresses_as_they_are_given(url: str, fault: str | None) -> None:
    assert fault_of_url(url, private=False) == fault
    assert fault_of_url(url, private=True) == (None if fault == "webhook_url_private" else fault)


def test_what_others_see_of_an_address() -> None:
    assert public_url("https://oapi.example.com:8443/robot/send?access_token=s") == "https://oapi.example.com:8443/***"
