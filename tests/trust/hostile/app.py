"""The hostile app: a web server that does at `/NAME?ARGUMENT` what `attacks.py` knows under that name."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

INHERITED = []
for number in os.listdir("/proc/self/fd"):
    try:
        INHERITED.append((int(number), os.readlink(f"/proc/self/fd/{number}")))
    except OSError:
        continue  # the one that this very listing used


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        name, _, argument = self.path[1:].partition("?")
        if name in ("", "inherited"):
            self.answer({"inherited": [path for number, path in INHERITED if number > 2]})
            return
        words = [sys.executable, "attacks.py", name, unquote(argument)]
        # What floods writes to the app's own output and has no answer for us on it.
        output = None if name == "flood" else subprocess.PIPE
        done = subprocess.run(words, stdout=output, stderr=subprocess.PIPE)
        try:
            found = json.loads(done.stdout or b"null")
            self.answer({"code": done.returncode, "found": found, "error": done.stderr.decode()[-2000:]})
        except ValueError:
            self.answer({"code": done.returncode})

    def answer(self, data):
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
