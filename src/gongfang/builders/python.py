"""Python: what to install, and how, on the interpreter that the platform itself runs on."""

import re
import sys
import zipfile
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from gongfang.builders.interface import BuildPlan, Launch, Tree
from gongfang.builders.procfile import read_procfile
from gongfang.builders.python_start import start_command
from gongfang.builders.reading import has, inside, read_text, read_toml, strings, table, top_files
from gongfang.builders.script import OWN, quoted
from gongfang.builders.sink import shown
from gongfang.domain.errors import Invalid
from gongfang.domain.values import RuntimeName

_VENV = f"{OWN}/venv"
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108  (the sandbox's own)
    "UV_CACHE_DIR": "/cache/uv",
    "UV_LINK_MODE": "copy",  # a droplet shares no file with the cache, which later builds write to
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_COMPILE_BYTECODE": "1",  # once here rather than at each start, whose writes are thrown away
    "UV_NO_PROGRESS": "1",
    "UV_PROJECT_ENVIRONMENT": f"/app/{_VENV}",
    "VIRTUAL_ENV": f"/app/{_VENV}",
}
_MARKERS = ("uv.lock", "requirements.txt", "pyproject.toml", "setup.py", "Pipfile")


@dataclass(frozen=True, slots=True)
class _Install:
    """`source`: the file that says what to install; `arguments`: of uv, empty where there is nothing to install."""

    source: str
    arguments: str


class PythonBuilder:
    """`version`: of the interpreter that builds and runs, three numbers."""

    name = RuntimeName.python
    looked_for = "requirements.txt, pyproject.toml, uv.lock, setup.py, a wheel, *.py"

    def __init__(self, version: str = "") -> None:
        self._version = version or ".".join(map(str, sys.version_info[:3]))

    def detect(self, tree: Tree) -> bool:
        return any(has(tree.root, marker) for marker in _MARKERS) or any(
            name.endswith((".py", ".whl")) for name in top_files(tree.root)
        )

    def plan(self, tree: Tree) -> BuildPlan:
        self._check_version(tree)
        install = _what_to_install(tree)
        script = ""
        if install.arguments:
            script = (
                f"step 'Python {self._version}'\n"
                f'run uv venv --quiet --no-project --clear --python "$(command -v python3)" {_VENV}\n'
                f"step {quoted('Installing ' + install.source)}\n"
                f"run uv {install.arguments}\n"
            )
        return BuildPlan(
            runtime=self.name,
            script=script,
            tools=("python", "uv") if script else (),
            launch_tools=("python",),
            environment=_ENVIRONMENT,
            detected=f"Python {self._version}, {install.source}",
        )

    def launch(self, tree: Tree) -> Launch:
        environment = {"PYTHONUNBUFFERED": "1", "PATH": f"/app/{_VENV}/bin", "VIRTUAL_ENV": f"/app/{_VENV}"}
        if not (tree.root / _VENV / "pyvenv.cfg").is_file():
            del environment["PATH"], environment["VIRTUAL_ENV"]
        return Launch.of(read_procfile(tree), lambda: start_command(tree), environment)

    def _check_version(self, tree: Tree) -> None:
        """Raises `python_version` where a file asks for another Python than there is."""
        project = table(read_toml(tree.root, "pyproject.toml"), "project")
        wanted = project.get("requires-python")
        if isinstance(wanted, str):
            try:
                fits = SpecifierSet(wanted).contains(self._version, prereleases=True)
            except InvalidSpecifier as error:
                raise Invalid("build_file_malformed", file="pyproject.toml", detail=shown(str(error))) from error
            if not fits:
                raise Invalid("python_version", file="pyproject.toml", wanted=shown(wanted), have=self._version)
        for name in (".python-version", "runtime.txt"):
            text = (read_text(tree.root, name) or "").strip()
            found = re.match(r"(?:c?python-)?(\d+(?:\.\d+)?)", text)
            if found and not f"{self._version}.".startswith(f"{found[1]}."):
                raise Invalid("python_version", file=name, wanted=shown(text), have=self._version)


def _what_to_install(tree: Tree) -> _Install:
    """The most exact statement wins: a lock, then requirements.txt, then the project itself."""
    root = tree.root
    if has(root, "uv.lock") and has(root, "pyproject.toml"):
        return _Install("uv.lock", "sync --frozen --no-dev --no-editable")
    requirements = read_text(root, "requirements.txt")
    if requirements is not None:
        asks = any(line.strip() and not line.strip().startswith("#") for line in requirements.splitlines())
        return _Install("requirements.txt", "pip install -r requirements.txt" if asks else "")
    project = read_toml(root, "pyproject.toml")
    if project is not None:
        return _Install("pyproject.toml", _project_arguments(project))
    if has(root, "setup.py"):
        return _Install("setup.py", "pip install .")
    if has(root, "Pipfile"):
        raise Invalid("python_pipfile")
    return _wheel(tree) or _Install(_scripts(tree), "")


def _project_arguments(project: dict[str, Any]) -> str:
    """A project that can be built is installed whole, another one's dependencies are."""
    facts = table(project, "project")
    if "build-system" in project or table(project, "tool", "poetry") or table(facts, "scripts"):
        return "pip install ."
    return "pip install -r pyproject.toml" if strings(facts.get("dependencies")) else ""


def _wheel(tree: Tree) -> _Install | None:
    wheels = [name for name in top_files(tree.root) if name.endswith(".whl")]
    if len(wheels) != 1 or any(name.endswith(".py") for name in top_files(tree.root)):
        return None
    path = inside(tree.root, wheels[0])
    if path is None or not zipfile.is_zipfile(path):
        raise Invalid("build_file_malformed", file=shown(wheels[0]), detail="not a wheel")
    return _Install(shown(wheels[0]), f"pip install {quoted('./' + wheels[0])}")


def _scripts(tree: Tree) -> str:
    names = [shown(name) for name in top_files(tree.root) if name.endswith(".py")]
    return ", ".join(names[:3]) or "Procfile"
