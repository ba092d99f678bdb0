"""The terminal that the platform was started from: in which language it is spoken to."""

import os

from gongfang.domain.messages import Language


def language() -> Language:
    """Of the terminal: GONGFANG_LANG, else LC_ALL, else LANG."""
    told = os.environ.get("GONGFANG_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh-CN" if told.lower().startswith("zh") else "en"
