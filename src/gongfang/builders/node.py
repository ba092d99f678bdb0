"""Node: package.json, with npm, pnpm or yarn as the lock file says."""

import re
from typing import Any

from gongfang.builders.interface import BuildPlan, Launch, Tree
from gongfang.builders.procfile import read_procfile
from gongfang.builders.reading import has, read_json, table, top_files, top_of
from gongfang.builders.script import quoted
from gongfang.domain.errors import Invalid
from gongfang.domain.values import RuntimeName

_MAIN_FILES = ("server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs")
_INSTALL_HOOKS = ("preinstall", "install", "postinstall", "prepare")
_MANAGER = re.compile(r"(npm|pnpm|yarn)@(\d+(?:\.\d+){0,2})(?:[+-].*)?")
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108  (the sandbox's own)
    "CI": "true",
    "npm_config_cache": "/cache/npm",
    "npm_config_update_notifier": "false",
    "npm_config_fund": "false",
    "npm_config_audit": "false",
    "npm_config_progress": "false",
    "YARN_CACHE_FOLDER": "/cache/yarn",
    "YARN_NODE_LINKER": "node-modules",
}
# npm brings `semver`; where it lies elsewhere the check is left to npm's own warning.
_ENGINES = """\
run node -e '
const want = require("./package.json").engines.node, fs = require("fs"), path = require("path");
let semver;
try {
  const npm = path.dirname(path.dirname(fs.realpathSync(process.argv[1])));
  semver = require(require.resolve("semver", { paths: [npm] }));
} catch { process.exit(0); }
if (!semver.satisfies(process.version, want, { includePrerelease: true })) {
  console.log(`package.json asks for Node ${want}; this platform has ${process.version}.`);
  console.log("Change engines.node in package.json, or ask for another Node on the platform.");
  process.exit(1);
}' "$(command -v npm)"
"""


class NodeBuilder:
    name = RuntimeName.node
    looked_for = "package.json, server.js, index.js"

    def detect(self, tree: Tree) -> bool:
        return has(tree.root, "package.json") or _main_file(tree) is not None

    def plan(self, tree: Tree) -> BuildPlan:
        package = read_json(tree.root, "package.json") or {}
        builds = isinstance(table(package, "scripts").get("build"), str)
        script = ""
        if isinstance(table(package, "engines").get("node"), str):
            script += 'step "Node $(node --version)"\n' + _ENGINES
        if _has_dependencies(package) or builds:
            script += _install(tree, package, builds=builds)
        files = [name for name in ("package.json", *_LOCKS) if has(tree.root, name)]
        return BuildPlan(
            runtime=self.name,
            script=script,
            tools=("node",) if script else (),
            launch_tools=("node",),
            environment=_ENVIRONMENT,
            detected=f"Node, {', '.join(files) or _main_file(tree) or 'Procfile'}",
        )

    def launch(self, tree: Tree) -> Launch:
        environment = {"NODE_ENV": "production", "PATH": "/app/node_modules/.bin"}
        return Launch.of(read_procfile(tree), lambda: _start(tree), environment)


_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock")


def _has_dependencies(package: dict[str, Any]) -> bool:
    asked = any(table(package, key) for key in ("dependencies", "optionalDependencies"))
    return asked or bool(package.get("workspaces")) or any(table(package, "scripts").get(h) for h in _INSTALL_HOOKS)


def _install(tree: Tree, package: dict[str, Any], *, builds: bool) -> str:
    manager, version = _manager(tree, package)
    lines = [f'step "Installing dependencies with {manager} (Node $(node --version))"']
    if manager == "npm":
        locked = has(tree.root, "package-lock.json") or has(tree.root, "npm-shrinkwrap.json")
        lines.append(f"run npm {'ci' if locked else 'install'} {'--include=dev' if builds else '--omit=dev'}")
        after = "run npm prune --omit=dev"
    else:
        package_name = "@yarnpkg/cli-dist" if manager == "yarn" and not version.startswith("1") else manager
        frozen = "--immutable" if package_name.startswith("@") else "--frozen-lockfile"
        if manager == "pnpm":  # a droplet shares no file with the cache, which later builds write to
            frozen += " --store-dir /cache/pnpm --package-import-method copy"
        lines.append(f"run npm exec --yes --package={package_name}@{version} -- {manager} install {frozen}")
        after = ""
    if builds:
        lines += ["step 'Running the build script'", "run npm run build", after]
    return "\n".join(line for line in lines if line) + "\n"


def _manager(tree: Tree, package: dict[str, Any]) -> tuple[str, str]:
    """npm unless the tree has only another one's lock file; the version as `packageManager` says."""
    named = _MANAGER.fullmatch(str(package.get("packageManager", "")))
    if has(tree.root, "package-lock.json") or has(tree.root, "npm-shrinkwrap.json"):
        return "npm", ""
    for manager, lock, default in (("pnpm", "pnpm-lock.yaml", "10"), ("yarn", "yarn.lock", "1.22.22")):
        if has(tree.root, lock):
            return manager, named[2] if named and named[1] == manager else default
    return "npm", ""


def _start(tree: Tree) -> str:
    """`scripts.start` itself rather than `npm start`, which takes a second and keeps signals to itself; npm is only
    needed where the script uses what npm would set."""
    package = read_json(tree.root, "package.json") or {}
    scripts = table(package, "scripts")
    start = scripts.get("start")
    if isinstance(start, str) and start.strip():
        hooks = "prestart" in scripts or "poststart" in scripts
        return "npm start" if hooks or "npm_" in start or "\0" in start or "\n" in start else start.strip()
    main = package.get("main")
    if isinstance(main, str) and not main.startswith(("/", "-")) and ".." not in main.split("/"):
        for candidate in (main, f"{main}.js", f"{main}/index.js"):
            if has(tree.root, candidate):
                return f"node {quoted(candidate)}" if re.search(r"[^\w./-]", candidate) else f"node {candidate}"
    found = _main_file(tree)
    if found is None:
        raise Invalid("start_missing_node", found=top_of(tree.root))
    return f"node {found}"


def _main_file(tree: Tree) -> str | None:
    names = top_files(tree.root)
    scripts = [name for name in names if name.endswith((".js", ".mjs", ".cjs")) and re.fullmatch(r"[\w.-]+", name)]
    known = next((name for name in _MAIN_FILES if name in names), None)
    return known or (scripts[0] if len(scripts) == 1 and len(names) == 1 else None)
