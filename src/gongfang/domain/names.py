"""Names that people give to places and things: what may stand in them, and when two look the same. Pure.

Names are shown to others, in lists and in confirmations, so nothing may stand in one that can't be seen or that turns
the rest around. They are kept in one form (NFC). Chinese names keep their full-width punctuation.
"""

import unicodedata

# Not seen, though their category is that of letters or marks: fillers, joiners, variation selectors, a blank pattern.
_UNSEEN = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)
_NEVER = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_SPACES = (" ", "\u3000")
_MARKS = ("Mn", "Me", "Mc")
_MARKS_IN_A_ROW = 3


def fault_of(text: str) -> str | None:
    """The character at fault, as `U+202E`; None where the text may stand in a name."""
    marks = 0
    for place, char in enumerate(text):
        category = unicodedata.category(char)
        marks = marks + 1 if category in _MARKS else 0
        space = category == "Zs" and char not in _SPACES
        stacked = marks > _MARKS_IN_A_ROW or (marks and place == 0)
        if category in _NEVER or ord(char) in _UNSEEN or space or stacked:
            return f"U+{ord(char):04X}"
    return None


def one_form(text: str) -> str:
    """The form in which a name is kept."""
    return unicodedata.normalize("NFC", text)


def skeleton(text: str) -> str:
    """The same for names that only differ in width, case or composition: `Plant`, `ｐｌａｎｔ`."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())
