"""The command line's two languages. Its sentences stand where they are said: `t("English", "中文")`."""

import os
from typing import Literal

Language = Literal["zh-CN", "en"]


def language() -> Language:
    """By `GONGFANG_LANG`, else the locale of the environment; anything that is not Chinese is English."""
    for name in ("GONGFANG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "zh-CN" if value.lower().startswith("zh") else "en"
    return "en"


def t(english: str, chinese: str) -> str:
    """The sentence in the language of this run."""
    return chinese if language() == "zh-CN" else english


def taught(english: str, chinese: str, *examples: str) -> str:
    """A help text with its examples, which click leaves as they are set."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"{t(english, chinese)}\n\n\b\n{t('Examples:', '示例：')}\n{lines}"
