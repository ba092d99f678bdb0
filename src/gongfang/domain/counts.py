"""How many of what, in a sentence: only what is there is named. Pure."""

from collections.abc import Mapping

_WORDS = {
    "organizations": ("organisation", "organisations", "个组织"),
    "spaces": ("space", "spaces", "个空间"),
    "apps": ("app", "apps", "个应用"),
    "domains": ("domain", "domains", "个域名"),
}


class Inside(str):
    """A fact of a message: as it is, English; `{inside:zh}`, Chinese."""

    __slots__ = ("_chinese",)

    def __new__(cls, counts: Mapping[str, int]) -> "Inside":
        there = [(_WORDS[name], number) for name, number in counts.items() if number]
        self = super().__new__(cls, " and ".join(f"{n} {w[0] if n == 1 else w[1]}" for w, n in there))
        self._chinese = "、".join(f"{n} {w[2]}" for w, n in there)
        return self

    def __format__(self, spec: str) -> str:
        return self._chinese if spec == "zh" else str(self)
