"""Fills `messages.CATALOGUE`: the sentences of every part, a file a part, both languages side by side."""

from gongfang.domain.words import access, apps, blobs, builders, edge, events, http, platform, runtimes, toolbox

__all__ = ["access", "apps", "blobs", "builders", "edge", "events", "http", "platform", "runtimes", "toolbox"]
