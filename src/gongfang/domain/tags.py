"""The tags that events have: the one list of them, which patterns of webhooks are checked against. Pure.

A test holds it against the tags that are spelt out in the source, another one docs/events.md against the same.
"""

from difflib import get_close_matches

from gongfang.domain.services import VERBS
from gongfang.domain.values import APP_KINDS

_API = "api:"  # and a call's name, which is the interface's matter
_ENDS = ("requested", "succeeded", "failed", "cancelled")


def _each(noun: str, *verbs: str) -> set[str]:
    return {f"{noun}:{verb}" for verb in verbs}


TAGS = frozenset(
    _each("app", "create", "change", "environment:change", "package:upload", "release:create", "state:changed")
    | _each("app", "instance:crashed", "instance:restart")
    | _each("app:task", "create", "cancel", "succeeded", "failed", "cancelled")
    | {f"app:{kind.value}:{end}" for kind in APP_KINDS for end in _ENDS}
    | _each("operation", "cancel")
    | _each("domain", "bind", "attach", "detach", "change", "delete")
    | _each("certificate", "add", "replace", "delete", "expiring", "expired")
    | {f"{noun}:{verb}" for noun in ("tenant", "organization", "space") for verb in ("create", "change", "delete")}
    | _each("organization", "quota")
    | _each("space", "quota", "egress:change")
    | _each("user", "create", "change", "delete", "login:succeeded", "login:failed", "token:recovered")
    | _each("role", "grant", "revoke")
    | _each("token", "create", "delete")
    | _each("webhook", "create", "change", "delete", "test", "disabled")
    | _each("service", "enable", "disable", "plans:change", "change", "share", "unshare", "expose", "unexpose")
    | {f"service:{verb}:{end}" for verb in VERBS.values() for end in _ENDS}
    | _each("service:key", "create", "delete")
    | _each("service", "crashed", "recovered", "orphan:noted", "orphan:removed")
    | _each("broker", "register", "change", "remove", "refresh", "failing")
    | _each("platform", "bootstrap", "gc", "keys:rotated", "clock:jumped", "backup:made", "restored")
)


def known(pattern: str) -> bool:
    """Whether a tag or a pattern (`app:*`, `*`) fits any event that there may be."""
    if not pattern.endswith("*"):
        return pattern in TAGS or (pattern.startswith(_API) and pattern.endswith((":refused", ":failed")))
    begin = pattern[:-1]
    return begin.startswith(_API) or any(tag.startswith(begin) for tag in (*TAGS, _API))


def nearest(pattern: str) -> str:
    """What may have been meant."""
    nouns = {f"{tag.partition(':')[0]}:*" for tag in TAGS} | {f"{_API}*"}
    return next(iter(get_close_matches(pattern, sorted(TAGS | nouns), 1, 0.5)), "app:*")
