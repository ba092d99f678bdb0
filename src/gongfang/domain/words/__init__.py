"""Fills `messages.CATALOGUE`: the sentences of every part, a file a part, both languages side by side."""

from gongfang.domain.words import (
    access,
    apps,
    backup,
    blobs,
    builders,
    edge,
    housekeeping,
    http,
    platform,
    runtimes,
    toolbox,
)

__all__ = [
    "access",
    "apps",
    "backup",
    "blobs",
    "builders",
    "edge",
    "housekeeping",
    "http",
    "platform",
    "runtimes",
    "toolbox",
]
