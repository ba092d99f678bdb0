"""Sentences in both languages, kept together until somebody reads them."""

from typing import Literal, NamedTuple

Language = Literal["zh-CN", "en"]


class Text(NamedTuple):
    """One sentence twice."""

    english: str
    chinese: str

    def of(self, language: Language) -> str:
        return self.chinese if language == "zh-CN" else self.english

    def fill(self, **facts: "Text | str | int | float") -> "Text":
        """With facts put in by name; a fact may itself have two languages."""
        english = {k: v.english if isinstance(v, Text) else v for k, v in facts.items()}
        chinese = {k: v.chinese if isinstance(v, Text) else v for k, v in facts.items()}
        return Text(self.english.format(**english), self.chinese.format(**chinese))


def same(text: str) -> Text:
    """What is no sentence: a path, a number, somebody else's words."""
    return Text(text, text)


def listed(parts: "list[Text]", english: str = "; ", chinese: str = "；") -> Text:
    """Several as one."""
    return Text(english.join(p.english for p in parts), chinese.join(p.chinese for p in parts))


NO_TEXT = Text("", "")
