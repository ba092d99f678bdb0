"""The web process: points, open alarms and those of the last half hour, as JSON and as a page."""

import os
import time
from pathlib import Path

from flask import Flask, Response, jsonify

from alarms import alarms_between
from historian import POINTS, value_at

app = Flask(__name__)
app.json.ensure_ascii = False  # pyright: ignore
PAGE = (Path(__file__).parent / "page.html").read_bytes()
SHOWN_S = 30 * 60


@app.get("/")
def page() -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8")


@app.get("/api/points")
def points() -> Response:
    now = int(time.time())
    return jsonify(
        [
            {"code": p.code, "zh": p.zh, "en": p.en, "unit": p.unit, "high": p.high, "value": round(value_at(p, now), 2)}
            for p in POINTS
        ]
    )


@app.get("/api/alarms")
def alarms() -> Response:
    now = int(time.time())
    found = [alarm.as_json() for alarm in alarms_between(now - SHOWN_S, now)]
    return jsonify({"now": now, "instance": os.environ.get("GONGFANG_INSTANCE_INDEX", "0"), "alarms": found})


@app.get("/healthz")
def healthz() -> Response:
    return Response("ok\n", content_type="text/plain")
