"""A line's machine states in a browser, live, in Chinese and English. Standard library only.

    /          the page
    /machines  what the line reported last, as JSON
    /events    the same as server-sent events, one for each report
    /healthz   for health checks

`PORT`: where it answers. `LINE`: what the line is called.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from feed import Feed

HERE = Path(__file__).parent
LINE = os.environ.get("LINE", "3")
INSTANCE = os.environ.get("GONGFANG_INSTANCE_INDEX", "0")
VERSION = (HERE / "VERSION").read_text("utf-8").strip()
PAGE = (HERE / "page.html").read_bytes()
FEED = Feed(LINE)
DRAIN_S = 5.0
"""How long requests in flight may take after SIGTERM; the platform gives ten seconds."""
STREAM_S = 5.0
"""How long a stream of events lasts. A browser asks again at once, and is led away from an instance that is to stop,
so a new version never has to wait longer for the readers of the old one."""


def report() -> bytes:
    data = {"line": LINE, "version": VERSION, "instance": INSTANCE, "machines": FEED.report()}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


class Server(ThreadingHTTPServer):
    """Knows how many requests it is answering, so that a stop can wait for these, and not for idle connections."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("0.0.0.0", port), Handler)
        self.stopping = False
        self._answering = 0
        self._idle = threading.Condition()

    @contextmanager
    def answering(self) -> Iterator[None]:
        with self._idle:
            self._answering += 1
        try:
            yield
        finally:
            with self._idle:
                self._answering -= 1
                self._idle.notify_all()

    def drain(self) -> bool:
        """Whether all requests were answered in time."""
        with self._idle:
            return self._idle.wait_for(lambda: self._answering == 0, DRAIN_S)


class Handler(BaseHTTPRequestHandler):
    """Answers the page and its data."""

    protocol_version = "HTTP/1.1"
    server_version = "machine-dashboard"
    timeout = 75  # of an idle connection: longer than the edge keeps one
    server: Server

    def do_GET(self) -> None:
        with self.server.answering():
            match urlsplit(self.path).path:
                case "/":
                    self._answer(200, "text/html; charset=utf-8", PAGE)
                case "/machines":
                    self._answer(200, "application/json", report())
                case "/events":
                    self._events()
                case "/healthz":
                    self._answer(200, "text/plain", b"ok\n")
                case _:
                    self._answer(404, "text/plain; charset=utf-8", "没有此页面 / no such page\n".encode())

    do_HEAD = do_GET

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self._head(status, kind)
        self.send_header("Content-Length", str(len(body)))
        if self.server.stopping:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _events(self) -> None:
        """Ends when the reader leaves, the app stops, or after `STREAM_S`."""
        self.close_connection = True
        self._head(200, "text/event-stream; charset=utf-8")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(b"retry: 200\n\n")
        seen, end = 0, time.monotonic() + STREAM_S
        while not self.server.stopping and time.monotonic() < end:
            self.wfile.write(b"data: " + report() + b"\n\n")
            seen = FEED.wait(seen)

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Version", VERSION)

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader is gone

    def log_message(self, format: str, *args: object) -> None:
        if urlsplit(getattr(self, "path", "")).path == "/":  # health checks would drown everything else
            print(f"{self.address_string()} {format % args}", flush=True)


def main() -> None:
    """Serves until SIGTERM; requests in flight are finished first."""
    server = Server(int(os.environ.get("PORT", "8000")))

    def stop(*_: object) -> None:
        server.stopping = True
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this handler interrupts

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=FEED.run, daemon=True).start()
    print(f"line {LINE}: dashboard version {VERSION} on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    FEED.wake()
    print("stopped" if server.drain() else "stopped, with requests unanswered", flush=True)


if __name__ == "__main__":
    main()
