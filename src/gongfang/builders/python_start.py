"""How a Python application without a `Procfile` is started: by what it installs and what its files look like."""

import configparser
import re
import zipfile

from gongfang.builders.interface import Tree
from gongfang.builders.reading import has, inside, read_text, read_toml, strings, table, top_files, top_folders, top_of
from gongfang.builders.sink import shown
from gongfang.domain.errors import Invalid

_FILES = ("app.py", "main.py", "server.py", "wsgi.py", "asgi.py", "application.py", "run.py")
_CALLABLE = re.compile(r"^(app|application|api|server)\s*(?::[^=\n]+)?=(?!=)", re.MULTILINE)
_FACTORY = re.compile(r"^def (create_app|make_app)\(", re.MULTILINE)
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_MODULE = re.compile(r"[A-Za-z_]\w*")
_ASGI = {"fastapi", "starlette", "litestar", "quart", "blacksheep"}


def start_command(tree: Tree) -> str:
    """A shell line. Raises `start_missing_python` where nothing in the tree says how it starts."""
    needs = dependencies(tree)
    command = _django(tree, needs) or _from_files(tree, needs) or _from_scripts(tree) or _from_packages(tree)
    if command is None:
        raise Invalid("start_missing_python", found=top_of(tree.root))
    return command


def dependencies(tree: Tree) -> set[str]:
    """Names of what is asked for, normalised; versions and extras are left off."""
    project = read_toml(tree.root, "pyproject.toml")
    lines = (read_text(tree.root, "requirements.txt") or "").splitlines()
    lines += strings(table(project, "project").get("dependencies"))
    lines += list(table(project, "tool", "poetry", "dependencies"))
    names = {found[1].lower().replace("_", "-") for line in lines if (found := _REQUIREMENT.match(line))}
    if any(line.replace(" ", "").lower().startswith("fastapi[") for line in lines):
        names.add("uvicorn")
    return names


def _django(tree: Tree, needs: set[str]) -> str | None:
    if not has(tree.root, "manage.py"):
        return None
    if "gunicorn" in needs:
        for name in top_folders(tree.root):
            if _MODULE.fullmatch(name) and has(tree.root, f"{name}/wsgi.py"):
                return f"gunicorn {name}.wsgi --bind 0.0.0.0:$PORT"
    return "python manage.py runserver --noreload 0.0.0.0:$PORT"


def _from_files(tree: Tree, needs: set[str]) -> str | None:
    present = top_files(tree.root)
    files = [name for name in _FILES if name in present]
    scripts = [name for name in present if name.endswith(".py") and _WORD.fullmatch(name)]
    if not files and len(scripts) == 1 and scripts[0] != "setup.py":
        files = scripts
    for name in files:
        served = _served(name.removesuffix(".py"), read_text(tree.root, name) or "", needs)
        if served:
            return served
    return f"python {files[0]}" if files else None


def _served(module: str, text: str, needs: set[str]) -> str | None:
    """By a server that the application installs, where the module has something for it to serve."""
    if not _MODULE.fullmatch(module):
        return None
    found = _CALLABLE.search(text)
    factory = _FACTORY.search(text)
    target = f"{module}:{found[1]}" if found else f"'{module}:{factory[1]}()'" if factory else None
    if target is None:
        return None
    if "uvicorn" in needs and (needs & _ASGI or "gunicorn" not in needs):
        flag = " --factory" if not found else ""
        plain = target if found else f"{module}:{factory[1]}" if factory else module
        return f"uvicorn {plain}{flag} --host 0.0.0.0 --port $PORT"
    if "gunicorn" in needs:
        return f"gunicorn {target} --bind 0.0.0.0:$PORT"
    if "flask" in needs and "__main__" not in text:
        return f"flask --app {target} run --host 0.0.0.0 --port $PORT"
    return None


def _from_scripts(tree: Tree) -> str | None:
    """A console script of the project, or of an uploaded wheel: the only one, or the one of the project's name."""
    project = table(read_toml(tree.root, "pyproject.toml"), "project")
    name, scripts = str(project.get("name", "")), list(table(project, "scripts"))
    wheels = [each for each in top_files(tree.root) if each.endswith(".whl")]
    if not scripts and len(wheels) == 1:
        name, scripts = wheels[0].split("-")[0], _wheel_scripts(tree, wheels[0])
    scripts = [script for script in scripts if _WORD.fullmatch(script) and not script.startswith("-")]
    same = [script for script in scripts if script.lower().replace("_", "-") == name.lower().replace("_", "-")]
    chosen = scripts if len(scripts) == 1 else same
    return chosen[0] if chosen else None


def _wheel_scripts(tree: Tree, wheel: str) -> list[str]:
    path = inside(tree.root, wheel)
    if path is None:
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            entry = next((each for each in names if re.fullmatch(r"[^/]+\.dist-info/entry_points\.txt", each)), None)
            text = ""
            if entry is not None:
                with archive.open(entry) as file:
                    text = file.read(1 << 20).decode("utf-8", "replace")
        parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
        parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  # names keep their capitals
        parser.read_string(text)
    except (zipfile.BadZipFile, configparser.Error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Invalid("build_file_malformed", file=shown(wheel), detail=shown(str(error))) from error
    if parser.has_section("console_scripts"):
        return parser.options("console_scripts")
    modules = [each.split("/")[0] for each in names if re.fullmatch(r"[A-Za-z_]\w*/__main__\.py", each)]
    return [] if not modules else [f"python -m {modules[0]}"] if len(modules) == 1 else []


def _from_packages(tree: Tree) -> str | None:
    wheels = [each for each in top_files(tree.root) if each.endswith(".whl")]
    if len(wheels) == 1:
        found = [each for each in _wheel_scripts(tree, wheels[0]) if each.startswith("python -m ")]
        return found[0] if found else None
    for prefix in ("", "src/"):
        folders = top_folders(tree.root, prefix or ".")
        runnable = [
            name for name in folders if _MODULE.fullmatch(name) and has(tree.root, f"{prefix}{name}/__main__.py")
        ]
        if len(runnable) == 1:
            return f"python -m {runnable[0]}"
    return None
