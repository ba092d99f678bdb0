"""Shell lines of process types, so started that the process itself is what is stopped and what ends. Pure.

Debian's `/bin/sh` stays as the parent of the command it runs. A stop then ends the shell by the signal while the
process ends well by itself, and "ended by signal 15" would stand where exit code 0 belongs; and each instance would
cost one more process. A line that is one simple command is therefore run by `exec`.
"""

import re
import shlex

_NOT_SIMPLE = re.compile(r"[;&|<>()`\n]|\$\(")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_SHELLS_OWN = frozenset(
    [
        "!",
        ".",
        ":",
        "[",
        "[[",
        "{",
        "alias",
        "bg",
        "break",
        "case",
        "cd",
        "command",
        "continue",
        "do",
        "done",
        "echo",
        "elif",
        "else",
        "esac",
        "eval",
        "exec",
        "exit",
        "export",
        "false",
        "fg",
        "fi",
        "for",
        "function",
        "getopts",
        "hash",
        "if",
        "in",
        "jobs",
        "kill",
        "local",
        "printf",
        "pwd",
        "read",
        "readonly",
        "return",
        "set",
        "shift",
        "test",
        "then",
        "time",
        "times",
        "trap",
        "true",
        "type",
        "ulimit",
        "umask",
        "unalias",
        "unset",
        "until",
        "wait",
        "while",
    ]
)


def shell_command(line: str) -> tuple[str, str, str]:
    """The words that run a shell line: by `exec` where it is one simple command, else as it is."""
    return ("/bin/sh", "-c", f"exec {line}" if _is_simple(line) else line)


def _is_simple(line: str) -> bool:
    if _NOT_SIMPLE.search(line):
        return False
    try:
        words = shlex.split(line, comments=False)
    except ValueError:  # an open quote: the shell shall say so
        return False
    return bool(words) and not _ASSIGNMENT.match(words[0]) and words[0] not in _SHELLS_OWN and words[0][0] not in "$~#-"
