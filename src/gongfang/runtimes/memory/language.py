"""What a pretended workload can do: words in its command, one after the other, with `;` between them.

    echo TEXT…      says the text and a line end
    serve           answers 200 to every HTTP request on its port, until it is stopped
    sleep [S]       runs on for S seconds, or until it is stopped; with a port it is never ready
    stubborn        runs on and ignores SIGTERM
    exit N          ends with code N
    signal N        ends by signal N
    oom             ends by running out of memory
    missing         can't be executed: says so and ends with code 127

`("sh", "-c", LINE)` is read as the line. A command of other words does what the runtime's `otherwise` says.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

WORDS = frozenset({"echo", "serve", "sleep", "stubborn", "exit", "signal", "oom", "missing"})
_SHELL_WORDS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    verb: str
    arguments: tuple[str, ...] = ()

    def number(self, default: float) -> float:
        return float(self.arguments[0]) if self.arguments else default


def parse(command: Sequence[str], otherwise: Sequence[str]) -> list[Step]:
    """The steps of a command; those of `otherwise` where it has a word that is not in the language."""
    words = list(command)
    if len(words) == _SHELL_WORDS and words[:2] == ["sh", "-c"]:
        lexer = shlex.shlex(words[2], posix=True, punctuation_chars=";")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            words = []
    steps = _split(words)
    if not steps or any(step.verb not in WORDS for step in steps):
        steps = _split(list(otherwise))
    return steps


def _split(words: Sequence[str]) -> list[Step]:
    steps: list[Step] = []
    current: list[str] = []
    for word in [*words, ";"]:
        if word != ";":
            current.append(word)
        elif current:
            steps.append(Step(current[0], tuple(current[1:])))
            current = []
    return steps
