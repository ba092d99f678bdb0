"""A line's machine states in a browser, in Chinese and English: the sample app of Gongfang. Standard library only.

`PORT`: where it answers. `LINE`: what the line is called. `/` the page, `/machines` its data, `/healthz` for checks.
"""
# pyright: basic

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from feed import Feed  # pyright: ignore

HERE = Path(__file__).parent
LINE = os.environ.get("LINE", "3")
VERSION = (HERE / "VERSION").read_text("utf-8").strip()
PAGE = (HERE / "page.html").read_bytes()
FEED = Feed(LINE)


class Handler(BaseHTTPRequestHandler):
    """Answers the page and its data."""

    protocol_version = "HTTP/1.1"
    server_version = "line-dashboard"

    def do_GET(self) -> None:
        match urlsplit(self.path).path:
            case "/":
                self._answer(200, "text/html; charset=utf-8", PAGE)
            case "/machines":
                data = {"line": LINE, "version": VERSION, "instance": self._instance(), "machines": FEED.report()}
                self._answer(200, "application/json", json.dumps(data, ensure_ascii=False).encode())
            case "/healthz":
                self._answer(200, "text/plain", b"ok\n")
            case _:
                self._answer(404, "text/plain; charset=utf-8", "没有此页面 / no such page\n".encode())

    do_HEAD = do_GET

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Version", VERSION)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @staticmethod
    def _instance() -> str:
        return os.environ.get("GONGFANG_INSTANCE_INDEX", "0")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name in the class above)
        if urlsplit(self.path).path == "/":  # the page's own polling would drown everything else
            print(f"{self.address_string()} {format % args}", flush=True)


def main() -> None:
    """Serves until SIGTERM; requests in flight are finished first."""
    port = int(os.environ.get("PORT", "8000"))
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104  (the platform decides who reaches it)
    threading.Thread(target=FEED.run, daemon=True).start()

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"line {LINE}: dashboard version {VERSION} on port {port}", flush=True)
    server.serve_forever()
    server.server_close()
    print("stopped", flush=True)


if __name__ == "__main__":
    sys.exit(main())
