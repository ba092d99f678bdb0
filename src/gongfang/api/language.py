"""Which of the platform's languages an answer is in, by `Accept-Language` (RFC 9110, 12.5.4). Pure."""

from gongfang.domain.messages import Language

DEFAULT: Language = "zh-CN"


def language_of(header: str | None) -> Language:
    """The most wanted of `zh-CN` and `en`; Chinese where neither is named."""
    best: tuple[float, Language] | None = None
    for item in (header or "").split(","):
        tag, _, parameters = item.strip().partition(";")
        language = _known(tag.strip().lower())
        weight = _weight(parameters)
        if language is not None and weight > 0 and (best is None or weight > best[0]):
            best = (weight, language)
    return best[1] if best else DEFAULT


def _known(tag: str) -> Language | None:
    match tag.split("-", maxsplit=1)[0]:
        case "zh" | "*":
            return "zh-CN"
        case "en":
            return "en"
        case _:
            return None


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
