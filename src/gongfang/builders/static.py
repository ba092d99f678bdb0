"""Static sites: a folder with an `index.html`, served by Caddy under a configuration made here."""

from gongfang.builders.interface import BuildPlan, Launch, Tree
from gongfang.builders.procfile import read_procfile
from gongfang.builders.reading import has, write_own
from gongfang.builders.script import OWN
from gongfang.domain.values import RuntimeName

FOLDERS = (".", "public", "dist", "build", "_site", "site")
_CONFIG = f"{OWN}/Caddyfile"


class StaticBuilder:
    name = RuntimeName.static
    looked_for = "index.html (at the top or in public, dist, build, _site, site)"

    def detect(self, tree: Tree) -> bool:
        return _folder(tree) is not None

    def plan(self, tree: Tree) -> BuildPlan:
        return BuildPlan(
            self.name, "", tools=(), launch_tools=("caddy",), detected=f"Static site, {_folder(tree) or '.'}/index.html"
        )

    def launch(self, tree: Tree) -> Launch:
        procfile = read_procfile(tree)
        if procfile is not None:
            return Launch(procfile)
        folder = _folder(tree) or "."
        marks = {name: has(tree.root, f"{folder}/{name}") for name in ("200.html", "404.html")}
        write_own(tree.root, _CONFIG, caddyfile(folder, spa=marks["200.html"], not_found=marks["404.html"]))
        command = f"caddy run --config {_CONFIG} --adapter caddyfile"
        return Launch({"web": command}, {"XDG_DATA_HOME": "/tmp", "XDG_CONFIG_HOME": "/tmp"})  # noqa: S108


def _folder(tree: Tree) -> str | None:
    return next((folder for folder in FOLDERS if has(tree.root, f"{folder}/index.html")), None)


def caddyfile(folder: str, *, spa: bool, not_found: bool) -> str:
    """`spa`: unknown paths get `200.html`, whose script knows them. Names that begin with a dot are never served,
    but for `.well-known`."""
    lines = [
        "{",
        "\tadmin off",
        "\tauto_https off",
        "\tpersist_config off",
        "}",
        ":{$PORT} {",
        f"\troot * {folder}",
        "\tencode zstd gzip",
        "\t@hidden {",
        "\t\tpath */.*",
        "\t\tnot path /.well-known/*",
        "\t}",
        "\terror @hidden 404",
        *(["\ttry_files {path} {path}/index.html /200.html"] if spa else []),
        "\tfile_server {",
        "\t\thide Procfile gongfang.toml",
        "\t}",
    ]
    if not_found:
        lines += [
            "\thandle_errors 404 {",
            "\t\trewrite * /404.html",
            "\t\tfile_server",
            "\t}",
        ]
    return "\n".join([*lines, "}", ""])
