"""Which builder knows a tree, and which processes an application of a type gets from it."""

from gongfang.builders.binary import BinaryBuilder
from gongfang.builders.golang import GoBuilder
from gongfang.builders.interface import Builder, Launch, Tree
from gongfang.builders.java import JavaBuilder
from gongfang.builders.node import NodeBuilder
from gongfang.builders.procfile import read_procfile
from gongfang.builders.python import PythonBuilder
from gongfang.builders.reading import top_of
from gongfang.builders.static import StaticBuilder
from gongfang.domain.errors import Invalid
from gongfang.domain.values import AppType, RuntimeName

_ALL = (PythonBuilder(), NodeBuilder(), JavaBuilder(), GoBuilder(), StaticBuilder(), BinaryBuilder())


def detect_builder(tree: Tree, wanted: RuntimeName) -> Builder:
    """The wanted builder, or for `auto` the first in order that knows the tree.

    A tree with a `Procfile` is taken by any wanted builder. Raises `Invalid`: `build_not_detected` (auto),
    `build_not_of_runtime`, or what is wrong with the `Procfile`.
    """
    procfile = read_procfile(tree)
    for builder in _ALL:
        if wanted is RuntimeName.auto and builder.detect(tree):
            return builder
        if builder.name is wanted:
            if procfile is not None or builder.detect(tree):
                return builder
            raise Invalid("build_not_of_runtime", runtime=wanted, looked=builder.looked_for, found=top_of(tree.root))
    looked = "; ".join(f"{builder.name}: {builder.looked_for}" for builder in _ALL)
    raise Invalid("build_not_detected", looked=looked, found=top_of(tree.root))


def builder_of(runtime: RuntimeName) -> Builder:
    """The builder of a runtime that was detected; `auto` is none."""
    return next(builder for builder in _ALL if builder.name is runtime)


def processes_for(app_type: AppType, launch: Launch, tree: Tree) -> dict[str, str]:
    """Process types of an application. A `Procfile` is used as it is; a builder's default `web` gets the name of the
    application's type, so that a worker has no process that would get traffic."""
    procfile = read_procfile(tree)
    if procfile is not None:
        return procfile
    return {app_type.value if name == "web" else name: command for name, command in launch.processes.items()}
