"""Real packages of every language, built in the real sandbox, started from their droplet, and asked for a page."""

import asyncio
import io
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gongfang.blobs import ObjectBlobs
from gongfang.builders import (
    DropletCache,
    Launch,
    Tree,
    builder_of,
    detect_builder,
    host_config,
    unpack_package,
    workload_script,
)
from gongfang.domain.errors import Invalid
from gongfang.domain.values import RuntimeName
from gongfang.runtimes.interface import Mount, Observation, Phase, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local import LocalRuntime, stop_everything
from gongfang.runtimes.local.net.network import NetworkSettings
from gongfang.toolbox import WheelToolbox

PYTHON_APP = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hello from python")
    def log_message(self, *words): pass
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"""
NODE_APP = """
const http = require("http");
http.createServer((q, a) => a.end("hello from node")).listen(process.env.PORT);
"""
JAVA_APP = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class Page {
  public static void main(String[] a) throws Exception {
    HttpServer s = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
    s.createContext("/", e -> { byte[] b = "hello from java".getBytes(); e.sendResponseHeaders(200, b.length);
      e.getResponseBody().write(b); e.close(); });
    s.start();
  }
}
"""
# Without net/http, whose compilation alone takes a quarter of a minute on a small machine.
GO_APP = """package main

import (
	"net"
	"os"
)

func main() {
	at, err := net.Listen("tcp", ":"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	for {
		c, _ := at.Accept()
		c.Read(make([]byte, 4096))
		c.Write([]byte("HTTP/1.0 200 OK\\r\\n\\r\\nhello from go"))
		c.Close()
	}
}
"""


@dataclass
class Lab:
    """A platform's parts, put together as the build reconciler does."""

    folder: Path
    runtime: LocalRuntime
    droplets: DropletCache
    count: int = 0

    async def build(
        self, files: dict[str, str | bytes], wanted: RuntimeName = RuntimeName.auto, *, filename: str = "app.zip"
    ) -> "Built":
        self.count += 1
        work = self.folder / "builds" / str(self.count)
        root, cache = work / "app", self.folder / "cache"
        root.mkdir(parents=True)
        cache.mkdir(exist_ok=True)
        archive = work / "package"
        archive.write_bytes(zipped(files))
        await unpack_package(archive, root, filename=filename)
        tree = Tree(root, filename)
        plan = detect_builder(tree, wanted).plan(tree)
        log = b""
        if plan.script:
            config = host_config(os.environ, Path.home())
            spec = WorkloadSpec(
                id=f"build-{self.count}",
                kind=WorkloadKind.build,
                command=workload_script(plan),
                environment={**config.environment, **plan.environment},
                workdir="/app",
                mounts=(
                    Mount(root, "/app", writable=True, own=True),
                    Mount(cache, "/cache", writable=True, own=True, lock=True),
                    *(Mount(each.source, each.target) for each in config.shown),
                ),
                tools=tuple(dict.fromkeys((*plan.tools, *plan.launch_tools))),
            )
            await self.runtime.start(spec)
            seen = await self.runtime.wait(spec.id)
            log = (await self.runtime.read_log(spec.id, offset=0, limit=1 << 20)).data
            await self.runtime.remove(spec.id)
            if seen.exit is None or seen.exit.code != 0:
                return Built(Launch({}), "", plan.launch_tools, log.decode(), seen)
        launch = builder_of(plan.runtime).launch(tree)
        packed = await self.droplets.make(root)
        return Built(launch, packed.sha256, plan.launch_tools, log.decode(), None)

    @asynccontextmanager
    async def started(self, built: "Built") -> AsyncGenerator[str]:
        """Its `web` process, as long as it takes to look at it; gives its address."""
        self.count += 1
        spec = WorkloadSpec(
            id=f"web-{self.count}",
            kind=WorkloadKind.instance,
            command=("/bin/sh", "-c", built.launch.processes["web"]),
            environment=built.launch.environment,
            workdir="/app",
            droplet=built.sha256,
            tools=built.tools,
            wants_port=True,
        )
        await self.runtime.start(spec)
        try:
            seen = await self.runtime.observe(spec.id)
            assert seen.endpoint is not None
            address = f"http://{seen.endpoint.host}:{seen.endpoint.port}"
            await self._answers(spec.id, address)
            yield address
        finally:
            await self.runtime.stop(spec.id, grace_s=5)
            await self.runtime.remove(spec.id)

    async def _answers(self, workload: str, address: str) -> None:
        for _ in range(1500):
            seen = await self.runtime.observe(workload)
            if seen.phase is Phase.ended:
                said = await self.runtime.read_log(workload, offset=0, limit=1 << 16)
                raise AssertionError(f"it ended: {seen.exit} {said.data.decode()}")
            try:
                await asyncio.to_thread(get, address)
                return
            except ConnectionError:
                await asyncio.sleep(0.02)
        raise AssertionError("it never answered")


@dataclass
class Built:
    launch: Launch
    sha256: str
    tools: tuple[str, ...]
    log: str
    failed: Observation | None


def zipped(files: dict[str, str | bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError as error:
        raise ConnectionError(str(error)) from error


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab() -> AsyncGenerator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="builds-"))
    folder.chmod(0o711)
    blobs = ObjectBlobs(folder / "spool", folder=folder / "blobs")
    droplets = DropletCache(folder / "droplets", fetch=blobs.fetch, put=blobs.put_file)
    # Names are answered by the platform, which is not there: these builds look them up as the machine does.
    network = NetworkSettings(wanted=False)
    tool = WheelToolbox().ensure
    runtime = LocalRuntime(folder, tool=tool, droplet=droplets.path, port_range=(29600, 29700), network=network)
    await runtime.open()
    try:
        yield Lab(folder, runtime, droplets)
    finally:
        await runtime.close()
        await stop_everything(folder, grace_s=0)
        shutil.rmtree(folder)


async def page(lab: Lab, built: Built, path: str = "/") -> tuple[int, str]:
    assert built.failed is None, built.log
    async with lab.started(built) as address:
        return await asyncio.to_thread(get, address + path)


async def test_python_without_dependencies_runs_no_sandbox(lab: Lab) -> None:
    built = await lab.build({"app.py": PYTHON_APP})
    assert built.log == ""
    assert built.launch.processes == {"web": "python app.py"}
    assert await page(lab, built) == (200, "hello from python")


async def test_python_requirements(lab: Lab) -> None:
    app = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef index(): return 'hello from flask'\n"
    built = await lab.build({"main.py": app, "requirements.txt": "flask==3.1.2\ngunicorn\n"})
    assert built.failed is None, built.log
    assert "-----> Installing requirements.txt" in built.log
    assert built.launch.processes == {"web": "gunicorn main:app --bind 0.0.0.0:$PORT"}
    assert await page(lab, built) == (200, "hello from flask")


async def test_python_failure_is_told(lab: Lab) -> None:
    built = await lab.build({"main.py": "", "requirements.txt": "no-such-distribution-gongfang==1\n"})
    assert built.failed is not None
    assert "no-such-distribution-gongfang" in built.log
    assert "ended with exit code" in built.log


async def test_python_project_with_a_script(lab: Lab) -> None:
    project = """[project]\nname = "press-monitor"\nversion = "1"\n[project.scripts]\npress-monitor = "press.web:main"\n
[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n
[tool.hatch.build.targets.wheel]\npackages = ["src/press"]\n"""
    body = "def main():\n" + "".join(f"    {line}\n" for line in PYTHON_APP.strip().splitlines())
    built = await lab.build({"pyproject.toml": project, "src/press/__init__.py": "", "src/press/web.py": body})
    assert built.launch.processes == {"web": "press-monitor"}, built.log
    assert await page(lab, built) == (200, "hello from python")


async def test_node_with_a_dependency_and_a_build_script(lab: Lab) -> None:
    package = """{"name": "x", "engines": {"node": ">=18"}, "dependencies": {"ms": "2.1.3"},
      "scripts": {"build": "echo yes > built.txt", "start": "node web.js"}}"""
    app = 'require("ms"); require("fs").statSync("built.txt");' + NODE_APP
    built = await lab.build({"package.json": package, "web.js": app})
    assert built.launch.processes == {"web": "node web.js"}, built.log
    assert await page(lab, built) == (200, "hello from node")


async def test_node_of_another_version_is_told(lab: Lab) -> None:
    built = await lab.build({"package.json": '{"engines": {"node": "^6"}}', "index.js": NODE_APP})
    assert built.failed is not None
    assert "asks for Node ^6" in built.log


async def test_node_without_dependencies(lab: Lab) -> None:
    built = await lab.build({"index.js": NODE_APP})
    assert (built.log, await page(lab, built)) == ("", (200, "hello from node"))


@pytest.mark.skipif(shutil.which("javac") is None, reason="no Java compiler on this machine")
async def test_java_source_then_its_jar(lab: Lab) -> None:
    built = await lab.build({"Page.java": JAVA_APP})
    assert await page(lab, built) == (200, "hello from java")
    classes = (await lab.droplets.path(built.sha256)) / ".gongfang/classes"
    jar = {"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\nMain-Class: Page\r\n\r\n"}
    files = {**jar, **{path.name: path.read_bytes() for path in classes.iterdir()}}
    built = await lab.build(files, filename="page-1.0.jar")
    assert built.launch.processes == {"web": "SERVER_PORT=$PORT java $JAVA_OPTS -jar 'page-1.0.jar'"}
    assert await page(lab, built) == (200, "hello from java")


async def test_go(lab: Lab) -> None:
    built = await lab.build({"go.mod": "module example.com/hello\n\ngo 1.21\n", "main.go": GO_APP})
    assert await page(lab, built) == (200, "hello from go")


async def test_static_site_hides_what_begins_with_a_dot(lab: Lab) -> None:
    files = {"public/index.html": "hello from a page", "public/.env": "secret", "README": "", "public/404.html": "gone"}
    built = await lab.build(files)
    async with lab.started(built) as address:
        assert get(address + "/") == (200, "hello from a page")
        assert get(address + "/.env") == (404, "gone")
        assert get(address + "/%2eenv") == (404, "gone")
        assert get(address + "/../.gongfang/Caddyfile")[0] == 404
        assert get(address + "/missing") == (404, "gone")


async def test_a_binary(lab: Lab) -> None:
    script = f"#!/usr/bin/env python3\n{PYTHON_APP}"
    built = await lab.build({"serve": script, "Procfile": "web: python3 serve\n"}, RuntimeName.python)
    assert await page(lab, built) == (200, "hello from python")
    built = await lab.build({"serve": "#!/bin/sh\necho $PORT; exit 3\n"})
    assert built.launch.processes == {"web": "'./serve'"}


async def test_a_droplet_runs_after_it_was_evicted(lab: Lab) -> None:
    built = await lab.build({"app.py": PYTHON_APP})
    await lab.droplets.evict(set())
    assert await page(lab, built) == (200, "hello from python")


async def test_a_tree_that_nobody_knows_is_refused(lab: Lab) -> None:
    with pytest.raises(Invalid) as told:
        await lab.build({"notes.txt": "hello", "b/c.txt": ""})
    assert told.value.code == "build_not_detected"
    assert "notes.txt" in str(told.value)
