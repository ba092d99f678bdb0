"""Java: a runnable jar or war as it is, a Maven project, or plain source files where the machine has a compiler."""

import re
import shutil
import zipfile

from gongfang.builders.interface import BuildPlan, Launch, Tree
from gongfang.builders.procfile import read_procfile
from gongfang.builders.reading import has, inside, read_text, top_files, top_folders, top_of
from gongfang.builders.script import OWN, quoted
from gongfang.builders.sink import shown
from gongfang.domain.errors import Invalid
from gongfang.domain.values import RuntimeName

_CLASSES = f"{OWN}/classes"
_MAIN = re.compile(r"\bpublic\s+static\s+void\s+main\s*\(")
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_NOT_RUN = re.compile(r"(^original-.*|.*-(sources|javadoc|tests|plain))\.[jw]ar")
_MANIFEST_LIMIT = 1 << 20
_ENVIRONMENT = {"HOME": "/tmp"}  # noqa: S108  (the sandbox's own)
_GRADLE = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")

_MAVEN = """\
step "Building with $(mvn -q --version 2>/dev/null | sed -n 1p)"
settings=${GONGFANG_MAVEN_SETTINGS:-}
if [ -n "$settings" ]; then set -- -s "$settings"; else set --; fi
code=0
mvn -B -ntp "$@" package -DskipTests -Dmaven.repo.local=/cache/m2 >/tmp/maven.log 2>&1 4>&- || code=$?
sed 's/^/       /' /tmp/maven.log
if [ "$code" -ne 0 ]; then
    if grep -qE 'Could not transfer|Unknown host|Connection refused|Connect to .* failed|unreachable' /tmp/maven.log
    then
        note 'No Maven repository can be reached from this platform. Give the platform a settings.xml with a mirror'
        note 'that can be reached (~/.m2/settings.xml), or build the jar elsewhere and upload the jar itself.'
    fi
    exit "$code"
fi
"""


class JavaBuilder:
    """`compiler`: whether the machine has `javac`; the Java that comes as a wheel can only run."""

    name = RuntimeName.java
    looked_for = "a jar or war, pom.xml, *.java"

    def __init__(self, compiler: bool | None = None) -> None:
        self._compiler = shutil.which("javac") is not None if compiler is None else compiler

    def detect(self, tree: Tree) -> bool:
        names = top_files(tree.root)
        wanted = ("pom.xml", *_GRADLE)
        return any(has(tree.root, name) for name in wanted) or any(n.endswith((".jar", ".war", ".java")) for n in names)

    def plan(self, tree: Tree) -> BuildPlan:
        names = top_files(tree.root)
        if has(tree.root, "pom.xml"):
            return self._plan(_MAVEN, ("java", "maven"), "Java, pom.xml")
        jars = [name for name in names if name.endswith((".jar", ".war"))]
        if jars:
            if read_procfile(tree) is None:
                _runnable(tree, jars)
            return self._plan("", (), f"Java, {shown(jars[0])}")
        if any(name in names for name in _GRADLE):
            raise Invalid("java_gradle")
        if any(name.endswith(".java") for name in names):
            if not self._compiler:
                raise Invalid("java_no_compiler")
            if read_procfile(tree) is None:
                _main_class(tree)
            script = f"step Compiling\nmkdir -p {_CLASSES}\nrun javac -encoding UTF-8 -d {_CLASSES} ./*.java\n"
            return self._plan(script, ("java",), "Java, source files")
        return self._plan("", (), "Java, Procfile")

    def launch(self, tree: Tree) -> Launch:
        environment = {"JAVA_OPTS": "-XX:MaxRAMPercentage=75"}
        procfile = read_procfile(tree)
        if procfile is not None:
            return Launch(procfile, environment)
        names = top_files(tree.root)
        jars = [name for name in names if name.endswith((".jar", ".war"))]
        if has(tree.root, "pom.xml"):
            jars = _built_jars(tree)
        if jars:
            # Spring Boot listens where SERVER_PORT says; to all others it is one variable more.
            return Launch(
                {"web": f"SERVER_PORT=$PORT java $JAVA_OPTS -jar {quoted(_runnable(tree, jars))}"}, environment
            )
        return Launch({"web": f"java $JAVA_OPTS -cp {_CLASSES} {_main_class(tree)}"}, environment)

    def _plan(self, script: str, tools: tuple[str, ...], detected: str) -> BuildPlan:
        return BuildPlan(self.name, script, tools, ("java",), environment=_ENVIRONMENT, detected=detected)


def _built_jars(tree: Tree) -> list[str]:
    """What Maven made: of the project itself, else of its modules."""
    folders = ["target/quarkus-app", "target", *(f"{name}/target" for name in top_folders(tree.root))]
    found = [
        f"{folder}/{name}"
        for folder in folders
        for name in top_files(tree.root, folder)
        if name.endswith((".jar", ".war")) and not _NOT_RUN.fullmatch(name)
    ]
    if not found:
        raise Invalid("java_no_jar")
    return found


def _runnable(tree: Tree, jars: list[str]) -> str:
    """The one jar with a Main-Class. Raises `java_no_main_class` for none, `java_several_jars` for several."""
    runnable = [jar for jar in jars if _names_main(tree, jar)]
    quarkus = [jar for jar in runnable if jar.endswith("/quarkus-run.jar")]
    if len(quarkus or runnable) > 1:
        raise Invalid("java_several_jars", found=", ".join(shown(jar) for jar in runnable[:5]))
    if not runnable:
        raise Invalid("java_no_main_class", found=", ".join(shown(jar) for jar in jars[:5]))
    return (quarkus or runnable)[0]


def _names_main(tree: Tree, jar: str) -> bool:
    path = inside(tree.root, jar)
    if path is None:
        return False
    try:
        with zipfile.ZipFile(path) as archive, archive.open("META-INF/MANIFEST.MF") as file:
            manifest = file.read(_MANIFEST_LIMIT).decode("utf-8", "replace")
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        return False
    unfolded = re.sub(r"\r?\n ", "", manifest)
    return re.search(r"^Main-Class: *\S+", unfolded, re.MULTILINE | re.IGNORECASE) is not None


def _main_class(tree: Tree) -> str:
    found: list[str] = []
    for name in top_files(tree.root):
        if re.fullmatch(r"\w+\.java", name):
            text = read_text(tree.root, name) or ""
            if _MAIN.search(text):
                package = _PACKAGE.search(text)
                found.append(f"{package[1]}.{name[:-5]}" if package else name[:-5])
    if not found:
        raise Invalid("java_no_main_method", found=top_of(tree.root))
    if len(found) > 1:
        raise Invalid("java_several_mains", found=", ".join(found[:5]))
    return found[0]
