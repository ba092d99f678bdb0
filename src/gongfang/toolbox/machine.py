"""The machine's own tools: which of them are good enough, and what a sandbox must be shown for them to work.

A sandbox shows `/usr` and a few folders of `/etc` only. So the real path is told, not a link (Debian's `java` leads
through `/etc/alternatives`), a tool that lies elsewhere brings its folder, and so do configuration files that it keeps
outside by links. Versions come from files where there are any: asking a Java virtual machine takes half a second.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from gongfang.toolbox.interface import Tool

_SHOWN = (Path("/usr"), Path("/etc/ssl"), Path("/etc/ca-certificates"))
_NODE_OLDEST = 18


def _outside(path: Path) -> bool:
    return not any(path.is_relative_to(shown) for shown in _SHOWN)


def _roots(*folders: Path) -> tuple[Path, ...]:
    """Those that a sandbox doesn't show already, and the folders that links in them lead to."""
    wanted = {folder for folder in folders if _outside(folder)}
    for folder in folders:
        for target in _link_targets(folder):
            if _outside(target) and not target.is_relative_to(folder):
                wanted.add(target if target.is_dir() or target.parent == Path("/etc") else target.parent)
    return tuple(
        sorted(each for each in wanted if not any(each != other and each.is_relative_to(other) for other in wanted))
    )


def _link_targets(folder: Path) -> Iterable[Path]:
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top, name)
            if path.is_symlink() and path.exists():
                yield path.resolve()


def _which(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found).resolve() if found else None


def find_node() -> Tool | None:
    """`node` with its own `npm` beside it, 18 or newer. A version manager's shim is asked for the true one."""
    found = shutil.which("node")
    if found is None:
        return None
    try:
        said = subprocess.run(
            [found, "-p", "process.version+'\\n'+process.execPath"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        ).stdout.split("\n")
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.fullmatch(r"v(\d+)\.(\d+\.\d+)\S*", said[0])
    if version is None or int(version[1]) < _NODE_OLDEST or len(said) < 2:
        return None
    node = Path(said[1])
    prefix = node.parent.parent
    npm = node.parent / "npm"
    whole = (prefix / "lib/node_modules/npm").is_dir() or (prefix / "share/nodejs/npm").is_dir()
    if not (npm.exists() and whole and (not _outside(npm.resolve()) or npm.resolve().is_relative_to(prefix))):
        return None
    names = {name: str(node.parent / name) for name in ("node", "npm", "npx") if (node.parent / name).exists()}
    roots = (prefix,) if _outside(prefix) else ()
    return Tool("node", f"{version[1]}.{version[2]}", "machine", roots, (str(node.parent),), names)


def find_java() -> Tool | None:
    """The home of `JAVA_HOME`, else of `java` on the path; `executables` has `javac` where it is a JDK."""
    home_named = os.environ.get("JAVA_HOME")
    java = (Path(home_named) / "bin/java").resolve() if home_named else None
    if java is None or not java.is_file():
        java = _which("java")
    if java is None:
        return None
    home = java.parent.parent
    release = home / "release"
    if not release.is_file():
        return None
    version = re.search(r'^JAVA_VERSION="([^"]+)"', release.read_text("utf-8", "replace"), re.MULTILINE)
    if version is None:
        return None
    names = {name: str(home / "bin" / name) for name in ("java", "javac", "keytool") if (home / "bin" / name).exists()}
    environment = {"JAVA_HOME": str(home)}
    return Tool("java", version[1], "machine", _roots(home), (str(home / "bin"),), names, environment)


def find_maven() -> Tool | None:
    mvn = _which("mvn")
    if mvn is None:
        return None
    home = mvn.parent.parent
    cores = (path.resolve() for path in sorted(home.glob("lib/maven-core-*.jar")))
    version = next((found[1] for core in cores if (found := re.search(r"-(\d+(?:\.\d+)+)", core.name))), "3")
    return Tool("maven", version, "machine", _roots(home), (str(mvn.parent),), {"mvn": str(mvn)})


def find_go() -> Tool | None:
    go = _which("go")
    if go is None:
        return None
    root = go.parent.parent
    stamp = root / "VERSION"
    version = re.match(r"go(\d[\w.]*)", stamp.read_text("utf-8", "replace")) if stamp.is_file() else None
    if version is None:
        return None
    names = {name: str(root / "bin" / name) for name in ("go", "gofmt") if (root / "bin" / name).exists()}
    return Tool("go", version[1], "machine", _roots(root), (str(root / "bin"),), names, {"GOROOT": str(root)})


def python_executable() -> Path:
    """The interpreter under the virtual environment that this runs in."""
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return Path(base).resolve()


def find_python(shims: Path) -> Tool:
    """The interpreter that the platform itself runs on. `shims`: a folder with `bin/python` in it, for systems that
    have `python3` only."""
    executable = python_executable()
    prefix = Path(sys.base_prefix).resolve()
    version = ".".join(map(str, sys.version_info[:3]))
    roots = {folder for folder in (prefix, executable.parent) if _outside(folder)}
    roots = {each for each in roots if not any(each != other and each.is_relative_to(other) for other in roots)}
    path = [str(executable.parent)]
    if not (executable.parent / "python").exists() or not (executable.parent / "python3").exists():
        roots.add(shims)
        path.insert(0, str(shims / "bin"))
    return Tool("python", version, "machine", tuple(sorted(roots)), tuple(path), {"python3": str(executable)})


FINDERS = {"node": find_node, "java": find_java, "maven": find_maven, "go": find_go}
