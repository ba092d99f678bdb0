"""The reference server on a port of its own. What it knows is in `endpoints`, how it answers in `machinery`."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.unit.conformance.endpoints import ROUTES
from tests.unit.conformance.machinery import BASE, TOKEN, Reference, Request

__all__ = ["TOKEN", "Reference", "serving"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    reference: Reference

    def answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        headers = {k.lower(): v for k, v in self.headers.items()}
        body = self.rfile.read(length)
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)
        with self.reference.lock:
            if self.reference.lie("hangs_up") and request.path.startswith(BASE) and len(self.reference.calls) > 60:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            response = self.reference.handle(request)
        raw = response.raw or b""
        head = [f"HTTP/1.1 {response.status} X", f"content-length: {len(raw)}"]
        head += [f"{name}: {value}" for name, value in response.headers.items()]
        self.wfile.write("\r\n".join([*head, "", ""]).encode() + raw)  # in one piece: no waiting for acknowledgements

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_PROPFIND = answer

    def log_message(self, *_args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def serving(git: Path | None = None, *lies: str, missing: tuple[str, ...] = ()) -> Iterator[Reference]:
    """The server on a free port, until the end of the block."""
    reference = Reference(ROUTES, git, lies, missing)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"reference": reference}))
    reference.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield reference
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
