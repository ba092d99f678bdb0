"""Identifiers: opaque strings, a prefix that says the kind, then 26 characters that sort by time of creation."""

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_PATTERN = re.compile(r"[a-z]{2,5}_[0-9a-hjkmnp-tv-z]{20}")


def new_id(prefix: str) -> str:
    """A fresh id such as ``app_01k8…``: 48 bits of milliseconds, then 52 random bits, in base 32."""
    number = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 52 | secrets.randbits(52)
    digits: list[str] = []
    for _ in range(20):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def is_id(text: str) -> bool:
    """Whether the text has the shape of an id; names never have it (they hold no underscore)."""
    return _PATTERN.fullmatch(text) is not None
