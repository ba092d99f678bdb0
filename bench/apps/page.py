"""A small page that says its version, on Python's own server: what the deploy benchmark brings up."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "version 0"


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{VERSION}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name it has there)
        """Says nothing: the benchmarks measure the platform, not the terminal."""


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
