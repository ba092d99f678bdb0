"""A kilobyte over keep-alive connections, at little cost. It knows nothing of SIGTERM, so it ends at once when told
to: whatever it has not answered by then is lost, unless the platform has seen to it before."""

import asyncio
import os

VERSION = "version 0"
BODY = f"{VERSION}\n".encode().ljust(1024, b".")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            _, _, self.received = self.received.partition(b"\r\n\r\n")
            self.transport.write(ANSWER)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "0.0.0.0", int(os.environ["PORT"]), backlog=512)
    await server.serve_forever()


asyncio.run(main())
