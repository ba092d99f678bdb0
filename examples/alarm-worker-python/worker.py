"""The worker process: looks for new alarms every second and tells people.

`WEBHOOK_URL`: where a notification goes, as the JSON that group robots of WeCom and DingTalk take; without it, it is
only written to the log. A message that cannot be delivered is tried again; none is sent twice.
"""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import deque

from alarms import Alarm, alarms_between

WEBHOOK = os.environ.get("WEBHOOK_URL", "")
LOOK_BACK_S = 300
stopping = threading.Event()


def text_of(alarm: Alarm) -> str:
    p = alarm.point
    kind = {"critical": "严重 CRITICAL", "warning": "警告 WARNING"}[p.severity]
    return f"[{kind}] {p.code} {p.zh} / {p.en}: > {p.high:g} {p.unit}"


def deliver(text: str) -> bool:
    """Whether the message has arrived."""
    print(f"alarm {text}", flush=True)
    if not WEBHOOK:
        return True
    body = json.dumps({"msgtype": "text", "text": {"content": text}}, ensure_ascii=False).encode()
    request = urllib.request.Request(WEBHOOK, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
    except (urllib.error.URLError, OSError) as error:
        print(f"could not be delivered, trying again: {error}", flush=True)
        return False
    return True


def main() -> None:
    """Until SIGTERM; the message in hand is sent first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    started = int(time.time())
    print("worker started", "with a webhook" if WEBHOOK else "without WEBHOOK_URL: alarms go to the log only", flush=True)
    told: dict[str, int] = {}
    waiting: deque[Alarm] = deque()
    while not stopping.is_set():
        now = int(time.time())
        since = max(started, now - LOOK_BACK_S)
        for alarm in reversed(alarms_between(since, now)):
            # What stood already when the window began has another id each second; it was told when it came.
            if alarm.began > since and alarm.id not in told:
                told[alarm.id] = alarm.began
                waiting.append(alarm)
        told = {key: began for key, began in told.items() if began >= since}
        while waiting and not stopping.is_set() and deliver(text_of(waiting[0])):
            waiting.popleft()
        stopping.wait(1.0)
    print(f"worker stopped, {len(waiting)} messages undelivered", flush=True)


if __name__ == "__main__":
    main()
