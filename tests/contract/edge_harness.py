"""Real Envoys and real little web servers for the tests of the edge. All on loopback, all gone afterwards."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from gongfang.edge.envoy import EnvoyConfig, EnvoyEdge, bootstrap, command
from gongfang.edge.interface import EdgeEndpoint


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def envoy_process(executable: str, config: EnvoyConfig) -> AsyncIterator[asyncio.subprocess.Process]:
    config.envoy_dir.mkdir(exist_ok=True)
    config.bootstrap_file.write_text(bootstrap(config))
    with (config.run_dir / "envoy.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command(executable, config, concurrency=2), stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass
class Site:
    """An edge under test and a way to ask it."""

    edge: EnvoyEdge
    config: EnvoyConfig
    executable: str
    process: asyncio.subprocess.Process
    client: httpx2.AsyncClient

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.config.listen_port}"

    async def get(self, host: str, path: str = "/", **headers: str) -> httpx2.Response:
        return await self.client.get(f"{self.address}{path}", headers={"host": host, **headers})

    async def until(self, host: str, status: int, text: str | None = None, *, within_s: float = 5.0) -> httpx2.Response:
        """Asks until it answers so: Envoy's workers take a confirmed change in a moment after its main thread."""
        async with asyncio.timeout(within_s):
            while True:
                response = await self.get(host)
                if response.status_code == status and (text is None or response.text == text):
                    return response
                await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def site(executable: str, run_dir: Path, *, tls: bool = False) -> AsyncIterator[Site]:
    config = EnvoyConfig(run_dir, "127.0.0.1", free_port(), free_port() if tls else None)
    edge = EnvoyEdge(config)
    await edge.open()
    await edge.replace_all([])
    async with (
        contextlib.aclosing(_Closing(edge)),
        envoy_process(executable, config) as process,
        httpx2.AsyncClient(trust_env=False, timeout=10) as client,
    ):
        yield Site(edge, config, executable, process, client)


class _Closing:
    def __init__(self, edge: EnvoyEdge) -> None:
        self._edge = edge

    async def aclose(self) -> None:
        await self._edge.close()


@dataclass
class Backend:
    """An instance: `/` says its name, `/slow` and `/stream` wait for `release`, `/upload` counts, `/crash` hangs up."""

    name: str
    release: asyncio.Event = field(default_factory=asyncio.Event)
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    served: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def endpoint(self) -> EdgeEndpoint:
        return EdgeEndpoint("127.0.0.1", self.port)

    @property
    def draining(self) -> EdgeEndpoint:
        return EdgeEndpoint("127.0.0.1", self.port, draining=True)

    async def __aenter__(self) -> "Backend":
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        """At once, as a crash would: connections are reset."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._connections):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1]
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        self.served += 1
        answer = self.name
        if path == "/crash":
            return False
        if path == "/slow":
            self.busy.set()
            await self.release.wait()
        elif path == "/host":
            answer = f"{headers['host']} {headers['x-forwarded-for']} {headers['x-forwarded-proto']}"
        elif path == "/upload":
            left = total = int(headers["content-length"])
            while left:
                left -= len(await reader.read(min(left, 1 << 16))) or left
            answer = str(total)
        elif path == "/stream":
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await writer.drain()
            await self.release.wait()
            writer.write(b"4\r\nlast\r\n0\r\n\r\n")
            await writer.drain()
            return True
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\n\r\n{answer}".encode())
        await writer.drain()
        return True


@dataclass
class Load:
    """Keep-alive clients that ask one host without pause, until told to stop."""

    address: str
    host: str
    method: str = "GET"
    answers: int = 0
    faults: list[str] = field(default_factory=list)
    _stop: bool = False

    async def run(self, clients: int = 4) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client())

    async def _client(self) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
            while not self._stop:
                try:
                    response = await client.request(self.method, self.address, headers={"host": self.host})
                    if response.status_code != 200:
                        self.faults.append(f"{response.status_code} {response.headers.get('x-gongfang-reason')}")
                except httpx2.HTTPError as error:
                    self.faults.append(repr(error))
                self.answers += 1

    async def more(self, count: int) -> None:
        """Returns after that many further answers."""
        goal = self.answers + count
        while self.answers < goal:
            await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        task = asyncio.create_task(self.run())
        try:
            await self.more(20)
            yield self
        finally:
            self._stop = True
            await task
