"""A server that answers every request at once, with the address that it was asked at: what pretended instances lead to.

    python -m bench.answer FD

One process with one loop over epoll; nearly all of its time goes to the kernel. The socket is handed down. It listens
on all of 127.0.0.0/8, so that each of thousands of pretended instances has an address of its own; a connection to any
other address is closed unread. The answer is always of one length.
"""

import contextlib
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 15  # of an IPv4 address


def said(address: str) -> bytes:
    """The body of an answer."""
    return f"at {address:<{WIDTH}}\n".encode()


def _answer(address: str) -> bytes:
    body = said(address)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@contextmanager
def answering() -> Iterator[int]:
    """Starts one; its port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", 0))  # all of 127.0.0.0/8; see the module
        listener.listen(4096)
        command = [sys.executable, "-m", "bench.answer", str(listener.fileno())]
        server = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()], start_new_session=True)
        port = listener.getsockname()[1]
    try:
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


def serve(listener: socket.socket) -> None:
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, tuple[socket.socket, bytes]] = {}
    while True:
        for descriptor, _ in epoll.poll():
            known = connections.get(descriptor)
            if known is None:
                _accept(listener, epoll, connections)
                continue
            connection, answer = known
            try:
                request = connection.recv(65536)
                if request:
                    connection.send(answer * request.count(b"\r\n\r\n"))
                    continue
            except OSError:
                pass
            connection.close()  # which takes it out of the epoll, too
            del connections[descriptor]


def _accept(listener: socket.socket, epoll: select.epoll, connections: dict[int, tuple[socket.socket, bytes]]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            address = connection.getsockname()[0]
            if not address.startswith("127."):
                connection.close()
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections[connection.fileno()] = (connection, _answer(address))
            epoll.register(connection.fileno(), select.EPOLLIN)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(socket.socket(fileno=int(sys.argv[1])))
