"""A steady load with keep-alive, in a thread: every answer that is not whole and 200 is a failure, with its reason."""

import http.client
import threading
import time
from collections import Counter


class Load:
    """`workers` connections that each ask, read the whole answer, and ask again, until the block ends."""

    def __init__(self, port: int, host: str, *, workers: int = 4, pause: float = 0.005) -> None:
        self._port, self._host, self._pause = port, host, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(workers)]
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                answer = connection.getresponse()
                body = answer.read().decode(errors="replace")
                if answer.status == 200:
                    self.answers[body.split()[0]] += 1
                else:
                    self.failures.append(f"{answer.status} {body[:100]}")
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(self._pause)
        connection.close()
