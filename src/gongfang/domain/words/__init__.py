"""Fills `messages.CATALOGUE`: the sentences of every part, a file a part, both languages side by side."""

from gongfang.domain.words import (
    access,
    apps,
    blobs,
    builders,
    certificates,
    edge,
    http,
    platform,
    quotas,
    runtimes,
    toolbox,
)

__all__ = [
    "access",
    "apps",
    "blobs",
    "builders",
    "certificates",
    "edge",
    "http",
    "platform",
    "quotas",
    "runtimes",
    "toolbox",
]
