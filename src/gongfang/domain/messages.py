"""Every sentence the platform says to people, in both of its languages, by its code.

A sentence says what is wrong *and what to do next*. Facts are filled in by name; a missing one shows as `?`
rather than failing, since an error about an error helps nobody. Tests check that both languages use the same facts.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

Language = Literal["zh-CN", "en"]
LANGUAGES: tuple[Language, ...] = ("zh-CN", "en")

# code: (English, Chinese)
CATALOGUE: dict[str, tuple[str, str]] = {
    "OK": ("Done.", "操作成功。"),
    "accepted": ("Accepted; follow the operation for its progress.", "已受理，可通过 operation 查看进度。"),
    "internal": (
        "The platform failed at this itself; its log has the details under request {request_id}.",
        "平台内部错误，详情见平台日志，请求号 {request_id}。",
    ),
}


def register(entries: Mapping[str, tuple[str, str]]) -> None:
    """Adds a part's sentences (English, Chinese). A code that is there already with other words is a bug."""
    for code, pair in entries.items():
        if CATALOGUE.get(code, pair) != pair:
            raise ValueError(f"message {code} is defined twice")
        CATALOGUE[code] = pair


def words(code: str, facts: Mapping[str, object], language: Language) -> str:
    """The sentence of a code in a language. An unknown code is shown as itself with its facts."""
    pair = CATALOGUE.get(code)
    if pair is None:
        return f"{code} {dict(facts)}" if facts else code
    filled: defaultdict[str, object] = defaultdict(lambda: "?", facts)
    chinese = language == "zh-CN"

    def counted(listed: re.Match[str]) -> str:
        there = [part for part in listed.group(1).split("|") if filled[_NAME.findall(part)[0]] != 0]
        return ("、" if chinese else ", ").join(there)

    return _LIST.sub(counted, pair[chinese]).format_map(filled)


_LIST = re.compile(r"<<(.+?)>>")
"""`<<{apps} apps|{domains} domains>>` in a sentence: a list of counts, of which those of nothing are left out."""
_NAME = re.compile(r"\{(\w+)\}")


import gongfang.domain.words  # noqa: E402, F401  # pyright: ignore[reportUnusedImport]  # fills the catalogue
