"""What a build's script begins with, and how it becomes a command. Pure."""

from gongfang.builders.interface import BuildPlan

OWN = ".gongfang"  # the platform's folder in a droplet: environments and programs that a build made

# `step` says what comes; `run` indents what a command says as it says it, and ends the script with its exit code.
_PRELUDE = r"""set -eu
exec 4>&1
step() { printf -- '-----> %s\n' "$*"; }
note() { printf '       %s\n' "$*"; }
run() {
    code=$({ { s=0; "$@" 2>&1 3>&- || s=$?; echo "$s" >&3; } | sed -u 's/^/       /' >&4; } 3>&1)
    if [ "$code" -ne 0 ]; then
        note "$1 ended with exit code $code"
        exit "$code"
    fi
}
"""


def workload_script(plan: BuildPlan) -> tuple[str, ...]:
    """The command of the build's workload; empty where there is nothing to run."""
    return ("/bin/sh", "-c", _PRELUDE + plan.script) if plan.script else ()


def quoted(text: str) -> str:
    """A word for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"
