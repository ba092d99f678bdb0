"""Which builder takes a tree, what it would run, and that no tree, however hostile, gets more out of it."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.builders import Tree, detect_builder, host_config, parse_procfile, processes_for, workload_script
from gongfang.builders.golang import GoBuilder
from gongfang.builders.java import JavaBuilder
from gongfang.builders.node import NodeBuilder
from gongfang.builders.python import PythonBuilder
from gongfang.builders.reading import read_text, write_own
from gongfang.builders.static import StaticBuilder
from gongfang.domain.errors import GongfangError, Invalid
from gongfang.domain.messages import CATALOGUE
from gongfang.domain.values import AppType, RuntimeName

R = RuntimeName


def tree_of(root: Path, files: dict[str, str | bytes]) -> Tree:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Tree(root, "x.zip")


def jar(main: str | None) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "A: b\r\n" + (f"Main-Class: {main}\r\n" if main else ""))
    return data.getvalue()


def code_of(wanted: type[Exception], work: object) -> str:
    with pytest.raises(wanted) as told:
        work()  # type: ignore[operator]
    assert isinstance(told.value, GongfangError)
    assert told.value.code in CATALOGUE
    return told.value.code


@pytest.mark.parametrize(
    ("files", "runtime"),
    [
        ({"app.py": ""}, R.python),
        ({"requirements.txt": "", "package.json": "{}"}, R.python),
        ({"x-1-py3-none-any.whl": b""}, R.python),
        ({"package.json": "{}", "index.html": ""}, R.node),
        ({"pom.xml": ""}, R.java),
        ({"x.jar": b""}, R.java),
        ({"go.mod": "", "public/index.html": ""}, R.go),
        ({"dist/index.html": ""}, R.static),
        ({"Procfile": "web: ./x", "x": ""}, R.binary),
    ],
)
def test_auto(tmp_path: Path, files: dict[str, str | bytes], runtime: RuntimeName) -> None:
    assert detect_builder(tree_of(tmp_path, files), R.auto).name is runtime


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"app.py": "print()"}, "python app.py"),
        ({"hello.py": "print()"}, "python hello.py"),
        (
            {"main.py": "app = FastAPI()", "requirements.txt": "fastapi[standard]>=0.1"},
            "uvicorn main:app --host 0.0.0.0 --port $PORT",
        ),
        (
            {"server.py": "app: Flask = Flask()", "requirements.txt": "Flask\ngunicorn"},
            "gunicorn server:app --bind 0.0.0.0:$PORT",
        ),
        (
            {"app.py": "app = Flask(__name__)", "requirements.txt": "flask"},
            "flask --app app:app run --host 0.0.0.0 --port $PORT",
        ),
        (
            {"app.py": "def create_app():\n  ...", "requirements.txt": "flask\ngunicorn"},
            "gunicorn 'app:create_app()' --bind 0.0.0.0:$PORT",
        ),
        (
            {"manage.py": "", "site1/wsgi.py": "", "requirements.txt": "django\ngunicorn"},
            "gunicorn site1.wsgi --bind 0.0.0.0:$PORT",
        ),
        ({"manage.py": "", "requirements.txt": "django"}, "python manage.py runserver --noreload 0.0.0.0:$PORT"),
        ({"pyproject.toml": '[project]\nname="a"\n[project.scripts]\nserve="a:b"'}, "serve"),
        ({"pyproject.toml": '[project]\nname="a"', "src/press/__main__.py": ""}, "python -m press"),
    ],
)
def test_python_starts(tmp_path: Path, files: dict[str, str | bytes], command: str) -> None:
    tree = tree_of(tmp_path, files)
    assert PythonBuilder().launch(tree).processes == {"web": command}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"app.py": ""}, ""),
        ({"app.py": "", "requirements.txt": "# nothing\n\n"}, ""),
        ({"app.py": "", "pyproject.toml": "[tool.ruff]"}, ""),
        ({"requirements.txt": "flask"}, "uv pip install -r requirements.txt"),
        ({"pyproject.toml": '[project]\ndependencies=["flask"]'}, "uv pip install -r pyproject.toml"),
        ({"pyproject.toml": "[build-system]"}, "uv pip install ."),
        ({"pyproject.toml": "", "uv.lock": ""}, "uv sync --frozen --no-dev"),
        ({"setup.py": ""}, "uv pip install ."),
    ],
)
def test_python_installs(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    plan = PythonBuilder().plan(tree_of(tmp_path, files))
    assert words in plan.script
    assert bool(words) == bool(workload_script(plan)) == bool(plan.tools)


def test_python_of_another_version(tmp_path: Path) -> None:
    builder = PythonBuilder("3.11.7")
    tree = tree_of(tmp_path, {"pyproject.toml": '[project]\nrequires-python=">=3.13"'})
    assert code_of(Invalid, lambda: builder.plan(tree)) == "python_version"
    tree = tree_of(tmp_path, {"pyproject.toml": "", ".python-version": "3.1\n"})
    assert code_of(Invalid, lambda: builder.plan(tree)) == "python_version"
    tree = tree_of(tmp_path, {".python-version": "3.11\n"})
    builder.plan(tree)


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ('{"scripts": {"start": "node web.js --x"}}', "node web.js --x"),
        ('{"scripts": {"start": "node $npm_package_main"}}', "npm start"),
        ('{"scripts": {"start": "node a.js", "prestart": "x"}}', "npm start"),
        ('{"main": "lib/web"}', "node lib/web.js"),
        ('{"main": "../../etc/passwd"}', "node server.js"),
        ('{"main": 5, "scripts": []}', "node server.js"),
    ],
)
def test_node_starts(tmp_path: Path, package: str, command: str) -> None:
    tree = tree_of(tmp_path, {"package.json": package, "lib/web.js": "", "server.js": ""})
    assert NodeBuilder().launch(tree).processes == {"web": command}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"package.json": '{"name": "x"}'}, ""),
        ({"package.json": '{"dependencies": {"a": "1"}}'}, "npm install --omit=dev"),
        ({"package.json": '{"dependencies": {"a": "1"}}', "package-lock.json": ""}, "npm ci --omit=dev"),
        ({"package.json": '{"dependencies": {"a": "1"}}', "pnpm-lock.yaml": ""}, "--package=pnpm@10 -- pnpm"),
        ({"package.json": '{"scripts": {"build": "x"}}', "package-lock.json": ""}, "npm prune --omit=dev"),
        (
            {"package.json": '{"dependencies": {"a": "1"}, "packageManager": "yarn@4.1.0"}', "yarn.lock": ""},
            "cli-dist@4.1.0",
        ),
    ],
)
def test_node_installs(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    plan = NodeBuilder().plan(tree_of(tmp_path, files))
    assert words in plan.script
    assert bool(words) == bool(plan.script)


def test_java(tmp_path: Path) -> None:
    builder = JavaBuilder(compiler=False)
    tree = tree_of(tmp_path, {"a.jar": jar(None)})
    assert code_of(Invalid, lambda: builder.plan(tree)) == "java_no_main_class"
    tree = tree_of(tmp_path, {"b.jar": jar("a.B")})
    assert builder.launch(tree).processes == {"web": "SERVER_PORT=$PORT java $JAVA_OPTS -jar 'b.jar'"}
    tree = tree_of(tmp_path, {"c.jar": jar("a.C")})
    assert code_of(Invalid, lambda: builder.plan(tree)) == "java_several_jars"
    tree = tree_of(tmp_path / "maven", {"pom.xml": "", "target/x.jar": jar("a.B"), "target/original-x.jar": jar("a.B")})
    assert "mvn" in builder.plan(tree).script
    assert builder.launch(tree).processes["web"].endswith("-jar 'target/x.jar'")
    assert code_of(Invalid, lambda: builder.plan(tree_of(tmp_path / "s", {"A.java": ""}))) == "java_no_compiler"
    assert code_of(Invalid, lambda: builder.plan(tree_of(tmp_path / "g", {"build.gradle": ""}))) == "java_gradle"


def test_go(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path, {"go.mod": "module x", "cmd/web/main.go": "package main", "cmd/job/main.go": "package main"}
    )
    plan = GoBuilder().plan(tree)
    assert "go build -o '.gongfang/bin/web' './cmd/web'" in plan.script
    assert GoBuilder().launch(tree).processes == {"web": ".gongfang/bin/web"}
    assert code_of(Invalid, lambda: GoBuilder().plan(tree_of(tmp_path / "x", {"go.mod": ""}))) == "go_no_main"


def test_types_name_their_process(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"app.py": ""})
    launch = PythonBuilder().launch(tree)
    assert processes_for(AppType.worker, launch, tree) == {"worker": "python app.py"}
    tree = tree_of(tmp_path, {"Procfile": "clock: python app.py\nweb: x"})
    assert processes_for(AppType.task, PythonBuilder().launch(tree), tree) == {"clock": "python app.py", "web": "x"}


def test_a_procfile_is_taken_by_any_runtime(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"Procfile": "web: ./x"})
    for runtime in R:
        builder = detect_builder(tree, runtime)
        assert builder.plan(tree).script == ""
        assert builder.launch(tree).processes == {"web": "./x"}


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"notes.txt": ""})
    assert code_of(Invalid, lambda: detect_builder(tree, R.auto)) == "build_not_detected"
    assert code_of(Invalid, lambda: detect_builder(tree, R.go)) == "build_not_of_runtime"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("web: a\nno colon here", "procfile_line", 2),
        ("\n\nwe b: x", "procfile_line", 3),
        ("wéb: x", "procfile_name", 1),
        ("web:", "procfile_no_command", 1),
        ("web: a\n# c\nweb: b", "procfile_duplicate", 3),
        ("web: " + "x" * 9000, "procfile_too_long", 1),
        ("# only", "procfile_empty", None),
    ],
)
def test_procfile_faults_name_their_line(text: str, code: str, line: int | None) -> None:
    with pytest.raises(Invalid) as told:
        parse_procfile(text)
    assert (told.value.code, told.value.facts.get("line")) == (code, line)
    assert "?" not in str(told.value)


def test_procfile() -> None:
    assert parse_procfile("# x\r\nweb:  a: b $PORT \r\n\r\nclock-1:c") == {"web": "a: b $PORT", "clock-1": "c"}


@given(st.text())
def test_any_procfile_is_read_or_refused(text: str) -> None:
    try:
        found = parse_procfile(text)
    except Invalid as error:
        assert error.code.startswith("procfile_")
    else:
        assert all(name and command and "\n" not in command for name, command in found.items())


_FILES = ["requirements.txt", "pyproject.toml", "package.json", "Procfile", "go.mod", "main.go", "pom.xml", "x.jar"]
_FILES += ["app.py", "x-1-py3-none-any.whl", "index.html", ".python-version", "uv.lock", "X.java", "serve"]
_CONTENT = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"{}", b"[]", b'{"scripts":{"start":5},"engines":7}', b"[project]\ndependencies=5", b"package main"]
    ),
    st.just(b"[" * 5000),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(_FILES), _CONTENT, min_size=1, max_size=4), st.sampled_from(list(R)))
def test_any_tree_is_planned_or_refused(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str | bytes], wanted: RuntimeName
) -> None:
    tree = tree_of(tmp_path_factory.mktemp("tree"), files)
    try:
        builder = detect_builder(tree, wanted)
        assert builder.plan(tree) == builder.plan(tree)
        builder.launch(tree)
    except Invalid as error:
        assert error.code in CATALOGUE


def test_nothing_outside_a_tree_is_read_or_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("web: leaked")
    tree = tree_of(tmp_path / "tree", {"index.html": ""})
    (tree.root / "Procfile").symlink_to(secret)
    (tree.root / ".gongfang").symlink_to(tmp_path)
    os.mkfifo(tree.root / "package.json")
    assert read_text(tree.root, "Procfile") is None
    assert read_text(tree.root, "package.json") is None
    StaticBuilder().launch(tree)
    write_own(tree.root, ".gongfang/x/y", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "tree"]
    assert secret.read_text() == "web: leaked"


def test_host_configuration_leaves_credentials_out(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    tree_of(
        home,
        {".config/pip/pip.conf": f"[global]\nindex-url = https://mirror.example/simple\nfind-links = {root}/w/x\n"},
    )
    tree_of(home, {".npmrc": "registry=https://npm.example/\n//npm.example/:_authToken=secret\n"})
    tree_of(home, {".m2/settings.xml": "<password>secret</password>"})
    tree_of(root, {"etc/pip.conf": "[global]\nextra-index-url = https://me:secret@mirror.example\n", "w/x/y.whl": ""})
    environ = {"HTTPS_PROXY": "http://proxy:1", "UV_CACHE_DIR": "/x", "AWS_SECRET": "secret", "PATH": "/x"}
    config = host_config(environ, home, root)
    assert "secret" not in str(config)
    assert config.environment["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert config.environment["npm_config_registry"] == "https://npm.example/"
    assert config.environment["HTTPS_PROXY"] == "http://proxy:1"
    assert not {"UV_CACHE_DIR", "PATH", "AWS_SECRET", "GONGFANG_MAVEN_SETTINGS"} & set(config.environment)
    assert [str(each.source) for each in config.shown] == [f"{root}/w/x"]
