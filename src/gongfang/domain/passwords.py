"""Which passwords are guessed first. Pure.

The length (10 to 1024 characters) is the wire model's matter. Here: what a guesser tries at once, whatever its length.
No rule asks for kinds of characters: such rules make people append `1!` to a common word, which is recognised here.
"""

import unicodedata

_TEXT = """
password passwort passw0rd administrator administrador admin root toor superuser sysadmin operator developer
supervisor gongfang platform default changeme changeit changethis letmein welcome iloveyou trustno sunshine princess
football baseball basketball superman batman starwars dragon monkey master shadow michael jennifer jordan hunter
qwerty qwertyuiop qwertyui asdfgh asdfghjkl zxcvbn zxcvbnm azerty qazwsx qazwsxedc qazwsxedcrfv wsxedc
qweasd qweasdzxc zaqxsw zaqwsx aaa abc abcd abcde abcdef abcdefg abcdefgh abcdefghij abcabc aabbcc
woaini woaiwojia woaizhongguo aini wangyut taobao zhongguo nihao caonima dearbook wodemima mima test testing
tester guest demo example secret private computer internet server database postgres mysql oracle cisco factory
industrial industry company office login access system manager user username temp temporary public hello
whatever freedom liverpool chelsea arsenal corvette mustang ferrari charlie thomas robert daniel google facebook
microsoft windows linux ubuntu debian samsung huawei xiaomi tencent alibaba baidu qq wechat weixin a q z x
"""
_WORDS = frozenset(_TEXT.split())
_ROWS = (
    "01234567890123456789",
    "98765432109876543210",
    "abcdefghijklmnopqrstuvwxyz",
    "zyxwvutsrqponmlkjihgfedcba",
    "qwertyuiop",
    "poiuytrewq",
    "asdfghjkl",
    "lkjhgfdsa",
    "zxcvbnm",
    "mnbvcxz",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "!qaz@wsx#edc$rfv%tgb",
)
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_FEW = 5  # different characters


def weakness(password: str, name: str) -> str | None:
    """The code of what is wrong with a password of the user `name`; None where nothing is."""
    text = unicodedata.normalize("NFKC", password).casefold()
    if len(set(text)) < _FEW:
        return "password_repeats"
    if len(name) >= 4 and name.casefold() in text and len(text) - len(name) < 6:
        return "password_is_name"
    if _common(text):
        return "password_common"
    return None


def _common(text: str) -> bool:
    """A common word with figures and signs around it, a word twice, or a run along the keyboard or the alphabet."""
    half = text[: len(text) // 2]
    if len(text) % 2 == 0 and half == text[len(half) :] and _guessed(half):
        return True
    return _guessed(text)


def _guessed(text: str) -> bool:
    if _only_runs(text):
        return True
    bare = text.strip("0123456789!@#$%^&*()-_=+.,;:?~ ")
    return any(candidate in _WORDS for candidate in (bare, bare.translate(_LEET), text.translate(_LEET).strip("i!.")))


def _only_runs(text: str) -> bool:
    """Made of at most two pieces of the rows of `_ROWS`."""
    first = _longest_run(text)
    rest = text[first:]
    return first >= 3 and (not rest or _longest_run(rest) == len(rest))


def _longest_run(text: str) -> int:
    for length in range(len(text), 2, -1):
        if any(text[:length] in row for row in _ROWS):
            return length
    return 0
