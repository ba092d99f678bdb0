"""Go: modules with a main package at the top or below `cmd`."""

import re

from gongfang.builders.interface import BuildPlan, Launch, Tree
from gongfang.builders.procfile import read_procfile
from gongfang.builders.reading import has, read_text, top_files, top_folders
from gongfang.builders.script import OWN, quoted
from gongfang.domain.errors import Invalid
from gongfang.domain.values import RuntimeName

_BIN = f"{OWN}/bin"
_MAIN = re.compile(r"^package\s+main\b", re.MULTILINE)
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108  (the sandbox's own)
    "GOPATH": "/cache/go",
    "GOCACHE": "/cache/go-build",
    "GOMODCACHE": "/cache/go-mod",
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-trimpath -modcacherw",
    "CGO_ENABLED": "0",
}


class GoBuilder:
    name = RuntimeName.go
    looked_for = "go.mod"

    def detect(self, tree: Tree) -> bool:
        return has(tree.root, "go.mod")

    def plan(self, tree: Tree) -> BuildPlan:
        if not self.detect(tree):
            return BuildPlan(self.name, "", tools=(), launch_tools=(), detected="Go, Procfile")
        vendored = has(tree.root, "vendor/modules.txt")
        lines = ['step "$(go version)"', 'export GOPROXY="${GOPROXY:-$(go env GOPROXY)}"']
        if vendored:
            lines.append("note 'dependencies are vendored'")
        for name, package in _programs(tree).items():
            lines.append(f"step Building {quoted(package)}")
            mode = "-mod=vendor " if vendored else ""
            lines.append(f"run go build {mode}-o {quoted(f'{_BIN}/{name}')} {quoted(package)}")
        detected = f"Go, go.mod{', vendored' if vendored else ''}"
        script = "\n".join(lines) + "\n"
        return BuildPlan(self.name, script, ("go",), launch_tools=(), environment=_ENVIRONMENT, detected=detected)

    def launch(self, tree: Tree) -> Launch:
        environment = {"PATH": f"/app/{_BIN}"}
        procfile = read_procfile(tree)
        if procfile is not None:
            return Launch(procfile, environment)
        programs = _programs(tree)
        name = next((each for each in ("app", "web", "server", "api") if each in programs), None)
        if name is None and len(programs) > 1:
            raise Invalid("go_several_programs", found=", ".join(programs))
        return Launch({"web": f"{_BIN}/{name or next(iter(programs))}"}, environment)


def _programs(tree: Tree) -> dict[str, str]:
    """Name of the program → package to build."""
    if _is_main(tree, "."):
        return {"app": "."}
    found = {
        name: f"./cmd/{name}"
        for name in top_folders(tree.root, "cmd")
        if _FOLDER_NAME.fullmatch(name) and _is_main(tree, f"cmd/{name}")
    }
    if not found:
        raise Invalid("go_no_main")
    return found


def _is_main(tree: Tree, folder: str) -> bool:
    sources = [name for name in top_files(tree.root, folder) if name.endswith(".go") and not name.endswith("_test.go")]
    return any(_MAIN.search(read_text(tree.root, f"{folder}/{name}") or "") for name in sources[:200])
