"""Which lines are run by `exec`; the shell itself is asked whether that changes what they do."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.reconcile.shell import shell_command

STILL = Path(__file__).parent  # a folder that nothing changes meanwhile: `ls *` is asked twice


@pytest.mark.parametrize(
    "line",
    ["python app.py", "gunicorn app:app --bind 0.0.0.0:$PORT", "java ${JAVA_OPTS:-} -jar 'a b.jar'", "./serve -p 1"],
)
def test_one_simple_command_becomes_the_process(line: str) -> None:
    assert shell_command(line) == ("/bin/sh", "-c", f"exec {line}")


@pytest.mark.parametrize(
    "line",
    [
        "A=1 python app.py",
        "cd web && npm start",
        "python a.py | tee log",
        "python a.py; python b.py",
        "echo $(date)",
        "if true; then x; fi",
        "exec python app.py",
        "(python app.py)",
        "python a.py &",
        "python app.py > log",
        "$CMD app.py",
        "echo 'open",
        "",
        "  ",
        "exit 3",
        "a\nb",
    ],
)
def test_all_else_is_left_to_the_shell(line: str) -> None:
    assert shell_command(line) == ("/bin/sh", "-c", line)


@given(
    st.lists(
        st.sampled_from(["env", "'a b'", "$HOME", "x=1", "-n", "ls", ";", "&&", "|", "true", "\\ ", "*"]), max_size=5
    )
)
@settings(max_examples=40, deadline=None)
def test_exec_changes_neither_output_nor_exit_code(words: list[str]) -> None:
    line = "printenv HOME " + " ".join(words) if words[:1] == ["$HOME"] else " ".join(["/bin/echo", *words])

    def outcome(command: tuple[str, ...]) -> tuple[int, bytes]:
        done = subprocess.run(
            command, capture_output=True, env={"HOME": "/", "PATH": "/usr/bin:/bin"}, cwd=STILL, check=False
        )
        return done.returncode, done.stdout

    assert outcome(shell_command(line)) == outcome(("/bin/sh", "-c", line))
